"""What scoring drift handling needs of a run: row by row how well it went, and when what was learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.states import Part, Spec
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions

__all__ = ["Curve", "DriftTrace"]


class Curve:
    """Hits, predicted and true labels of scored rows, for F1 over any stretch of them.

    Parameters
    ----------
    rows
        Number of each scored row in the stream, rising: int64 (scored,).
    counts
        int64 (scored, 3): labels that are predicted and true, predicted, true.
    """

    def __init__(self, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self.rows = rows
        self._sums = np.concatenate([np.zeros((1, 3), dtype=np.int64), np.cumsum(counts, axis=0)])

    def f1(self, first: int, last: int) -> float | None:
        """Micro F1 of the scored rows numbered `first .. last`; None where there is nothing to tell it from."""
        a, b = np.searchsorted(self.rows, [first, last])
        hits, predicted, true = (self._sums[b] - self._sums[a]).tolist()
        return 2 * hits / (predicted + true) if predicted + true else None

    def windows(self, first: int, last: int, width: int) -> list[tuple[int, float]]:
        """End of each whole window of `width` rows from `first` to `last`, and its micro F1."""
        ends = range(first + width, last + 1, width)
        found = [(end, self.f1(end - width, end)) for end in ends]
        return [(end, value) for end, value in found if value is not None]


class DriftTrace:
    """Collects while a stream is read: `update` is an `on_predictions` of the prequential loop.

    A row counts when it is predicted: rows that are only learned, labels that come late, have no number of their own.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self._rows: list[NDArray[np.int64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._seen: list[NDArray[np.int64]] = []

    def update(self, batch: Batch, predictions: Predictions) -> None:
        """Take in a batch and what was predicted of it."""
        asked = (batch.mode & PREDICT) != 0
        seen = self.n_rows + np.cumsum(asked)
        scored = asked & batch.labelled
        n = max(batch.n_labels, int(predictions.label_indices.max(initial=-1)) + 1)
        sizes, chosen = np.diff(batch.y_indptr), np.diff(predictions.label_indptr)
        rows = np.arange(len(batch))
        hit = np.isin(
            np.repeat(rows, chosen) * n + predictions.label_indices, np.repeat(rows, sizes) * n + batch.y_indices
        )
        hits = np.bincount(np.repeat(rows, chosen)[hit], minlength=len(batch))
        self._rows.append((seen - 1)[scored])
        self._counts.append(np.stack([hits, chosen, sizes], axis=1)[scored])
        self._seen.append(seen[(batch.mode & LEARN) != 0])
        self.n_rows += int(np.count_nonzero(asked))

    def curve(self) -> Curve:
        """How well it went."""
        none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
        return Curve(np.concatenate([none, *self._rows]), np.concatenate([nothing, *self._counts]))

    def state_dict(self) -> dict[str, NDArray[np.int64]]:
        """All that it has collected."""
        curve = self.curve()
        return {
            "n_rows": np.array([self.n_rows], dtype=np.int64),
            "rows": curve.rows,
            "counts": np.concatenate([np.zeros((0, 3), dtype=np.int64), *self._counts]),
            "seen": np.concatenate([np.zeros(0, dtype=np.int64), *self._seen]),
        }

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over what `state_dict` gave. Raises `KeyError` or `ValueError` where it is something else."""
        part = Part.of(state)
        n = part["rows"].size
        rows = part.array("rows", Spec(np.int64, (n,), 0))
        self.n_rows = int(part.array("n_rows", Spec(np.int64, (1,), 0))[0])
        self._rows, self._counts = [rows], [part.array("counts", Spec(np.int64, (n, 3), 0))]
        self._seen = [part.array("seen", Spec(np.int64, (part["seen"].size,), 0))]

    def rows_seen(self, instances: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many rows had been predicted when so many instances had been learned."""
        seen = np.concatenate([np.zeros(1, dtype=np.int64), *self._seen])
        return seen[np.clip(instances, 0, len(seen) - 1)]
