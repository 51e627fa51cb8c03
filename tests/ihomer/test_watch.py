"""Which drifts are of the whole, and which of some clusters only."""

from __future__ import annotations

import numpy as np
import pytest

from stream_ml import IHomerClassifier
from stream_ml.evaluation import DriftTrace, prequential, score_drifts
from stream_ml.ihomer.parameters import DriftParameters
from stream_ml.ihomer.watch import LOSS, Found, LossWatch
from stream_ml.simulation import Scenario
from stream_ml.streams import concatenate

SIZES = {1: 4, 2: 4, 3: 4}


def watch(*found):
    """A watch that has found drifts at (instance, where)."""
    new = LossWatch(DriftParameters())
    new.follow(list(SIZES), changed=False)
    new.pending = [drift(*f) for f in found]
    return new


def drift(instance, where, rise=0.3):
    return Found(instance, where, True, 0.4, 100.0, rise)


def shown(found):
    return [(f.instance, f.where, f.drift) for f in found]


def test_what_one_cluster_explains_is_no_drift_of_the_whole():
    """Whichever was seen first."""
    assert shown(watch((50, 1), (90, LOSS)).take(SIZES)) == [(50, 1, True), (90, LOSS, False)]
    assert shown(watch((50, LOSS), (90, 1)).take(SIZES)) == [(50, LOSS, False), (90, 1, True)]


@pytest.mark.parametrize("found", [[(90, LOSS)], [(10, 1), (20, 2), (30, 3), (90, LOSS)]])
def test_what_no_cluster_or_all_of_them_explain_is(found):
    assert shown(watch(*found).take(SIZES))[-1] == (90, LOSS, True)


def test_a_smaller_rise_is_an_echo_unless_the_whole_drifts():
    assert shown(watch((50, 1), (60, 2, 0.17), (70, 3, 0.2)).take(SIZES)) == [
        (50, 1, True),
        (60, 2, False),
        (70, 3, True),
    ]
    assert all(f.drift for f in watch((50, 1), (60, 2, 0.17), (65, LOSS), (70, 3, 0.2)).take(SIZES))
    assert [f.drift for f in watch((50, 1), (60, LOSS), (70, 3, 0.17)).take(SIZES)] == [True, False, False]


def test_a_cluster_is_part_of_a_drift_of_the_whole_for_a_while():
    seen = watch((90, LOSS), (91, 1), (92, 2), (93, 3), (1100, 1))
    whole, *parts, later = seen.take(SIZES)
    assert whole.drift
    assert not any(seen.is_local(f) for f in parts)
    assert seen.is_local(later)


def test_explanations_wear_off():
    seen = watch((50, 1))
    seen.take(SIZES)
    seen.pending = [drift(1051, LOSS)]
    assert shown(seen.take(SIZES)) == [(1051, LOSS, True)]


def test_clusters_that_follow_make_it_one_of_the_whole():
    """Also when the state was saved between; and only if they follow soon."""
    seen = watch((50, 1), (90, LOSS))
    seen.take(SIZES)
    again = LossWatch(DriftParameters())
    again.load_state_dict({name: np.array(array) for name, array in seen.state_dict().items()})
    for each in (seen, again):
        each.pending = [drift(150, 2)]
        assert shown(each.take(SIZES)) == [(150, 2, True)]
        each.pending = [drift(250, 3)]
        assert shown(each.take(SIZES)) == [(250, 3, True), (250, LOSS, True)]
    late = watch((50, 1), (90, LOSS))
    late.take(SIZES)
    late.pending = [drift(1200, 1), drift(1210, 2), drift(1220, 3)]
    assert all(f.where != LOSS for f in late.take(SIZES))


def local_drift():
    """At row 3,000 of 4,500 one of three groups of labels follows other rules."""
    generator = {"kind": "multilabel", "base": "tree", "depth": 3, "n_features": 20, "n_labels": 12, "cardinality": 3.0}
    return Scenario.load(
        {
            "n_instances": 4500,
            "generator": {**generator, "n_groups": 3, "noise": 0.02},
            "drifts": [{"kind": "concept", "at": 3000, "groups": [0]}],
        },
        seed=5,
    )


def test_a_cluster_that_drifts_leaves_the_others_alone():
    """The drift is found where it is, and nothing else changes course."""
    scenario, trace = local_drift(), DriftTrace()
    result = prequential(scenario.stream(), IHomerClassifier(), baselines=False, on_predictions=trace.update)
    score = score_drifts(scenario.drifts, trace, result.events, scenario.schema.labels)
    (found,) = score["drifts"]
    assert found["named_right"]
    assert found["named_only"]
    assert found["others_untouched"]
    assert score["false_alarms"] == 0
    assert [e.scope for e in result.events if e.kind == "restart"] == ["cluster"]


@pytest.mark.parametrize("kept_at", [3050, 3200])
def test_a_model_saved_in_the_middle_of_it_goes_on(kept_at):
    """While the drift waits to be acted on, and while its labels are set aside; events that nobody drained, too."""
    whole = concatenate(list(local_drift().stream()))
    model = IHomerClassifier()
    model.learn(whole.rows(0, kept_at))
    again = IHomerClassifier()
    again.load_state_dict(whole.schema, model.state_dict())
    rest = whole.rows(kept_at, 4500)
    expected, got = model.test_then_train(rest), again.test_then_train(rest)
    np.testing.assert_array_equal(got.probabilities, expected.probabilities)
    events = model.drain_events()
    assert {"drift", "restart"} <= {e.kind for e in events}
    assert again.drain_events() == events
