"""Instances that wait for their labels, and labels that came before their instance: bounded, and part of the state."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.states import Part, Spec, StateError, whole
from stream_ml.streams.json_lines import Told

__all__ = ["EarlyLabels", "Waiting", "WaitingInstances", "Watermark"]

RECENT = 16
LATEST = 2**63 - 1
"""Of all times, in milliseconds."""
PLACE = re.compile(r"[^/]+/\d{1,9}/\d{1,18}")
NOTHING = np.zeros(0, dtype=np.int32)


class Watermark:
    """The stream's own time: the smallest timestamp of the last 16 records, and never less than it was.

    One record of a wrong far future does not move it, nor do clocks that go back.
    """

    def __init__(self) -> None:
        self.now = -1
        self._recent: list[int] = []

    def note(self, timestamp: int) -> None:
        """A record's timestamp, in milliseconds; negative when it has none."""
        if timestamp < 0:
            return
        self._recent.append(timestamp)
        if len(self._recent) >= RECENT:
            self._recent = self._recent[-RECENT:]
            self.now = max(self.now, min(self._recent))

    @property
    def stamp(self) -> int:
        """What an arrival is dated with; of the first records, their own smallest timestamp."""
        return self.now if self.now >= 0 else min(self._recent, default=-1)

    def facts(self) -> dict[str, Any]:
        """Its state."""
        return {"now": self.now, "recent": list(self._recent)}

    def take(self, facts: Mapping[str, Any]) -> None:
        """Take over a state that `facts` gave."""
        self.now, self._recent = whole(facts["now"], -1, LATEST), [whole(t, 0, LATEST) for t in facts["recent"]]
        if len(self._recent) > RECENT:
            raise StateError(f"watermark: expected {RECENT} times at most, found {len(self._recent)}")


class Waiting(NamedTuple):
    """A predicted instance."""

    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    predicted: NDArray[np.int32]
    since: int
    """The watermark when it came; -1 before there was one."""
    told: NDArray[np.int32] = NOTHING
    """Labels told of it so far; once there are some it has been learned."""


class WaitingInstances:
    """Predicted instances by id, until their labels come, too many are there, or they are too old.

    Parameters
    ----------
    most
        Instances kept; the oldest go first.
    max_age
        Milliseconds by the records' own time after which an instance is given up; None: never.
    """

    def __init__(self, most: int, max_age: int | None = None) -> None:
        self.most, self.max_age = most, max_age
        self._by_id: OrderedDict[str, Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, key: str) -> bool:
        return key in self._by_id

    def put(self, key: str, instance: Waiting) -> None:
        """Let an instance wait; see `expire`. One of the same id is replaced."""
        self._by_id.pop(key, None)
        self._by_id[key] = instance

    def take(self, key: str) -> Waiting | None:
        """The instance of that id, which waits no longer."""
        return self._by_id.pop(key, None)

    def get(self, key: str) -> Waiting | None:
        """The instance of that id, which waits on."""
        return self._by_id.get(key)

    def update(self, key: str, old: Waiting, new: Waiting) -> None:
        """Note what became known of an instance, if it still waits; its place in the queue stays."""
        if self._by_id.get(key) is old:
            self._by_id[key] = new

    def expire(self, now: int) -> int:
        """Give up what is too old by the watermark, or too much; tells how many."""
        gone = 0
        while len(self._by_id) > self.most:
            self._by_id.popitem(last=False)
            gone += 1
        if self.max_age is not None and now >= 0:
            while self._by_id and 0 <= next(iter(self._by_id.values())).since < now - self.max_age:
                self._by_id.popitem(last=False)
                gone += 1
        return gone

    def snapshot(self) -> Callable[[], dict[str, NDArray[Any]]]:
        """Its state as of now; to be asked for arrays whenever there is time, in any thread."""
        entries = list(self._by_id.items())
        return lambda: _arrays(entries)

    def load(self, arrays: Mapping[str, NDArray[Any]], n_features: int, n_labels: int) -> None:
        """Take over a state that `snapshot` gave, of a stream of so many columns.

        Raises
        ------
        ValueError, KeyError
            The arrays do not fit together.
        """
        part = Part.of(arrays)
        keys = part.plain("ids")
        good = isinstance(keys, list) and all(type(key) is str for key in keys) and len(set(keys)) == len(keys)
        part.check(good, "ids", "expected names, each once")
        n, nnz = len(keys), part.length("x_indices")
        x_indices = part.array("x_indices", Spec(np.int32, (nnz,), 0, n_features - 1))
        x_values = part.array("x_values", Spec(np.float32, (nnz,), finite=False))  # NaN: missing
        part.check(not np.isinf(x_values).any(), "x_values", "an infinite value")
        p_indices = part.array("p_indices", Spec(np.int32, (part.length("p_indices"),), 0, n_labels - 1))
        t_indices = part.array("t_indices", Spec(np.int32, (part.length("t_indices"),), 0, n_labels - 1))
        since = part.array("since", Spec(np.int64, (n,), -1)).tolist()
        x = _parts(part, "x_indptr", n, x_indices, x_values)
        predicted = _parts(part, "p_indptr", n, p_indices)
        told = _parts(part, "t_indptr", n, t_indices)
        self._by_id = OrderedDict(
            (key, Waiting(i, v, p, s, t))
            for key, (i, v), (p,), s, (t,) in zip(keys, x, predicted, since, told, strict=True)
        )


