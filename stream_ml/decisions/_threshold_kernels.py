"""Compiled loops of the F1 thresholds: where a cut of the probabilities would have been best so far."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.jit import kernel, lean_kernel

__all__ = ["BINS", "LOWEST", "ThresholdState", "thresholds_block"]

LEARN = 2
BINS = 24
LOWEST = 0.03
"""Smallest threshold."""
HIGHEST = 0.85
SHRINK = 5.0
"""Positives that the common histogram is worth in a label's own."""
LARGE = 1e200


class ThresholdState(NamedTuple):
    """Fading histograms of the probabilities that positives and negatives had; bin 0 is below `LOWEST`."""

    unit: NDArray[np.float64]  # (1,) weight of the next row
    rows: NDArray[np.float64]  # (1,)
    common: NDArray[np.float64]  # (BINS, 2) of all labels: positives, negatives
    common_total: NDArray[np.float64]  # (1,) positives
    own: NDArray[np.float64]  # (L, BINS, 2)
    own_total: NDArray[np.float64]  # (L,)
    missed: NDArray[np.float64]  # (L,) rows of which the label was not known


@lean_kernel
def _bin_of(p, width):
    """Bin of a probability."""
    if not p >= LOWEST:  # no number counts as nothing
        return 0
    return min(BINS - 1, 1 + int(math.log(p / LOWEST) / width))


@lean_kernel
def _best_cut(own, own_total, pseudo, common, common_total, width):
    """Lower bound of the bin from which on F1 is largest, in a histogram with `pseudo` positives of the common one."""
    share = pseudo / common_total
    positives = own_total + pseudo
    hits, chosen, best, cut = 0.0, 0.0, -1.0, 1
    for b in range(BINS - 1, 0, -1):
        right, wrong = share * common[b, 0], share * common[b, 1]
        hits += own[b, 0] + right
        chosen += own[b, 0] + own[b, 1] + right + wrong
        f1 = 2.0 * hits / (chosen + positives)
        if f1 > best:
            best, cut = f1, b
    return LOWEST * math.exp((cut - 1) * width)


@lean_kernel
def _count_row(state, n_top, top, q, labels, unknown, fading, width):
    """Add a learned row to the histograms; `unknown` (L,) labels (none: all are known) are left out."""
    unit = state.unit[0]
    state.rows[0] += unit
    for k in range(len(labels)):
        state.common_total[0] += unit
        state.own_total[labels[k]] += unit
    for label in range(len(unknown)):
        if unknown[label]:
            state.missed[label] += unit
    for i in range(n_top):
        b = _bin_of(q[i], width)
        if b == 0 or (len(unknown) and unknown[top[i]]):
            continue
        wrong = 1
        for k in range(len(labels)):
            if labels[k] == top[i]:
                wrong = 0
        state.common[b, wrong] += unit
        state.own[top[i], b, wrong] += unit
    state.unit[0] = unit / fading
    if state.unit[0] > LARGE:
        scale = 1.0 / state.unit[0]
        state.unit[0] = 1.0
        state.rows[0] *= scale
        state.common_total[0] *= scale
        for b in range(BINS):
            for wrong in range(2):
                state.common[b, wrong] *= scale
        for label in range(len(state.own)):
            state.own_total[label] *= scale
            state.missed[label] *= scale
            for b in range(BINS):
                for wrong in range(2):
                    state.own[label, b, wrong] *= scale


@lean_kernel
def _threshold_rows(
    state, rows, y_indptr, y_indices, mode, unknown, fading, common, per_label, frequency, nothing, all_known
):  # fmt: skip
    """`thresholds_block`, given an empty histogram and an empty list of unknown labels."""
    width = math.log(HIGHEST / LOWEST) / (BINS - 2)
    for row in range(len(mode)):
        n, top, q = rows.n_top[row], rows.top[row], rows.marginals[row]
        total = state.common_total[0]
        common[row, :n] = _best_cut(nothing, 0.0, total, state.common, total, width)
        for i in range(n):
            per_label[row, i] = 2.0
            known = state.rows[0] - state.missed[top[i]]
            frequency[row, i] = (state.own_total[top[i]] + state.unit[0]) / (known + state.unit[0])
            if q[i] >= LOWEST:
                label = top[i]
                per_label[row, i] = _best_cut(
                    state.own[label], state.own_total[label], SHRINK * state.unit[0], state.common, total, width
                )
        if mode[row] & LEARN:
            labels, hidden = y_indices[y_indptr[row] : y_indptr[row + 1]], unknown[row] if len(unknown) else all_known
            _count_row(state, n, top, q, labels, hidden, fading, width)


@kernel
def thresholds_block(state, rows, y_indptr, y_indices, mode, unknown, fading, common, per_label, frequency):
    """Thresholds of each row's likely labels as of before the row, then the row is counted.

    Writes one threshold for all labels to `common` (rows, LIKELY), best for micro F1, and one per label to `per_label`,
    best for macro F1, and the labels' frequencies to `frequency`. The thresholds stand where half the F1 reached stands
    in online F-measure optimisation (Busa-Fekete, Szörényi, Dembczyński, Hüllermeier, NeurIPS 2015), but are read off
    histograms, which neither explode at the start nor stall on a rare label. `unknown` (rows, L; no rows: all are
    known) tells labels that are not known: they are not counted.
    """
    nothing, all_known = np.zeros((BINS, 2)), np.zeros(0, dtype=np.bool_)
    _threshold_rows(
        state, rows, y_indptr, y_indices, mode, unknown, fading, common, per_label, frequency, nothing, all_known
    )
