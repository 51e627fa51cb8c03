"""Scenarios: the same seed gives the same rows however they are read, and what is said about drifts is so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.errors import ConfigError
from stream_ml.simulation import Scenario
from stream_ml.simulation.timeline import DriftSettings, Timeline
from stream_ml.streams import LEARN, PREDICT, concatenate

quick = settings(deadline=None, derandomize=True, max_examples=20)
FIELDS = ("x_indptr", "x_indices", "x_values", "y_indptr", "y_indices", "mode", "labelled")
BASES = ("tree", "rbf", "hyperplane", "linear")
GENERATOR = {
    "kind": "multilabel",
    "base": "tree",
    "n_features": 14,
    "n_nominal": 4,
    "n_labels": 6,
    "cardinality": 1.5,
    "n_groups": 2,
}
TOPICS = {"kind": "topics", "n_features": 300, "n_labels": 40, "n_groups": 5}


def made(drifts=(), n=4000, seed=1, feedback=None, **generator):
    base = TOPICS if generator.get("kind") == "topics" else GENERATOR
    data = {"n_instances": n, "generator": base | generator, "drifts": list(drifts)}
    return Scenario.load(data | ({"feedback": feedback} if feedback else {}), seed=seed)


def whole(scenario, **options):
    return concatenate(list(scenario.stream(**options)))


def content(batch):
    return {name: getattr(batch, name).tobytes() for name in FIELDS}


def arrays(scenario):
    batch = whole(scenario)
    return batch.x_dense(), batch.y_dense()


DRIFTS = st.sampled_from(
    [
        [],
        [{"kind": "concept", "at": 1500}],
        [{"kind": "concept", "shape": "gradual", "at": 500, "width": 2000, "groups": [1]}],
        [{"kind": "concept", "shape": "incremental", "at": 700, "width": 1900, "labels": [0, 3]}],
        [{"kind": "noise", "shape": "recurring", "at": 300, "period": 800, "width": 100, "rate": 0.3}],
        [{"kind": "appear", "at": 1100, "labels": [5]}, {"kind": "imbalance", "at": 1600, "factor": 0.5}],
    ]
)


@quick
@given(DRIFTS, st.sampled_from(["multilabel", "topics"]), st.integers(0, 2**40), st.integers(1, 3000), st.data())
def test_neither_batch_size_nor_start_changes_a_byte(drifts, kind, seed, batch_size, data):
    scenario = made(drifts, n=2600, seed=seed, kind=kind, **({"base": "tree"} if kind == "multilabel" else {}))
    expected = whole(scenario)
    again = made(drifts, n=2600, seed=seed, kind=kind, **({"base": "tree"} if kind == "multilabel" else {}))
    assert content(whole(again, batch_size=batch_size)) == content(expected)
    start = data.draw(st.integers(0, 2599))
    rest = scenario.stream(start=start, batch_size=batch_size)
    assert content(concatenate(list(rest))) == content(expected.rows(start, 2600))
    assert [d.instance for d in rest.drifts] == [d.instance - start for d in scenario.drifts]


@pytest.mark.parametrize("base", BASES)
def test_seeds_differ_and_lengths_do_not(base):
    x, y = arrays(made(base=base, n=1500))
    other_x, _ = arrays(made(base=base, n=1500, seed=2))
    longer_x, longer_y = arrays(made(base=base, n=2500))
    assert (x != other_x).mean() > 0.5
    np.testing.assert_array_equal(longer_x[:1500], x)
    np.testing.assert_array_equal(longer_y[:1500], y)


@pytest.mark.parametrize("base", BASES)
def test_frequencies_are_those_asked_for(base):
    generator = {"base": base, "imbalance": 4.0, "cardinality": 1.8, "noise": 0.3}
    _, y = arrays(made(n=30_000, **generator))
    frequency = np.sort(y.mean(axis=0))
    assert y.sum(axis=1).mean() == pytest.approx(1.8, abs=0.03)
    assert frequency[-1] / frequency[0] == pytest.approx(4.0, rel=0.1)


def test_topics_have_the_cardinality_and_the_words_asked_for():
    batch = whole(made(n=10_000, kind="topics", cardinality=4.0, length=25.0))
    sizes = np.diff(batch.y_indptr)
    assert sizes.mean() == pytest.approx(4.0, abs=0.1)
    assert (sizes.min(), sizes.max()) == (1, 20)
    assert np.add.reduceat(batch.x_values, batch.x_indptr[:-1]).mean() == pytest.approx(25.0, abs=0.3)
    counts = np.sort(np.bincount(batch.y_indices, minlength=40))[::-1]
    assert counts[0] > 4 * counts[20]  # Zipf


def jaccard(y):
    both = y.T.astype(np.float64) @ y
    n = np.diag(both)
    return both / np.maximum(n[:, None] + n - both, 1)


def test_a_drift_of_dependence_regroups_labels_and_keeps_their_frequencies():
    n = 40_000
    scenario = made([{"kind": "dependence", "at": 20_000}], n=n, n_labels=8, n_features=16, imbalance=3.0)
    _, y = arrays(scenario)
    (drift,) = scenario.drifts
    before, after = y[:20_000], y[20_000:]
    np.testing.assert_allclose(before.mean(axis=0), after.mean(axis=0), atol=0.018)  # 4 standard errors
    assert drift.before == scenario.groups(0) != drift.after == scenario.groups(n - 1)
    for part, groups in ((before, drift.before), (after, drift.after)):
        together = np.zeros((8, 8), dtype=np.bool_)
        for group in groups:
            together[np.ix_(group, group)] = True
        off = ~np.eye(8, dtype=np.bool_)
        assert jaccard(part)[together & off].min() > jaccard(part)[~together].max() + 0.1


def rules_of(scenario, x):
    """What each label's rule says of rows, at the start and at the end."""
    from stream_ml.simulation._kernels import score_points
    from stream_ml.simulation.binary_concepts import BASES as KINDS

    generator = scenario._generator
    _, rule = KINDS[generator.settings.base]
    out = []
    for row in (0, scenario.n_instances - 1):
        state = generator.state(scenario._expected(row))
        says = np.empty((len(x), len(generator._features)), dtype=np.bool_)
        for label, columns in enumerate(generator._features):
            part, scores = np.empty(len(x)), np.empty(len(x))
            points = np.ascontiguousarray(x[:, columns].astype(np.float64))
            score_points(generator._concepts, rule, label, state.shares[label], points, part, scores)
            says[:, label] = scores > state.thresholds[label]
        out.append(says)
    return out


