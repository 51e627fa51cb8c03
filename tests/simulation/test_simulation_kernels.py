"""The kernels that draw simulated rows do what their plain twins do, with the same random numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import simulation as plain

from stream_ml.simulation import _kernels as k
from stream_ml.simulation import _topic_kernels as t
from stream_ml.simulation.binary_concepts import BASES, random_concepts

quick = settings(deadline=None, derandomize=True, max_examples=25)
BASE = st.sampled_from(sorted(BASES))


def concepts(base, seed, *, versions=2, labels=2):
    rng = np.random.default_rng(seed)
    arities = rng.choice([0, 0, 2, 4], (labels, 3)).astype(np.int64)
    arities[:, 0] = 0
    return random_concepts(base, arities, np.full(labels, 0.3), versions=versions, depth=3, seed=[seed])


@quick
@given(BASE, st.integers(0, 999), st.sampled_from([0.0, 0.4, 1.0]))
def test_points(base, seed, moved):
    c, (domain, _) = concepts(base, seed), BASES[base]
    out = np.empty((20, 3))
    k.draw_points(np.random.default_rng(seed), domain, c.arities[1], c.direction[1], c.centres[1], moved, out)
    expected = plain.draw_points(
        np.random.default_rng(seed), domain, c.arities[1], c.direction[1], c.centres[1], moved, 20
    )
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    one = np.empty(3)
    k.draw_point(np.random.default_rng(seed), domain, c.arities[1], c.direction[1], c.centres[1], moved, one)
    np.testing.assert_array_equal(one, out[0])


@quick
@given(BASE, st.integers(0, 999), st.floats(0, 1))
def test_scores(base, seed, share):
    c, (domain, rule) = concepts(base, seed), BASES[base]
    rng = np.random.default_rng(seed)
    points = np.array(plain.draw_points(rng, domain, c.arities[0], c.direction[0], c.centres[0], 0.5, 30))
    shares = np.array([1 - share, share])
    out, part = np.empty(30), np.empty(30)
    k.score_points(c, rule, 0, shares, points, part, out)
    np.testing.assert_allclose(out, plain.score_points(c, rule, 0, shares, points.tolist()), rtol=1e-9, atol=1e-9)


@quick
@given(BASE, st.integers(0, 999), st.sampled_from([0.0, 0.2]), st.integers(1, 70))
def test_rows_that_fit(base, seed, softness, n):
    c, (domain, rule) = concepts(base, seed), BASES[base]
    y = np.random.default_rng(seed + 1).random((n, 2)) < 0.3
    features = np.array([[0, 2, 4], [1, 3, 5]])
    shares, cuts, moved = np.array([[1.0, 0.0], [0.3, 0.7]]), np.array([0.2, 0.0]), np.array([0.0, 0.5])
    out = np.zeros((n, 7))
    stuck = k.fit_rows(np.random.default_rng(seed), c, domain, rule, features, shares, cuts, softness, moved, y, out)
    expected = plain.fit_rows(
        np.random.default_rng(seed), c, domain, rule, features, shares, cuts, softness, moved, y, 7
    )
    assert stuck == expected[0] == -1
    np.testing.assert_allclose(out, expected[1], rtol=1e-12, atol=1e-12)
    if not softness:
        for label in range(2):
            scores = plain.score_points(c, rule, label, shares[label], out[:, features[label]].tolist())
            np.testing.assert_array_equal(np.array(scores) > cuts[label], y[:, label])


def test_what_fits_nowhere_is_told():
    c = concepts("tree", 1)
    y, out = np.ones((3, 2), dtype=np.bool_), np.zeros((3, 6))
    features = np.array([[0, 2, 4], [1, 3, 5]])
    cuts = np.array([0.0, 1e9])
    rng = np.random.default_rng(0)
    assert k.fit_rows(rng, c, k.CUBE, k.TREE, features, np.ones((2, 2)), cuts, 0.0, np.zeros(2), y, out) == 1


@quick
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.data())
def test_bisected(steps, data):
    rising = np.cumsum(steps).astype(np.float64)
    low = data.draw(st.integers(0, len(rising) - 1))
    high = data.draw(st.integers(low + 1, len(rising)))
    value = data.draw(st.floats(-1, 110))
    assert t.bisected(rising, low, high, value) == plain.bisected(rising.tolist(), low, high, value)


@quick
@given(st.integers(0, 999), st.floats(0, 1), st.integers(2, 12))
def test_topics(seed, together, n_labels):
    rng = np.random.default_rng(seed)
    group_of = np.sort(rng.integers(0, 3, n_labels))
    group_of = np.unique(group_of, return_inverse=True)[1].astype(np.int64)
    starts = np.searchsorted(group_of, np.arange(group_of.max() + 2))
    cumulative = np.cumsum(rng.random(n_labels))
    sizes = rng.integers(1, 7, 15)
    places, counts = np.empty(int(sizes.sum()), dtype=np.int64), np.empty(15, dtype=np.int64)
    given_rng, twin_rng = np.random.default_rng(seed), np.random.default_rng(seed)
    n = t.draw_topic_sets(given_rng, sizes, cumulative, starts, group_of, together, places, counts)
    rows = plain.draw_topic_sets(twin_rng, sizes.tolist(), cumulative, starts, group_of, together)
    assert counts.tolist() == [len(row) for row in rows]
    assert places[:n].tolist() == [label for row in rows for label in row]
    words = rng.integers(0, 30, (2, n_labels, 4)).astype(np.int32)
    affected = rng.random((2, n_labels)) < 0.5
    shares, topic_words = np.array([1.0, 0.5]), rng.integers(0, 30, (3, 4)).astype(np.int32)
    background, ranked = np.cumsum(rng.random(30)), rng.permutation(30).astype(np.int32)
    lengths = rng.integers(1, 12, 15)
    x_indptr, indices = np.empty(16, dtype=np.int64), np.empty(int(lengths.sum()), dtype=np.int32)
    values = np.empty(len(indices), dtype=np.float32)
    same = group_of, words, affected, shares, topic_words, background, ranked, 0.5, 0.2
    ends = np.concatenate([[0], np.cumsum(counts)])
    t.draw_documents(given_rng, lengths, ends, places[:n], *same, x_indptr, indices, values)
    expected = plain.draw_documents(twin_rng, lengths.tolist(), rows, *same)
    found = [
        dict(zip(indices[a:b].tolist(), values[a:b].astype(int).tolist(), strict=True)) for a, b in pairwise(x_indptr)
    ]
    assert found == expected


@pytest.mark.parametrize("base", sorted(BASES))
def test_more_versions_change_none(base):
    one, three = (concepts(base, 5, versions=v) for v in (1, 3))
    for name, a, b in zip(one._fields, one, three, strict=True):
        if name in {"arities", "direction", "centres"}:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(a[:, 0], b[:, 0])
