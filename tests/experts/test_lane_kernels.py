"""What is written in vectors says what loops over numbers say, at every width."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.experts import _lane_kernels as lanes
from stream_ml.jit import lean_kernel

quick = settings(deadline=None, derandomize=True, max_examples=60)
f4 = np.float32


@lean_kernel
def run_columns(tables, columns, values, first, last, n, out):
    if len(tables) == 1:
        lanes.add_columns(tables[0], columns, values, first, last, n, out)
    else:
        lanes.add_parabolas(tables[0], tables[1], tables[2], columns, values, first, last, n, out)


@lean_kernel
def run_steps(weights, squares, columns, values, first, last, n, errors, step):
    if len(squares):
        lanes.adaptive_steps(weights, squares, columns, values, first, last, n, errors, step)
    else:
        lanes.plain_steps(weights, columns, values, first, last, n, errors)


@lean_kernel
def run_stack(weights, squares, inputs, stride, errors, n, rate, products, factors, vectors, outer):
    for i in range(0, len(weights), lanes.DOTS):
        lanes.dots(inputs, i * stride, stride, errors, n, products, i)
    lanes.own_steps(weights, squares, inputs, stride, errors, n, rate)
    lanes.add_outer(factors, vectors, len(factors), len(weights), outer)


@lean_kernel
def run_lists(columns, weights, first, storage, rows, values, out):
    return lanes.add_lists(columns, weights, first, storage, rows, values, out)


@lean_kernel
def run_above(scores, start, least):
    found = lanes.rows_above(scores, start, least)
    return found, lanes.first_row(found) if found else -1, lanes.n_above(scores, least), lanes.extremes(scores)


def columns_of(rng, n_columns):
    return rng.choice(n_columns, min(n_columns, 7), replace=False).astype(np.int32)


@quick
@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_columns_are_added_in_order(vectors, seed, curved):
    rng = np.random.default_rng(seed)
    tables = [rng.normal(size=(9, 8 * vectors)).astype(f4) for _ in range(3 if curved else 1)]
    columns, values = columns_of(rng, 9), rng.normal(size=7).astype(f4)
    out = rng.normal(size=8 * vectors).astype(f4)
    expected = out.copy()
    for column, value in zip(columns[1:6], values[1:6], strict=True):
        term = tables[0][column] * value
        if curved:
            term = (term + tables[1][column]) * value + tables[2][column]
        expected += term
    run_columns(tuple(tables), columns, values, 1, 6, 8 * vectors, out)
    np.testing.assert_array_equal(out, expected)


@quick
@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_steps(vectors, seed, adaptive):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(9, 8 * vectors)).astype(f4)
    squares = rng.uniform(0.1, 2.0, (9 if adaptive else 0, 8 * vectors)).astype(f4)
    columns, values = columns_of(rng, 9), rng.normal(size=7).astype(f4)
    errors, step = rng.normal(size=8 * vectors).astype(f4), f4(0.3)
    expected, sums = weights.copy(), squares.copy()
    for column, value in zip(columns[1:6], values[1:6], strict=True):
        gradient = errors * value
        if adaptive:
            sums[column] += gradient * gradient
            gradient = step * gradient / np.sqrt(sums[column])
        expected[column] -= gradient
    run_steps(weights, squares, columns, values, 1, 6, 8 * vectors, errors, step)
    np.testing.assert_array_equal(squares, sums)
    np.testing.assert_array_equal(weights, expected)


@quick
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_what_stacking_adds_up(n_labels, size, seed):
    rng = np.random.default_rng(seed)
    width, padded = -(-n_labels // 8) * 8, -(-size // 8) * 8
    inputs = np.zeros((size + lanes.DOTS) * n_labels + 8, dtype=f4)
    inputs[: size * n_labels] = rng.normal(size=size * n_labels)
    errors = np.zeros(width)
    errors[:n_labels] = rng.uniform(-1, 1, n_labels) * (rng.random(n_labels) < 0.3)
    weights, squares = rng.normal(size=(size, width)), rng.uniform(1.0, 2.0, (size, width))
    factors, vectors = rng.random(5), np.zeros((5, padded))
    vectors[:, :size] = rng.normal(size=(5, size))
    products, outer = np.zeros(size + lanes.DOTS), np.zeros((padded, padded))
    x = inputs[: size * n_labels].reshape(size, n_labels).astype(float)
    gradient = x * errors[:n_labels]
    sums = squares[:, :n_labels] + gradient**2
    expected = weights[:, :n_labels] - 0.01 * gradient / np.sqrt(sums)
    untouched = weights[:, n_labels:].copy()
    run_stack(weights, squares, inputs, n_labels, errors, width, 0.01, products, factors, vectors, outer)
    np.testing.assert_allclose(products[:size], gradient.sum(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(squares[:, :n_labels], sums)
    np.testing.assert_allclose(weights[:, :n_labels], expected, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(weights[:, n_labels:], untouched)
    whole = sum(factor * np.outer(v, v) for factor, v in zip(factors, vectors, strict=True))
    np.testing.assert_allclose(np.tril(outer)[:size], np.tril(whole)[:size], rtol=1e-9, atol=1e-12)


@quick
@given(st.integers(0, 2**32 - 1))
def test_lists_up_to_one_of_different_values(seed):
    rng = np.random.default_rng(seed)
    there, values = rng.random((6, 2, lanes.SEGMENT)) < 0.3, rng.normal(size=(6, 2)).astype(f4)
    values[4] = np.nan
    rows = np.packbits(there, axis=-1, bitorder="little").view(np.int64)
    columns, weights = rng.permutation(6).astype(np.int32), rng.normal(size=6).astype(f4)
    out = np.zeros(lanes.SEGMENT, dtype=f4)
    expected, stop = out.copy(), int(np.flatnonzero(columns == 4)[0])
    first = min(1, stop)
    for k in range(first, stop):
        expected[there[columns[k], 1]] += weights[k] * values[columns[k], 1]
    assert run_lists(columns, weights, first, 1, rows, values, out) == stop
    np.testing.assert_array_equal(out, expected)
    assert run_lists(columns, weights, stop + 1, 1, rows, values, out) == 6


@quick
@given(st.integers(0, 2**32 - 1), st.floats(-2.0, 4.0))
def test_rows_above(seed, least):
    scores = np.random.default_rng(seed).normal(size=lanes.SEGMENT).astype(f4)
    scores[80] = -math.inf
    found, first, count, extremes = run_above(scores, 64, f4(least))
    assert count == np.count_nonzero(scores > f4(least))
    assert extremes == (-math.inf, scores.max())
    expected = np.flatnonzero(scores[64:] > f4(least)).tolist()
    assert [row for row in range(64) if found >> row & 1] == expected
    assert first == (expected[0] if expected else -1)
