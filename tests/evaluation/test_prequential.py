"""The prequential loop scores every instance once, before it is learned, and reports it."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from stream_ml.evaluation import (
    METRICS,
    RANKED,
    MajorityLabelset,
    Metrics,
    NoChange,
    PrecisionAtK,
    prequential,
    warm_up,
)
from stream_ml.ihomer.events import Event
from stream_ml.streams import LEARN, PREDICT, Batch, Feature, Predictions, Schema


class Recorder:
    """Predicts the labels whose frequency so far is a half or more; tells of every 100th row."""

    def __init__(self):
        self.rows, self.seen, self.events = 0, np.zeros(0), []
        self.clusters = []

    @property
    def parameters(self):
        return {"threshold": 0.5}

    def test_then_train(self, batch):
        self.seen = np.concatenate([self.seen, np.zeros(batch.n_labels - len(self.seen))])
        self.clusters = [list(range(batch.n_labels))]
        p, y = np.zeros((len(batch), batch.n_labels), np.float32), batch.y_dense()
        for row, mode in enumerate(batch.mode):
            if mode & PREDICT:
                p[row] = self.seen / max(1, self.rows)
            if mode & LEARN:
                self.rows += 1
                self.seen += y[row]
                if self.rows % 100 == 0:
                    self.events.append(Event("split", self.rows, "cluster", "0"))
        chosen = p >= 0.5
        chosen[(batch.mode & PREDICT) == 0] = False
        return Predictions(
            np.concatenate([[0], chosen.sum(axis=1).cumsum()]), np.nonzero(chosen)[1].astype(np.int32), p
        )

    def drain_events(self):
        events, self.events = self.events, []
        return events


class Made:
    """A stream of 530 rows over 4 labels, cut into batches of the given size."""

    name = "made"

    def __init__(self, size, modes=None, labelled=None):
        rng = np.random.default_rng(5)
        self.y = rng.random((530, 4)) < [0.8, 0.6, 0.3, 0.1]
        self.schema = Schema([Feature("a"), Feature("b")], ["p", "q", "r", "s"])
        self.whole = Batch.from_dense(self.schema, rng.normal(size=(530, 2)), self.y)
        if modes is not None:
            self.whole.mode[:] = modes
        if labelled is not None:
            self.whole.labelled[:] = labelled
        self.size = size

    def __iter__(self):
        for start in range(0, 530, self.size):
            yield self.whole.rows(start, min(start + self.size, 530))


def test_summary_holds_what_is_promised():
    summary = prequential(Made(64), Recorder(), window=100).summary
    assert summary["stream"] == {
        "name": "made",
        "n_instances": 530,
        "n_features": 2,
        "n_labels": 4,
        "cardinality": pytest.approx(Made(64).y.sum() / 530),
        "density": pytest.approx(Made(64).y.mean()),
        "skipped": 0,
    }
    assert summary["model"] == {"name": "Recorder", "parameters": {"threshold": 0.5}}
    assert summary["n_scored"] == summary["n_learned"] == 530
    assert list(summary["metrics"]) == [*METRICS, *RANKED]
    assert {key: list(value) for key, value in summary["baselines"].items()} == {
        "no_change": [*METRICS, *RANKED],
        "majority_labelset": [*METRICS, *RANKED],
    }
    assert summary["events"] == {"drift": 0, "warning": 0, "split": 5, "merge": 0, "swap": 0, "restructure": 0}
    assert summary["clusters"] == [["p", "q", "r", "s"]]
    assert summary["seconds"] > 0
    assert summary["seconds"] <= summary["wall_seconds"]
    assert summary["instances_per_second"] == pytest.approx(530 / summary["seconds"])
    assert summary["peak_rss_mb"] > 1
    assert summary["interrupted"] is False
    assert orjson.loads(orjson.dumps(summary)) == summary


def test_metrics_are_those_of_predicting_before_learning():
    stream, model = Made(530), Recorder()
    predictions = model.test_then_train(stream.whole)
    expected, ranked = Metrics(), PrecisionAtK()
    for tally in (expected, ranked):
        tally.update(stream.whole, predictions)
    assert prequential(Made(7), Recorder()).summary["metrics"] == expected.result() | ranked.result()


def stable(summary):
    return {key: value for key, value in summary.items() if key in ("stream", "metrics", "baselines", "events")}


def test_batch_size_changes_nothing():
    runs = [prequential(Made(size), Recorder(), window=90) for size in (1, 7, 1000)]
    for run in runs[1:]:
        assert stable(run.summary) == stable(runs[0].summary)
        assert run.windows == runs[0].windows
        assert run.events == runs[0].events


def test_windows_cover_every_scored_instance_once():
    run = prequential(Made(64), Recorder(), window=100)
    assert [(row["instance"], row["rows"]) for row in run.windows] == [
        (100, 100), (200, 100), (300, 100), (400, 100), (500, 100), (530, 30),
    ]  # fmt: skip
    for prefix, whole in (("", run.summary["metrics"]), ("no_change_", run.summary["baselines"]["no_change"])):
        for name in ("subset_accuracy", *(RANKED if not prefix else ())):
            mean = sum(row[prefix + name] * row["rows"] for row in run.windows) / 530
            assert mean == pytest.approx(whole[name])
    assert run.windows[-1]["fading_micro_f1"] == run.summary["fading_metrics"]["micro_f1"]


def test_rows_are_scored_when_predicted_and_labelled():
    rng = np.random.default_rng(0)
    modes, labelled = rng.integers(1, 4, 530), rng.random(530) < 0.7
    run = prequential(Made(50, modes, labelled), Recorder())
    assert run.summary["n_scored"] == np.count_nonzero((modes & PREDICT != 0) & labelled)
    assert run.summary["n_learned"] == np.count_nonzero(modes & LEARN)
    assert run.summary["stream"]["n_instances"] == max(
        np.count_nonzero(modes & PREDICT), np.count_nonzero(modes & LEARN)
    )


def test_baselines_can_be_left_out():
    run = prequential(Made(64), NoChange(), baselines=False, name="mine")
    assert run.summary["baselines"] == {}
    assert run.summary["model"]["name"] == "mine"
    assert not [name for name in run.windows[0] if name.startswith("no_change")]


def test_callbacks_see_each_batch():
    told, given = [], []
    prequential(
        Made(100), Recorder(), on_batch=told.append, on_predictions=lambda b, p: given.append((b.first, len(p)))
    )
    assert [p.n_scored for p in told] == [100, 200, 300, 400, 500, 530]
    assert given == [(0, 100), (100, 100), (200, 100), (300, 100), (400, 100), (500, 30)]
    assert told[-1].n_events == 5
    assert set(told[-1].recent) == set(told[-1].overall) == set(METRICS)


def test_an_interrupt_keeps_what_was_done():
    def stop(progress):
        if progress.n_scored >= 300:
            raise KeyboardInterrupt

    summary = prequential(Made(100), Recorder(), on_batch=stop).summary
    assert summary["interrupted"] is True
    assert summary["n_scored"] == 300


def test_labels_may_appear_mid_stream():
    rows = np.ones((50, 1))
    first = Batch.from_dense(Schema([Feature("a")], ["p"]), rows, rows)
    later = Batch.from_dense(Schema([Feature("a")], ["p", "q"]), rows, np.ones((50, 2)), first=50)
    summary = prequential([first, later], Recorder()).summary
    assert summary["stream"]["n_labels"] == 2
    assert summary["metrics"]["micro_recall"] == pytest.approx(99 / 150)


def test_windows_and_fading_are_checked():
    for wrong in ({"window": 0}, {"fading": 0.0}, {"fading": 1.5}):
        with pytest.raises(ValueError, match="window must be at least 1"):
            prequential(Made(100), NoChange(), **wrong)


def test_an_empty_stream_is_no_error():
    summary = prequential([], NoChange()).summary
    assert summary["n_scored"] == 0
    assert summary["stream"]["density"] == 0.0


@pytest.mark.parametrize("sparse", [False, True])
def test_warm_up_uses_the_model(sparse):
    model = Recorder()
    warm_up(model, sparse=sparse)
    assert model.rows == 1960
    warm_up(MajorityLabelset(), sparse=sparse)
