"""Drift handling scored: what was detected when, of which labels, and what it cost, on made-up runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, f1_score

from stream_ml import IHomerClassifier
from stream_ml.evaluation import (
    DriftTrace,
    PartitionHistory,
    adjusted_rand_index,
    compare_on_drifts,
    prequential,
    score_drifts,
)
from stream_ml.evaluation.drift_comparison import traced
from stream_ml.ihomer.events import Event
from stream_ml.simulation import Scenario
from stream_ml.streams import Batch, Delayed, Drift, Feature, Predictions, Schema

quick = settings(deadline=None, derandomize=True, max_examples=60)
NAMES = ["a", "b", "c", "d"]
FOUNDED = Event("join", 1, "cluster", changed={"joined": {"1": [0, 1], "2": [2, 3]}})


def partition(labels):
    return [[i for i, g in enumerate(labels) if g == group] for group in sorted(set(labels))]


@quick
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=12))
def test_adjusted_rand_index_is_that_of_scikit_learn(pairs):
    one, other = (list(side) for side in zip(*pairs, strict=True))
    found = adjusted_rand_index(partition(one), partition(other))
    assert found == pytest.approx(adjusted_rand_score(one, other))


def run(hits, events, drifts, *, delay=0):
    """A run over rows with one label each, predicted where `hits` says so."""
    n = len(hits)
    schema = Schema([Feature("x")], NAMES)
    y = np.zeros((n, 4), dtype=np.bool_)
    y[:, 0] = True
    batch = Batch.from_dense(schema, np.zeros((n, 1)), y)
    trace = DriftTrace()
    pieces = [batch]
    if delay:

        class Whole:
            batch_size, on_error, name, grows, n_instances = 100, "raise", "whole", False, n

            def pieces(self):
                yield batch

        whole = Whole()
        whole.schema, whole.skipped = schema, None
        pieces = list(Delayed(whole, delay).pieces())
    done = 0
    for piece in pieces:
        asked = (piece.mode & 1) != 0
        chosen = np.zeros(len(piece), dtype=np.int64)
        chosen[asked] = np.where(hits[done : done + asked.sum()], 0, 3)
        done += asked.sum()
        ends = np.arange(len(piece) + 1, dtype=np.int64)
        trace.update(piece, Predictions(ends, chosen.astype(np.int32)))
    return score_drifts(drifts, trace, [FOUNDED, *events], NAMES), trace


def seen(instance, where="", scope="cluster"):
    return Event("drift", instance, scope, where)


def test_detections_are_matched_to_drifts():
    drifts = [Drift(1000, "concept", (0, 1, 2, 3)), Drift(5000, "concept", (0, 1, 2, 3), "gradual", 6000)]
    events = [seen(400, "1"), seen(1120, "1"), seen(1300, "2"), seen(2100, "2"), seen(6900, "loss", "global")]
    found, _ = run(np.ones(10_000, dtype=bool), events, drifts)
    assert [d["delay"] for d in found["drifts"]] == [120, 1900]
    assert (found["found"], found["missed"], found["median_delay"]) == (2, 0, 1010)
    assert found["false_alarms"] == 2  # row 400, and 2,100, which is past the horizon
    assert found["quiet_rows"] == 10_000 - 1000 - 2000
    assert found["false_alarms_per_10000"] == pytest.approx(2 / 7000 * 10_000)


def test_what_needs_no_reaction_is_not_missed():
    found, _ = run(
        np.ones(3000, dtype=bool), [seen(600, "1")], [Drift(500, "features", (0,)), Drift(2000, "noise", (0,))]
    )
    assert (found["n_drifts"], found["missed"], found["false_alarms"]) == (0, 0, 0)
    assert [d["delay"] for d in found["drifts"]] == [100, None]


@pytest.mark.parametrize(
    ("events", "right", "only", "untouched"),
    [
        ([seen(1100, "1")], True, True, True),
        ([seen(1100, "1"), seen(1150, "2")], True, False, False),
        ([seen(1100, "2"), seen(1150, "1")], False, False, False),
        ([seen(1100, "1"), Event("swap", 1500, "cluster", "2")], True, True, False),
        ([seen(1100, "1"), seen(1200, "loss", "global")], True, True, False),
        ([seen(1100, "1"), Event("warning", 1200, "cluster", "2")], True, True, True),
        ([], False, False, True),
    ],
)
def test_the_right_cluster_is_named_and_others_are_left_alone(events, right, only, untouched):
    found, _ = run(np.ones(3000, dtype=bool), events, [Drift(1000, "concept", (0,))])
    (drift,) = found["drifts"]
    assert (drift["named_right"], drift["named_only"], drift["others_untouched"]) == (right, only, untouched)


def test_what_a_drift_cost():
    hits = np.ones(5000, dtype=bool)
    hits[2000:2500] = False
    hits[2500:2750:2] = False
    found, trace = run(hits, [], [Drift(2000, "concept", (0,))])
    cost = found["drifts"][0]["dip"]
    assert (cost["before"], cost["lowest"], cost["recovery"]) == (1.0, 0.0, 1000)
    assert cost["area"] == pytest.approx(500 + 250 * 0.5, abs=1)
    truth, guess = np.tile([1, 0], (5000, 1)), np.where(hits[:, None], [1, 0], [0, 1])
    assert trace.curve().f1(1900, 2600) == pytest.approx(f1_score(truth[1900:2600], guess[1900:2600], average="micro"))


def test_delays_are_told_in_rows_where_labels_come_late():
    found, _ = run(np.ones(4000, dtype=bool), [seen(1100, "1")], [Drift(1000, "concept", (0, 1, 2, 3))], delay=300)
    assert found["drifts"][0]["delay"] == 400  # 1,100 had been learned when 1,400 had been predicted


def test_a_regrouping_is_compared_with_the_true_partition():
    drift = Drift(1000, "dependence", (0, 1, 2, 3), before=((0, 1), (2, 3)), after=((0, 2), (1, 3)))
    change = {"before": {"1": [0, 1], "2": [2, 3]}, "after": {"3": [0, 2], "4": [1, 3]}}
    found, _ = run(np.ones(5000, dtype=bool), [Event("move", 1700, "cluster", "1 2", changed=change)], [drift])
    record = found["drifts"][0]
    assert record["rand_index_before"] == record["rand_index_2000"] == record["rand_index_last"] == 1.0
    assert record["reclustered"] == 700


@pytest.fixture(scope="module")
def local():
    data = {
        "n_instances": 9000,
        "generator": {"kind": "multilabel", "base": "rbf", "n_features": 16, "n_labels": 8, "n_groups": 2},
        "drifts": [{"kind": "concept", "at": 5000}],
    }
    return Scenario.load(data, seed=3)


def test_events_tell_the_whole_history_of_the_partition(local):
    model, trace = IHomerClassifier(), DriftTrace()
    result = prequential(local.stream(), model, on_predictions=trace.update)
    history = PartitionHistory(result.events)
    assert sorted(history.states[-1].values()) == sorted(map(tuple, model.clusters))
    assert trace.curve().f1(0, 9000) == pytest.approx(result.summary["metrics"]["micro_f1"])
    assert history.at(0) == {}


def quick_learner():
    return IHomerClassifier(tree={"enabled": False}, experts={"neighbours": 0})


def test_learners_are_compared_at_a_drift(local):
    curve = traced(local.stream(), quick_learner())
    (found,) = compare_on_drifts(
        lambda first: local.stream(start=first, batch_size=700),
        local.drifts,
        9000,
        quick_learner,
        curve,
        {"same": curve},
    )
    again = compare_on_drifts(
        lambda f: local.stream(start=f), local.drifts, 9000, quick_learner, curve, {"same": curve}
    )
    assert again == [found]  # the batch size changes nothing
    assert found["model"] == found["same"]
    assert found["frozen_rise"] > 0.15
    assert found["oracle_level"] > 0.5
    assert found["recovery"] is None or found["recovery"] >= 250
    assert found["oracle"]["area"] > 0
