"""Compiled loops of stacking: one probability per label out of the experts' log-odds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.elementary import exp64
from stream_ml.experts._lane_kernels import DOTS, LANES_64, add_outer, dots, own_steps
from stream_ml.jit import kernel, lean_kernel

__all__ = ["StackState", "solve", "stack_block"]

LEARN = 2
SANE = np.float32(100.0)
"""Log-odds beyond this are a fault of the expert that gave them."""
ACTIVE = 0.01
"""Labels whose error is below teach no weights of their own; those whose p (1 - p) is, no curvature."""
EAGER = 1000
"""Learned rows up to which the shared weights move at every row; every `PACE` rows later."""
PACE = 4
CHUNK = 32
"""Labels whose curvature is added up at a time."""
KEPT_ROWS = 200
"""Learned rows, a multiple of PACE, after which the shared weights are kept: what a drift spoils can be restored."""


class StackState(NamedTuple):
    """Stacking weights, float64: one row per expert, and a last one for the intercept."""

    shared: NDArray[np.float64]  # (E + 1,)
    information: NDArray[np.float64]  # (E + 1, E + 1) fading curvature of the log-loss, lower triangle
    gradient: NDArray[np.float64]  # (E + 1,) since the shared weights moved last
    own: NDArray[np.float64]  # (E + 1, L)
    own_squares: NDArray[np.float64]  # (E + 1, L)
    learned: NDArray[np.int64]  # (1,) rows
    aside: NDArray[np.int64]  # (L,) learned rows until which the label shares the weights `apart` instead
    apart: NDArray[np.float64]  # (E + 1,)
    apart_information: NDArray[np.float64]  # (E + 1, E + 1)
    apart_gradient: NDArray[np.float64]  # (E + 1,)
    kept: NDArray[np.float64]  # (2, E + 1) shared weights at the last two multiples of KEPT_ROWS, newest first
    kept_information: NDArray[np.float64]  # (2, E + 1, E + 1)


@lean_kernel
def solve(matrix, right, factor, out):
    """`out` with `matrix out = right`, by Cholesky's factor of the lower triangle of a positive definite matrix."""
    n = len(right)
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(total) if i == j else total / factor[j, j]
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= factor[i, k] * out[k]
        out[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, n):
            total -= factor[k, i] * out[k]
        out[i] = total / factor[i, i]


@lean_kernel
def _fade(information, size, ridge, decay):
    """Let curvature fade towards `ridge`."""
    for i in range(size):
        for j in range(information.shape[1]):
            information[i, j] *= decay
        information[i, i] += ridge * (1.0 - decay)


@lean_kernel
def _step(weights, information, gradient, factor, step):
    """Newton's step on weights; the gradient starts anew."""
    solve(information, gradient, factor, step)
    for i in range(len(weights)):
        weights[i] -= step[i]
        gradient[i] = 0.0


@lean_kernel
def _learn_curvature(state, inputs, errors, stride, width, aside, found, curvatures, information):
    """Add what labels have of curvature to that of the weights that they share, or to that of those `aside`."""
    n, size, at = state.learned[0], len(state.shared), 0
    for kind in range(len(information)):
        for label in range(width):
            error = abs(errors[label])
            curvature = error * (1.0 - error)  # p (1 - p), whether the error is p or p - 1
            if curvature >= ACTIVE and (len(aside) == 0 or (state.aside[label] > n) == (kind == 1)):
                curvatures[at] = curvature
                for i in range(size):
                    found[at, i] = inputs[i * stride + label]
                at += 1
            if at and (at == len(found) or label == width - 1):
                add_outer(curvatures, found, at, size, information[kind])
                at = 0


@lean_kernel
def _learn_stack(
    state, inputs, errors, stride, width, aside, own_rate, decay, ridge, found, curvatures, information, gradient,
    factor, step,
):  # fmt: skip
    """One row: `inputs` (E + 1, stride) flat, the last ones 1; `errors` (width,) of the probabilities, less than 1."""
    size = len(state.shared)
    for kind in range(len(information)):
        _fade(information[kind], size, ridge, decay)
    gradient[:] = 0.0
    for i in range(0, size, DOTS):
        dots(inputs, i * stride, stride, errors, width, gradient, i)
    for i in range(size):
        for k in range(len(aside)):
            if state.aside[aside[k]] > state.learned[0]:
                part = errors[aside[k]] * inputs[i * stride + aside[k]]
                gradient[i] -= part
                state.apart_gradient[i] += part
        state.gradient[i] += gradient[i]
    for label in range(width):
        errors[label] = errors[label] if abs(errors[label]) >= ACTIVE else 0.0
    own_steps(state.own, state.own_squares, inputs, stride, errors, width, own_rate)
    _learn_curvature(state, inputs, errors, stride, width, aside, found, curvatures, information)
    state.learned[0] += 1
    if state.learned[0] <= EAGER or state.learned[0] % PACE == 0:
        _step(state.shared, information[0], state.gradient, factor, step)
        if len(aside):
            _step(state.apart, information[1], state.apart_gradient, factor, step)
    if state.learned[0] % KEPT_ROWS == 0:
        for i in range(size):
            state.kept[1, i], state.kept[0, i] = state.kept[0, i], state.shared[i]
            for j in range(size):
                state.kept_information[1, i, j] = state.kept_information[0, i, j]
                state.kept_information[0, i, j] = information[0, i, j] if j <= i else state.information[i, j]


