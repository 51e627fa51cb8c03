"""A classifier of more labels than it looks at: gates open by themselves, and nothing but cost depends on how."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

from stream_ml import IHomerClassifier, prequential
from stream_ml.errors import ConfigError
from stream_ml.experts import ROOT_EXPERTS
from stream_ml.gating import GATE_EXPERTS
from stream_ml.simulation import Scenario
from stream_ml.streams import Batch, Feature, Schema
from stream_ml.streams.batch import LEARN, PREDICT

ROWS = 2000


def topics(
    rows: int = ROWS, size: int = 500, labels: int = 200, seed: int = 1, drifts: list | None = None
) -> Iterator[Batch]:
    """Sparse documents."""
    generator = {"kind": "topics", "n_features": 2000, "n_labels": labels, "cardinality": 3.0}
    settings = {"name": "topics", "n_instances": rows, "generator": generator, "drifts": drifts or []}
    return iter(Scenario.load(settings, seed=seed).stream(batch_size=size))


def gated(**routing: float) -> IHomerClassifier:
    return IHomerClassifier(routing={"gated_above": 50, **routing})


def learned(batches: Iterator[Batch], model: IHomerClassifier) -> IHomerClassifier:
    for batch in batches:
        model.test_then_train(batch)
    return model


def same(a: IHomerClassifier, b: IHomerClassifier) -> bool:
    mine, others = a.state_dict(), b.state_dict()
    return mine.keys() == others.keys() and all(
        np.array_equal(mine[name], others[name], equal_nan=mine[name].dtype.kind == "f") for name in mine
    )


@pytest.fixture(scope="module")
def model() -> IHomerClassifier:
    """One that has learned with gates; not to be changed."""
    return learned(topics(), gated())


def test_gates_open_when_there_are_too_many_labels(model: IHomerClassifier) -> None:
    (opened,) = [event for event in model.drain_events() if event.kind == "gate"]
    assert opened.instance < 10
    facts = model.gates()
    assert facts is not None
    assert facts["labels"] <= 200
    assert facts["depth"] >= 2
    assert learned(topics(rows=200), IHomerClassifier()).gates() is None


def test_the_batch_size_changes_nothing() -> None:
    a, b = learned(topics(size=500), gated()), learned(topics(size=77), gated())
    assert same(a, b)


def test_going_on_from_a_file_is_never_having_stopped(tmp_path) -> None:
    batches = list(topics())
    model = learned(iter(batches[:2]), gated())
    model.save(tmp_path / "model.safetensors")
    again = IHomerClassifier.load(tmp_path / "model.safetensors")
    assert same(model, again)
    for batch in batches[2:]:
        a, b = model.test_then_train(batch), again.test_then_train(batch)
        assert np.array_equal(a.label_indices, b.label_indices)
    assert same(model, again)


def test_predicting_changes_nothing(model: IHomerClassifier) -> None:
    before = model.state_dict()
    batch = next(topics(seed=9))
    predictions = model.predict(batch)
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    likely = predictions.likely
    assert likely is not None
    assert predictions.probabilities is not None
    assert np.array_equal(predictions.probabilities, likely.dense(batch.n_labels))
    assert (np.diff(likely.probabilities, axis=1) <= 0).all()


def test_it_is_about_as_good_as_looking_at_all_labels() -> None:
    """On one stream, and by a margin: what is measured carefully is in docs/performance.md."""
    batches = list(topics(rows=4000))
    results = [prequential(batches, m, baselines=True).summary for m in (gated(), IHomerClassifier())]
    f1 = [result["metrics"]["micro_f1"] for result in results]
    assert f1[0] > f1[1] - 0.03
    assert results[0]["metrics"]["precision_at_5"] > results[1]["metrics"]["precision_at_5"] - 0.03
    assert f1[0] > results[0]["baselines"]["majority_labelset"]["micro_f1"]


def test_a_stream_that_outgrows_it_goes_on_from_what_it_saw_last() -> None:
    """By memory, in the midst: no fall to the level of a model that begins there."""
    *before, last = topics(rows=3000, labels=60)
    narrow, wide = IHomerClassifier(routing={"all_labels_mb": 0.5}), IHomerClassifier()
    f1 = []
    for model in (narrow, wide):
        learned(iter(before), model)
        f1.append(prequential([last], model, baselines=False).summary["metrics"]["micro_f1"])
    assert (narrow.gates() is None, wide.gates() is None) == (False, True)
    assert f1[0] > f1[1] - 0.05


def test_what_was_learned_before_gates_opened_is_learned_again() -> None:
    """By number: one row with a higher label, after 1,000 rows without."""
    (rows,) = topics(rows=1000, labels=60, size=1000)
    low = rows.y_indices < 20
    row_of = np.repeat(np.arange(len(rows)), np.diff(rows.y_indptr))[low]
    y_indptr = np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=len(rows)))]).astype(np.int64)
    x = rows.x_indptr, rows.x_indices, rows.x_values
    early = Batch.of_rows(rows.schema, *x, y_indptr, rows.y_indices[low], rows.labelled)
    model = learned(iter([early]), gated(gated_above=20))
    assert model.gates() is None
    model.test_then_train(rows)
    assert model.gates() is not None
    f1 = [
        prequential([early], m, baselines=False).summary["metrics"]["micro_f1"] for m in (model, gated(gated_above=0))
    ]
    assert f1[0] > f1[1] + 0.05


def test_labels_that_are_never_met_cost_nothing() -> None:
    features = [Feature("a"), Feature("b")]
    sizes = []
    for n_labels in (2_000, 200_000):
        schema = Schema(features, [f"l{i}" for i in range(n_labels)], sparse=True)
        model = IHomerClassifier(schema)
        y = np.array([n_labels - 1, 5], dtype=np.int32)
        one = np.ones(2, dtype=np.float32)
        row = np.array([0, 2], dtype=np.int64)
        batch = Batch.of_rows(
            schema, row, np.arange(2, dtype=np.int32), one, row, np.sort(y), np.ones(1, dtype=np.bool_)
        )
        for _ in range(3):
            predictions = model.test_then_train(batch)
        assert (predictions.probabilities is None) == (n_labels > 4096)
        assert sorted(predictions.label_indices.tolist()) == sorted(y.tolist())
        sizes.append(sum(model.memory_usage().values()))
    assert sizes[1] - sizes[0] < 4 * 200_000 + 1000  # a number for each position


def test_modes_of_rows(model: IHomerClassifier) -> None:
    """Learning alone, then predicting alone, is what both at once are."""
    batches = list(topics(rows=600, size=300))
    both, apart = gated(), gated()
    for batch in batches:
        said = both.test_then_train(batch)
        for row in range(len(batch)):
            one = batch.rows(row, row + 1)
            alone = apart.test_then_train(one.with_mode(PREDICT))
            lo, hi = said.label_indptr[row : row + 2]
            assert np.array_equal(alone.label_indices, said.label_indices[lo:hi])
            apart.test_then_train(one.with_mode(LEARN))
    assert both.n_learned == apart.n_learned


def test_labels_known_in_part_teach_what_is_known() -> None:
    """A row that tells of one label only must not teach that the others are absent."""
    batches = list(topics(rows=1000))
    model = learned(iter(batches), gated())
    told = {name: model.predict_proba_one({"w1": 1.0})[name][True] for name in ("t0", "t1")}
    for _ in range(30):
        model.learn_one({"w1": 1.0}, {"t0": True})
    after = {name: model.predict_proba_one({"w1": 1.0})[name][True] for name in ("t0", "t1")}
    assert after["t0"] > max(0.5, told["t0"])
    assert model.n_learned == 1030


def test_a_drift_is_found_and_acted_on() -> None:
    drift = [{"kind": "concept", "at": 3000}]
    model, events = gated(), []
    for batch in topics(rows=5000, drifts=drift):
        model.test_then_train(batch)
        events += model.drain_events()
    found = [event.instance for event in events if event.kind == "drift" and event.where == "loss"]
    assert found
    assert 3000 < found[0] < 3500


def test_what_is_told_of_it(model: IHomerClassifier) -> None:
    labels = np.arange(30)
    glance, structure = model.glance(labels), model.structure(labels, 10)
    assert glance["clusters"] == len(model.clusters) == len(structure["clusters"])
    asleep = {name for name, weight in zip(model.expert_names, glance["weights"], strict=True) if weight is None}
    assert asleep & set(ROOT_EXPERTS) == set(ROOT_EXPERTS) - set(GATE_EXPERTS)
    assert {row["position"] for row in structure["labels"]} == set(glance["labels"])
    weights = model.expert_weights()
    assert all(values.shape == (model.n_labels,) for values in weights.values())
    assert sorted(label for members in model.clusters for label in members) == sorted(
        int(label) for label in np.flatnonzero(weights["neighbours"])
    )


@pytest.mark.parametrize("objective", ["balanced", "subset_accuracy", "hamming_loss", "micro_f1"])
def test_what_is_behind_gates_is_explained(objective: str) -> None:
    model = IHomerClassifier(routing={"gated_above": 50}, decisions={"objective": objective})
    *stream, last = topics()
    for batch in stream:
        model.test_then_train(batch)
    before = {name: np.array(array) for name, array in model.state_dict().items()}
    assert model.gates() is not None
    said, names = model.predict(last), last.schema.labels
    for row in range(25):
        told = model.explain(last, row, most=None)
        sets = said.label_indices[said.label_indptr[row] : said.label_indptr[row + 1]]
        assert told.decided == tuple(names[label] for label in sets.tolist())
        assert {label.label for label in told.labels if label.decided} == set(told.decided)
        assert said.likely is not None
        likely = said.likely.labels[row, : said.likely.sizes[row]].tolist()
        assert [label.label for label in told.labels] == [names[label] for label in likely]
        for label, p in zip(told.labels, said.likely.probabilities[row].tolist(), strict=False):
            assert label.stacked == pytest.approx(p, abs=1e-7)
            z = label.intercept + sum(vote.contribution for vote in label.votes)
            assert label.log_odds == pytest.approx(z, abs=1e-5)
            own = 1 / (1 + math.exp(-max(-10.0, min(10.0, z))))
            assert own * math.prod(label.gates) == pytest.approx(label.stacked, rel=1e-3)
            assert [vote.expert for vote in label.votes] == list(GATE_EXPERTS)
        json.dumps(told.to_dict())
        assert "gates above" in str(told)
    assert len(model.explain(last, 0, most=3).labels) <= 3 + len(model.explain(last, 0).decided)
    after = model.state_dict()
    assert all(np.array_equal(after[name], array, equal_nan=True) for name, array in before.items())


def test_experts_of_ones_own_need_all_labels() -> None:
    class Silent:
        def predict_proba_one(self, x):
            return {}

        def learn_one(self, x, y):
            pass

    model = IHomerClassifier(routing={"gated_above": 50}, extra_experts={"silent": Silent()})
    with pytest.raises(ConfigError, match="extra experts look at all labels"):
        learned(topics(rows=100), model)
