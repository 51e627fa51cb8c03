"""The small kernels of the tree, one by one, against their twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import trees as twin

from stream_ml.trees import MultiLabelHoeffdingTree
from stream_ml.trees import _drift_kernels as drift
from stream_ml.trees import _leaf_kernels as leaf
from stream_ml.trees import _observer_kernels as observers
from stream_ml.trees import _split_kernels as splits
from stream_ml.trees._allocation import is_binary, new_table, row_space
from stream_ml.trees._layout import Leaf

quick = settings(deadline=None, derandomize=True, max_examples=50)
values = st.floats(-1e3, 1e3).map(lambda v: round(v, 3))


@quick
@given(st.lists(values, max_size=30), st.lists(values, max_size=30))
def test_running_sums_and_their_difference(first, second):
    cells = np.zeros((3, 2))
    for value in first:
        observers.add_value(cells, 0, 0, value)
        observers.add_value(cells, 0, 1, value)
    for value in second:
        observers.add_value(cells, 0, 1, value)
    np.testing.assert_allclose(cells[:, 1], twin.add_value(first + second), rtol=1e-9, atol=1e-6)
    rest = observers.rest_of(*cells[:, 1], *cells[:, 0])
    np.testing.assert_allclose(rest, twin.rest_of(first + second, first), rtol=1e-6, atol=1e-5)


@quick
@example(1, 1e-293)  # one side vanishes beside the other
@example(1e-293, 1e5)
@given(st.one_of(st.integers(0, 6000), st.floats(0, 1e5)), st.one_of(st.integers(0, 6000), st.floats(0, 1e5)))
def test_entropy_mass(count, rest):
    assert splits.entropy_mass(float(count), float(rest)) == pytest.approx(
        twin.entropy_mass(count, rest), rel=1e-9, abs=1e-7
    )


@quick
@given(st.floats(0, 1e4), values, st.floats(0, 100), values)
def test_gaussian_below(n, mean, sd, threshold):
    sd = round(sd, 2)
    ours = splits.gaussian_below(n, mean, sd, threshold)
    assert ours == pytest.approx(twin.gaussian_below(n, mean, sd, threshold), rel=1e-9, abs=1e-9)
    assert splits.tabled_below(n, mean, sd, threshold) == pytest.approx(
        twin.tabled_below(n, mean, sd, threshold), rel=1e-9, abs=1e-9
    )
    assert splits.tabled_below(n, mean, sd, threshold) == pytest.approx(ours, abs=2e-6 * n + 1e-12)


@quick
@given(st.integers(1, 100), st.integers(0, 10_000), st.integers(1, 10_000), st.floats(0.1, 30))
def test_null_merit(n_labels, n_tests, rows, log_inverse_confidence):
    ours = splits.null_merit(float(n_labels), float(n_tests), float(rows), log_inverse_confidence)
    assert ours == pytest.approx(twin.null_merit(n_labels, n_tests, rows, log_inverse_confidence), rel=1e-12)


@quick
@given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 1), st.integers(1, 500))
def test_verdict(rows, main, alternate, comparison_rows):
    ours = drift.verdict(main * rows, alternate * rows, float(rows), float(comparison_rows))
    assert ours == twin.verdict(main * rows, alternate * rows, rows, comparison_rows)


@quick
@given(st.sets(st.integers(0, 20)), st.integers(0, 20), st.integers(0, 3))
def test_find_feature(features, feature, before):
    indices = np.array([99] * before + sorted(features) + [99], dtype=np.int32)
    hi = before + len(features)
    assert leaf.find_feature(indices, before, hi, feature) == twin.find_feature(indices, before, hi, feature)


@quick
@given(st.lists(st.frozensets(st.integers(0, 70), max_size=3), max_size=60))
def test_labelset_table(sets):
    masks, counts, table = np.zeros((8, 2), dtype=np.uint64), np.zeros((8, 2)), []
    for labels in sets:
        mask = np.zeros(2, dtype=np.uint64)
        for label in labels:
            mask[label // 64] |= np.uint64(1 << (label % 64))
        leaf.add_labelset(masks, counts, mask)
        twin.add_labelset(table, labels)
    found = [frozenset(i for i in range(128) if int(m[i // 64]) >> (i % 64) & 1) for m in masks]
    expected = [(labels, float(count), float(error)) for labels, count, error in table]
    assert list(zip(found, *counts.T.tolist(), strict=True))[: len(table)] == expected
    assert not counts[len(table) :].any()


def test_no_split_of_a_worthless_kind_passes_the_null_merit():
    """On labels that have nothing to do with the features the best merit stays under the null merit."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = [({f: float(v) for f, v in enumerate(rng.normal(size=4))}, set()) for _ in range(100)]
        rows = [(x, {label for label in range(5) if rng.random() < 0.3}) for x, _ in rows]
        merit, *_, null = twin.search_splits(rows, 5, [0] * 4, False, 0.01, math.log(1 / 0.01))
        assert merit < null


