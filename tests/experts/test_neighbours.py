"""The compiled nearest-neighbour expert agrees with its plain-Python twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import neighbours as twin

from stream_ml.experts._neighbour_kernels import SEGMENT
from stream_ml.experts.design import DesignRows
from stream_ml.experts.neighbours import Neighbours
from stream_ml.streams import Batch, Feature, Schema

quick = settings(deadline=None, derandomize=True, max_examples=40)


def random_stream(seed, n, n_columns, n_labels, sparse, alike=False):
    """Design rows as dicts, label sets, modes, prior log-odds; every other column always has one value if `alike`."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        # two columns or more: rows of a single one are all alike, and rounding would choose among them
        always = rng.choice(np.arange(1, n_columns, 2) if alike else n_columns, 2, replace=False)
        columns = np.union1d(always, np.flatnonzero(rng.random(n_columns) < (0.2 if sparse else 0.8)))
        rows.append({int(c): float(np.float32(rng.lognormal() if sparse else rng.normal())) for c in columns})
        rows[-1] |= {c: 1.0 + c for c in rows[-1] if alike and c % 2 == 0}
    labels = [set(np.flatnonzero(rng.random(n_labels) < 0.3).tolist()) for _ in range(n)]
    mode = rng.choice([1, 2, 3], n, p=[0.1, 0.1, 0.8]).astype(np.uint8)
    return rows, labels, mode, rng.normal(-2, 1, (n, n_labels)).astype(np.float32)


def arrays(rows, labels, mode, n_labels):
    """The same as a batch and design rows (the expert reads standardised values only)."""
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([c for row in rows for c in row], dtype=np.int32)
    values = np.array([v for row in rows for v in row.values()], dtype=np.float32)
    y = np.array([[m in label_set for m in range(n_labels)] for label_set in labels]).reshape(len(rows), n_labels)
    schema = Schema([Feature("x")], [f"l{m}" for m in range(n_labels)])
    batch = Batch.from_dense(schema, np.zeros((len(rows), 1)), y).with_mode(mode)
    return batch, DesignRows(indptr, indices, values, values, values)


def run(stream, sparse, window, k, cuts, n_columns, resume=False):
    rows, labels, mode, prior = stream
    n_labels = prior.shape[1]
    expert = Neighbours(sparse=sparse, window=window, neighbours=k)
    parts = []
    for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        expert.grow(n_columns)
        batch, design = arrays(rows[a:b], labels[a:b], mode[a:b], n_labels)
        out = np.zeros((b - a, n_labels), dtype=np.float32)
        near = expert.process(batch, design, n_labels, prior[a:b], out)
        parts.append((near.slots, near.weights, out))
        if resume:
            state = {name: array.copy() for name, array in expert.state_dict().items()}
            expert = Neighbours(sparse=sparse, window=window, neighbours=k)
            expert.load_state_dict(state, n_columns, n_labels)
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def check(stream, sparse, window, k, cuts, n_columns):
    got = run(stream, sparse, window, k, cuts, n_columns)
    storages = -(-window // SEGMENT) + 2
    rows, labels, mode, prior = stream
    expected = twin.neighbours_block(rows, labels, mode, sparse, prior.tolist(), storages, k)
    for row, (slots, votes, log_odds) in enumerate(expected):
        assert got[0][row].tolist() == slots + [-1] * (k - len(slots)), row
        np.testing.assert_allclose(got[1][row][: len(votes)], votes, rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(got[2][row], log_odds, rtol=2e-3, atol=2e-3)


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans(), st.integers(1, 5), st.booleans())
def test_neighbours_block(seed, n, sparse, k, alike):
    """Covers `_products` (of the open segment), `_score`, `_nearest`, `_weigh`, `_vote`, `_remember`, `_add_to_set`."""
    check(random_stream(seed, n, 6, 3, sparse, alike), sparse, 256, k, [n // 2], 6)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_segments_close_and_leave_the_window(sparse, alike):
    """Covers `_open_segment`, `_close_segment`: the storages are used more than once. And `_bound`."""
    check(random_stream(5, 900, 8, 3, sparse, alike), sparse, 256, 4, list(range(100, 900, 100)), 8)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_cuts_and_resume_change_nothing(sparse, alike):
    """Covers `fill_sets`."""
    stream = random_stream(6, 700, 8, 3, sparse, alike)
    whole = run(stream, sparse, 256, 4, list(range(128, 700, 128)), 8)
    parts = run(stream, sparse, 256, 4, list(range(37, 700, 37)), 8, resume=True)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sparse", [True, False])
def test_columns_may_come_late(sparse):
    """Room that is given late changes no neighbour."""
    rows, labels, mode, prior = random_stream(7, 400, 4, 2, sparse)
    late, wide = Neighbours(sparse=sparse, window=256), Neighbours(sparse=sparse, window=256)
    wide.grow(50)
    for a in range(0, 400, 100):
        batch, design = arrays(rows[a : a + 100], labels[a : a + 100], mode[a : a + 100], 2)
        late.grow(4 + a // 10)
        got, expected = np.zeros((2, 100, 2), dtype=np.float32)
        near = late.process(batch, design, 2, prior[a : a + 100], got)
        far = wide.process(batch, design, 2, prior[a : a + 100], expected)
        np.testing.assert_array_equal(near.slots, far.slots)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("rows_back", [0, 30, 200, 1000])
def test_what_drifted_is_forgotten(sparse, everywhere, rows_back):
    """Covers `_vote_anew` and `_odds`: of all labels, or of the first two of three."""
    stream = random_stream(8, 800, 8, 3, sparse)
    rows, labels, mode, prior = stream
    expert = Neighbours(sparse=sparse, window=256, neighbours=4)
    parts = []
    for a in range(0, 800, 100):
        expert.grow(8)
        if a == 400:
            learned = int((mode[:400] & 2 != 0).sum())
            first = max(0, learned - rows_back)
            expert.forget(np.array([0, 1], dtype=np.int32), rows_back, everywhere=everywhere)
            state = {name: array.copy() for name, array in expert.state_dict().items()}
            expert = Neighbours(sparse=sparse, window=256, neighbours=4)
            expert.load_state_dict(state, 8, 3)
        batch, design = arrays(rows[a : a + 100], labels[a : a + 100], mode[a : a + 100], 3)
        out = np.zeros((100, 3), dtype=np.float32)
        near = expert.process(batch, design, 3, prior[a : a + 100], out)
        parts.append((near.slots, out))
    what = {"since": {400: first}} if everywhere else {"valid": {400: [first, first, 0]}}
    expected = twin.neighbours_block(rows, labels, mode, sparse, prior.tolist(), 4, 4, **what)
    slots, got = (np.concatenate(column) for column in zip(*parts, strict=True))
    for row, (near, _, log_odds) in enumerate(expected):
        assert slots[row].tolist() == near + [-1] * (4 - len(near)), row
        np.testing.assert_allclose(got[row], log_odds, rtol=2e-3, atol=2e-3)


def test_wide_dense_rows_bound_the_window():
    expert = Neighbours(sparse=False, window=4096, memory_limit_mb=1.0)
    expert.grow(1000)
    assert expert.nbytes < 4 * 2**20
