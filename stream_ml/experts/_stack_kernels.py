"""Compiled loops of stacking: one probability per label out of the experts' log-odds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
def _fade(information, ridge, decay):
    """Let curvature fade towards `ridge`."""
    for i in range(len(information)):
        for j in range(i + 1):
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
def _learn_stack(state, inputs, errors, n_labels, aside, own_rate, decay, ridge, factor, step):
    """One row: `inputs` (E + 1, L), the last ones 1; `errors` (L,) of the probabilities, less than 1 in size."""
    size = len(inputs)
    _fade(state.information, ridge, decay)
    if len(aside):
        _fade(state.apart_information, ridge, decay)
    for i in range(size):
        total = 0.0
        for label in range(n_labels):
            total += errors[label] * inputs[i, label]
        for k in range(len(aside)):
            if state.aside[aside[k]] > state.learned[0]:
                gradient = errors[aside[k]] * inputs[i, aside[k]]
                total -= gradient
                state.apart_gradient[i] += gradient
        state.gradient[i] += total
    for label in range(n_labels):
        error = abs(errors[label])
        if error < ACTIVE:
            continue
        for i in range(size):
            gradient = errors[label] * inputs[i, label]
            squares = state.own_squares[i, label] + gradient * gradient
            state.own_squares[i, label] = squares
            state.own[i, label] -= own_rate * gradient / math.sqrt(squares)
        curvature = error * (1.0 - error)  # p (1 - p), whether the error is p or p - 1
        if curvature >= ACTIVE:
            information = state.apart_information if state.aside[label] > state.learned[0] else state.information
            for i in range(size):
                scaled = curvature * inputs[i, label]
                for j in range(i + 1):
                    information[i, j] += scaled * inputs[j, label]
    state.learned[0] += 1
    if state.learned[0] <= EAGER or state.learned[0] % PACE == 0:
        _step(state.shared, state.information, state.gradient, factor, step)
        if len(aside):
            _step(state.apart, state.apart_information, state.apart_gradient, factor, step)
    if state.learned[0] % KEPT_ROWS == 0:
        for i in range(size):
            state.kept[1, i], state.kept[0, i] = state.kept[0, i], state.shared[i]
            for j in range(size):
                state.kept_information[1, i, j] = state.kept_information[0, i, j]
                state.kept_information[0, i, j] = state.information[i, j]


@lean_kernel
def _stack_rows(
    state, logits, y_indptr, y_indices, mode, unknown, n_labels, aside, own_rate, decay, ridge, inputs, errors, factor,
    step, out,
):  # fmt: skip
    """`stack_block` with all the memory that it needs."""
    n_experts = logits.shape[1]
    inputs[n_experts] = 1.0
    for row in range(len(mode)):
        for e in range(n_experts):
            for label in range(n_labels):
                value = logits[row, e, label]
                if not abs(value) <= SANE:
                    value = np.float32(0.0)
                    logits[row, e, label] = value
                inputs[e, label] = value
        errors[:n_labels] = 0.0
        for e in range(n_experts + 1):
            weight = state.shared[e]
            for label in range(n_labels):
                errors[label] += (weight + state.own[e, label]) * inputs[e, label]
            for k in range(len(aside)):
                if state.learned[0] < state.aside[aside[k]]:
                    errors[aside[k]] += (state.apart[e] - weight) * inputs[e, aside[k]]
        for label in range(n_labels):
            z = min(10.0, max(-10.0, errors[label]))
            p = 1.0 / (1.0 + math.exp(-z))
            out[row, label] = np.float32(p)
            errors[label] = p
        if mode[row] & LEARN:
            for k in range(y_indptr[row], y_indptr[row + 1]):
                errors[y_indices[k]] -= 1.0
            if len(unknown):
                for label in range(n_labels):
                    if unknown[row, label]:
                        errors[label] = 0.0
            _learn_stack(state, inputs, errors, n_labels, aside, own_rate, decay, ridge, factor, step)


@kernel
def stack_block(
    state, logits, y_indptr, y_indices, mode, unknown, n_labels, aside, own_rate, decay, ridge, inputs, errors, out
):
    """Online logistic stacking of the experts' log-odds, with weights `shared[e] + own[e, label]`.

    The shared part learns from all labels by Newton's method on the fading log-loss, so that a rare label starts from
    what serves the others; the own part learns what is particular, by AdaGrad. Log-odds that are no number, or beyond
    all bounds, are set to 0 in `logits`: their expert abstains. Labels that are `unknown` (rows, L; no rows: all are
    known) have no error, and so teach nothing. For some time those in the list `aside` share weights of their own kind
    (`apart`), learned in the same way. Writes probabilities into `out` (rows, L); `inputs` (E + 1, L) and `errors`
    (L,) are scratch.
    """
    _stack_rows(
        state, logits, y_indptr, y_indices, mode, unknown, n_labels, aside, own_rate, decay, ridge, inputs, errors,
        np.empty_like(state.information), np.empty_like(state.gradient), out,
    )  # fmt: skip