@lean_kernel
def _stack_row(state, logits, n_labels, width, aside, inputs, errors):
    """Probabilities of a row, to `errors`; `inputs` are its log-odds where they are sane."""
    n = len(logits)
    for at in range(n):
        value = logits[at]
        value = value if abs(value) <= SANE else np.float32(0.0)
        logits[at] = inputs[at] = value
    errors[:width] = 0.0
    for e in range(len(state.shared)):
        weight, x = state.shared[e], inputs[e * n_labels : e * n_labels + width]
        for label in range(width):
            errors[label] += (weight + state.own[e, label]) * x[label]
        for k in range(len(aside)):
            if state.learned[0] < state.aside[aside[k]]:
                errors[aside[k]] += (state.apart[e] - weight) * x[aside[k]]
    for label in range(width):
        z = min(10.0, max(-10.0, errors[label]))
        errors[label] = 1.0 / (1.0 + exp64(-z))
    for label in range(n_labels, width):
        errors[label] = 0.0


@lean_kernel
def _stack_rows(
    state, logits, y_indptr, y_indices, mode, unknown, n_labels, aside, own_rate, decay, ridge, inputs, errors, found,
    curvatures, information, gradient, factor, step, out,
):  # fmt: skip
    """`stack_block` with all the memory that it needs."""
    size, width = len(state.shared), (n_labels + LANES_64 - 1) // LANES_64 * LANES_64
    for i in range(size):
        for j in range(i + 1):
            information[0, i, j] = state.information[i, j]
            if len(aside):
                information[1, i, j] = state.apart_information[i, j]
    for row in range(len(mode)):
        _stack_row(state, logits[row], n_labels, width, aside, inputs, errors)
        for label in range(n_labels):
            out[row, label] = np.float32(errors[label])
        if mode[row] & LEARN:
            for k in range(y_indptr[row], y_indptr[row + 1]):
                errors[y_indices[k]] -= 1.0
            if len(unknown):
                for label in range(n_labels):
                    if unknown[row, label]:
                        errors[label] = 0.0
            _learn_stack(
                state, inputs, errors, n_labels, width, aside, own_rate, decay, ridge, found, curvatures, information,
                gradient, factor, step,
            )  # fmt: skip
    for i in range(size):
        for j in range(i + 1):
            state.information[i, j] = information[0, i, j]
            if len(aside):
                state.apart_information[i, j] = information[1, i, j]


@kernel
def stack_block(
    state, logits, y_indptr, y_indices, mode, unknown, n_labels, aside, own_rate, decay, ridge, errors, out
):
    """Online logistic stacking of the experts' log-odds, with weights `shared[e] + own[e, label]`.

    The shared part learns from all labels by Newton's method on the fading log-loss, so that a rare label starts from
    what serves the others; the own part learns what is particular, by AdaGrad. Log-odds that are no number, or beyond
    all bounds, are set to 0 in `logits` (rows, E, n_labels): their expert abstains. Labels that are `unknown` (rows, L;
    no rows: all are known) have no error, and so teach nothing. For some time those in the list `aside` share weights
    of their own kind (`apart`), learned in the same way. Writes probabilities into `out` (rows, L); `errors` is scratch
    of as many labels as there is room for, a multiple of `LANES_64`.
    """
    size = len(state.shared)
    padded = (size + LANES_64 - 1) // LANES_64 * LANES_64
    inputs = np.zeros((size + DOTS) * n_labels + LANES_64, dtype=np.float32)
    inputs[(size - 1) * n_labels : size * n_labels] = 1.0
    _stack_rows(
        state, logits.reshape(logits.shape[0], logits.shape[1] * n_labels), y_indptr, y_indices, mode, unknown,
        n_labels, aside, own_rate, decay, ridge, inputs, errors, np.zeros((CHUNK, padded)),
        np.empty(CHUNK),
        np.zeros((2 if len(aside) else 1, padded, padded)), np.empty(size + DOTS), np.empty_like(state.information),
        np.empty_like(state.gradient), out,
    )  # fmt: skip