def test_statistics_that_are_no_numbers_lead_nowhere():
    assert splits.tabled_below(3.0, np.nan, 1.0, 0.0) == 0.0
    assert splits.tabled_below(3.0, np.inf, 1.0, np.inf) == 0.0


@quick
@given(st.integers(1, 80), st.integers(1, 90), st.integers(0, 40), st.integers(0, 1000))
def test_features_that_are_there_or_not_are_observed_and_scored_as_others(n_features, n_labels, n_rows, seed):
    rng = np.random.default_rng(seed)
    table = new_table(np.full(n_features, 2, dtype=np.int32), sparse=True, missing_cells=0)
    assert is_binary(table, sparse=True)
    cells, ours = np.zeros((n_features, n_labels + 1)), np.zeros((n_features, n_labels + 1))
    extremes, positives = np.zeros((n_features, 1), dtype=np.float32), np.zeros(n_labels)
    rows = []
    for x, y in zip(rng.random((n_rows, n_features)) < 0.3, rng.random((n_rows, n_labels)) < 0.2, strict=True):
        indices, labels = (np.flatnonzero(part).astype(np.int32) for part in (x, y))
        values = rng.choice([1.0, 1.0, 1.0, 0.0, 2.0, np.nan], len(indices)).astype(np.float32)
        row, said = (indices, values, 0, len(indices)), (labels, 0, len(labels))
        observers.observe_row(cells, extremes, extremes, table, True, 0, *row, *said)
        observers.observe_binary(ours, *row, *said)
        positives += y
        rows.append(row)
    np.testing.assert_array_equal(ours, cells)
    wanted, got = ((np.ones((n_features, n_labels), np.float32), np.ones(n_labels, np.float32)) for _ in range(2))
    space, center = row_space(n_labels), np.zeros(n_features, dtype=np.float32)
    chosen, logs = space["chosen"], space["logs"]
    observers.prepare_naive_bayes(cells, positives, float(n_rows), table, True, 0, wanted[0], center, wanted[1])
    observers.prepare_binary(cells, positives, float(n_rows), chosen, logs, *got)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    scores, others = np.ones(n_labels, dtype=np.float32), np.ones(n_labels, dtype=np.float32)
    for row in rows:
        observers.binary_scores(*got, *row, scores)
        observers.naive_bayes_scores(got[0], center, got[1], table, True, 0, *row, others)
        np.testing.assert_array_equal(scores, others)


@quick
@given(st.integers(1, 20), st.integers(1, 8), st.integers(11, 6000), st.integers(0, 1000), st.floats(0.01, 0.9))
def test_features_that_are_there_or_not_are_split_as_others(n_features, n_labels, n_rows, seed, rate):
    rng = np.random.default_rng(seed)
    tree = MultiLabelHoeffdingTree(np.full(n_features, 2), n_labels, sparse=True)
    x, y = rng.random((n_rows, n_features)) < rate, rng.random((n_rows, n_labels)) < rate
    cells = np.concatenate([x.T.astype(float) @ y, x.sum(axis=0)[:, None]], axis=1)
    low = np.zeros((n_features, 1), dtype=np.float32)
    observed = Leaf(cells, y.sum(axis=0).astype(float), low, low, float(n_rows), 0.0, 0.0)
    space, found = row_space(n_labels), []
    for binary in (False, True):
        chosen = tree._settings()._replace(binary=binary)
        found.append(splits.search_splits(observed, tree._table, space["chosen"], space["scratch"], chosen))
    assert found[0] == found[1]
