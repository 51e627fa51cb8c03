"""Baselines predict what they say, honour modes, and do not mind how a stream is cut or resumed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.evaluation import MajorityLabelset, NoChange
from stream_ml.streams import LEARN, PREDICT, Batch, Feature, Schema


def as_batch(y):
    schema = Schema([Feature("x")], [f"l{m}" for m in range(y.shape[1])])
    return Batch.from_dense(schema, np.zeros((len(y), 1)), y)


def rows_of(p):
    return [p.label_indices[a:b].tolist() for a, b in zip(p.label_indptr[:-1], p.label_indptr[1:], strict=True)]


def with_modes(y, modes):
    batch = as_batch(np.asarray(y, dtype=bool))
    batch.mode[:] = modes
    return batch


def test_no_change_predicts_what_was_learned_last():
    y = [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]]
    batch = with_modes(y, [PREDICT | LEARN, PREDICT, LEARN, PREDICT | LEARN, PREDICT])
    assert rows_of(NoChange().test_then_train(batch)) == [[], [0], [], [0, 1], []]


def test_majority_labelset_predicts_the_most_frequent():
    y = [[1, 0], [0, 1], [0, 1], [1, 0], [0, 0], [1, 0]]
    batch = as_batch(np.asarray(y, dtype=bool))
    assert rows_of(MajorityLabelset().test_then_train(batch)) == [[], [0], [0], [1], [1], [1]]
    batch.mode[1:3] = PREDICT
    assert rows_of(MajorityLabelset().test_then_train(batch)) == [[], [0], [0], [0], [0], [0]]


def test_majority_labelset_is_bounded():
    rng = np.random.default_rng(0)
    y = rng.random((400, 12)) < 0.5
    y[::3] = False
    model = MajorityLabelset(max_sets=10)
    model.test_then_train(as_batch(y))
    assert len(model._counts) <= 20
    assert rows_of(model.test_then_train(as_batch(y[:1]))) == [[]]


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.integers(1, 40), st.integers(1, 8), st.floats(0, 0.8), st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_baselines_do_not_mind_batches(rows, n_labels, density, seed, cut):
    rng = np.random.default_rng(seed)
    y, modes = rng.random((rows, n_labels)) < density, rng.integers(1, 4, rows)
    cut = min(cut, rows)
    for kind in (NoChange, MajorityLabelset):
        whole, parts, resumed = kind(), kind(), kind()
        expected = rows_of(whole.test_then_train(with_modes(y, modes)))
        got = rows_of(parts.test_then_train(with_modes(y[:cut], modes[:cut])))
        resumed.load_state_dict({name: array.copy() for name, array in parts.state_dict().items()})
        rest = with_modes(y[cut:], modes[cut:])
        assert got + rows_of(parts.test_then_train(rest)) == expected
        assert got + rows_of(resumed.test_then_train(rest)) == expected
