"""Metrics agree with scikit-learn, with their twin, and with themselves however rows are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import evaluation as twin
from sklearn import metrics as sk

from stream_ml.evaluation import METRICS, MajorityLabelset, Metrics, NoChange
from stream_ml.streams import LEARN, PREDICT, Batch, Feature, Predictions, Schema

quick = settings(deadline=None, derandomize=True, max_examples=80)


def random_pair(rows, n_labels, density, seed):
    rng = np.random.default_rng(seed)
    return rng.random((rows, n_labels)) < density, rng.random((rows, n_labels)) < density


def as_batch(y):
    schema = Schema([Feature("x")], [f"l{m}" for m in range(y.shape[1])])
    return Batch.from_dense(schema, np.zeros((len(y), 1)), y)


def as_predictions(z):
    b = as_batch(z)
    return Predictions(b.y_indptr, b.y_indices)


def sets(y):
    return [set(np.flatnonzero(row).tolist()) for row in y]


def rows_of(p):
    return [p.label_indices[a:b].tolist() for a, b in zip(p.label_indptr[:-1], p.label_indptr[1:], strict=True)]


shapes = (st.integers(1, 40), st.integers(1, 8), st.floats(0, 0.8), st.integers(0, 2**32 - 1))


@quick
@given(*shapes)
def test_agrees_with_sklearn(rows, n_labels, density, seed):
    y, z = random_pair(rows, n_labels, density, seed)
    m = Metrics()
    m.update(as_batch(y), as_predictions(z))
    got = m.result()
    empty = ~(y.any(axis=1) | z.any(axis=1))
    f1 = np.array([1.0 if e else 2 * (a & b).sum() / (a.sum() + b.sum()) for a, b, e in zip(y, z, empty, strict=True)])
    expected = {
        "subset_accuracy": sk.accuracy_score(y, z),
        "hamming_loss": sk.hamming_loss(y, z),
        "example_f1": f1.mean(),
        "example_jaccard": np.mean(
            [1.0 if e else (a & b).sum() / (a | b).sum() for a, b, e in zip(y, z, empty, strict=True)]
        ),
    }
    # scikit-learn reads one column as a binary problem: its averages need the positive class alone
    yy, zz = (y, z) if n_labels > 1 else (np.c_[y, y], np.c_[z, z])
    for average in ("micro", "macro"):
        p, r, f, _ = sk.precision_recall_fscore_support(yy, zz, average=average, zero_division=0)
        expected |= {f"{average}_precision": p, f"{average}_recall": r, f"{average}_f1": f}
    for name in METRICS:
        assert got[name] == pytest.approx(expected[name], abs=1e-12), name
    if not empty.any():
        assert got["example_f1"] == pytest.approx(sk.f1_score(yy, zz, average="samples", zero_division=0), abs=1e-12)


@quick
@given(*shapes, st.sampled_from([1.0, 0.99, 0.7]))
def test_score_rows_twin(rows, n_labels, density, seed, fading):
    y, z = random_pair(rows, n_labels, density, seed)
    m = Metrics(fading=fading)
    m.update(as_batch(y), as_predictions(z))
    counts, sums = twin.score_rows(sets(y), sets(z), n_labels, fading)
    np.testing.assert_allclose(m.label_counts(), counts, rtol=1e-9, atol=1e-12)
    assert m.n_rows == pytest.approx(sums[0])
    assert m.cardinality() == pytest.approx(sums[5] / sums[0])
    assert m.result()["subset_accuracy"] == pytest.approx(sums[1] / sums[0], abs=1e-12)


@quick
@given(*shapes, st.integers(0, 40), st.sampled_from([1.0, 0.9]))
def test_cut_anywhere_and_resume(rows, n_labels, density, seed, cut, fading):
    y, z = random_pair(rows, n_labels, density, seed)
    cut = min(cut, rows)
    whole, parts = Metrics(fading=fading), Metrics(fading=fading)
    whole.update(as_batch(y), as_predictions(z))
    parts.update(as_batch(y[:cut]), as_predictions(z[:cut]))
    resumed = Metrics(fading=fading)
    resumed.load_state_dict({k: v.copy() for k, v in parts.state_dict().items()})
    resumed.update(as_batch(y[cut:]), as_predictions(z[cut:]))
    assert resumed.result() == whole.result()


def test_fading_survives_long_streams():
    m = Metrics(fading=0.5)
    y = np.tile([[True, False]], (3000, 1))
    z = np.tile([[True, True]], (3000, 1))
    m.update(as_batch(y), as_predictions(z))
    m.update(as_batch(y[:1]), as_predictions(y[:1]))
    assert m.result()["subset_accuracy"] == pytest.approx(0.5)


def test_label_space_may_grow():
    m = Metrics()
    m.update(as_batch(np.array([[True]])), as_predictions(np.array([[True]])))
    m.update(as_batch(np.array([[True, True, False]])), as_predictions(np.array([[True, False, True]])))
    assert m.result()["hamming_loss"] == pytest.approx(2 / 6)
    assert m.result()["macro_f1"] == pytest.approx(1 / 3)


def test_nothing_scored_is_zero():
    assert set(Metrics().result().values()) == {0.0}


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


@quick
@given(*shapes, st.integers(0, 40))
def test_baselines_do_not_mind_batches(rows, n_labels, density, seed, cut):
    y, _ = random_pair(rows, n_labels, density, seed)
    modes = np.random.default_rng(seed).integers(1, 4, rows)
    cut = min(cut, rows)
    for kind in (NoChange, MajorityLabelset):
        whole, parts = kind(), kind()
        expected = rows_of(whole.test_then_train(with_modes(y, modes)))
        got = [
            row
            for a, b in ((0, cut), (cut, rows))
            for row in rows_of(parts.test_then_train(with_modes(y[a:b], modes[a:b])))
        ]
        assert got == expected
