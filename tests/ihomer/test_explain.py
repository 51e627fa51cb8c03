"""`model.explain`: it tells what the model does, and changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml import Batch, Feature, IHomerClassifier, Schema, default_stream
from stream_ml.decisions import OBJECTIVES
from stream_ml.errors import ConfigError, DataError
from stream_ml.ihomer.explanation import Explanation
from stream_ml.trees._leaf_kernels import route


@pytest.fixture(scope="module")
def stream():
    return list(default_stream(n_instances=4000, seed=3))


@pytest.fixture(scope="module")
def model(stream):
    model = IHomerClassifier(period=50)
    for batch in stream:
        model.test_then_train(batch)
    assert any("feature" in view["root"] for view in model.trees().values())
    return model


def for_objective(model, objective):
    """The same model, deciding for another objective."""
    parameters = model.parameters
    parameters["decisions"] = {**parameters["decisions"], "objective": objective, "alternatives": []}
    facts = {"settings": parameters, "schema": model.schema.to_dict()}
    return IHomerClassifier.from_saved(model.state_dict(), facts)


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert np.array_equal(array, after[name], equal_nan=array.dtype.kind == "f"), name


def test_the_model_does_not_change(model, stream):
    batch = stream[-1]
    state, said = model.state_dict(), model.predict(batch)
    for row in (0, 17, 999):
        model.explain(batch, row)
    model.explain(batch.rows(3, 4), most=None)
    model.explain(next(iter(batch.iter_dicts()))[0])
    assert_same(state, model.state_dict())
    again = model.predict(batch)
    assert np.array_equal(said.label_indices, again.label_indices)
    assert np.array_equal(said.probabilities, again.probabilities)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_told_is_what_is_predicted(model, stream, objective):
    twin, batch = for_objective(model, objective), stream[-1]
    said, reasons = twin.predict(batch), set()
    ends = said.label_indptr
    for row in range(0, 1000, 25):
        told = twin.explain(batch, row, most=None)
        decided = said.label_indices[ends[row] : ends[row + 1]].tolist()
        assert told.decided == tuple(batch.schema.labels[m] for m in decided)
        assert (told.objective, told.n_learned) == (objective, 4000)
        assert len(told.labels) == batch.n_labels
        alone = [x.label for x in told.labels if x.threshold is not None and x.probability >= x.threshold]
        for each in told.labels:
            position = batch.schema.label_index(each.label)
            assert each.stacked == pytest.approx(said.probabilities[row, position], abs=1e-7)
            assert each.decided == (position in decided)
            assert each.label in next(p.labels for p in told.clusters if p.cluster == each.cluster)
            assert (each.reason == "threshold") <= (each.decided == (each.label in alone))
            assert (each.reason == "fallback") <= (not alone and told.decided == (each.label,))
            reasons.add(each.reason)
        if any(each.reason == "joint" for each in told.labels):
            assert objective in ("balanced", "example_f1", "subset_accuracy")
            likely = max(told.candidates, key=lambda c: c.probability)
            assert objective != "subset_accuracy" or set(likely.labels) == set(told.decided)
    assert ("joint" in reasons) == (objective in ("balanced", "example_f1", "subset_accuracy"))
    assert ("threshold" in reasons) == (objective != "subset_accuracy")


def test_votes_times_weights_are_the_stacked_log_odds(model, stream):
    batch = stream[-1]
    for row in range(0, 1000, 50):
        p = model.predict(batch.rows(row, row + 1)).probabilities[0].astype(float)
        for each in model.explain(batch, row, most=None).labels:
            total = each.intercept + sum(vote.weight * vote.log_odds for vote in each.votes)
            assert total == pytest.approx(each.log_odds, abs=1e-9)
            stacked = p[batch.schema.label_index(each.label)]
            assert total == pytest.approx(np.log(stacked / (1 - stacked)), abs=1e-4)
            assert all(vote.awake or vote.log_odds == 0 for vote in each.votes)


def test_weights_are_those_of_the_stacking(model, stream):
    told, weights = model.explain(stream[-1], 4, most=None), model.expert_weights()
    for each in told.labels:
        at = stream[-1].schema.label_index(each.label)
        assert [(v.expert, v.weight) for v in each.votes] == [
            (name, w[at]) for name, w in weights.items() if name != "intercept"
        ]
        assert each.intercept == weights["intercept"][at]


def test_paths_end_at_the_leaf_that_the_tree_predicts_from(model, stream):
    batch, names = stream[-1], stream[-1].schema.feature_positions
    for row in range(0, 1000, 20):
        one = batch.rows(row, row + 1)
        told = model.explain(one, most=None)
        assert {path.cluster for path in told.clusters} == set(model.trees())
        for path in told.clusters:
            tree = model._partition.learners[path.cluster].tree
            x = one.x_indices, one.x_values, 0, len(one.x_values)
            assert path.leaf == route(tree._nodes, tree._table, tree.sparse, *x, tree.root)[0]
            for step in path.steps:
                assert step.value == one.x_values[names[step.feature]]
                assert step.passed == (step.value <= step.threshold)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan]), min_size=2, max_size=2), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_paths_of_missing_and_nominal_values(values, sparse, present):
    tree_model = nominal_model(sparse)
    tree, schema = tree_model._partition.learners[next(iter(tree_model.trees()))].tree, tree_model.schema
    keep = [i for i in (0, 1) if present or i == 1]
    x = np.array(keep, dtype=np.int32), np.array([min(values[i], 2) if i == 0 else values[i] for i in keep], np.float32)
    path = tree.path(*x, [f.name for f in schema.features], schema.labels, [f.values for f in schema.features])
    assert path[-1]["node"] == route(tree._nodes, tree._table, tree.sparse, *x, 0, len(keep), tree.root)[0]
    for step in path[:-1]:
        assert (step["feature"] == "colour") == (step["test"] == "=")
        if step["test"] == "=" and step["value"] is not None:
            assert step["passed"] == (step["value"] == step["threshold"])


MODELS: dict[bool, IHomerClassifier] = {}


def nominal_model(sparse):
    """A model whose tree tests a nominal feature first."""
    if sparse not in MODELS:
        rng = np.random.default_rng(1)
        schema = Schema([Feature("colour", ("red", "green", "blue")), Feature("x")], ["p", "q"], sparse=sparse)
        x = np.column_stack([rng.integers(0, 3, 3000), rng.integers(0, 4, 3000)]).astype(float)
        y = np.column_stack([x[:, 0] == 2, (x[:, 0] == 2) ^ (x[:, 1] > 2)])
        MODELS[sparse] = IHomerClassifier(tree={"grace_period": 50}, clusters={"enabled": False})
        MODELS[sparse].test_then_train(Batch.from_dense(schema, x, y))
        assert MODELS[sparse].n_tree_nodes > 3
    return MODELS[sparse]


def test_what_a_prediction_would_make_room_for_leaves_the_model_as_it_is():
    model = nominal_model(sparse=True)
    state = model.state_dict()
    missing = Batch.from_dense(model.schema, [[np.nan, 1.0]], [[0, 0]])
    told = model.explain(missing)
    assert any(step.value is None for path in told.clusters for step in path.steps)
    wider = Schema([*model.schema.features, Feature("new")], [*model.schema.labels, "new"], sparse=True)
    batch = Batch.from_dense(wider, [[2, 1, 5]], [[0, 0, 1]])
    assert [x.label for x in model.explain(batch).labels] == ["p", "q"]
    assert_same(state, model.state_dict())
    assert model.schema.n_features == 2


def test_dictionaries_are_explained(model, stream):
    x, _ = next(iter(stream[-1].iter_dicts()))
    assert model.explain(x) == model.explain(stream[-1], 0)
    assert set(model.explain(x).decided) == {name for name, on in model.predict_one(x).items() if on}
    assert model.explain(x | {"never seen": 3.0}) == model.explain(x)


def test_the_likeliest_and_the_decided_are_told(model, stream):
    told = model.explain(stream[-1], 5, most=1)
    assert {each.label for each in told.labels} >= set(told.decided)
    chances = [each.stacked for each in told.labels]
    assert chances == sorted(chances, reverse=True)
    assert {path.cluster for path in told.clusters} == {each.cluster for each in told.labels}


def test_it_is_told_as_text_and_as_plain_values(model, stream):
    told = model.explain(stream[-1], 5, most=6)
    data = told.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert [each["label"] for each in data["labels"]] == [each.label for each in told.labels]
    text = str(told)
    assert text.startswith("decided for balanced, 4,000 instances learned: ")
    for each in told.labels:
        assert f"  {each.label}" in text
    for path in told.clusters:
        assert f"cluster {path.cluster} (" in text
        for step in path.steps:
            assert (
                f"  {step.feature} <= {step.threshold:.6g} (is {step.value:.6g}): {'yes' if step.passed else 'no'}"
                in text
            )
    assert max(map(len, text.splitlines())) <= 120
    assert "no label" in str(replace(told, decided=(), labels=(), clusters=()))


def test_of_independent_labels_and_without_trees(stream):
    model = IHomerClassifier(decisions={"joint": False}, tree={"enabled": False})
    model.test_then_train(stream[0])
    told = model.explain(stream[1], 0)
    assert isinstance(told, Explanation)
    assert told.coverage == 0
    assert not any(path.steps for path in told.clusters)
    assert not any(v.awake for each in told.labels for v in each.votes if v.expert.startswith("leaf_"))


def test_what_cannot_be_explained_is_told(model, stream):
    with pytest.raises(ConfigError, match="no label yet"):
        IHomerClassifier().explain({"x": 1.0})
    with pytest.raises(DataError, match=r"which row .* expected row, 0 to 999"):
        model.explain(stream[0])
    with pytest.raises(DataError, match=r"no such row; expected 0 to 999, found 1000"):
        model.explain(stream[0], 1000)
    with pytest.raises(ConfigError, match="row 1 of a mapping"):
        model.explain({"number_1": 1.0}, 1)
    with pytest.raises(ConfigError, match="most"):
        model.explain(stream[0], 0, most=-1)
    with pytest.raises(DataError, match="no features"):
        model.explain([1.0])
    nominal = Schema([Feature("colour", ("red", "blue"))], ["p"])
    with pytest.raises(DataError, match="numeric before and is nominal now"):
        model.explain(Batch.from_dense(nominal, [[1]], [[0]]))
    sparse = Schema([Feature("a")], ["p"], sparse=True)
    with pytest.raises(ConfigError, match="sparse schema"):
        model.explain(Batch.from_dense(sparse, [[1]], [[0]]))
