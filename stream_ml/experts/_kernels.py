"""Compiled loops of the root experts: design rows, linear models, fading prior, recency.

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

from stream_ml.elementary import exp32, log64
from stream_ml.experts._lane_kernels import adaptive_steps, add_columns, plain_steps
from stream_ml.jit import lean_kernel

__all__ = [
    "LinearState",
    "PriorState",
    "RecencyState",
    "ScaleState",
    "design_rows",
    "frequency_block",
    "linear_block",
]

LEARN, AGAIN = 2, 4
CLIP = np.float32(8.0)
STANDARD_CLIP = 5.0
OUTLIER = 30.0
"""Deviations beyond which a value counts as one at that distance: rarer than any event worth a scale of its own."""
LANES = 8
"""Labels per vector instruction: arrays are a multiple of it wide."""


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
def _linear_rows(
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
            length += values[k] * values[k]
        add_columns(state.weights, indices, values, lo, hi, width, buffer)
        for label in range(width):
            buffer[label] = min(CLIP, max(-CLIP, buffer[label]))
        for label in range(n_labels):
            out[row, label] = buffer[label]
        for label in range(width):
            buffer[label] = one / (one + exp32(-buffer[label]))
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
            adaptive_steps(state.weights, state.squares, indices, values, lo, hi, width, buffer, step)
        else:
            step = rate / (one + length)
            for label in range(width):
                buffer[label] *= step / np.sqrt(state.label_squares[label])
                state.bias[label] -= buffer[label]
            plain_steps(state.weights, indices, values, lo, hi, width, buffer)


@lean_kernel
def linear_block(
    states, slots, indptr, indices, standard, unit, y_indptr, y_indices, mode, unknown, n_labels, rates, adaptive,
    buffers, logits,
):  # fmt: skip
    """The linear experts that `slots` tell; those of odd ones see rows of unit length. See `_linear_rows`.

    `logits` are (rows, experts, labels), `buffers` (experts, L) scratch.
    """
    for slot in slots:
        values = unit if slot % 2 else standard
        _linear_rows(
            states[slot], indptr, indices, values, y_indptr, y_indices, mode, unknown, n_labels, rates[slot],
            adaptive[slot], buffers[slot], logits[:, slot],
        )  # fmt: skip


@lean_kernel
def _prior_odds(state, n_labels, buffer):
    width = (n_labels + LANES - 1) // LANES * LANES
    for label in range(width):
        p = min(0.999, (state.counts[label] + 0.1) / (state.weights[label] + 1.0))
        buffer[label] = max(-8.0, log64(p / (1.0 - p)))


@lean_kernel
def _learn_prior(state, labels, again, unknown, row, n_labels, fading):
    """Learn the labels that a row has, and has not; of those that are unknown nothing."""
    if not again:
        state.weight[0] = state.weight[0] * fading + 1.0
    if len(unknown):
        for label in range(n_labels):
            if not unknown[row, label]:
                state.weights[label] = state.weights[label] * fading + 1.0
                state.counts[label] *= fading
    else:
        for label in range(n_labels):
            state.weights[label] = state.weights[label] * fading + 1.0
            state.counts[label] *= fading
    for label in labels:
        state.counts[label] += 1.0


@lean_kernel
def _recency_odds(state, n_labels, buffer):
    width = (n_labels + LANES - 1) // LANES * LANES
    for label in range(width):
        weight, count = state.weights[label], state.counts[label]
        after, both = state.after[label], state.both[label]
        p = (count + 0.1) / (weight + 1.0)
        last = state.last[label]
        p = ((both if last else count - both) + p) / ((after if last else weight - after) + 1.0)
        p = min(0.9997, max(0.0003, p))
        buffer[label] = log64(p / (1.0 - p))


@lean_kernel
def _fade_recency(state, label, fading):
    state.weights[label] = state.weights[label] * fading + 1.0
    state.counts[label] *= fading
    state.after[label] = state.after[label] * fading + (1.0 if state.last[label] else 0.0)
    state.both[label] *= fading


@lean_kernel
def _learn_recency(state, labels, again, unknown, row, n_labels, fading):
    """The same for what is known of the set before."""
    if not again:
        state.weight[0] = state.weight[0] * fading + 1.0
    if len(unknown):
        for label in range(n_labels):
            if not unknown[row, label]:
                _fade_recency(state, label, fading)
    else:
        for label in range(n_labels):
            _fade_recency(state, label, fading)
    for label in labels:
        state.counts[label] += 1.0
        if state.last[label]:
            state.both[label] += 1.0
    for label in range(n_labels):
        state.last[label] = len(unknown) > 0 and unknown[row, label] and state.last[label]
    for label in labels:
        state.last[label] = True


@lean_kernel
def frequency_block(
    prior, recency, y_indptr, y_indices, mode, unknown, n_labels, fading, buffer, prior_out, recency_out
):
    """Log-odds of each label's fading relative frequency; and of that given whether it was there when last known.

    Natural streams are ordered. Both are (rows, labels); `buffer` (L,) is scratch.
    """
    for row in range(len(y_indptr) - 1):
        _prior_odds(prior, n_labels, buffer)
        for label in range(n_labels):
            prior_out[row, label] = buffer[label]
        _recency_odds(recency, n_labels, buffer)
        for label in range(n_labels):
            recency_out[row, label] = buffer[label]
        if mode[row] & LEARN:
            labels, again = y_indices[y_indptr[row] : y_indptr[row + 1]], mode[row] & AGAIN
            _learn_prior(prior, labels, again, unknown, row, n_labels, fading)
            _learn_recency(recency, labels, again, unknown, row, n_labels, fading)
