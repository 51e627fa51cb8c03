"""What is known about the drifts of a stream that was made: the ground truth that detections are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_ml.errors import DataError

__all__ = ["Drift", "Groups", "read_truth", "truth_lines"]

Groups = tuple[tuple[int, ...], ...]
"""Labels that go together: a partition of all labels, by position."""


@dataclass(frozen=True, slots=True)
class Drift:
    """From row `instance` on something is different.

    Attributes
    ----------
    instance
        The first row that is not as before, from 0.
    kind
        `concept` (labels given features), `features` (features alone), `dependence` (which labels go together,
        frequencies unchanged), `imbalance` (frequencies), `appear`, `vanish` (labels), `noise`.
    labels
        Positions of the labels concerned, rising.
    shape
        `sudden`, `gradual` (rows of the old and the new kind mixed), `incremental` (in between for a while),
        `recurring`.
    last
        The first row from which all is new; None: `instance` itself.
    before, after
        Of a drift of dependence: which labels go together.
    """

    instance: int
    kind: str
    labels: tuple[int, ...]
    shape: str = "sudden"
    last: int | None = None
    before: Groups | None = None
    after: Groups | None = None

    @property
    def end(self) -> int:
        """The first row from which all is new."""
        return self.instance if self.last is None else self.last

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """A JSON-ready form with labels by name; `from_dict` reads it back.

        >>> Drift(500, "concept", (0, 2)).to_dict(["a", "b", "c"])
        {'first': 500, 'last': 500, 'kind': 'concept', 'shape': 'sudden', 'labels': ['a', 'c']}
        """
        record: dict[str, Any] = {"first": self.instance, "last": self.end, "kind": self.kind, "shape": self.shape}
        record["labels"] = [names[label] for label in self.labels]
        for key, groups in (("before", self.before), ("after", self.after)):
            if groups is not None:
                record[key] = [[names[label] for label in group] for group in groups]
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any], names: Sequence[str]) -> Drift:
        """The drift that `to_dict` described; raises KeyError where a key or a label is not known."""
        place = {name: position for position, name in enumerate(names)}
        groups = {
            key: tuple(tuple(place[name] for name in group) for group in record[key])
            for key in ("before", "after")
            if key in record
        }
        labels = tuple(sorted(place[name] for name in record["labels"]))
        return cls(record["first"], record["kind"], labels, record["shape"], record["last"], **groups)


def truth_lines(drifts: Iterable[Drift], names: Sequence[str]) -> bytes:
    """Drifts as JSON Lines."""
    import orjson  # here, so that streams are light to import

    return b"".join(orjson.dumps(drift.to_dict(names), option=orjson.OPT_APPEND_NEWLINE) for drift in drifts)


def read_truth(path: Path, names: Sequence[str]) -> tuple[list[Drift], list[str]]:
    """Drifts that `truth_lines` wrote to a file, and the names of all labels: these, then those that only drifts name.

    Raises
    ------
    DataError
        The file cannot be read, or a line is no drift.
    """
    import orjson

    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"cannot be read: {(error.strerror or str(error)).lower()}", source=str(path)) from None
    drifts, known = [], dict.fromkeys(names)
    for line, text in enumerate(lines, 1):
        try:
            record = orjson.loads(text)
            known |= dict.fromkeys(str(label) for label in record["labels"])
            drifts.append(Drift.from_dict(record, list(known)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            expected = '{"first": ..., "last": ..., "kind": ..., "shape": ..., "labels": [...]}'
            raise DataError("not a drift", source=str(path), line=line, expected=expected, found=str(error)) from None
    return drifts, list(known)
