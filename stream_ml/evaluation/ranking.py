"""Precision at k: how many of the k most probable labels are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.evaluation._kernels import top_hits
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import Batch, Likely, Predictions

__all__ = ["RANKED", "PrecisionAtK"]

DEPTHS = (1, 3, 5)
RANKED = tuple(f"precision_at_{k}" for k in DEPTHS)
"""Names of the metrics of rankings, as a run reports them."""


class PrecisionAtK:
    """Precision@k, the measure of extreme multi-label classification, for some k at once.

    How many of the k most probable labels are positive, divided by k, averaged over all rows added (Bhatia et al.: The
    extreme classification repository, 2016); of equal probabilities the lower label ranks first. A row with fewer than
    k positive labels cannot reach 1; with fewer than k labels the missing ranks are misses. Where labels are known in
    part, those that are known are ranked.

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

    def __init__(self, ks: Sequence[int] = DEPTHS) -> None:
        self.ks = tuple(ks)
        self._hits = np.zeros(max(self.ks), dtype=np.int64)
        self._rows = np.zeros(1, dtype=np.int64)
        self.mark()

    def update(self, batch: Batch, predictions: Predictions, rows: NDArray[np.int64] | None = None) -> None:
        """Add rows of a batch: those named, or all. Predictions without probabilities add nothing."""
        chosen = np.arange(len(batch), dtype=np.int64) if rows is None else rows
        if predictions.likely is not None:
            self._hits += _ranked_hits(batch, predictions.likely, chosen, len(self._hits))
            self._rows += len(chosen)
        if predictions.probabilities is None or predictions.likely is not None:
            return
        probabilities = np.ascontiguousarray(predictions.probabilities, dtype=np.float32)
        unknown = batch.unknown_labels(probabilities.shape[1])
        top_hits(probabilities, batch.y_indptr, batch.y_indices, unknown, chosen, self._hits)
        self._rows += len(chosen)

    def result(self) -> dict[str, float]:
        """`precision_at_<k>` for each k; empty when nothing was ranked."""
        return self._of(self._hits, int(self._rows[0]))

    def mark(self) -> None:
        """Begin a window here."""
        self._hits_before, self._rows_before = self._hits.copy(), self._rows.copy()

    def recent(self) -> dict[str, float]:
        """The same as `result` of the rows since the last `mark`."""
        return self._of(self._hits - self._hits_before, int(self._rows[0] - self._rows_before[0]))

    def _of(self, hits: NDArray[np.int64], rows: int) -> dict[str, float]:
        return {f"precision_at_{k}": int(hits[:k].sum()) / (k * rows) for k in self.ks} if rows else {}

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        before = {"hits_before": self._hits_before, "rows_before": self._rows_before}
        return {"hits": self._hits, "rows": self._rows, **before}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        self._hits = part.array("hits", Spec(np.int64, self._hits.shape, 0))
        self._rows = part.array("rows", Spec(np.int64, (1,), 0))
        self._hits_before = part.array("hits_before", Spec(np.int64, self._hits.shape, 0))
        self._rows_before = part.array("rows_before", Spec(np.int64, (1,), 0))


def _ranked_hits(batch: Batch, likely: Likely, chosen: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """At which ranks the chosen rows have a positive label: int64 (depth,)."""
    n = 1 + max(int(likely.labels.max(initial=0)), int(batch.y_indices.max(initial=0)))
    keys = np.arange(len(batch))[:, None] * n + likely.labels
    ranked = np.arange(likely.labels.shape[1]) < likely.sizes[:, None]
    hit = np.isin(keys, np.repeat(np.arange(len(batch)), np.diff(batch.y_indptr)) * n + batch.y_indices) & ranked
    if batch.partial is not None:  # what is not known has no rank
        absent = np.repeat(np.arange(len(batch)), np.diff(batch.partial.indptr)) * n + batch.partial.indices
        ranked &= ~batch.partial.rows[:, None] | hit | np.isin(keys, absent)
    rank = np.cumsum(ranked, axis=1) - 1
    hit, rank = (hit & ranked)[chosen], rank[chosen]
    return np.bincount(rank[hit & (rank < depth)], minlength=depth).astype(np.int64)
