"""The compiled experts agree with their plain-Python twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import experts as twin
from streams_strategy import label_sets, row_lists, small_streams, unknown_sets

from stream_ml.experts import ROOT_EXPERTS, ExpertPool, Stacking
from stream_ml.experts._stack_kernels import solve
from stream_ml.experts.design import Design
from stream_ml.experts.pool import ADAPTIVE, FIRST_SQUARES, FIRST_SQUARES_ADAPTIVE, LINEAR_RATES

# log-odds are float32 sums of float32 products; the twins use float64
TOLERANCE = {"rtol": 2e-3, "atol": 2e-3}
quick = settings(deadline=None, derandomize=True, max_examples=60)


def design(batch, **settings):
    d = Design(sparse=batch.schema.sparse, **settings)
    d.grow(batch.schema.arities())
    return d, d.rows(batch)


def pool_logits(batch):
    pool = ExpertPool(sparse=batch.schema.sparse)
    pool.grow(batch.schema.arities(), batch.n_labels)
    out = np.zeros((len(batch), len(ROOT_EXPERTS), batch.n_labels), dtype=np.float32)
    pool.process(batch, out, unknown=batch.unknown_labels(batch.n_labels))
    return out


@quick
@given(small_streams(), st.integers(2, 100), st.booleans())
def test_design_rows(batch, memory, wild):
    if wild:
        numeric = batch.schema.arities()[batch.x_indices] == 0
        batch.x_values[numeric & (np.arange(len(numeric)) % 11 == 5)] *= 1e5
    _, rows = design(batch, memory=memory)
    expected = twin.design_rows(
        row_lists(batch), batch.mode.tolist(), batch.schema.arities().tolist(), batch.schema.sparse, memory
    )
    flat = [cell for row in expected for cell in row]
    assert rows.indptr.tolist() == np.cumsum([0] + [len(row) for row in expected]).tolist()
    n = len(flat)
    assert rows.indices[:n].tolist() == [c for c, *_ in flat]
    for i, got in enumerate((rows.values, rows.standard, rows.unit), start=1):
        np.testing.assert_allclose(got[:n], [cell[i] for cell in flat], rtol=1e-4, atol=1e-4)


@quick
@given(small_streams(partial=True))
def test_linear_block(batch):
    _, rows = design(batch)
    logits = pool_logits(batch)
    bounds = list(zip(rows.indptr[:-1], rows.indptr[1:], strict=True))
    for slot in range(4):
        values = rows.unit if slot % 2 else rows.standard
        cells = [list(zip(rows.indices[a:b].tolist(), values[a:b].tolist(), strict=True)) for a, b in bounds]
        first = FIRST_SQUARES_ADAPTIVE if ADAPTIVE[slot] else FIRST_SQUARES
        expected = twin.linear_block(
            cells,
            label_sets(batch),
            unknown_sets(batch),
            batch.mode,
            batch.n_labels,
            LINEAR_RATES[slot],
            ADAPTIVE[slot],
            first,
        )
        np.testing.assert_allclose(logits[:, slot], expected, **TOLERANCE)


@quick
@given(small_streams(partial=True))
def test_prior_block(batch):
    expected = twin.prior_block(label_sets(batch), unknown_sets(batch), batch.mode, batch.n_labels, 0.999)
    np.testing.assert_allclose(pool_logits(batch)[:, 4], expected, rtol=1e-5, atol=1e-5)


@quick
@given(small_streams(partial=True))
def test_recency_block(batch):
    expected = twin.recency_block(label_sets(batch), unknown_sets(batch), batch.mode, batch.n_labels, 0.999)
    np.testing.assert_allclose(pool_logits(batch)[:, 6], expected, rtol=1e-5, atol=1e-5)


@quick
@given(small_streams(max_rows=40))
def test_naive_bayes_block(batch):
    """Also covers `_learn_bayes`, `_presence_odds` and `_refresh_gaussian`."""
    d, rows = design(batch)
    bounds = list(zip(rows.indptr[:-1], rows.indptr[1:], strict=True))
    cells = [dict(zip(rows.indices[a:b].tolist(), rows.values[a:b].tolist(), strict=True)) for a, b in bounds]
    expected = twin.naive_bayes_block(cells, label_sets(batch), batch.mode, batch.n_labels, d.centred)
    np.testing.assert_allclose(pool_logits(batch)[:, 5], expected, **TOLERANCE)


@quick
@given(small_streams(partial=True), st.floats(0.01, 0.5), st.floats(0.9, 1.0), st.floats(1.0, 20.0))
def test_stack_block(batch, own_rate, decay, ridge):
    """Also covers `_learn_stack`, `_fade` and `_step`."""
    logits = pool_logits(batch)
    first = [0.2] * len(ROOT_EXPERTS)
    logits[::7, 2] = np.nan
    logits[3::7, 4] = np.inf
    given_logits = logits.tolist()
    stacking = Stacking(first, own_rate=own_rate, decay=decay, ridge=ridge)
    stacking.grow(batch.n_labels)
    unknown = batch.unknown_labels(batch.n_labels)
    aside = [len(batch) // 2, 0, *[0] * batch.n_labels][: batch.n_labels]
    stacking.state.aside[: batch.n_labels] = aside
    got = stacking.process(logits, batch.y_indptr, batch.y_indices, batch.mode, unknown)
    expected, end = twin.stack_block(
        given_logits, label_sets(batch), unknown_sets(batch), batch.mode, first, own_rate, decay, ridge, aside
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stacking.state.shared, end.shared.weights, rtol=1e-4, atol=1e-5)
    if (np.array(aside) > 0).any():
        np.testing.assert_allclose(stacking.state.apart, end.apart.weights, rtol=1e-4, atol=1e-5)


def test_shared_weights_move_at_every_fourth_row_once_many_were_learned():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(1020, 2, 3)).astype(np.float32)
    y = rng.random((1020, 3)) < 1 / (1 + np.exp(-logits[:, 0]))
    sets = [set(np.flatnonzero(row).tolist()) for row in y]
    stacking = Stacking([0.5, 0.5])
    stacking.grow(3)
    indptr, indices = np.concatenate([[0], y.sum(1).cumsum()]), y.nonzero()[1].astype(np.int32)
    got = stacking.process(logits, indptr, indices, np.full(1020, 3, np.uint8))
    none = [set()] * 1020
    expected, end = twin.stack_block(logits.tolist(), sets, none, [3] * 1020, [0.5, 0.5], 0.01, 0.999, 10.0)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    shared = end.shared.weights
    np.testing.assert_allclose(stacking.state.shared, shared, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stacking.state.kept, end.kept, rtol=1e-4, atol=1e-6)
    before = stacking.state.kept[1].copy()
    stacking.set_aside(np.array([1], dtype=np.int32), 0.05, 21)
    np.testing.assert_array_equal(stacking.state.shared, before)  # the newest is of 20 rows ago: after the drift
    np.testing.assert_allclose(stacking.weights()[:, 1] - stacking.state.own[:, 1], shared, rtol=1e-4, atol=1e-6)
    assert shared[0] > 0.8 > 0.2 > abs(shared[1])  # the first expert is right, the second knows nothing
    gains = stacking.gains()
    assert gains[0] > 0.05 > 10 * gains[1]


@quick
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_solve(n, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n))
    matrix, right, out = np.tril(a @ a.T + np.eye(n)), rng.normal(size=n), np.empty(n)
    solve(matrix, right, np.empty((n, n)), out)
    np.testing.assert_allclose(out, twin.solve(matrix.tolist(), right.tolist()), rtol=1e-7, atol=1e-9)


@quick
@given(small_streams(partial=True), st.integers(0, 3), st.booleans())
def test_whole_label_sets(batch, first_awake, linear):
    """What the trees learn: unknown labels as the first linear expert that is awake says, else as the prior does."""
    pool = ExpertPool(sparse=batch.schema.sparse)
    pool.grow(batch.schema.arities(), batch.n_labels)
    out = np.zeros((len(batch), len(ROOT_EXPERTS), batch.n_labels), dtype=np.float32)
    awake = np.ones(len(ROOT_EXPERTS), dtype=bool)
    awake[: first_awake if linear else 4] = False
    _, whole = pool.process(batch, out, awake, batch.unknown_labels(batch.n_labels))
    expected = twin.filled(out[:, first_awake if linear else 4].tolist(), label_sets(batch), unknown_sets(batch))
    assert whole.partial is None
    assert [sorted(labels) for labels in label_sets(whole)] == expected


@quick
@given(small_streams(partial=True, max_rows=30), st.integers(0, 4))
def test_what_is_not_known_of_a_row_stays_as_it_was(batch, label):
    """Weights, counts and stacking weights of a label, before and after a row of which the label is not known."""
    label %= batch.n_labels
    pool, stacking = ExpertPool(sparse=batch.schema.sparse), Stacking([0.2] * len(ROOT_EXPERTS))
    pool.grow(batch.schema.arities(), batch.n_labels)
    stacking.grow(batch.n_labels)

    def own():
        parts = {n: a for n, a in pool.state_dict().items() if n.split(".")[0] in {"linear", "prior", "recency"}}
        parts |= {n: a for n, a in stacking.state_dict().items() if n in {"own", "own_squares"}}
        return {n: a[..., label].copy() for n, a in parts.items() if not n.endswith(".weight") and a.size}

    for row, hidden in enumerate(unknown_sets(batch)):
        before, block = own(), batch.rows(row, row + 1)
        out = np.zeros((1, len(ROOT_EXPERTS), batch.n_labels), dtype=np.float32)
        unknown = block.unknown_labels(batch.n_labels)
        pool.process(block, out, unknown=unknown)
        stacking.process(out, block.y_indptr, block.y_indices, block.mode, unknown)
        same = all(np.array_equal(before[n], a) for n, a in own().items())
        learned = batch.mode[row] & 2 and label not in hidden
        assert same != bool(learned)


@quick
@given(small_streams(max_rows=50), st.integers(1, 49))
def test_cut_anywhere_and_resume(batch, cut):
    """Two blocks equal one; a saved and loaded pool and stacking go on as if nothing had happened."""
    cut = min(cut, len(batch))
    whole = pool_logits(batch)
    pool = ExpertPool(sparse=batch.schema.sparse)
    pool.grow(batch.schema.arities(), batch.n_labels)
    stacking = Stacking([0.2] * len(ROOT_EXPERTS))
    stacking.grow(batch.n_labels)
    expected = stacking.process(whole, batch.y_indptr, batch.y_indices, batch.mode)
    stacking = Stacking([0.2] * len(ROOT_EXPERTS))
    stacking.grow(batch.n_labels)
    parts = []
    for a, b in ((0, cut), (cut, len(batch))):
        block = batch.rows(a, b)
        out = np.zeros((len(block), len(ROOT_EXPERTS), batch.n_labels), dtype=np.float32)
        pool.process(block, out)
        parts.append(stacking.process(out, block.y_indptr, block.y_indices, block.mode))
        revived, restacked = ExpertPool(sparse=batch.schema.sparse), Stacking([0.2] * len(ROOT_EXPERTS))
        revived.load_state_dict({n: a.copy() for n, a in pool.state_dict().items()})
        restacked.load_state_dict({n: a.copy() for n, a in stacking.state_dict().items()})
        pool, stacking = revived, restacked
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_growing_changes_nothing():
    """A pool that is given room for features and labels late predicts what one with room from the start predicts."""
    rng = np.random.default_rng(0)
    from stream_ml.streams import Batch, Feature, Schema

    schema = Schema([Feature(f"f{j}") for j in range(4)], ["a", "b", "c"], sparse=True)
    x = rng.normal(size=(40, 4)) * (rng.random((40, 4)) < 0.5)
    x[:20, 2:] = 0
    y = rng.random((40, 3)) < 0.4
    y[:20, 2] = False
    batch = Batch.from_dense(schema, x, y)
    whole = pool_logits(batch)
    pool = ExpertPool(sparse=True)
    pool.grow(schema.arities(2), 3)
    first = np.zeros((20, len(ROOT_EXPERTS), 3), dtype=np.float32)
    pool.process(batch.rows(0, 20), first)
    pool.grow(schema.arities(), 3)
    second = np.zeros((20, len(ROOT_EXPERTS), 3), dtype=np.float32)
    pool.process(batch.rows(20, 40), second)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_pool_that_forgets_turns_around_sooner(everywhere):
    """After a drift: linear experts and neighbours, and naive Bayes where all labels drift."""
    from stream_ml.streams import Batch, Feature, Schema

    rng = np.random.default_rng(1)
    schema = Schema([Feature("a"), Feature("b")], ["y"])
    x = rng.normal(size=(1300, 2))
    y = x[:, :1] > 0
    y[1000:] = ~y[1000:]
    batch = Batch.from_dense(schema, x, y)
    losses = []
    for forget in (False, True):
        pool = ExpertPool(sparse=False)
        pool.grow(schema.arities(), 1)
        for start in range(0, 1100, 100):
            pool.process(batch.rows(start, start + 100), np.zeros((100, len(ROOT_EXPERTS), 1), dtype=np.float32))
        if forget:
            pool.hurry(np.array([0], dtype=np.int32), 0.05)
            pool.forget(np.array([0], dtype=np.int32), 100, everywhere=everywhere)
        out = np.zeros((128, len(ROOT_EXPERTS), 1), dtype=np.float32)
        pool.process(batch.rows(1100, 1228), out)
        losses.append(np.mean((out[:, :, 0] > 0) != y[1100:1228], axis=0))
    gained = losses[0] - losses[1]
    names = dict(zip(ROOT_EXPERTS, gained.tolist(), strict=True))
    assert min(names["linear_unit_adaptive"], names["neighbours"], gained[:4].mean()) > 0.1, names
    assert (names["naive_bayes"] > 0.1) == everywhere
