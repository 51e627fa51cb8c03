"""Multi-label metrics kept incrementally: over all rows, fading, or per window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown
from stream_ml.evaluation._kernels import score_rows
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import Batch, Predictions, all_known

__all__ = ["METRICS", "Metrics"]

METRICS = (
    "subset_accuracy",
    "hamming_loss",
    "example_f1",
    "example_jaccard",
    "micro_f1",
    "micro_precision",
    "micro_recall",
    "macro_f1",
    "macro_precision",
    "macro_recall",
)
"""Names of the metrics, in the order of every report. Lower is better for `hamming_loss` only."""


class Metrics:
    """Tallies of predictions against truth, and the metrics they give.

    Definitions are scikit-learn's with `zero_division=0`, except that example F1 and Jaccard of an empty prediction of
    an empty label set are 1. The label space may grow at any time; Hamming loss and macro averages are over the labels
    known when they are asked for.

    Of a row whose labels are known in part only those count: what is predicted of the others is neither right nor
    wrong, the row is an exact match when all known labels are right, and Hamming loss is over known labels.

    Parameters
    ----------
    fading
        Factor on all past rows per new row; 1 keeps exact counts (Gama, Sebastião, Rodrigues: On evaluating stream
        learning algorithms, Machine Learning 2013).

    Examples
    --------
    >>> import numpy as np
    >>> from stream_ml.streams import Batch, Feature, Predictions, Schema
    >>> batch = Batch.from_dense(Schema([Feature("x")], ["a", "b"]), [[0], [0]], [[1, 0], [1, 1]])
    >>> metrics = Metrics()
    >>> metrics.update(batch, Predictions(np.array([0, 1, 2]), np.array([0, 0], dtype=np.int32)))
    >>> result = metrics.result()
    >>> result["subset_accuracy"], result["hamming_loss"], round(result["micro_f1"], 3)
    (0.5, 0.25, 0.8)
    """

    def __init__(self, *, fading: float = 1.0) -> None:
        self.fading = fading
        self.n_labels = 0
        self._counts = np.zeros((3, 0))
        self._sums = np.zeros(8)
        self._weight = np.ones(1)

    def update(self, batch: Batch, predictions: Predictions, rows: NDArray[np.int64] | None = None) -> None:
        """Add rows of a batch: those named, or all. Their labels must be known."""
        chosen = np.arange(len(batch), dtype=np.int64) if rows is None else rows
        if len(chosen):  # what only later rows bring does not count yet, wherever the batch ends
            self.n_labels = max(self.n_labels, int(batch.labels_known()[chosen[-1]]))
        room = capacity(batch.n_labels, self._counts.shape[1])
        if room > self._counts.shape[1]:
            self._counts = grown(self._counts, (3, room))
        score_rows(
            batch.y_indptr,
            batch.y_indices,
            predictions.label_indptr,
            predictions.label_indices,
            batch.partial or all_known(len(batch)),
            chosen,
            1.0 / self.fading,
            self._weight,
            self._counts,
            self._sums,
        )

    @property
    def n_rows(self) -> float:
        """Rows counted (their faded number, when fading)."""
        return float(self._sums[0] / self._unit())

    def label_counts(self) -> NDArray[np.float64]:
        """True positives, false positives, false negatives: float64 (3, n_labels), in units of the newest row."""
        return self._counts[:, : self.n_labels] / self._unit()

    def _unit(self) -> float:
        """What the newest row counts."""
        return float(self._weight[0]) * self.fading

    def cardinality(self) -> float:
        """Mean number of positive labels of a row, as far as they are known."""
        return float(self._sums[5] / self._sums[0]) if self._sums[0] else 0.0

    def result(self) -> dict[str, float]:
        """All metrics by name, in the order of `METRICS`; zeros before any row."""
        n, exact, errors, f1, jaccard, _, partial, known = self._sums.tolist()
        if not n:
            return dict.fromkeys(METRICS, 0.0)
        tp, fp, fn = self._counts[:, : self.n_labels]
        precision, recall = _share(tp, tp + fp), _share(tp, tp + fn)
        macro_f1 = _share(2 * tp, 2 * tp + fp + fn)
        hits, false, missed = tp.sum(), fp.sum(), fn.sum()
        values = (
            exact / n,
            errors / ((n - partial) * max(1, self.n_labels) + known),
            f1 / n,
            jaccard / n,
            _share(2 * hits, 2 * hits + false + missed),
            _share(hits, hits + false),
            _share(hits, hits + missed),
            *(x.mean() if len(x) else 0.0 for x in (macro_f1, precision, recall)),
        )
        return {name: float(value) for name, value in zip(METRICS, values, strict=True)}

    def clear(self) -> None:
        """Forget all rows; the label space stays."""
        self._counts[:] = 0.0
        self._sums[:] = 0.0
        self._weight[:] = 1.0

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"counts": self._counts[:, : self.n_labels], "sums": self._sums, "weight": self._weight}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, f8 = Part.of(state), np.float64
        n_labels = part["counts"].shape[-1] if part["counts"].ndim else 0
        self._counts = part.array("counts", Spec(f8, (3, n_labels), 0))
        self._sums, self._weight = (
            part.array("sums", Spec(f8, self._sums.shape, 0)),
            part.array("weight", Spec(f8, (1,), 1e-300)),
        )
        self.n_labels = n_labels


def _share(part: NDArray | np.floating, whole: NDArray | np.floating) -> NDArray:
    """`part / whole`, 0 where there is nothing to divide by."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