def _together(kept: Told, told: Told) -> tuple[Told, int]:
    """Labels told in two messages, one of them in part: what was told first stands. How many were told again, too."""
    if isinstance(kept, list):
        return kept, len(told)
    repeated = sum(name in kept for name in told)
    if isinstance(told, dict):
        return {**told, **kept}, repeated
    return [name for name, on in kept.items() if on] + [name for name in told if name not in kept], repeated


def _arrays(entries: Sequence[tuple[str, Waiting]]) -> dict[str, NDArray[Any]]:
    """Entries as arrays by name."""
    instances = [w for _, w in entries]

    def ends(sizes: list[int]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    def joined(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
        return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)

    return {
        "ids": np.frombuffer(orjson.dumps([key for key, _ in entries]), dtype=np.uint8),
        "x_indptr": ends([len(w.indices) for w in instances]),
        "x_indices": joined([w.indices for w in instances], np.int32),
        "x_values": joined([w.values for w in instances], np.float32),
        "p_indptr": ends([len(w.predicted) for w in instances]),
        "p_indices": joined([w.predicted for w in instances], np.int32),
        "t_indptr": ends([len(w.told) for w in instances]),
        "t_indices": joined([w.told for w in instances], np.int32),
        "since": np.array([w.since for w in instances], dtype=np.int64),
    }


def _parts(part: Part, name: str, n: int, *columns: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """The rows of some CSR arrays, whose indices come first and rise within a row."""
    indices = columns[0]
    indptr = part.array(name, Spec(np.int64, (n + 1,), 0, len(indices)))
    part.pointers(name, indptr, len(indices))
    rises = np.ones(len(indices) + 1, dtype=np.bool_)
    rises[1:-1] = np.diff(indices) > 0
    rises[indptr] = True
    part.check(rises.all(), name.replace("indptr", "indices"), "rows that are not sorted")
    for start, stop in pairwise(indptr.tolist()):
        yield tuple(column[start:stop].copy() for column in columns)


class EarlyLabels:
    """Label messages whose instance has not come yet, by id; the oldest give way when there are too many.

    What they hold is kept as it came: names have positions only once they are learned.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_id: OrderedDict[str, tuple[Told, str, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, key: str, told: Told, place: str, since: int) -> tuple[list[tuple[str, Told, str]], int]:
        """Keep labels (`place`: where they stood), with those that were told in part before.

        Gives what had to give way as (id, labels, place), and how many labels had been told before.
        """
        gone, repeated = [], 0
        if key in self._by_id:
            kept, first_place, first_since = self._by_id[key]
            if isinstance(kept, list) and isinstance(told, list):
                gone.append((key, *self._by_id.pop(key)[:2]))
            else:
                told, repeated = _together(kept, told)
                place, since = first_place, first_since
        # names in an order that a checkpoint keeps
        self._by_id[key] = (told if isinstance(told, list) else dict(sorted(told.items())), place, since)
        while len(self._by_id) > self.most:
            old, (other, where_it_stood, _) = self._by_id.popitem(last=False)
            gone.append((old, other, where_it_stood))
        return gone, repeated

    def take(self, key: str) -> Told | None:
        """The labels of that id, which are not kept any longer; None where there are none."""
        found = self._by_id.pop(key, None)
        return None if found is None else found[0]

    def expire(self, now: int, max_age: int | None) -> list[tuple[str, Told, str]]:
        """Give up what is too old by the watermark: (id, labels, place) of each."""
        gone = []
        while max_age is not None and now >= 0 and self._by_id:
            key, (labels, place, since) = next(iter(self._by_id.items()))
            if not 0 <= since < now - max_age:
                break
            del self._by_id[key]
            gone.append((key, labels, place))
        return gone

    def facts(self) -> list[Any]:
        """Its state."""
        return [[key, *entry] for key, entry in self._by_id.items()]

    def load(self, facts: Sequence[Any]) -> None:
        """Take over a state that `facts` gave."""
        self._by_id = OrderedDict()
        for key, labels, place, since in facts:
            good = all(type(text) is str for text in (key, place, *labels)) and (
                type(labels) is list or (type(labels) is dict and all(type(on) is bool for on in labels.values()))
            )
            if not (good and PLACE.fullmatch(place)) or key in self._by_id:
                raise StateError("early: expected labels by id, and where they stood")
            self._by_id[key] = (labels, place, whole(since, -1, LATEST))
