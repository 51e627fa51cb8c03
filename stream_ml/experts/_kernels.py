"""Compiled loops of the root experts: design rows, linear models, naive Bayes, fading prior, recency.

Arrays are feature-major with the labels contiguous (`weights[column, label]`), so that one pass over the non-zeros of a
row serves every label with vector instructions. Every kernel takes a block of rows and, for each, writes its log-odds
first and learns afterwards. `unknown` (rows, L) tells labels that are not known: what is kept of them stays as it is;
it has no rows where all are known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.jit import lean_kernel

__all__ = [
    "BayesState",
    "LinearState",
    "PriorState",
    "RecencyState",
    "ScaleState",
    "design_rows",
    "linear_block",
    "naive_bayes_block",
    "prior_block",
    "recency_block",
]

LEARN, AGAIN = 2, 4
CLIP = np.float32(8.0)
STANDARD_CLIP = 5.0
OUTLIER = 30.0
"""Deviations beyond which a value counts as one at that distance: rarer than any event worth a scale of its own."""
LANES = 8
"""Labels per vector instruction: arrays are a multiple of it wide."""
GROWTH = 1.1
SHRINK = 5.0


class ScaleState(NamedTuple):
    """Running first and second moments per design column, float64 (D,)."""

    counts: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]


class LinearState(NamedTuple):
    """Weights of one linear expert; `squares` has no rows where the step is per label."""

    weights: NDArray[np.float32]  # (D, L)
    squares: NDArray[np.float32]  # (D, L) or (0, L)
    bias: NDArray[np.float32]  # (L,)
    label_squares: NDArray[np.float32]  # (L,)


class PriorState(NamedTuple):
    """Fading label counts."""

    counts: NDArray[np.float64]  # (L,) positive
    weights: NDArray[np.float64]  # (L,) rows of which the label is known
    weight: NDArray[np.float64]  # (1,) instances: what a new label's weight starts from


class RecencyState(NamedTuple):
    """Fading counts of labels by whether the label set learned last had them, and that set."""

    counts: NDArray[np.float64]  # (L,) positive
    after: NDArray[np.float64]  # (L,) rows after a positive
    both: NDArray[np.float64]  # (L,) positive after a positive
    weights: NDArray[np.float64]  # (L,) rows of which the label is known
    weight: NDArray[np.float64]  # (1,) instances: what a new label's weight starts from
    last: NDArray[np.bool_]  # (L,) as last known


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
def _standardise(scale, column, centred, value):
    """The value no farther out than `OUTLIER` deviations, and the same in deviations, no farther than `STANDARD_CLIP`.

    One wild value must not stretch the scale of a column: it counts as the farthest value that is still believed.
    """
    middle = scale.mean[column] if centred else 0.0
    if scale.squares[column] > 0.0:
        deviation = math.sqrt(scale.squares[column] / scale.counts[column])
        step = min(OUTLIER * deviation, max(-OUTLIER * deviation, value - middle))
        return middle + step, min(STANDARD_CLIP, max(-STANDARD_CLIP, step / deviation))
    if centred or value == 0.0:
        return value, 0.0
    return value, 1.0 if value > 0.0 else -1.0


@lean_kernel
def _learn_moments(scale, column, centred, value, memory):
    """Add a value to a column's moments; from `memory` values on, old ones fade."""
    if scale.counts[column] < memory:
        scale.counts[column] += 1.0
    else:
        scale.squares[column] *= 1.0 - 1.0 / memory
    if centred:
        step = value - scale.mean[column]
        scale.mean[column] += step / scale.counts[column]
        scale.squares[column] += step * (value - scale.mean[column])
    else:
        scale.squares[column] += value * value


