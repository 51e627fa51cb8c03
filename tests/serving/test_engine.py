"""The engine: the same records, the same outputs and state, however they are cut; labels late, early, never."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.records import messages, records_of

from stream_ml.ihomer import IHomerClassifier
from stream_ml.serving.engine import Engine, EngineOptions
from stream_ml.streams import Feature, Schema


def engine(**options) -> Engine:
    return Engine(IHomerClassifier(), options=EngineOptions(**options))


def run(eng, records, cuts=()):
    outputs, dead = [], []
    for start, stop in zip([0, *cuts], [*cuts, len(records)], strict=True):
        outcome = eng.process(records[start:stop])
        outputs += [output.value for output in outcome.outputs]
        dead += outcome.dead
    return outputs, dead


def state(eng):
    arrays, rest = eng.snapshot()
    arrays = {name: np.array(a) for name, a in arrays.items()}
    others, facts = rest()
    return arrays | others, orjson.loads(orjson.dumps(facts))


def assert_same_state(one, two):
    (a, facts), (b, others) = state(one), state(two)
    assert facts == others
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=6), seed=st.integers(0, 3))
def test_cuts_change_nothing(cuts, seed):
    records = records_of(messages(400, seed=seed, late=0.3, early=0.1, bad=0.05, partial=0.3 * (seed % 2)))
    whole, parts = engine(), engine()
    assert run(whole, records) == run(parts, records, sorted(cuts))
    assert_same_state(whole, parts)


@pytest.mark.parametrize("at", [1, 150, 299])
def test_stop_and_go_on_is_never_having_stopped(at):
    records = records_of(messages(300, seed=1, late=0.4, early=0.2, bad=0.1, partial=0.2))
    whole, first = engine(), engine()
    outputs, _ = run(whole, records)
    before, _ = run(first, records[:at])
    arrays, facts = state(first)
    second = Engine.restored(arrays, facts, EngineOptions(), source="test")
    after, _ = run(second, records[at:])
    assert before + after == outputs
    assert_same_state(second, whole)


def test_an_output_says_all_there_is():
    eng = engine(probabilities=1)
    records = records_of([{"id": "a", "x": {"f": 1.0}, "y": ["p", "q"]}, {"id": 7, "x": {"f": 1.0}}])
    outputs, _ = run(eng, records)
    first, second = (orjson.loads(value) for value in outputs)
    assert first == {
        "id": "a",
        "labels": [],
        "probabilities": {},
        "model_version": 0,
        "source": {"topic": "t", "partition": 0, "offset": 0},
    }
    assert second["id"] == "7"
    assert second["model_version"] == 1
    assert len(second["probabilities"]) == 1


def test_late_labels_are_learned_and_what_was_predicted_is_scored():
    now, late = engine(), engine()
    both = [{"id": str(i), "x": {"f": i % 2, "g": 1}, "y": ["a"] if i % 2 else ["b"]} for i in range(200)]
    run(now, records_of(both))
    apart = []
    for message in both:
        apart += [{"id": message["id"], "x": message["x"]}, {"id": message["id"], "y": message["y"]}]
    run(late, records_of(apart))
    assert late.counts["late_labels"] == late.counts["learned"] == 200
    assert len(late.waiting) == 0
    # nothing lies between an instance and its labels: it is the same stream
    assert now.overall.result() == late.overall.result()
    for name, array in now.model.state_dict().items():
        np.testing.assert_array_equal(array, late.model.state_dict()[name], err_msg=name)


def test_labels_that_come_first_meet_their_instance():
    eng = engine()
    outputs, dead = run(eng, records_of([{"id": 1, "y": ["a"]}, {"id": 1, "x": {"f": 2}}, {"id": 2, "x": {"f": 2}}]))
    assert not dead
    assert [orjson.loads(o)["model_version"] for o in outputs] == [0, 1]
    assert eng.counts["early_labels"] == eng.counts["late_labels"] == 1
    assert len(eng.waiting) == 1


def told(eng, key):
    """What a waiting instance has been told, by name."""
    return [eng.schema.labels[m] for m in eng.waiting.get(key).told]


def test_labels_in_parts_are_learned_at_once_and_once():
    eng = engine()
    records = [
        {"x": {"f": 1}, "y": ["a", "b", "c"]},
        {"id": 1, "x": {"f": 2}, "y": {"a": True}},
        {"id": 2, "x": {"f": 3}},
        {"id": 2, "y": {"b": False, "c": None}},
    ]
    outputs, dead = run(eng, records_of(records))
    assert not dead
    assert [orjson.loads(o)["model_version"] for o in outputs] == [0, 1, 2]
    assert (told(eng, "1"), told(eng, "2")) == (["a"], ["b"])
    assert eng.model.n_learned == eng.counts["learned"] == 3
    before = eng.model.state_dict()
    run(eng, records_of([{"id": 1, "y": {"a": False}}, {"id": 2, "y": {"b": True}}, {"id": 2, "y": {}}]))
    after = eng.model.state_dict()
    assert eng.counts["repeated_labels"] == 2
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)
    run(eng, records_of([{"id": 1, "y": {"b": True, "a": True}}, {"id": 2, "y": ["b", "c"]}]))
    assert eng.counts["repeated_labels"] == 4
    assert told(eng, "1") == ["a", "b"]
    assert "2" not in eng.waiting  # a list tells all that was left
    assert eng.model.n_learned == eng.counts["learned"] == 3
    # of each label as many rows as it was told of, whichever messages they came in
    weights = eng.model.state_dict()["pool.prior.weights"][:3]
    np.testing.assert_allclose(weights, [1 + 0.999 + 0.999**2, 1 + 0.999 + 0.999**2, 1 + 0.999], rtol=1e-12)
    assert eng.overall.label_counts()[2].sum() + eng.overall.label_counts()[0].sum() == 3 + 1 + 1 + 1


def test_early_labels_in_parts_come_together():
    eng = engine()
    early = [
        {"id": 1, "y": {"b": False, "a": True}},
        {"id": 1, "y": {"a": False, "c": True}},
        {"id": 2, "y": {"a": True}},
    ]
    early += [{"id": 2, "y": ["b"]}, {"id": 2, "y": {"c": True}}]
    first = {"id": 1, "x": {"f": 1}, "y": {"b": True}}
    outputs, dead = run(eng, records_of([*early, first, {"id": 2, "x": {"f": 1}}]))
    assert not dead
    assert [orjson.loads(o)["model_version"] for o in outputs] == [0, 1]
    assert sorted(told(eng, "1")) == ["a", "b", "c"]
    assert "2" not in eng.waiting
    assert eng.counts["repeated_labels"] == 3  # a of the first, c of the second; b, which the instance itself told
    assert eng.model.n_learned == 2
    tp, _, fn = eng.overall.label_counts()
    assert dict(zip(eng.schema.labels, (tp + fn).tolist(), strict=True)) == {"a": 2.0, "b": 2.0, "c": 1.0}


def test_what_was_told_of_an_instance_does_not_make_it_younger():
    eng = engine(most_waiting=2)
    run(eng, records_of([{"id": i, "x": {"f": 1}} for i in range(2)]))
    run(eng, records_of([{"id": 0, "y": {"a": True}}, {"id": 2, "x": {"f": 1}}]))
    assert [key for key in "012" if key in eng.waiting] == ["1", "2"]


def test_every_label_of_a_pinned_schema_is_all_there_is():
    schema = Schema([Feature("a")], ["p", "q"])
    eng = Engine(IHomerClassifier(schema), schema, closed=True)
    records = [
        {"id": 1, "x": {"a": 1}, "y": {"p": True, "q": False}},
        {"id": 2, "x": {"a": 1}, "y": {"p": True}},
        {"id": 2, "y": {"q": True}},
        {"id": 3, "y": {"q": True}},
        {"id": 3, "x": {"a": 1}, "y": {"p": True}},
    ]
    _, dead = run(eng, records_of([*records, {"id": 4, "y": {"r": None}}]))
    assert len(eng.waiting) == len(eng.early) == 0
    assert eng.model.n_learned == 3
    assert ["lacks" in letter.error for letter in dead] == [True]


def test_parts_do_not_move_what_happens_at_multiples_of_the_period():
    """Instances whose labels come in parts, cut anywhere: what changes structure sees each instance once."""
    records = []
    for i, message in enumerate(messages(700, seed=5)):
        x, y = message["x"], message["y"]
        records.append({"id": i, "x": x, "y": {"a": "a" in y}})
        records += [{"id": i, "y": {m: m in y}} for m in "bcd"]
    whole, parts = engine(), engine()
    run(whole, records_of(records))
    run(parts, records_of(records), list(range(7, len(records), 7)))
    assert whole.model.n_learned == 700
    assert_same_state(whole, parts)


def test_no_labels_and_labels_unknown_are_two_things():
    eng = engine()
    run(eng, records_of([{"id": 1, "x": {"f": 1}, "y": []}, {"id": 2, "x": {"f": 1}, "y": None}, {"x": {"f": 1}}]))
    assert eng.counts["learned"] == 1
    assert len(eng.waiting) == 1
    assert eng.counts["without_id"] == 1


def test_too_many_and_too_old_are_counted_and_orphans_are_dead_letters():
    eng = engine(most_waiting=3, most_early=2, max_age=1000)
    run(eng, records_of([{"id": i, "x": {"f": 1}} for i in range(5)], step=1))
    assert eng.counts["expired"] == 2
    assert [key for key in "01234" if key in eng.waiting] == ["2", "3", "4"]
    _, dead = run(eng, records_of([{"id": f"e{i}", "y": ["a"]} for i in range(4)], step=1))
    assert [letter.reason for letter in dead] == ["orphan labels"] * 2
    assert orjson.loads(dead[0].value) == {"id": "e0", "y": ["a"]}
    _, dead = run(eng, records_of([{"x": {"f": 1}, "y": []} for _ in range(20)], first_time=10_000, step=1))
    assert len(eng.waiting) == 0
    assert [letter.reason for letter in dead] == ["orphan labels"] * 2
    assert eng.counts["orphan_labels"] == 4


def test_one_record_of_a_wrong_time_expires_nothing():
    eng = engine(max_age=1000)
    run(eng, records_of([{"id": i, "x": {"f": 1}} for i in range(30)], step=1))
    run(eng, records_of([{"id": "far", "x": {"f": 1}}], first_time=1 << 50))
    run(eng, records_of([{"id": "back", "x": {"f": 1}}], first_time=0))
    run(eng, records_of([{"id": f"n{i}", "x": {"f": 1}} for i in range(30)], first_time=40, step=1))
    assert eng.counts["expired"] == 0


BAD = [
    (b"", "not JSON"),
    (None, "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"{", "not JSON"),
    (b"[1]", "not an instance"),
    (b'{"x": 3}', "no features"),
    (b'{"x": {"f": "a", "f": 1}}', "a key twice"),
    (b'{"x": {"f": [1]}}', "not a value"),
    (b'{"x": {"f": 1e300}}', "too large"),
    (b'{"x": {"f": 1}, "y": "a"}', "labels of the wrong form"),
    (b'{"x": {"f": 1}, "why": 1}', "an unknown key"),
    (b'{"id": {"a": 1}, "x": {"f": 1}}', "an id of the wrong type"),
    (b'{"id": 1, "y": [{}]}', "labels of the wrong form"),
    (b'{"id": 1, "y": {"a": "yes"}}', "not a label's value"),
    (b'{"x": {"f": 1}, "y": {"a": 2}}', "not a label's value"),
    (b'{"x": {"f": 1}, "y": {"a": true, "a": false}}', "a key twice"),
    (b'{"id": 1, "y": [], "z": 0}', "an unknown key"),
    (b'{"x": [1, 2, 3, "a", {}]}', "not a value"),
    (b'{"x": {"f": 1}, "ts": "now"}', "not a time"),
]


@pytest.mark.parametrize(("value", "problem"), BAD, ids=lambda v: repr(v)[:30])
def test_a_bad_record_changes_nothing_and_says_why(value, problem):
    eng, clean = engine(), engine()
    good = records_of(messages(50, seed=2))
    run(clean, good)
    run(eng, good[:25])
    _, dead = run(eng, [good[25]._replace(value=value)])
    assert len(dead) == 1
    assert dead[0].reason == "bad record"
    assert problem in dead[0].error
    assert dead[0].error.startswith("t/0/25")
    run(eng, good[25:])
    eng.counts |= {"bad": 0, "records": 50}
    eng.watermark.take(clean.watermark.facts())
    assert_same_state(eng, clean)


def test_a_bad_first_record_does_not_tell_the_form():
    eng = engine()
    _, dead = run(eng, records_of([{"x": [1, "a", []]}, {"id": "z", "y": ["a"]}, {"x": {"f": 1}, "y": ["a"]}]))
    assert len(dead) == 1
    assert eng.schema is not None
    assert eng.schema.sparse


def test_a_pinned_schema_holds():
    schema = Schema([Feature("a"), Feature("c", ("red", "blue"))], ["p", "q"])
    eng = Engine(IHomerClassifier(schema), schema, closed=True)
    good = [{"x": {"a": 1}, "y": ["p"]}, {"x": [2, "blue"], "y": []}, {"x": {"a": None, "c": "red"}}]
    bad = [
        {"x": {"b": 1}},
        {"x": {"c": "green"}},
        {"x": {"a": 1}, "y": ["r"]},
        {"x": [1]},
        {"id": 3, "y": ["r"]},
        {"x": {"a": "red"}},
    ]
    outputs, dead = run(eng, records_of([*good, *bad]))
    assert (len(outputs), len(dead)) == (3, 6)
    assert (schema.n_features, schema.n_labels) == (2, 2)


def test_frozen_predicts_and_scores_and_learns_nothing():
    trained = engine()
    run(trained, records_of(messages(300, seed=4)))
    arrays, facts = state(trained)
    frozen = Engine.restored(arrays, facts, EngineOptions(frozen=True), source="test")
    before = frozen.model.state_dict()
    outputs, _ = run(frozen, records_of(messages(300, seed=4, late=0.3)))
    assert {orjson.loads(o)["model_version"] for o in outputs} == {300}
    assert frozen.overall.n_rows == frozen.counts["labelled"] + frozen.counts["late_labels"] > 550
    after = frozen.model.state_dict()
    for name, array in before.items():  # but for the room that new features take
        if name.endswith("space.counters"):
            continue
        np.testing.assert_array_equal(array, after[name][tuple(map(slice, array.shape))], err_msg=name)
