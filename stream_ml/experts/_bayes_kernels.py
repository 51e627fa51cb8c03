"""Compiled loops of naive Bayes: statistics by column and label, and the log-odds made of them; see `_kernels`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.elementary import log64
from stream_ml.experts._kernels import CLIP, LANES, LEARN, STANDARD_CLIP
from stream_ml.experts._lane_kernels import add_columns, add_parabolas
from stream_ml.jit import kernel, lean_kernel

__all__ = ["BayesState", "naive_bayes_block"]

GROWTH = 1.1
SHRINK = 5.0


class BayesState(NamedTuple):
    """Naive Bayes sufficient statistics and the log-odds made of them at their last refresh."""

    column_count: NDArray[np.float64]  # (D,)
    column_mean: NDArray[np.float64]  # (D,)
    column_squares: NDArray[np.float64]  # (D,) sum of squared deviations
    counts: NDArray[np.float64]  # (D, L) positives that have the column
    mean: NDArray[np.float64]  # (D, L)
    squares: NDArray[np.float64]  # (D, L)
    label_count: NDArray[np.float64]  # (L,) positive rows
    label_mass: NDArray[np.float64]  # (L,) column occurrences in positive rows
    totals: NDArray[np.float64]  # (2,) rows, column occurrences
    refresh_at: NDArray[np.float64]  # (D,) column count of the next refresh
    centre: NDArray[np.float32]  # (D,)
    scale: NDArray[np.float32]  # (D,)
    quadratic: NDArray[np.float32]  # (D, L)
    linear: NDArray[np.float32]  # (D, L)
    constant: NDArray[np.float32]  # (D, L)


@lean_kernel
def _presence_odds(count, together, rows, mass, positive):
    """Log-odds of a column's presence: multinomial likelihoods, smoothed towards the column's overall share.

    `count` rows have the column, `together` of them the label, too; `mass` column occurrences are in all rows,
    `positive` in those of the label. `rows` is half of what the column's share of 4 occurrences is.
    """
    positive_odds = (together + rows) * (mass - positive + 2.0)
    return log64(positive_odds / ((count - together + rows) * (positive + 2.0)))


@lean_kernel
def _refresh_gaussian(state, column, n_labels):
    """Write the log-odds of a numeric column as `(a u + b) u + c`, `u` the value standardised as of now."""
    total = state.column_count[column]
    variance = state.column_squares[column] / total
    if variance <= 0.0:
        return
    sd = math.sqrt(variance)
    state.centre[column] = np.float32(state.column_mean[column])
    state.scale[column] = np.float32(1.0 / sd)
    for label in range(n_labels):
        n = state.counts[column, label]
        m = total - n
        if n <= 0.0 or m <= 0.0:
            state.quadratic[column, label] = 0.0
            state.linear[column, label] = 0.0
            state.constant[column, label] = 0.0
            continue
        # in standardised units; negatives are the total less the positives, both shrunk towards the whole
        shift = (state.mean[column, label] - state.column_mean[column]) / sd
        spread = state.squares[column, label] / variance
        other = -shift * n / m
        other_spread = max(0.0, total - spread - n * shift * shift - m * other * other)
        mean_p = n * shift / (n + SHRINK)
        mean_n = m * other / (m + SHRINK)
        var_p = (spread + SHRINK) / (n + SHRINK)
        var_n = (other_spread + SHRINK) / (m + SHRINK)
        state.quadratic[column, label] = np.float32(0.5 / var_n - 0.5 / var_p)
        state.linear[column, label] = np.float32(mean_p / var_p - mean_n / var_n)
        state.constant[column, label] = np.float32(
            0.5 * (mean_n * mean_n / var_n - mean_p * mean_p / var_p + math.log(var_n / var_p))
        )


@lean_kernel
def _renew_presence(state, column, share, n_labels, odds):
    """Log-odds of a column's presence for all labels."""
    width = (n_labels + LANES - 1) // LANES * LANES
    for label in range(width):
        odds[label] = _presence_odds(
            state.column_count[column], state.counts[column, label], share, state.totals[1], state.label_mass[label]
        )
    for label in range(n_labels):
        state.constant[column, label] = np.float32(odds[label])