@pytest.mark.parametrize("base", ["tree", "rbf", "hyperplane"])
def test_a_local_drift_of_concept_changes_its_labels_only(base):
    scenario = made([{"kind": "concept", "at": 2000, "groups": [1]}], base=base)
    x, y = arrays(scenario)
    (drift,) = scenario.drifts
    assert (drift.instance, drift.labels) == (2000, (3, 4, 5))
    first, last = rules_of(scenario, x)
    agree = {"old": first == y, "new": last == y}
    others = np.setdiff1d(np.arange(6), drift.labels)
    assert agree["old"][:2000].mean() > 0.999
    assert agree["old"][2000:, others].mean() > 0.999
    assert agree["new"][2000:, drift.labels].mean() > 0.999
    assert agree["old"][2000:, drift.labels].mean(axis=0).max() < 0.9


@pytest.mark.parametrize("base", ["tree", "rbf", "hyperplane"])
def test_a_drift_of_features_changes_them_only(base):
    scenario = made([{"kind": "features", "at": 5000}], n=10_000, base=base)
    x, y = arrays(scenario)
    first, last = rules_of(scenario, x)
    assert ((first == y) & (last == y)).mean() > 0.999  # the rules hold all the time
    np.testing.assert_allclose(y[:5000].mean(axis=0), y[5000:].mean(axis=0), atol=0.04)
    moved = np.abs(x[:5000].mean(axis=0) - x[5000:].mean(axis=0))
    assert np.median(moved) > 0.1


def test_a_drift_of_concept_leaves_features_and_frequencies():
    scenario = made([{"kind": "concept", "at": 10_000}], n=20_000, base="hyperplane")
    x, y = arrays(scenario)
    np.testing.assert_allclose(x[:10_000].mean(axis=0), x[10_000:].mean(axis=0), atol=0.03)
    np.testing.assert_allclose(y[:10_000].mean(axis=0), y[10_000:].mean(axis=0), atol=0.03)


def test_labels_appear_vanish_and_change_frequency():
    drifts = [
        {"kind": "appear", "at": 3000, "labels": [0]},
        {"kind": "vanish", "shape": "gradual", "at": 3000, "width": 2000, "labels": [1]},
        {"kind": "imbalance", "at": 3000, "labels": [2], "factor": 0.2},
    ]
    _, y = arrays(made(drifts, n=9000))
    early, late = y[:3000].mean(axis=0), y[5000:].mean(axis=0)
    assert early[0] == 0.0
    assert late[0] > 0.2
    assert early[1] > 0.2
    assert late[1] == 0.0
    assert y[3000:5000, 1].mean() == pytest.approx(early[1] / 2, rel=0.3)
    assert late[2] == pytest.approx(early[2] / 5, rel=0.3)
    np.testing.assert_allclose(early[3:], late[3:], atol=0.05)


