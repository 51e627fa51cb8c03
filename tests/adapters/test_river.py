"""The classifier among river's: its own checks, its pipelines, its evaluation, its datasets."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from river import base, checks, compose, datasets, evaluate, feature_selection, metrics, preprocessing

from stream_ml import IHomerClassifier, default_stream, prequential
from stream_ml.adapters.river import RiverIHomerClassifier, RiverStream
from stream_ml.errors import ConfigError, DataError
from stream_ml.streams import Limited, concatenate

# river leaves the files of its datasets to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
CHECKS = [check.__name__ for check in checks.yield_checks(RiverIHomerClassifier())]


@pytest.fixture(autouse=True, scope="module")
def music(tmp_path_factory):
    """A file of our making where river's checks look for the multi-label dataset that they would download else."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("river_data")
        patch.setenv("RIVER_DATA", str(home))
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr("river.datasets.music.stream.iter_csv", lambda path, **options: options)
            columns = datasets.Music()._iter()
        labels = columns["target"]
        features = [name for name in columns["converters"] if name not in labels]
        whole = [columns["converters"][name] is int for name in features]
        rng = np.random.default_rng(7)
        x = rng.normal(size=(593, len(features)))
        y = x[:, : len(labels)] > 0.5
        lines = [",".join([*labels, *features])]
        for values, positive in zip(x, y, strict=True):
            numbers = [str(int(v * 9)) if i else f"{v:.5f}" for v, i in zip(values, whole, strict=True)]
            lines.append(",".join([*map(str, positive.astype(int)), *numbers]))
        text = "\n".join(lines)
        room = datasets.Music().size - len(text)  # river believes a file of this size alone
        assert 0 < room < 100_000
        assert not whole[-1]
        path = datasets.Music().path
        path.parent.mkdir(parents=True)
        path.write_text(text + "0" * room)
        yield
        assert [p.name for p in home.iterdir()] == ["Music"]


def no_download(*_):
    raise AssertionError("a download")


@pytest.mark.parametrize("number", range(len(CHECKS)), ids=CHECKS)
def test_rivers_own_checks(number, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", no_download)
    check = list(checks.yield_checks(RiverIHomerClassifier()))[number]  # it holds a file open: not for longer
    check(RiverIHomerClassifier(experts={"window": 256}))


def test_none_of_rivers_checks_is_skipped():
    assert RiverIHomerClassifier()._unit_test_skips() == set()


def rows_of(stream):
    return [pair for batch in stream for pair in batch.iter_dicts()]


def test_says_what_the_model_says_bit_for_bit():
    whole = concatenate(list(default_stream(n_instances=1200, seed=3)))
    numeric = [not f.nominal for f in whole.schema.features]
    native = IHomerClassifier(period=50)
    adapter = RiverIHomerClassifier(period=50)
    adapter.model = IHomerClassifier(whole.schema, period=50)  # its nominal features are known, as the native model's
    expected = native.test_then_train(whole)
    assert not all(numeric)
    for row, (x, y) in enumerate(whole.iter_dicts()):
        probabilities, decided = adapter.predict_proba_one(x), adapter.predict_one(x)
        adapter.learn_one(x, y)
        assert [p[True] for p in probabilities.values()] == expected.probabilities[row].tolist()
        a, b = expected.label_indptr[row : row + 2]
        assert [whole.schema.label_index(name) for name, on in decided.items() if on] == expected.label_indices[
            a:b
        ].tolist()
    assert {e.kind for e in native.drain_events()} >= {"split"}
    for name, array in native.state_dict().items():
        if name != "events":  # drained above
            np.testing.assert_array_equal(array, adapter.model.state_dict()[name], err_msg=name)


def test_prequential_of_ours_and_progressive_validation_of_rivers_agree():
    stream = RiverStream(datasets.Music(), name="music")
    ours = prequential(stream, IHomerClassifier(period=50), baselines=False)
    metric = metrics.multioutput.ExactMatch()
    evaluate.progressive_val_score(datasets.Music(), RiverIHomerClassifier(period=50), metric)
    # river does not score the first row: nothing is predicted before a label is known
    assert ours.summary["n_scored"] == 593
    assert abs(metric.get() * 592 - ours.summary["metrics"]["subset_accuracy"] * 593) < 1.5
    assert ours.summary["metrics"]["micro_f1"] > 0.5


def test_in_pipelines_with_scalers_and_selectors():
    scaled = compose.SelectType(float) | preprocessing.StandardScaler()
    selected = scaled | feature_selection.VarianceThreshold(threshold=0.01, min_samples=10)
    model = (selected + compose.SelectType(int)) | RiverIHomerClassifier()
    assert isinstance(model, base.MultiLabelClassifier)
    metric = metrics.multioutput.MicroAverage(metrics.F1())
    evaluate.progressive_val_score(datasets.Music(), model, metric)
    assert metric.get() > 0.5
    fresh = model.clone({"RiverIHomerClassifier": {"period": 20}})
    assert fresh["RiverIHomerClassifier"].model.settings.period == 20
    assert fresh["RiverIHomerClassifier"].model.n_learned == 0


def test_delayed_labels_of_rivers_evaluation():
    metric = metrics.multioutput.ExactMatch()
    evaluate.progressive_val_score(datasets.Music().take(200), RiverIHomerClassifier(), metric, delay=20)
    assert 0 < metric.get() < 1


def test_pickled_it_goes_on_as_if_it_had_not_been():
    rows = rows_of(default_stream(n_instances=600, seed=2))
    model = RiverIHomerClassifier(period=50)
    for x, y in rows[:400]:
        model.learn_one(x, y)
    again = pickle.loads(pickle.dumps(model))
    for x, y in rows[400:]:
        assert model.predict_proba_one(x) == again.predict_proba_one(x)
        model.learn_one(x, y)
        again.learn_one(x, y)


def test_predicting_changes_nothing():
    rows = rows_of(default_stream(n_instances=100, seed=2))
    model = RiverIHomerClassifier()
    assert (model.predict_one(rows[0][0]), model.predict_proba_one(rows[0][0])) == ({}, {})
    for x, y in rows:
        model.learn_one(x, y)
    before = model.model.state_dict()
    expected = model.predict_proba_one(rows[0][0])
    assert model.predict_proba_one(rows[0][0] | {"never met": 3.0, "nor this": "text"}) == expected
    assert model.model.schema.feature_index("never met") is None
    for name, array in model.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_wrong_settings_are_told():
    with pytest.raises(ConfigError, match=r"clusters\.n_mni: Extra inputs are not permitted"):
        RiverIHomerClassifier(clusters={"n_mni": 100})


def test_datasets_of_classes_and_what_is_no_row():
    segments = RiverStream(datasets.ImageSegments(), batch_size=300)
    batch = next(iter(segments))
    assert np.diff(batch.y_indptr).tolist() == [1] * 300
    assert next(iter(RiverStream(datasets.Phishing()))).schema.labels == ["y"]
    once = RiverStream(datasets.Phishing().take(10))
    assert len(next(iter(once))) == 10
    with pytest.raises(DataError, match="its rows can be read only once"):
        list(once)
    with pytest.raises(DataError, match=r"TrumpApproval, row 0, field 'y': no labels; expected"):
        list(Limited(RiverStream(datasets.TrumpApproval()), 5))
    skipping = RiverStream([({"a": 1.0}, {"p": True}), ({"a": 1j}, {"p": True}), 3], on_error="skip")
    assert [len(b) for b in skipping] == [1]
    assert skipping.skipped.count == 2
