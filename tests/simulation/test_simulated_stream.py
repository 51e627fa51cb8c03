"""Simulated streams to the byte, their drifts on held-out rows, and concepts against their rules by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from stream_ml.simulation import GroupConcept, SimulatedStream, default_stream
from stream_ml.streams import Feature, Schema, concatenate

FIELDS = ("x_indptr", "x_indices", "x_values", "y_indptr", "y_indices", "mode", "labelled")
quick = settings(deadline=None, derandomize=True, max_examples=25)


def content(stream):
    """All rows as bytes, field by field."""
    whole = concatenate(list(stream))
    return {name: getattr(whole, name).tobytes() for name in FIELDS}


def arrays(stream):
    whole = concatenate(list(stream))
    return whole.x_dense(), whole.y_dense()


@pytest.fixture(scope="module")
def stream():
    return default_stream()


@pytest.fixture(scope="module")
def data(stream):
    return arrays(stream)


@pytest.fixture(scope="module")
def phases(stream, data):
    """Labels and concept of each phase."""
    starts = [start for start, _ in stream.phases]
    return [
        (data[1][a:b], concept)
        for a, b, (_, concept) in zip(starts, [*starts[1:], stream.n_instances], stream.phases, strict=True)
    ]


def similarity(y):
    """Jaccard similarity of every pair of labels."""
    both = y.T.astype(np.float64) @ y
    n = np.diag(both)
    return both / (n[:, None] + n - both)


@pytest.mark.parametrize("batch_size", [1, 7, 999, 1024, 5000])
def test_batch_size_changes_no_byte(batch_size):
    expected = default_stream(n_instances=3210)
    other = default_stream(n_instances=3210, batch_size=batch_size)
    assert content(other) == content(expected)
    batches = list(other)
    assert [b.first for b in batches] == list(range(0, 3210, batch_size))
    assert {len(b) for b in batches[:-1]} <= {batch_size}
    assert sum(len(b) for b in batches) == 3210


@quick
@given(st.integers(1, 2600), st.integers(1, 1500), st.integers(0, 2**31))
def test_any_size_and_seed(n_instances, batch_size, seed):
    stream = default_stream(n_instances=n_instances, batch_size=batch_size, seed=seed)
    assert sum(len(batch) for batch in stream) == stream.n_instances == n_instances
    assert content(stream) == content(default_stream(n_instances=n_instances, seed=seed))


def test_passes_do_not_disturb_each_other():
    stream = default_stream(n_instances=1500, batch_size=100)
    pairs = list(zip(stream, stream, strict=True))
    assert len(pairs) == 15
    for a, b in pairs:
        np.testing.assert_array_equal(a.x_values, b.x_values)
        np.testing.assert_array_equal(a.y_indices, b.y_indices)


def test_a_shorter_stream_has_the_same_features():
    short, long = default_stream(n_instances=2500), default_stream(n_instances=6000)
    (x, y), (longer_x, longer_y) = arrays(short), arrays(long)
    np.testing.assert_array_equal(x, longer_x[:2500])
    np.testing.assert_array_equal(y[:1000], longer_y[:1000])  # until the shorter one drifts
    assert (y[1000:] != longer_y[1000:2500]).any()


def test_columns_are_what_the_schema_says(stream, data):
    x, y = data
    assert (stream.name, stream.n_instances, stream.schema.sparse) == ("default", 50_000, False)
    assert x.shape == (50_000, stream.schema.n_features) == (50_000, 30)
    assert y.shape == (50_000, stream.schema.n_labels) == (50_000, 12)
    arities = stream.schema.arities()
    assert sorted(arities.tolist()) == [0] * 24 + [2] * 4 + [4] * 2
    for j, arity in enumerate(arities.tolist()):
        if arity:
            shares = np.bincount(x[:, j].astype(int), minlength=arity) / len(x)
            np.testing.assert_array_equal(np.unique(x[:, j]), np.arange(arity))
            np.testing.assert_allclose(shares, 1 / arity, atol=0.01)
        else:
            assert abs(x[:, j].mean()) < 0.02
            assert abs(x[:, j].std() - 1.0) < 0.02


def test_drifts_are_where_and_what_they_say(stream):
    concept, dependence = stream.drifts
    assert [(d.instance, d.kind) for d in stream.drifts] == [(20_000, "concept"), (35_000, "dependence")]
    first, second, third = (c for _, c in stream.phases)
    assert concept.labels == (0, 1, 2, 3, 4, 5)
    assert first.groups() == second.groups() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    changed = [g for g in range(4) if not np.array_equal(first.weights[g], second.weights[g])]
    assert changed == [0, 1]
    assert third.groups() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert dependence.labels == (1, 2, 3, 4, 7, 8, 9, 10)
    np.testing.assert_array_equal(third.weights, second.weights)


def test_only_the_second_drift_changes_what_goes_together(phases):
    before, between, after = (similarity(y) for y, _ in phases)
    groups, regrouped = phases[1][1].group_of, phases[2][1].group_of
    same = groups[:, None] == groups
    assert np.abs(between - before)[same].max() < 0.03
    # groups with new rules share other features with the rest, so what is together by chance moves a little
    assert np.abs(between - before)[~same].max() < 0.1
    parted = (groups[:, None] == groups) & (regrouped[:, None] != regrouped)
    joined = (groups[:, None] != groups) & (regrouped[:, None] == regrouped)
    assert parted.sum() == joined.sum() == 24
    assert (between[parted] - after[parted]).min() > 0.5
    assert (after[joined] - between[joined]).min() > 0.5


def one_hot(x, schema):
    columns = [
        x[:, [j]] if arity == 0 else (x[:, [j]] == np.arange(arity)).astype(np.float64)
        for j, arity in enumerate(schema.arities().tolist())
    ]
    return np.hstack(columns)


def test_a_linear_model_loses_where_the_drifts_are_and_nowhere_else(stream, data):
    x, y = one_hot(data[0].astype(np.float64), stream.schema), data[1]
    at, then = (d.instance for d in stream.drifts)
    rise, later = np.zeros(12), np.zeros(12)
    for label in range(12):
        model = LogisticRegression(max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(x[:10_000], y[:10_000, label])
        loss = [
            (model.predict(x[a:b]) != y[a:b, label]).mean()
            for a, b in ((10_000, at), (at, at + 10_000), (then, then + 10_000))
        ]
        prior = y[:10_000, label].mean()
        assert loss[0] < min(prior, 1 - prior) - 0.02  # something was learned
        rise[label], later[label] = loss[1] - loss[0], loss[2] - loss[1]
    affected = np.isin(np.arange(12), stream.drifts[0].labels)
    # two means of 10,000 rows each differ by chance with a standard deviation of at most 0.007
    assert rise[affected].min() > 0.13
    assert np.abs(rise[~affected]).max() < 0.02
    # labels 6 and 11 keep their group and its rule at the second drift; 7 to 10 get another one
    assert np.abs(later[[6, 11]]).max() < 0.02
    assert later[7:11].min() > 0.1


def plain_rule(concept, row):
    """Groups that are on when nothing is left to chance, by hand."""
    on = []
    for g in range(len(concept.threshold)):
        region = int(row[concept.region_feature[g]]) % concept.weights.shape[1]
        score = sum(w * v for w, v in zip(concept.weights[g, region].tolist(), row.tolist(), strict=True))
        on.append(score > concept.threshold[g])
    return [on[g] for g in concept.group_of.tolist()]


@quick
@given(st.integers(0, 2**31), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_without_chance_labels_follow_the_rule(seed, group_sizes, n_regions):
    rng = np.random.default_rng(seed)
    concept = GroupConcept.random(
        rng, n_features=8, group_sizes=group_sizes, region_features=(6, 7), n_regions=n_regions
    )
    concept = replace(concept, together=1.0, noise=0.0, sharpness=1e9)
    x = rng.normal(size=(50, 8))
    x[:, 6:] = rng.integers(0, 3, (50, 2))
    assert concept.labels(x, rng).tolist() == [plain_rule(concept, row) for row in x]


def test_chances_are_those_of_the_concept():
    rng = np.random.default_rng(0)
    concept = GroupConcept.random(rng, n_features=4, group_sizes=(2,), region_features=(3,), n_regions=1, relevant=1)
    n = 40_000
    always, never = (replace(concept, threshold=np.array([t]), together=0.8, noise=0.1) for t in (-1e3, 1e3))
    even = replace(concept, weights=np.zeros_like(concept.weights), threshold=np.zeros(1), together=1.0, noise=0.0)
    x = np.zeros((n, 4))
    np.testing.assert_allclose(always.labels(x, rng).mean(axis=0), 0.8, atol=0.01)
    np.testing.assert_allclose(never.labels(x, rng).mean(axis=0), 0.1, atol=0.01)
    y = even.labels(x, rng)
    np.testing.assert_allclose(y.mean(axis=0), 0.5, atol=0.01)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])  # one latent for both


def test_concepts_are_changed_as_copies():
    rng = np.random.default_rng(1)
    one, other = (
        GroupConcept.random(rng, n_features=6, group_sizes=(2, 2), region_features=(5,), n_regions=2) for _ in range(2)
    )
    kept = one.weights.copy()
    mixed, regrouped = one.with_rules_of(other, [1]), one.with_groups(np.array([1, 0, 1, 0]))
    np.testing.assert_array_equal(one.weights, kept)
    np.testing.assert_array_equal(mixed.weights[0], one.weights[0])
    np.testing.assert_array_equal(mixed.weights[1], other.weights[1])
    assert (one.groups(), regrouped.groups()) == ([[0, 1], [2, 3]], [[1, 3], [0, 2]])


def small():
    """A schema of two labels, and two concepts for it: always on, and never."""
    schema = Schema([Feature("a"), Feature("b", ("no", "yes"))], ["p", "q"], name="small")
    zeros = np.zeros((1, 1, 2))
    on = GroupConcept(np.zeros(2, dtype=np.int64), zeros, np.array([-1e3]), np.array([1]), together=1.0, noise=0.0)
    return schema, on, replace(on, threshold=np.array([1e3]))


def test_phases_begin_at_their_row():
    schema, on, off = small()
    stream = SimulatedStream(schema, [(0, off), (1234, on), (2000, off)], n_instances=3456, seed=0, batch_size=100)
    y = arrays(stream)[1]
    np.testing.assert_array_equal(y[:, 0], (np.arange(3456) >= 1234) & (np.arange(3456) < 2000))
    np.testing.assert_array_equal(y[:, 0], y[:, 1])


def test_of_two_phases_from_the_same_row_the_later_rules():
    schema, on, off = small()
    y = arrays(SimulatedStream(schema, [(0, off), (0, on)], n_instances=50, seed=0))[1]
    assert y.all()


@pytest.mark.parametrize("starts", [[], [5], [0, 30, 10]])
def test_phases_that_leave_rows_out_are_refused(starts):
    schema, on, _ = small()
    with pytest.raises(ValueError, match="phases must start at row 0 and be in order"):
        SimulatedStream(schema, [(start, on) for start in starts], n_instances=50, seed=0)


def test_other_impossible_streams_are_refused():
    schema, on, _ = small()
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        default_stream(batch_size=0)
    with pytest.raises(ValueError, match="concept from row 0 has 3 labels, the schema 2"):
        SimulatedStream(schema, [(0, on.with_groups(np.zeros(3)))], n_instances=50, seed=0)