@lean_kernel
def design_rows(
    x_indptr,
    x_indices,
    x_values,
    mode,
    arities,
    offsets,
    centred,
    memory,
    scale,
    d_indptr,
    d_indices,
    d_values,
    d_standard,
    d_unit,
):
    """Turn rows of features into rows of design columns: raw, standardised, and standardised to unit length.

    A nominal feature of more than two values takes one column per value; missing values, and nominal values that came
    after the feature did, are left out. `centred[column]` tells columns that are standardised about their mean
    (dense numeric) from those that are only scaled by their root mean square (sparse, where zero must stay zero).
    Moments are those of the learned rows before this one, the last `memory` of them at about full weight.
    """
    out = 0
    d_indptr[0] = 0
    for row in range(len(x_indptr) - 1):
        first = out
        length = 0.0
        for k in range(x_indptr[row], x_indptr[row + 1]):
            value = float(x_values[k])
            if value != value:
                continue
            feature = x_indices[k]
            column = offsets[feature]
            if arities[feature] > 2:
                if not 0.0 <= value < arities[feature]:
                    continue
                column += int(value)
                value = 1.0
            value, standard = _standardise(scale, column, centred[column], value)
            length += standard * standard
            d_indices[out] = column
            d_values[out] = value
            d_standard[out] = standard
            out += 1
        unit = 1.0 / math.sqrt(length) if length > 0.0 else 0.0
        for k in range(first, out):
            d_unit[k] = np.float32(d_standard[k] * unit)
        d_indptr[row + 1] = out
        if mode[row] & LEARN:
            for k in range(first, out):
                column = d_indices[k]
                _learn_moments(scale, column, centred[column], float(d_values[k]), memory)


@lean_kernel
def linear_block(
    state, indptr, indices, values, y_indptr, y_indices, mode, unknown, n_labels, rate, adaptive, buffer, out
):
    """Logistic regression per label by online gradient descent; writes log-odds into `out` (rows, L).

    `adaptive` steps per weight by the root of its summed squared gradients (AdaGrad: Duchi, Hazan, Singer, JMLR 2011),
    divided by the row's length; otherwise one step per label, normalised by the squared length of the row and by the
    root of the label's summed squared errors. Loops run over whole vectors of `LANES` labels; those past `n_labels`
    have no gradient and stay as they were made.
    """
    one = np.float32(1.0)
    rate = np.float32(rate)
    width = (n_labels + LANES - 1) // LANES * LANES
    for row in range(len(indptr) - 1):
        lo, hi = indptr[row], indptr[row + 1]
        for label in range(width):
            buffer[label] = state.bias[label]
        length = np.float32(0.0)
        for k in range(lo, hi):
            value, column = values[k], indices[k]
            length += value * value
            for label in range(width):
                buffer[label] += state.weights[column, label] * value
        for label in range(n_labels):
            z = min(CLIP, max(-CLIP, buffer[label]))
            out[row, label] = z
            buffer[label] = one / (one + np.float32(math.exp(-z)))
        if not mode[row] & LEARN:
            continue
        for label in range(n_labels, width):
            buffer[label] = 0.0
        for k in range(y_indptr[row], y_indptr[row + 1]):
            buffer[y_indices[k]] -= one
        if len(unknown):
            for label in range(n_labels):
                if unknown[row, label]:
                    buffer[label] = 0.0
        for label in range(width):
            state.label_squares[label] += buffer[label] * buffer[label]
        if adaptive:
            step = rate / max(one, np.float32(math.sqrt(length)))
            for label in range(width):
                state.bias[label] -= rate * buffer[label] / np.sqrt(state.label_squares[label])
            for k in range(lo, hi):
                value, column = values[k], indices[k]
                for label in range(width):
                    gradient = buffer[label] * value
                    total = state.squares[column, label] + gradient * gradient
                    state.squares[column, label] = total
                    state.weights[column, label] -= step * gradient / np.sqrt(total)
        else:
            step = rate / (one + length)
            for label in range(width):
                buffer[label] *= step / np.sqrt(state.label_squares[label])
                state.bias[label] -= buffer[label]
            for k in range(lo, hi):
                value, column = values[k], indices[k]
                for label in range(width):
                    state.weights[column, label] -= buffer[label] * value


@lean_kernel
def prior_block(state, y_indptr, y_indices, mode, unknown, n_labels, fading, out):
    """Log-odds of each label's fading relative frequency."""
    for row in range(len(y_indptr) - 1):
        for label in range(n_labels):
            p = min(0.999, (state.counts[label] + 0.1) / (state.weights[label] + 1.0))
            out[row, label] = np.float32(max(-8.0, math.log(p / (1.0 - p))))
        if not mode[row] & LEARN:
            continue
        if not mode[row] & AGAIN:
            state.weight[0] = state.weight[0] * fading + 1.0
        for label in range(n_labels):
            if len(unknown) and unknown[row, label]:
                continue
            state.weights[label] = state.weights[label] * fading + 1.0
            state.counts[label] *= fading
        for k in range(y_indptr[row], y_indptr[row + 1]):
            state.counts[y_indices[k]] += 1.0


