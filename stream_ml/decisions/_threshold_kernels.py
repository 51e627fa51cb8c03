"""Compiled loops of the F1 thresholds: where a cut of the probabilities would have been best so far."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.elementary import log64
from stream_ml.jit import kernel, lean_kernel

__all__ = ["BINS", "LOWEST", "ThresholdState", "thresholds_block"]

LEARN = 2
BINS = 24
LOWEST = 0.03
"""Smallest threshold."""
HIGHEST = 0.85
SHRINK = 5.0
"""Positives that the common histogram is worth in a label's own."""
MOST_HITS = 2.0 + 1e-6
"""Twice the share of the positives that a sum of their parts can come to, as it is rounded."""
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


class ThresholdScratch(NamedTuple):
    """Memory for one row's work, made once a block."""

    nothing: NDArray[np.float64]  # (BINS, 2) an empty histogram
    cuts: NDArray[np.float64]  # (BINS,) lower bounds of the bins
    prior: NDArray[np.float64]  # (BINS, 2) what the common histogram is worth in a label's own
    bins: NDArray[np.int64]  # (LIKELY,)
    wrong: NDArray[np.int64]  # (L,) 1; 0 of the row's labels while it is counted


@lean_kernel
def _bin_of(p, width):
    """Bin of a probability; no number counts as nothing."""
    above = min(BINS - 1, 1 + int(log64(max(LOWEST, p) / LOWEST) / width))
    return above if p >= LOWEST else 0


@lean_kernel
def _best_cut(own, positives, prior, cuts):
    """Lower bound of the bin from which on F1 is largest in two histograms taken together, of `positives` in all."""
    hits, chosen, best, cut = 0.0, 0.0, -1.0, 1
    for b in range(BINS - 1, 0, -1):
        right, wrong = prior[b, 0], prior[b, 1]
        hits += own[b, 0] + right
        chosen += own[b, 0] + own[b, 1] + right + wrong
        f1 = 2.0 * hits / (chosen + positives)
        if f1 > best:
            best, cut = f1, b
        elif b % 8 == 0 and MOST_HITS * positives < best * (chosen + positives):
            # the others cannot make up for it even if all of their positives are hits
            break
    return cuts[cut]


@lean_kernel
def _count_row(state, n_top, top, q, labels, unknown, fading, width, s):
    """Add a learned row to the histograms; `unknown` (L,) labels (none: all are known) are left out."""
    unit = state.unit[0]
    state.rows[0] += unit
    for k in range(len(labels)):
        state.common_total[0] += unit
        state.own_total[labels[k]] += unit
        s.wrong[labels[k]] = 0
    for label in range(len(unknown)):
        if unknown[label]:
            state.missed[label] += unit
    for i in range(n_top):
        s.bins[i] = _bin_of(q[i], width)
    for i in range(n_top):
        b, label = s.bins[i], top[i]
        if b == 0 or (len(unknown) and unknown[label]):
            continue
        state.common[b, s.wrong[label]] += unit
        state.own[label, b, s.wrong[label]] += unit
    for k in range(len(labels)):
        s.wrong[labels[k]] = 1
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
    state, rows, y_indptr, y_indices, mode, unknown, fading, common, per_label, frequency, all_known, s
):  # fmt: skip
    """`thresholds_block`, given an empty list of unknown labels, and memory to work in."""
    width = math.log(HIGHEST / LOWEST) / (BINS - 2)
    for b in range(BINS):
        s.cuts[b] = LOWEST * math.exp((b - 1) * width)
    for row in range(len(mode)):
        n, top, q = rows.n_top[row], rows.top[row], rows.marginals[row]
        unit, pseudo = state.unit[0], SHRINK * state.unit[0]
        share = pseudo / state.common_total[0]
        for b in range(BINS):
            s.prior[b, 0], s.prior[b, 1] = share * state.common[b, 0], share * state.common[b, 1]
        common[row, :n] = _best_cut(s.nothing, state.common_total[0], state.common, s.cuts)
        for i in range(n):
            label = top[i]
            known = state.rows[0] - state.missed[label]
            frequency[row, i] = (state.own_total[label] + unit) / (known + unit)
            per_label[row, i] = 2.0
            if q[i] >= LOWEST:
                per_label[row, i] = _best_cut(state.own[label], state.own_total[label] + pseudo, s.prior, s.cuts)
        if mode[row] & LEARN:
            labels, hidden = y_indices[y_indptr[row] : y_indptr[row + 1]], unknown[row] if len(unknown) else all_known
            _count_row(state, n, top, q, labels, hidden, fading, width, s)


@kernel
def thresholds_block(state, rows, y_indptr, y_indices, mode, unknown, fading, common, per_label, frequency):
    """Thresholds of each row's likely labels as of before the row, then the row is counted.

    Writes one threshold for all labels to `common` (rows, LIKELY), best for micro F1, and one per label to `per_label`,
    best for macro F1, and the labels' frequencies to `frequency`. The thresholds stand where half the F1 reached stands
    in online F-measure optimisation (Busa-Fekete, Szörényi, Dembczyński, Hüllermeier, NeurIPS 2015), but are read off
    histograms, which neither explode at the start nor stall on a rare label. `unknown` (rows, L; no rows: all are
    known) tells labels that are not known: they are not counted.
    """
    scratch = ThresholdScratch(
        np.zeros((BINS, 2)), np.empty(BINS), np.empty((BINS, 2)),
        np.empty(per_label.shape[1], dtype=np.int64), np.ones(len(state.own), dtype=np.int64),
    )  # fmt: skip
    all_known = np.zeros(0, dtype=np.bool_)
    _threshold_rows(
        state, rows, y_indptr, y_indices, mode, unknown, fading, common, per_label, frequency, all_known, scratch
    )
