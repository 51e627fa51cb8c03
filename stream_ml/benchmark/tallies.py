"""What a model got right, block by block: enough to compare two models on any common prefix, with standard errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.evaluation import Metrics
from stream_ml.streams.batch import Batch, Predictions

__all__ = ["Tallies"]


class Tallies:
    """Sums of each block of scored rows.

    Attributes
    ----------
    sums
        float64 (blocks, 4): rows, exact matches, label errors, example F1.
    counts
        float64 (blocks, 3, labels): true positives, false positives, false negatives.
    """

    def __init__(self) -> None:
        self._sums: list[NDArray[np.float64]] = []
        self._counts: list[NDArray[np.float64]] = []

    def add(self, batch: Batch, predictions: Predictions, rows: NDArray[np.int64]) -> None:
        """One block: the named rows of a batch, whose labels are known."""
        metrics = Metrics()
        metrics.update(batch, predictions, rows)
        result, n = metrics.result(), len(rows)
        errors = result["hamming_loss"] * n * max(1, metrics.n_labels)
        self._sums.append(np.array([n, result["subset_accuracy"] * n, errors, result["example_f1"] * n]))
        self._counts.append(metrics.label_counts().copy())

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self._sums)

    @property
    def rows(self) -> int:
        """Scored rows."""
        return int(sum(s[0] for s in self._sums))

    @property
    def sums(self) -> NDArray[np.float64]:
        """(blocks, 4)."""
        return np.stack(self._sums) if self._sums else np.zeros((0, 4))

    @property
    def counts(self) -> NDArray[np.float64]:
        """(blocks, 3, labels): labels that a block did not know yet count nothing in it."""
        width = max((c.shape[1] for c in self._counts), default=0)
        out = np.zeros((len(self), 3, width))
        for block, c in enumerate(self._counts):
            out[block, :, : c.shape[1]] = c
        return out

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Arrays by name."""
        return {"sums": self.sums, "counts": self.counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float64]]) -> Tallies:
        """The tallies that `to_arrays` gave."""
        tallies = cls()
        tallies._sums, tallies._counts = list(arrays["sums"]), list(arrays["counts"])
        return tallies
