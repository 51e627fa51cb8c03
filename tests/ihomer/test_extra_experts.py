"""Experts of one's own: asked before they are taught, weighed, told of when they fail, saved if they can be."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

from stream_ml import Batch, IHomerClassifier, Schema, default_stream, prequential
from stream_ml.cli.main import main
from stream_ml.errors import ArtefactError, ConfigError, ExpertError
from stream_ml.streams import Feature, concatenate

SETTINGS = {"period": 50, "experts": {"neighbours": 0}}


class Rates:
    """Fading frequencies of labels; notes what it is asked."""

    def __init__(self, in_part=False):
        self.learns_in_part = in_part
        self.rates, self.calls = {}, []

    def predict_proba_one(self, x):
        self.calls.append(("predict", dict(x)))
        return dict(self.rates)

    def learn_one(self, x, y):
        self.calls.append(("learn", dict(x), dict(y)))
        for label, present in y.items():
            self.rates[label] = 0.9 * self.rates.get(label, 0.5) + 0.1 * present


class Oracle:
    """Knows the label sets of the rows by the value of a feature."""

    def __init__(self, rows):
        self.known = {x["key"]: y for x, y in rows}

    def predict_proba_one(self, x):
        return {label: {True: float(y), False: 1.0 - y} for label, y in self.known[x["key"]].items()}

    def learn_one(self, x, y):
        pass


class Saved(Rates):
    def state_dict(self):
        names = sorted(self.rates)
        joined = np.frombuffer("\n".join(names).encode(), dtype=np.uint8)
        return {"names": joined, "values": np.array([self.rates[name] for name in names])}

    def load_state_dict(self, state):
        names = bytes(state["names"]).decode().split("\n")
        self.rates = dict(zip(names, state["values"].tolist(), strict=True)) if len(state["values"]) else {}


def keyed(n=1500, seed=0):
    """Rows whose labels their features tell nothing of, but for a number of its own that each row has."""
    rng = np.random.default_rng(seed)
    schema = Schema([Feature("key"), Feature("noise")], ["a", "b", "c"])
    x = np.column_stack([np.arange(n), rng.normal(size=n)])
    return Batch.from_dense(schema, x, rng.random((n, 3)) < 0.4)


def run(batch, size, model):
    parts = [model.test_then_train(batch.rows(i, min(i + size, len(batch)))) for i in range(0, len(batch), size)]
    return np.concatenate([part.probabilities for part in parts])


def test_batch_size_changes_nothing_and_the_run_is_repeatable():
    whole = concatenate(list(default_stream(n_instances=700, seed=2)))
    first, second = Rates(), Rates()
    one = run(whole, 700, IHomerClassifier(extra_experts={"rates": first}, **SETTINGS))
    two = run(whole, 33, IHomerClassifier(extra_experts={"rates": second}, **SETTINGS))
    assert one.tobytes() == two.tobytes()
    assert first.calls == second.calls


def test_each_row_is_predicted_before_it_is_learned_and_no_other():
    batch = keyed(120)
    expert = Rates()
    model = IHomerClassifier(extra_experts={"rates": expert}, **SETTINGS)
    model.test_then_train(batch)
    rows = list(batch.iter_dicts())
    assert expert.calls == [call for x, y in rows for call in (("predict", x), ("learn", x, y))]
    expert.calls.clear()
    model.predict(batch.rows(0, 5))
    assert expert.calls == [("predict", x) for x, _ in rows[:5]]
    expert.calls.clear()
    model.learn(batch.rows(0, 1))  # stacking learns from what it says, though nobody asks for a prediction
    assert [call[0] for call in expert.calls] == ["predict", "learn"]


def test_an_oracle_gains_weight_and_lifts_the_metrics():
    batch = keyed()
    oracle = Oracle(batch.iter_dicts())
    model, plain = IHomerClassifier(extra_experts={"oracle": oracle}, **SETTINGS), IHomerClassifier(**SETTINGS)
    with_it, without = (prequential([batch.rows(i, i + 250) for i in range(0, 1500, 250)], m) for m in (model, plain))
    assert without.summary["metrics"]["micro_f1"] < 0.6
    assert with_it.summary["metrics"]["micro_f1"] > 0.95
    weights = model.expert_weights()
    assert list(weights)[-2:] == ["oracle", "intercept"]
    assert weights["oracle"].min() > 0.2
    assert with_it.structure["experts"][-1] == "oracle"
    assert len(with_it.structure["looks"][-1]["weights"]) == len(model.expert_names)
    told = model.explain(batch, 3)
    assert [vote.expert for vote in told.labels[0].votes][-1] == "oracle"
    assert "oracle" in str(told)


def test_it_changes_nothing_of_the_others():
    """One without an opinion: what is predicted is what is predicted without it."""
    whole = concatenate(list(default_stream(n_instances=600, seed=2)))

    class Silent(Rates):
        def predict_proba_one(self, x):
            return {"label that never comes": 0.9, whole.schema.labels[0]: {}}

    one = run(whole, 100, IHomerClassifier(extra_experts={"silent": Silent()}, **SETTINGS))
    np.testing.assert_allclose(one, run(whole, 100, IHomerClassifier(**SETTINGS)), atol=1e-6)


def test_labels_known_in_part():
    schema = Schema([Feature("f")], ["a", "b"])
    model_rows = [({"a": True, "b": True}), ({"a": True}), ({"b": False})]
    some, whole = Rates(in_part=True), Rates()
    model = IHomerClassifier(schema, extra_experts={"some": some, "whole": whole}, **SETTINGS)
    for _ in range(60):
        model.learn_one({"f": 1.0}, {"a": True, "b": True})
    for expert in (some, whole):
        expert.calls.clear()
    for y in model_rows:
        model.learn_one({"f": 1.0}, y)
    assert [call[2] for call in some.calls if call[0] == "learn"] == model_rows
    assert [call[2] for call in whole.calls if call[0] == "learn"] == [
        {"a": True, "b": True},
        {"a": True, "b": True},
        {"a": True, "b": False},
    ]


def test_sparse_rows_have_what_is_not_zero():
    schema = Schema([Feature("u"), Feature("v")], ["a"], sparse=True)
    expert = Rates()
    model = IHomerClassifier(schema, extra_experts={"rates": expert}, **SETTINGS)
    model.learn_one({"v": 2.0}, {"a": True})
    assert expert.calls[-1] == ("learn", {"v": 2.0}, {"a": True})


@pytest.mark.parametrize("call", ["predict_proba_one", "learn_one"])
def test_what_fails_is_told(call):
    batch = keyed(300)

    class Fails(Rates):
        def fail(self, x):
            if x["key"] == 217:
                raise ZeroDivisionError("no such thing")

        def predict_proba_one(self, x):
            if call == "predict_proba_one":
                self.fail(x)
            return super().predict_proba_one(x)

        def learn_one(self, x, y):
            if call == "learn_one":
                self.fail(x)
            super().learn_one(x, y)

    model = IHomerClassifier(extra_experts={"mine": Fails()}, **SETTINGS)
    message = rf"^extra expert 'mine', row 217 of the batch, {call}: ZeroDivisionError: no such thing$"
    with pytest.raises(ExpertError, match=message) as told:
        model.test_then_train(batch)
    assert isinstance(told.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("said", [{"a": 1.5}, {"a": float("nan")}, {"a": {True: -1}}, {"a": "x"}, None, {"a": None}])
def test_what_is_no_probability_is_told(said):
    class Wrong(Rates):
        def predict_proba_one(self, x):
            return said

    model = IHomerClassifier(extra_experts={"mine": Wrong()}, **SETTINGS)
    with pytest.raises(ExpertError, match=r"'mine', row \d of the batch, predict_proba_one: .*expected a"):
        model.test_then_train(keyed(5))


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ({"two words": Rates()}, "'two words': expected a name"),
        ({"prior": Rates()}, "'prior': expected a name"),
        ({"intercept": Rates()}, "'intercept': expected a name"),
        ({3: Rates()}, "3: expected a name"),
        ({"mine": Rates}, "mine: expected an object with predict_proba_one"),
        ({"mine": object()}, "mine: expected an object with predict_proba_one"),
        ({f"e{i}": Rates() for i in range(65)}, "at most 64, found 65"),
    ],
)
def test_what_cannot_be_an_expert_is_refused(experts, message):
    with pytest.raises(ConfigError, match=message):
        IHomerClassifier(extra_experts=experts)


def test_what_cannot_be_saved_is_told(tmp_path):
    model = IHomerClassifier(extra_experts={"mine": Rates()}, **SETTINGS)
    model.test_then_train(keyed(50))
    with pytest.raises(ConfigError, match=r"extra expert 'mine' cannot be saved: Rates has no state_dict\(\)"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())

    class Odd(Saved):
        def state_dict(self):
            return {"rates": self.rates}

    with pytest.raises(ConfigError, match="'mine' cannot be saved: rates of its state: expected an array of numbers"):
        IHomerClassifier(extra_experts={"mine": Odd()}).save(tmp_path / "model")


def test_saved_and_loaded_it_goes_on_bit_for_bit(tmp_path, capsys):
    whole = concatenate(list(default_stream(n_instances=900, seed=4)))
    before, after = whole.rows(0, 430), whole.rows(430, 900)
    model = IHomerClassifier(extra_experts={"mine": Saved()}, **SETTINGS)
    run(before, 100, model)
    path = tmp_path / "model.safetensors"
    model.save(path)
    expected = run(after, 100, model)
    again = IHomerClassifier.load(path, extra_experts={"mine": Saved()})
    assert run(after, 61, again).tobytes() == expected.tobytes()
    assert {name: array.tobytes() for name, array in again.state_dict().items()} == {
        name: array.tobytes() for name, array in model.state_dict().items()
    }
    for experts, given in ((None, "[]"), ({"other": Saved()}, "['other']")):
        with pytest.raises(ArtefactError, match=re.escape(f"the model's extra experts: ['mine']; given: {given}")):
            IHomerClassifier.load(path, extra_experts=experts)
    # looking at it needs no expert
    assert main(["inspect", str(path)]) == 0
    assert "extra experts: mine (mean weight" in capsys.readouterr().out
    looked_at = IHomerClassifier.load(path, look_only=True)
    with pytest.raises(ExpertError, match=r"'mine'.* was not given when the model was loaded"):
        looked_at.predict(after)
    assert main(["predict", str(path), "--source", "x.csv"]) == 2


def test_copies_and_pickles_have_their_own():
    batch = keyed(400)
    model = IHomerClassifier(extra_experts={"mine": Rates()}, **SETTINGS)
    model.test_then_train(batch.rows(0, 200))
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    expected = run(batch.rows(200, 400), 50, model)
    for one in copies:
        assert one.extra_experts["mine"] is not model.extra_experts["mine"]
        assert run(batch.rows(200, 400), 50, one).tobytes() == expected.tobytes()