@lean_kernel
def recency_block(state, y_indptr, y_indices, mode, unknown, n_labels, fading, out):
    """Log-odds of each label given whether it was there when it was last known: natural streams are ordered."""
    for row in range(len(y_indptr) - 1):
        for label in range(n_labels):
            weight = state.weights[label]
            p = (state.counts[label] + 0.1) / (weight + 1.0)
            if state.last[label]:
                p = (state.both[label] + p) / (state.after[label] + 1.0)
            else:
                p = (state.counts[label] - state.both[label] + p) / (weight - state.after[label] + 1.0)
            p = min(0.9997, max(0.0003, p))
            out[row, label] = np.float32(math.log(p / (1.0 - p)))
        if not mode[row] & LEARN:
            continue
        if not mode[row] & AGAIN:
            state.weight[0] = state.weight[0] * fading + 1.0
        for label in range(n_labels):
            if len(unknown) and unknown[row, label]:
                continue
            state.weights[label] = state.weights[label] * fading + 1.0
            state.counts[label] *= fading
            state.after[label] *= fading
            state.both[label] *= fading
            if state.last[label]:
                state.after[label] += 1.0
        for k in range(y_indptr[row], y_indptr[row + 1]):
            label = y_indices[k]
            state.counts[label] += 1.0
            if state.last[label]:
                state.both[label] += 1.0
        for label in range(n_labels):
            if not (len(unknown) and unknown[row, label]):
                state.last[label] = False
        for k in range(y_indptr[row], y_indptr[row + 1]):
            state.last[y_indices[k]] = True


@lean_kernel
def _presence_odds(state, column, label):
    """Log-odds of a column's presence: multinomial likelihoods, smoothed towards the column's overall share."""
    share = 4.0 * (state.column_count[column] + 1.0) / (state.totals[1] + 1.0)
    positive = (state.counts[column, label] + 0.5 * share) / (state.label_mass[label] + 2.0)
    negative = (state.column_count[column] - state.counts[column, label] + 0.5 * share) / (
        state.totals[1] - state.label_mass[label] + 2.0
    )
    return math.log(positive / negative)


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
def naive_bayes_block(state, indptr, indices, values, y_indptr, y_indices, mode, centred, n_labels, buffer, out):
    """Naive Bayes log-odds per label: Gaussian on centred columns, multinomial on the presence of the others.

    The evidence is divided by the root of the number of columns that gave it: they are never independent, and an
    overconfident expert is of no use to stacking. Coefficients are cached and renewed for a column when its count has
    grown by a tenth, and for a (column, label) when a positive row brings it.
    """
    width = (n_labels + LANES - 1) // LANES * LANES
    for row in range(len(indptr) - 1):
        lo, hi = indptr[row], indptr[row + 1]
        for label in range(width):
            buffer[label] = 0.0
        for k in range(lo, hi):
            column = indices[k]
            if centred[column]:
                u = (values[k] - state.centre[column]) * state.scale[column]
                u = min(np.float32(STANDARD_CLIP), max(np.float32(-STANDARD_CLIP), u))
                for label in range(width):
                    buffer[label] += (
                        state.quadratic[column, label] * u + state.linear[column, label]
                    ) * u + state.constant[column, label]
            elif values[k] != 0.0:
                for label in range(width):
                    buffer[label] += state.constant[column, label]
        temper = np.float32(1.0 / math.sqrt(max(1, hi - lo)))
        for label in range(n_labels):
            prior = math.log((state.label_count[label] + 0.5) / (state.totals[0] - state.label_count[label] + 0.5))
            out[row, label] = min(CLIP, max(-CLIP, np.float32(prior) + temper * buffer[label]))
        if mode[row] & LEARN:
            _learn_bayes(state, indices, values, lo, hi, y_indices, y_indptr[row], y_indptr[row + 1], centred, n_labels)


@lean_kernel
def _learn_bayes(state, indices, values, lo, hi, y_indices, y_lo, y_hi, centred, n_labels):
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
    for k in range(lo, hi):
        column = indices[k]
        due = state.column_count[column] >= state.refresh_at[column]
        if due:
            state.refresh_at[column] = state.column_count[column] * GROWTH + 1.0
        if centred[column]:
            if due:
                _refresh_gaussian(state, column, n_labels)
        elif due:
            for label in range(n_labels):
                state.constant[column, label] = np.float32(_presence_odds(state, column, label))
        else:
            for q in range(y_lo, y_hi):
                state.constant[column, y_indices[q]] = np.float32(_presence_odds(state, column, y_indices[q]))