def test_noise_keeps_frequencies_and_blurs_rules():
    scenario = made([{"kind": "noise", "at": 5000, "rate": 0.4}], n=15_000)
    x, y = arrays(scenario)
    rule, _ = rules_of(scenario, x)
    assert (rule == y)[:5000].mean() > 0.999
    frequency = y[:5000].mean(axis=0)
    expected = 1 - 0.4 * 2 * frequency * (1 - frequency)
    np.testing.assert_allclose((rule == y)[5000:].mean(axis=0), expected, atol=0.03)
    np.testing.assert_allclose(y[5000:].mean(axis=0), frequency, atol=0.03)


def test_late_and_missing_labels():
    scenario = made(n=3000, feedback={"delay": 40, "missing": 0.25})
    batch = whole(scenario)
    plain = concatenate(list(scenario.rows()))
    asked, learned = (np.flatnonzero(batch.mode & bit) for bit in (PREDICT, LEARN))
    assert len(asked) == 3000
    assert np.mean(~plain.labelled) == pytest.approx(0.25, abs=0.03)
    assert len(learned) == plain.labelled.sum()
    assert not np.diff(plain.y_indptr)[~plain.labelled].any()


shape = st.sampled_from(["sudden", "gradual", "incremental", "recurring"])


@quick
@given(shape, st.integers(0, 3000), st.integers(1, 900), st.integers(0, 99))
def test_activations_are_what_the_truth_says(kind, at, width, seed):
    drift = {"kind": "concept", "shape": kind, "at": at}
    if kind != "sudden":
        drift["width"] = width
    if kind == "recurring":
        drift["period"] = width + 300
    timeline = Timeline([DriftSettings(**drift)], 4000)
    share = timeline.activations(0, 4000, np.random.default_rng(seed))[:, 0]
    turns = timeline.turns(timeline.drifts[0])
    assert [first for first, _, _ in turns] == list(range(at, 4000, width + 300 if kind == "recurring" else 9999))
    assert (share[:at] == 0).all()
    for number, (_, last, on) in enumerate(turns):
        following = turns[number + 1][0] if number + 1 < len(turns) else 4000
        assert (share[last:following] == on).all()
    assert ((share >= 0) & (share <= 1)).all()
    assert kind == "incremental" or np.isin(share, [0.0, 1.0]).all()


def test_truth_of_recurring_drifts_has_every_turn():
    scenario = made([{"kind": "concept", "shape": "recurring", "at": 1000, "period": 1200, "width": 100}])
    assert [(d.instance, d.end, d.shape) for d in scenario.drifts] == [
        (1000, 1100, "recurring"),
        (2200, 2300, "recurring"),
        (3400, 3500, "recurring"),
    ]


WRONG = [
    ({"generator": GENERATOR | {"n_labls": 3}}, "unknown key 'generator.n_labls'; did you mean 'generator.n_labels'?"),
    ({"genrator": 1}, "did you mean 'generator'?"),
    (
        {"generator": GENERATOR | {"kind": "multi"}},
        "generator.kind: expected multilabel or topics or file, found 'multi'",
    ),
    ({"generator": GENERATOR | {"base": "forest"}}, "generator.base: expected 'tree', 'rbf', 'hyperplane' or 'linear'"),
    ({"drifts": [{"kind": "concept", "att": 5}]}, "did you mean 'drifts.0.at'?"),
    ({"drifts": [{"kind": "concept", "at": "soon"}]}, "drifts.0.at: expected integer, found 'soon' (string)"),
    ({"drifts": [{"kind": "concept", "at": 5, "shape": "gradual"}]}, "a gradual drift needs a width"),
    ({"drifts": [{"kind": "concept", "at": 5, "groups": [7]}]}, "groups go to 1, found 7"),
    ({"generator": GENERATOR | {"cardinality": 5.9}}, "expected 0.002 to 0.9"),
    ({"generator": GENERATOR | {"n_features": 3, "n_nominal": 0}}, "n_features: expected at least 6"),
    ({"generator": TOPICS, "drifts": [{"kind": "dependence", "at": 5}]}, "topics know appear, concept"),
    ({"n_instances": None}, "n_instances is not given"),
    ({"drifts": [{"kind": "imbalance", "at": 5, "factor": 50.0}]}, "after imbalance at row 5"),
    (
        {"drifts": [{"kind": "imbalance", "at": 5, "factor": 9.0}, {"kind": "imbalance", "at": 90, "factor": 0.1}]},
        "after imbalance at row 5",  # though all is well in the end
    ),
    ({"generator": GENERATOR | {"theta": [[None] * 6] * 6}}, "expected n_groups or theta, not both"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_is_wrong_is_told(change, message):
    with pytest.raises(ConfigError) as told:
        Scenario.load({"n_instances": 3000, "generator": GENERATOR} | change)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_start_must_be_a_row():
    with pytest.raises(ValueError, match="start must be a row from 0 to 3999"):
        made().stream(start=4000)
