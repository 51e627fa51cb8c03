"""Comparing runs on the rows that both did: metrics, paired differences with jackknife errors, ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.benchmark.tallies import Tallies

__all__ = ["LOWER_IS_BETTER", "METRICS", "Comparison", "compare", "jackknife", "metrics_of"]

METRICS = ("subset_accuracy", "hamming_loss", "example_f1", "micro_f1", "macro_f1")
LOWER_IS_BETTER = {"hamming_loss"}
CONFIDENCE = 1.96


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of two models on their common prefix.

    Attributes
    ----------
    ours, theirs
        The values.
    advantage
        How much better the first is; negative where it is worse, whatever the metric's direction.
    error
        Standard error of the advantage: delete-one-block jackknife (Efron and Tibshirani 1993, chapter 11) over
        blocks that both scored, so that what is hard for both cancels.
    rows
        Rows compared.
    """

    ours: float
    theirs: float
    advantage: float
    error: float
    rows: int

    @property
    def verdict(self) -> str:
        """`win` or `loss` where the 95 % confidence interval leaves out 0, else `tie`."""
        if abs(self.advantage) <= CONFIDENCE * self.error or self.advantage == 0:
            return "tie"
        return "win" if self.advantage > 0 else "loss"


def metrics_of(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The five metrics of tallies: `sums` (..., 4), `counts` (..., 3, labels) to (..., 5)."""
    rows = np.maximum(1.0, sums[..., 0])
    tp, fp, fn = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    n_labels = max(1, counts.shape[-1])
    per_label = _share(2 * tp, 2 * tp + fp + fn)
    micro = _share(2 * tp.sum(-1), (2 * tp + fp + fn).sum(-1))
    values = (
        sums[..., 1] / rows,
        sums[..., 2] / rows / n_labels,
        sums[..., 3] / rows,
        micro,
        per_label.sum(-1) / n_labels,
    )
    return np.stack(values, axis=-1)


def compare(ours: Tallies, theirs: Tallies) -> dict[str, Comparison]:
    """Every metric of two models on the blocks that both have."""
    blocks = min(len(ours), len(theirs))
    if blocks == 0:
        return {}
    a_sums, b_sums = ours.sums[:blocks], theirs.sums[:blocks]
    a_counts, b_counts = _aligned(ours.counts[:blocks], theirs.counts[:blocks])
    if not np.array_equal(a_sums[:, 0], b_sums[:, 0]):
        raise ValueError("the models were scored on different rows")
    sign = np.array([-1.0 if m in LOWER_IS_BETTER else 1.0 for m in METRICS])
    a, b = metrics_of(a_sums.sum(0), a_counts.sum(0)), metrics_of(b_sums.sum(0), b_counts.sum(0))
    errors = jackknife(a_sums, a_counts, b_sums, b_counts)
    rows = int(a_sums[:, 0].sum())
    return {
        m: Comparison(float(a[i]), float(b[i]), float(sign[i] * (a[i] - b[i])), float(errors[i]), rows)
        for i, m in enumerate(METRICS)
    }


def jackknife(
    a_sums: NDArray[np.float64],
    a_counts: NDArray[np.float64],
    b_sums: NDArray[np.float64],
    b_counts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Standard errors of the differences of all metrics, leaving out one block at a time; infinite with one block."""
    blocks = len(a_sums)
    if blocks < 2:
        return np.full(len(METRICS), np.inf)
    without = [
        metrics_of(sums.sum(0) - sums, counts.sum(0) - counts)
        for sums, counts in ((a_sums, a_counts), (b_sums, b_counts))
    ]
    differences = without[0] - without[1]
    spread = ((differences - differences.mean(0)) ** 2).sum(0)
    return np.sqrt((blocks - 1) / blocks * spread)


def _aligned(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same label space for both."""
    width = max(a.shape[2], b.shape[2])
    return tuple(np.pad(c, ((0, 0), (0, 0), (0, width - c.shape[2]))) for c in (a, b))  # type: ignore[return-value]


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