@lean_kernel
def _renew_positive(state, columns, shares, n, label, together, odds):
    """Log-odds of the presence of columns for one label."""
    for k in range(n):
        odds[k], together[k] = state.column_count[columns[k]], state.counts[columns[k], label]
    for k in range(n, -(-n // LANES) * LANES):
        odds[k] = together[k] = shares[k] = 1.0
    mass, positive = state.totals[1], state.label_mass[label]
    for k in range(-(-n // LANES) * LANES):
        odds[k] = _presence_odds(odds[k], together[k], shares[k], mass, positive)
    for k in range(n):
        state.constant[columns[k], label] = np.float32(odds[k])


@lean_kernel
def _learn_bayes(
    state, indices, values, lo, hi, y_indices, y_lo, y_hi, centred, n_labels, columns, shares, together, odds
):
    """Add one row to the statistics and renew the coefficients that are due."""
    state.totals[0] += 1.0
    mass = 0.0
    for k in range(lo, hi):
        column = indices[k]
        value = float(values[k])
        if centred[column]:
            state.column_count[column] += 1.0
            step = value - state.column_mean[column]
            state.column_mean[column] += step / state.column_count[column]
            state.column_squares[column] += step * (value - state.column_mean[column])
            for q in range(y_lo, y_hi):
                label = y_indices[q]
                state.counts[column, label] += 1.0
                step = value - state.mean[column, label]
                state.mean[column, label] += step / state.counts[column, label]
                state.squares[column, label] += step * (value - state.mean[column, label])
        elif value != 0.0:
            mass += 1.0
            state.column_count[column] += 1.0
            for q in range(y_lo, y_hi):
                state.counts[column, y_indices[q]] += 1.0
    state.totals[1] += mass
    for q in range(y_lo, y_hi):
        state.label_count[y_indices[q]] += 1.0
        state.label_mass[y_indices[q]] += mass
    n = 0
    for k in range(lo, hi):
        column = indices[k]
        due = state.column_count[column] >= state.refresh_at[column]
        if due:
            state.refresh_at[column] = state.column_count[column] * GROWTH + 1.0
        if centred[column]:
            if due:
                _refresh_gaussian(state, column, n_labels)
            continue
        share = 2.0 * (state.column_count[column] + 1.0) / (state.totals[1] + 1.0)
        if due:
            _renew_presence(state, column, share, n_labels, odds)
        else:
            columns[n], shares[n] = column, share
            n += 1
    if n:
        for q in range(y_lo, y_hi):
            _renew_positive(state, columns, shares, n, y_indices[q], together, odds)


@lean_kernel
def _bayes_evidence(state, indices, values, lo, hi, centred, width, inputs, buffer):
    """Sum what the columns of a row say of each label."""
    for label in range(width):
        buffer[label] = 0.0
    for k in range(lo, hi):
        if centred[indices[k]]:
            u = (values[k] - state.centre[indices[k]]) * state.scale[indices[k]]
            inputs[k] = min(np.float32(STANDARD_CLIP), max(np.float32(-STANDARD_CLIP), u))
        else:
            inputs[k] = 1.0 if values[k] != 0.0 else 0.0
    start = lo
    while start < hi:
        kind, stop = centred[indices[start]], start + 1
        while stop < hi and centred[indices[stop]] == kind:
            stop += 1
        if kind:
            add_parabolas(state.quadratic, state.linear, state.constant, indices, inputs, start, stop, width, buffer)
        else:
            add_columns(state.constant, indices, inputs, start, stop, width, buffer)
        start = stop


@lean_kernel
def _bayes_rows(
    state, indptr, indices, values, y_indptr, y_indices, mode, centred, n_labels, buffer, inputs, columns, shares,
    together, odds, out,
):  # fmt: skip
    """`naive_bayes_block` with all the memory that it needs."""
    width = (n_labels + LANES - 1) // LANES * LANES
    for row in range(len(indptr) - 1):
        lo, hi = indptr[row], indptr[row + 1]
        _bayes_evidence(state, indices, values, lo, hi, centred, width, inputs, buffer)
        temper = np.float32(1.0 / math.sqrt(max(1, hi - lo)))
        for label in range(width):
            count = state.label_count[label]
            prior = np.float32(log64((count + 0.5) / (state.totals[0] - count + 0.5)))
            buffer[label] = min(CLIP, max(-CLIP, prior + temper * buffer[label]))
        for label in range(n_labels):
            out[row, label] = buffer[label]
        if mode[row] & LEARN:
            _learn_bayes(
                state, indices, values, lo, hi, y_indices, y_indptr[row], y_indptr[row + 1], centred, n_labels,
                columns, shares, together, odds,
            )  # fmt: skip


@kernel
def naive_bayes_block(state, indptr, indices, values, y_indptr, y_indices, mode, centred, n_labels, buffer, out):
    """Naive Bayes log-odds per label: Gaussian on centred columns, multinomial on the presence of the others.

    The evidence is divided by the root of the number of columns that gave it: they are never independent, and an
    overconfident expert is of no use to stacking. Coefficients are cached and renewed for a column when its count has
    grown by a tenth, and for a (column, label) when a positive row brings it.
    """
    most = 0
    for row in range(len(indptr) - 1):
        most = max(most, indptr[row + 1] - indptr[row])
    room = most + LANES
    _bayes_rows(
        state, indptr, indices, values, y_indptr, y_indices, mode, centred, n_labels, buffer,
        np.empty(len(indices), dtype=np.float32), np.empty(room, dtype=np.int64), np.empty(room), np.empty(room),
        np.empty(max(room, n_labels + LANES)), out,
    )  # fmt: skip
