"""Streams and calls as scikit-multiflow has them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from stream_ml import Batch, IHomerClassifier, prequential
from stream_ml.adapters.multiflow import MultiflowIHomerClassifier, MultiflowStream
from stream_ml.errors import ConfigError, DataError
from stream_ml.streams import Limited, concatenate


class Generated:
    """What its generators look like from outside; samples past the end are cut off, as its slices are."""

    def __init__(self, n=1500, n_features=6, n_targets=4, seed=1):
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(n, n_features))
        self.y = (self.X[:, :n_targets] + rng.normal(size=(n, n_targets)) * 0.3 > 0.4).astype(int)
        self.n_features, self.n_targets = n_features, n_targets
        self.feature_names = [f"a{j}" for j in range(n_features)]
        self.target_names = [f"t{m}" for m in range(n_targets)]
        self.target_values = [[0, 1]] * n_targets
        self.name, self.n_samples, self.at = "Generated", n, 0

    def next_sample(self, batch_size=1):
        self.at += batch_size
        part = slice(self.at - batch_size, self.at)
        y = self.y[part]
        return self.X[part], y.flatten() if self.n_targets == 1 else y

    def has_more_samples(self):
        return self.at < len(self.X)

    def n_remaining_samples(self):
        return len(self.X) - self.at

    def restart(self):
        self.at = 0


class Endless(Generated):
    def __init__(self, **options):
        super().__init__(**options)
        self.n_samples = None

    def next_sample(self, batch_size=1):
        self.at %= len(self.X) - batch_size
        return super().next_sample(batch_size)

    def has_more_samples(self):
        return True

    def n_remaining_samples(self):
        return -1


def test_streams_are_read_whole_and_anew():
    source = Generated()
    stream = MultiflowStream(source, batch_size=400)
    assert (stream.n_instances, stream.name, stream.schema.labels) == (1500, "Generated", ["t0", "t1", "t2", "t3"])
    for _ in range(2):
        batches = list(stream)
        assert [len(batch) for batch in batches] == [400, 400, 400, 300]
        whole = concatenate(batches)
        np.testing.assert_array_equal(whole.x_dense(), source.X.astype(np.float32))
        np.testing.assert_array_equal(whole.y_dense(), source.y == 1)
    assert prequential(stream, IHomerClassifier()).summary["metrics"]["micro_f1"] > 0.6


def test_one_target_and_generators_without_end():
    stream = MultiflowStream(Endless(n_targets=1))
    assert stream.n_instances is None
    assert sum(len(batch) for batch in Limited(stream, 2500)) == 2500


def test_the_models_own_predictions_bit_for_bit_in_multiflows_loop():
    source = Generated(n=700)
    schema = MultiflowStream(source).schema
    parameters = {"period": 50, "experts": {"window": 256}}
    native = IHomerClassifier(schema, **parameters)
    expected = native.test_then_train(Batch.from_dense(schema, source.X, source.y))
    model = MultiflowIHomerClassifier(source.n_targets, **parameters)
    classes = source.target_values
    while source.has_more_samples():
        at = slice(source.at, source.at + 1)
        X, y = source.next_sample()
        np.testing.assert_array_equal(model.predict_proba(X), expected.probabilities[at])
        a, b = expected.label_indptr[source.at - 1 : source.at + 1]
        assert np.flatnonzero(model.predict(X)).tolist() == expected.label_indices[a:b].tolist()
        model.partial_fit(X, y, classes=classes, sample_weight=np.ones(1))
        classes = None
    assert model.model.n_learned == 700
    assert "skmultiflow" not in sys.modules


def test_fit_and_reset_begin_anew():
    source = Generated(n=300)
    model = MultiflowIHomerClassifier(period=50).fit(source.X, source.y)
    first = model.predict_proba(source.X)
    np.testing.assert_array_equal(model.fit(source.X, source.y).predict_proba(source.X), first)
    assert model.reset().model is None
    assert model.predict(source.X).tolist() == [[0] * 4] * 300
    assert model.get_info() == "MultiflowIHomerClassifier(n_targets=4, period=50)"


def test_wrong_calls_are_told():
    source = Generated(n=50)
    model = MultiflowIHomerClassifier()
    with pytest.raises(DataError, match="nothing was learned yet"):
        model.predict(source.X)
    model.partial_fit(source.X, source.y)
    for X, y, message in [
        (source.X[:, :5], source.y, "x of another width; expected 6 columns"),
        (source.X, source.y[:, :3], "y of another shape; expected 50 rows, as x has, of 4 labels"),
        (source.X, source.y * 3, "a label that is neither 0 nor 1"),
        (source.X[0], source.y[0], "samples of another form"),
    ]:
        with pytest.raises(DataError, match=message):
            model.partial_fit(X, y)
    with pytest.raises(DataError, match="classes that labels do not have"):
        model.partial_fit(source.X, source.y, classes=[[0, 1, 2]] * 4)
    with pytest.raises(ConfigError, match="sample weights other than 1"):
        model.partial_fit(source.X, source.y, sample_weight=np.full(50, 2.0))
    with pytest.raises(ConfigError, match="perod: Extra inputs"):
        MultiflowIHomerClassifier(perod=3)
    assert model.model.n_learned == 50


def test_streams_that_are_not_as_they_say():
    once = Generated(n=10)
    once.restart = None
    stream = MultiflowStream(once)
    assert len(list(stream)) == 1
    with pytest.raises(DataError, match="it can be read only once"):
        list(stream)
    classes = Generated(n=10)
    classes.y[3, 2] = 2
    with pytest.raises(DataError, match="Generated, samples from 0: a sample of another form: row 3, field 't2'"):
        list(MultiflowStream(classes))
