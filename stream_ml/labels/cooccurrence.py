"""Fading counts of labels and of pairs of labels, at a cost of the pairs that occur."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown
from stream_ml.labels._kernels import MAX_WEIGHT, MULTIPLIER, count_rows, find_pair, insert_pairs
from stream_ml.states import LARGEST, Part, Spec

__all__ = ["Cooccurrence"]

MIN_TABLE = 1024
MAX_ROW_LABELS = 256
MAX_SIZES = 64
MOST_COUNTED = 1e100


class Cooccurrence:
    """How often each label, and each pair of labels, was positive; older instances count less.

    Pairs live in a hash table, so memory follows the pairs that were seen and not the square of the label space. A row
    with more than 256 labels counts the pairs of its first 256 only. A matrix for small label spaces would save next to
    nothing (see docs/label-clusters.md), so there is one store.

    Parameters
    ----------
    fading
        Factor on all counts per learned instance.
    max_pairs
        Pairs kept; when there are more, the lightest half is dropped.
    """

    def __init__(self, *, fading: float = 0.9998, max_pairs: int = 1 << 20) -> None:
        self.fading, self.max_pairs = fading, max_pairs
        self.n_labels = 0
        self._keys = np.full(MIN_TABLE, -1, dtype=np.int64)
        self._counts = np.zeros(MIN_TABLE)
        self._singles = np.zeros(0)
        self._sizes = np.zeros(MAX_SIZES)
        self._tally = np.array([1.0, 0.0])  # weight of the next row, pairs in the table

    def grow(self, n_labels: int) -> None:
        """Make room for `n_labels`."""
        if not self.n_labels:  # the first table is filled as larger ones are: then no kernel is new when it grows
            self._tally[1] = insert_pairs(self._keys, self._counts, self._keys[:0], self._counts[:0])
        self.n_labels = max(self.n_labels, n_labels)
        self._singles = grown(self._singles, (capacity(self.n_labels, len(self._singles)),))

    def update(
        self,
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
        start: int,
        stop: int,
    ) -> None:
        """Count rows `start .. stop` that are to be learned.

        Raises
        ------
        IndexError
            A label of such a row is not below `n_labels`; the rows before it are counted.
        """
        row = start
        while row < stop:
            row = count_rows(
                y_indptr,
                y_indices,
                mode,
                row,
                stop,
                self.n_labels,
                1.0 / self.fading,
                MAX_ROW_LABELS,
                self._keys,
                self._counts,
                self._singles,
                self._sizes,
                self._tally,
            )
            if row < 0:
                raise IndexError(f"row {-1 - row} has a label beyond the {self.n_labels} known; grow first")
            if row < stop:
                self._make_room()

    def _make_room(self) -> None:
        """Bring weights back to 1, enlarge the table, or drop the lightest pairs."""
        if self._tally[0] > MAX_WEIGHT:
            self.scale(1.0 / self._tally[0])
            self._tally[0] = 1.0
            return
        used = np.flatnonzero(self._keys >= 0)
        if len(used) > self.max_pairs:
            order = np.lexsort((self._keys[used], -self._counts[used]))
            used = np.sort(used[order[: self.max_pairs // 2]])
        keys, counts = self._keys[used], self._counts[used]
        size = len(self._keys)
        while len(used) + MAX_ROW_LABELS**2 // 2 > size // 2:
            size *= 2
        if len(used) * 4 > size:
            size *= 2
        self._keys, self._counts = np.full(size, -1, dtype=np.int64), np.zeros(size)
        self._tally[1] = insert_pairs(self._keys, self._counts, keys, counts)

    def scale(self, factor: float) -> None:
        """Multiply all counts: below 1, what was counted so far weighs less than what comes."""
        for array in (self._counts, self._singles, self._sizes):
            array *= factor

    def counts(self) -> NDArray[np.float64]:
        """Fading number of instances with each label: float64 (n_labels,), the newest counting 1."""
        return self._singles[: self.n_labels] * self._unit()

    def total(self) -> float:
        """Fading number of instances."""
        return float(self._sizes.sum() * self._unit())

    @property
    def n_pairs(self) -> int:
        """Pairs of labels kept."""
        return int(self._tally[1])

    def table(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The table of pairs: keys `low * 2**32 + high` (-1: free), and stored counts."""
        return self._keys, self._counts

    def stored_counts(self) -> tuple[NDArray[np.float64], float]:
        """Counts of labels as stored, and the factor that turns stored counts into those of `counts` and `pair`."""
        return self._singles, self._unit()

    def pair(self, a: int, b: int) -> float:
        """Fading number of instances with both labels."""
        place = find_pair(self._keys, (min(a, b) << 32) + max(a, b))
        return float(self._counts[place] * self._unit()) if self._keys[place] >= 0 else 0.0

    def among(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fading numbers of instances with both labels of each pair, (n, n) with a diagonal of zeros, and with each."""
        place = np.full(self.n_labels, -1, dtype=np.int64)
        place[labels] = np.arange(len(labels))
        used = np.flatnonzero(self._keys >= 0)
        first, second = place[self._keys[used] >> 32], place[self._keys[used] & 0xFFFFFFFF]
        inside = (first >= 0) & (second >= 0)
        both = np.zeros((len(labels), len(labels)))
        both[first[inside], second[inside]] = self._counts[used[inside]] * self._unit()
        return both + both.T, self.counts()[labels]

    def typical_size(self) -> int:
        """Most frequent number of labels of an instance that has any; 1 before there is one."""
        return int(self._sizes[1:].argmax()) + 1 if self._sizes[1:].any() else 1

    def _unit(self) -> float:
        """One over what the newest row counts."""
        return self.fading**-1 / float(self._tally[0])

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {
            "keys": self._keys,
            "counts": self._counts,
            "singles": self._singles[: self.n_labels],
            "sizes": self._sizes,
            "tally": self._tally,
        }

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, f8 = Part.of(state), np.float64
        room, n = part.length("keys"), part.length("singles")
        part.check(room >= MIN_TABLE and room & (room - 1) == 0, "keys", "no hash table")
        keys = part.array("keys", Spec(np.int64, (room,), -1))
        used = np.flatnonzero(keys >= 0)
        low, high = keys[used] >> 32, keys[used] & 0xFFFFFFFF
        part.check(((low < high) & (high < n)).all(), "keys", "no pairs of labels")
        part.check(2 * len(used) <= room and _is_sound(keys), "keys", "pairs that cannot be found, or too many")
        tally = part.array("tally", Spec(f8, (2,), 0, LARGEST))
        part.check(tally[0] > 0 and tally[1] == len(used), "tally", "not the number of pairs")
        counted = Spec(f8, (n,), 0, MOST_COUNTED)
        self._singles, self._keys, self._tally = part.array("singles", counted), keys, tally
        self._counts = part.array("counts", counted._replace(shape=(room,)))
        self._sizes = part.array("sizes", counted._replace(shape=(MAX_SIZES,)))
        self.n_labels = n


def _is_sound(keys: NDArray[np.int64]) -> bool:
    """Whether each key of the table is there once, and is found: no free place on the way from where it belongs."""
    (free,) = np.nonzero(keys < 0)
    (places,) = np.nonzero(keys >= 0)
    mask = len(keys) - 1
    homes = ((keys[places] * MULTIPLIER) >> 20) & mask
    before = free[np.searchsorted(free, places) - 1]  # the last free place before it, around the end if need be
    found = ((places - homes) & mask) < ((places - before) & mask)
    return len(np.unique(keys[places])) == len(places) and bool(found.all())
