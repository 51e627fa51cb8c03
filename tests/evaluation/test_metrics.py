"""Metrics agree with scikit-learn, with their twin, and with themselves however rows are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import evaluation as twin
from sklearn import metrics as sk

from stream_ml.evaluation import METRICS, Metrics, PrecisionAtK
from stream_ml.streams import Batch, Feature, Predictions, Schema
from stream_ml.streams.batch import Likely

quick = settings(deadline=None, derandomize=True, max_examples=80)


def random_pair(rows, n_labels, density, seed):
    rng = np.random.default_rng(seed)
    return rng.random((rows, n_labels)) < density, rng.random((rows, n_labels)) < density


def as_batch(y):
    schema = Schema([Feature("x")], [f"l{m}" for m in range(y.shape[1])])
    return Batch.from_dense(schema, np.zeros((len(y), 1)), y)


def hiding(y, seed):
    """`y` with cells that are not known; per row which they are. Of a few rows nothing is known."""
    rng = np.random.default_rng(seed + 7)
    unknown = (rng.random(y.shape) < 0.5) & (rng.random(len(y)) < 0.7)[:, None]
    return np.where(unknown, np.nan, y), unknown


def as_predictions(z):
    b = as_batch(z)
    return Predictions(b.y_indptr, b.y_indices)


def sets(y):
    return [set(np.flatnonzero(row).tolist()) for row in y]


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
    told, unknown = hiding(y, seed)
    batch = as_batch(told)
    scored = np.flatnonzero(batch.labelled)
    m.update(batch, as_predictions(z), scored)
    y, z, unknown = y[scored], z[scored], unknown[scored]
    counts, sums = twin.score_rows(sets(y & ~unknown), sets(z), sets(unknown), n_labels, fading)
    if not len(scored):
        return
    np.testing.assert_allclose(m.label_counts(), counts, rtol=1e-9, atol=1e-12)
    assert m.n_rows == pytest.approx(sums[0])
    assert m.cardinality() == pytest.approx(sums[5] / sums[0])
    assert m.result()["subset_accuracy"] == pytest.approx(sums[1] / sums[0], abs=1e-12)
    pairs = (sums[0] - sums[6]) * n_labels + sums[7]
    assert m.result()["hamming_loss"] == pytest.approx(sums[2] / pairs, abs=1e-12)
    assert m.result()["example_f1"] == pytest.approx(sums[3] / sums[0], abs=1e-12)


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


@quick
@given(*shapes, st.integers(1, 6))
def test_top_hits_twin(rows, n_labels, density, seed, k):
    y, _ = random_pair(rows, n_labels, density, seed)
    # coarse values: ties are common
    p = (np.random.default_rng(seed + 1).integers(0, 5, y.shape) / 4).astype(np.float32)
    ranked = PrecisionAtK(range(1, k + 1))
    told, unknown = hiding(y, seed)
    batch = as_batch(told)
    scored = np.flatnonzero(batch.labelled)
    ranked.update(batch, Predictions(np.zeros(rows + 1, np.int64), np.zeros(0, np.int32), p), scored)
    y, unknown, rows = (y & ~unknown)[scored], unknown[scored], len(scored)
    hits = twin.top_hits(p[scored].tolist(), sets(y), sets(unknown), k)
    if not rows:
        return
    assert ranked.state_dict()["hits"].tolist() == hits
    assert ranked.result() == {f"precision_at_{j}": sum(hits[:j]) / (j * rows) for j in range(1, k + 1)}
    again = PrecisionAtK(range(1, k + 1))
    again.load_state_dict(ranked.state_dict())
    assert again.result() == ranked.result()


@quick
@given(*shapes, st.integers(1, 6))
def test_likely_labels_rank_as_all_do(rows, n_labels, density, seed, k):
    """Where the likely labels are all that are not impossible, and in the order that equals have."""
    y, _ = random_pair(rows, n_labels, density, seed)
    rng = np.random.default_rng(seed + 1)
    p = (rng.integers(1, 5, y.shape) / 4).astype(np.float32)
    batch = as_batch(hiding(y, seed)[0])
    order = np.argsort(-p, axis=1, kind="stable").astype(np.int32)
    beyond = np.zeros((rows, 2), np.int32)  # room beyond the sizes holds no labels
    sizes = np.full(rows, n_labels, np.int32)
    chances = np.hstack([np.take_along_axis(p, order, axis=1), beyond.astype(np.float32)])
    likely = Likely(sizes, np.hstack([order, beyond]), chances)
    nothing = np.zeros(rows + 1, np.int64), np.zeros(0, np.int32)
    every, some = PrecisionAtK(range(1, k + 1)), PrecisionAtK(range(1, k + 1))
    scored = np.flatnonzero(batch.labelled & (rng.random(rows) < 0.8))
    np.testing.assert_array_equal(likely.dense(n_labels), p)
    for chosen in (scored, None):
        every.update(batch, Predictions(*nothing, p), chosen)
        some.update(batch, Predictions(*nothing, likely=likely), chosen)
        assert some.result() == every.result()
        assert some.state_dict()["hits"].tolist() == every.state_dict()["hits"].tolist()


def test_nothing_is_ranked_without_probabilities():
    ranked = PrecisionAtK()
    ranked.update(as_batch(np.array([[True]])), as_predictions(np.array([[True]])))
    assert ranked.result() == {}
