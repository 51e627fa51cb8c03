"""Precision at k: how many of the k most probable labels are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.evaluation._kernels import top_hits
from stream_ml.streams.batch import Batch, Predictions

__all__ = ["PrecisionAtK"]


class PrecisionAtK:
    """Precision@k, the measure of extreme multi-label classification, for some k at once.

    A row with fewer than k positive labels cannot reach 1; with fewer than k labels the missing ranks are misses.
    Where labels are known in part, those that are known are ranked.

    Parameters
    ----------
    ks
        Depths to report.

    Examples
    --------
    >>> from stream_ml.streams import Feature, Schema
    >>> batch = Batch.from_dense(Schema([Feature("x")], ["a", "b", "c"]), [[0]], [[1, 0, 1]])
    >>> empty = np.zeros(0, dtype=np.int32)
    >>> ranked = PrecisionAtK((1, 3))
    >>> ranked.update(batch, Predictions(np.zeros(2, dtype=np.int64), empty, np.array([[0.2, 0.1, 0.7]], np.float32)))
    >>> ranked.result()
    {'precision_at_1': 1.0, 'precision_at_3': 0.6666666666666666}
    """

    def __init__(self, ks: Sequence[int] = (1, 3, 5)) -> None:
        self.ks = tuple(ks)
        self._hits = np.zeros(max(self.ks), dtype=np.int64)
        self._rows = np.zeros(1, dtype=np.int64)

    def update(self, batch: Batch, predictions: Predictions, rows: NDArray[np.int64] | None = None) -> None:
        """Add rows of a batch: those named, or all. Predictions without probabilities add nothing."""
        if predictions.probabilities is None:
            return
        chosen = np.arange(len(batch), dtype=np.int64) if rows is None else rows
        probabilities = np.ascontiguousarray(predictions.probabilities, dtype=np.float32)
        unknown = batch.unknown_labels(probabilities.shape[1])
        top_hits(probabilities, batch.y_indptr, batch.y_indices, unknown, chosen, self._hits)
        self._rows += len(chosen)

    def result(self) -> dict[str, float]:
        """`precision_at_<k>` for each k; empty when nothing was ranked."""
        rows = int(self._rows[0])
        if not rows:
            return {}
        return {f"precision_at_{k}": int(self._hits[:k].sum()) / (k * rows) for k in self.ks}

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"hits": self._hits, "rows": self._rows}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        self._hits, self._rows = np.array(state["hits"]), np.array(state["rows"])
