"""What is noted of a run on its way: at distances that depend on nothing but the rows; and what it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decisions import _best_cut

from stream_ml import IHomerClassifier, default_stream, prequential
from stream_ml.decisions import Deciders
from stream_ml.decisions import _threshold_kernels as t
from stream_ml.evaluation.looks import MOST, Looks, frequent
from stream_ml.labels import Cooccurrence

quick = settings(deadline=None, derandomize=True, max_examples=40)
NOBODY = np.zeros(0, dtype=np.int64)


@given(st.integers(1, 7), st.integers(0, 3000))
@quick
def test_looks_stay_few_and_evenly_spaced(window, rows):
    looks = Looks(window)
    n = 0
    while n + looks.left(n) <= rows:
        n += looks.left(n)
        looks.take(None, n, 0.0, NOBODY)
    at = [record["instance"] for record in looks.records]
    assert len(at) <= MOST
    assert at == list(range(looks.every, rows + 1, looks.every))
    assert at == [row["instance"] for row in looks.resources]
    again = Looks(window)
    again.load_state_dict(looks.state_dict())
    assert (again.every, again.records, again.resources) == (looks.every, looks.records, looks.resources)


def test_a_state_of_before_there_were_looks_is_taken():
    looks = Looks(5)
    looks.load_state_dict({})
    assert (looks.every, looks.records) == (5, [])


def test_the_most_frequent_labels_come_first():
    assert frequent(np.array([[1, 5, 0, 0], [9, 0, 0, 9], [1, 0, 2, 0]]), 3).tolist() == [1, 0, 2]


@quick
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_counts_among_labels_are_those_of_pairs(seed, chosen):
    rng = np.random.default_rng(seed)
    y = rng.random((60, 6)) < 0.3
    counts = Cooccurrence(fading=0.99)
    counts.grow(6)
    indptr = np.concatenate([[0], y.sum(1).cumsum()])
    counts.update(indptr, y.nonzero()[1].astype(np.int32), np.full(60, 2, dtype=np.uint8), 0, 60)
    labels = rng.permutation(6)[:chosen]
    both, each = counts.among(labels)
    assert each.tolist() == counts.counts()[labels].tolist()
    for i, a in enumerate(labels.tolist()):
        for j, b in enumerate(labels.tolist()):
            assert both[i, j] == (0.0 if i == j else counts.pair(a, b))


@quick
@given(st.integers(0, 2**32 - 1))
def test_thresholds_are_those_that_decisions_take(seed):
    rng = np.random.default_rng(seed)
    deciders = Deciders()
    deciders.grow(4)
    state, unit = deciders.state, 3.0
    state.unit[0] = unit
    state.common[1:] = unit * rng.integers(0, 40, (t.BINS - 1, 2))
    state.common_total[0] = state.common[:, 0].sum() + unit * 5
    state.own[:4, 1:] = unit * rng.integers(0, 9, (4, t.BINS - 1, 2))
    state.own_total[:4] = state.own[:4, :, 0].sum(axis=1) + unit * rng.integers(0, 3, 4)
    share = t.SHRINK / (state.common_total[0] / unit)
    for label, cut in enumerate(deciders.thresholds(np.arange(4)).tolist()):
        cells = (state.own[label] + share * state.common) / unit
        assert cut == pytest.approx(_best_cut(cells.tolist(), state.own_total[label] / unit + t.SHRINK))


def test_what_a_model_tells_of_itself():
    model = IHomerClassifier(period=50)
    assert model.glance(np.arange(3)) == {}
    assert model.structure(np.arange(3), 2) == {}
    stream = default_stream(n_instances=1500, seed=3, batch_size=400)
    before = None
    for batch in stream:
        model.test_then_train(batch)
    before = model.state_dict()
    labels = np.array([3, 1, 99, 0])  # 99 is not known
    glance, told = model.glance(labels), model.structure(labels, 2)
    after = model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    assert glance["learned"] == 1500
    assert glance["labels"] == [row["position"] for row in told["labels"]] == [3, 1, 0]
    assert glance["clusters"] == len(model.clusters) == len(told["clusters"])
    assert glance["tree_nodes"] == model.n_tree_nodes >= sum(1 for _ in told["trees"])
    weights = model.expert_weights()
    for i, name in enumerate(told["experts"]):
        assert told["labels"][0]["weights"][i] == pytest.approx(weights[name][3], abs=1e-4)
        assert glance["weights"][i] is None or glance["weights"][i] == pytest.approx(weights[name].mean(), abs=1e-4)
    for row in told["labels"]:
        assert row["position"] in model.clusters[list(told["clusters"]).index(str(row["cluster"]))]
    assert len(told["cooccurrence"]["counts"]) == 2

    def leaves(tree):
        return [tree] if isinstance(tree, int) else [x for side in tree for x in leaves(side)]

    assert sorted(map(str, leaves(told["hierarchy"]))) == sorted(told["clusters"])


def test_a_run_notes_its_structure_at_every_window():
    result = prequential(default_stream(n_instances=1000, seed=3), IHomerClassifier(), window=300)
    assert [look["instance"] for look in result.structure["looks"]] == [300, 600, 900]
    assert [look["learned"] for look in result.structure["looks"]] == [300, 600, 900]
    assert [row["instance"] for row in result.resources] == [300, 600, 900, 1000]
    assert all(a["seconds"] < b["seconds"] for a, b in zip(result.resources, result.resources[1:], strict=False))
    support = [row["tp"] + row["fn"] for row in result.structure["labels"]]
    assert support == sorted(support, reverse=True)
    assert sum(support) == round(result.summary["stream"]["cardinality"] * 1000)
    assert result.structure["n_labels"] == len(support) == 12
