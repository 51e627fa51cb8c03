"""Columns matched by name: the order of columns and values means nothing, what lacks is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import small_streams

from stream_ml.errors import DataError
from stream_ml.streams import Batch, Feature, Matched, Schema, open_stream

quick = settings(deadline=None, derandomize=True, max_examples=100)


class Given:
    """A stream of one batch."""

    grows, n_instances = False, None

    def __init__(self, batch):
        self.batch, self.schema, self.name = batch, batch.schema, "given"

    def __iter__(self):
        yield self.batch


def copy_of(schema):
    return Schema.from_dict(schema.to_dict())


def turned(batch, rng, *, sparse):
    """The same rows in a schema whose columns, values of nominal features and labels stand in another order."""
    x, y = batch.x_dense(), batch.y_dense()
    columns, labels = rng.permutation(batch.n_features), rng.permutation(batch.n_labels)
    features, values = [], np.empty_like(x)
    for at, j in enumerate(columns):
        feature, column = batch.schema.features[j], x[:, j]
        if feature.values is not None:
            order = rng.permutation(len(feature.values))
            feature = Feature(feature.name, tuple(feature.values[k] for k in order))
            codes = np.argsort(order).astype(np.float32)
            column = np.where(np.isnan(column), np.nan, codes[np.nan_to_num(column).astype(int)])
        features.append(feature)
        values[:, at] = column
    schema = Schema(features, [batch.schema.labels[m] for m in labels], sparse=sparse)
    out = Batch.from_dense(schema, values, y[:, labels])
    out.mode[:] = batch.mode
    return out


@quick
@given(small_streams(), st.integers(0, 2**32 - 1), st.booleans())
def test_order_and_form_mean_nothing(batch, seed, sparse):
    other = turned(batch, np.random.default_rng(seed), sparse=sparse)
    stream = Matched(Given(other), copy_of(batch.schema))
    (found,) = stream
    np.testing.assert_array_equal(found.x_dense(), batch.x_dense())
    np.testing.assert_array_equal(found.y_dense(), batch.y_dense())
    np.testing.assert_array_equal(found.mode, batch.mode)
    assert stream.schema.to_dict() == batch.schema.to_dict()
    assert stream.matching.told() == []
    for indptr, indices in ((found.x_indptr, found.x_indices), (found.y_indptr, found.y_indices)):
        rows = np.repeat(np.arange(len(found)), np.diff(indptr))
        assert (np.diff(rows * 100 + indices) > 0).all()
    if sparse == batch.schema.sparse:
        np.testing.assert_array_equal(found.x_indptr, batch.x_indptr)
        np.testing.assert_array_equal(found.x_indices, batch.x_indices)


@quick
@given(small_streams(modes=False), st.integers(0, 2**32 - 1), st.booleans())
def test_columns_that_lack_and_that_are_new(batch, seed, new_features):
    rng = np.random.default_rng(seed)
    n, known = batch.n_features, rng.permutation(batch.n_features)[: rng.integers(1, batch.n_features + 1)]
    target = Schema([batch.schema.features[j] for j in known], ["before"], sparse=batch.schema.sparse)
    target.add_feature(Feature("gone"))
    stream = Matched(Given(batch), target, new_features=new_features)
    (found,) = stream
    x = found.x_dense()
    np.testing.assert_array_equal(x[:, : len(known)], batch.x_dense()[:, known])
    absent = 0.0 if batch.schema.sparse else np.nan
    np.testing.assert_array_equal(x[:, len(known)], np.full(len(batch), absent, np.float32))
    assert found.n_features == target.n_features == len(known) + 1 + (n - len(known)) * new_features
    assert target.labels == ["before", *batch.schema.labels]
    np.testing.assert_array_equal(found.y_dense()[:, 1:], batch.y_dense())
    assert (stream.matching.missing, stream.matching.unknown) == (1, n - len(known))
    told = stream.matching.told()
    assert "not in the stream: 1 of " in told[0]
    assert len(told) == 1 + (n > len(known))


def test_values_that_are_not_there_are_missing_or_other():
    here = Schema([Feature("a"), Feature("c", ("red", "pink"))], ["l"])
    batch = Batch.from_dense(here, [[1, 0], [1, 1]], [[0], [1]])
    for values, expected in ((("blue", "red"), [1.0, np.nan]), (("(other)", "red"), [1.0, 0.0])):
        stream = Matched(Given(batch), Schema([Feature("a"), Feature("c", values)], ["l"]))
        (found,) = stream
        np.testing.assert_array_equal(found.x_dense()[:, 1], expected)
        assert stream.matching.lost == np.isnan(expected).sum()
        assert stream.matching.others == ("(other)" in values)


@pytest.mark.parametrize("nominal", [False, True])
def test_another_kind_is_refused(nominal):
    kinds = [Feature("c", ("red", "blue")), Feature("c")]
    here, there = kinds if nominal else kinds[::-1]
    batch = Batch.from_dense(Schema([here], ["l"]), [[0.0]], [[1]])
    with pytest.raises(DataError, match=r"field 'c': a feature of another kind.*expected n.*, found n"):
        list(Matched(Given(batch), Schema([there], ["l"])))


def test_nothing_in_common_is_refused():
    batch = Batch.from_dense(Schema([Feature("a")], ["l"]), [[0.0]], [[1]])
    with pytest.raises(DataError, match="no feature is one of the model's; expected b, found a"):
        list(Matched(Given(batch), Schema([Feature("b")], ["l"])))


def test_what_appears_while_it_is_read_shows_no_sooner(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"x": {{"f{i // 2}": 1}}, "y": ["l{i // 3}"]}}\n' for i in range(9)))
    stream = Matched(open_stream(path, batch_size=2), Schema([Feature("f1"), Feature("old")], ["l2"], sparse=True))
    batches = list(stream)
    assert stream.schema.labels == ["l2", "l0", "l1"]
    assert [f.name for f in stream.schema.features] == ["f1", "old", "f0", "f2", "f3", "f4"]
    assert [b.known for b in batches] == [(2, 1), (3, 2), (3, 3), (4, 3), (5, 3)]
    assert [(b.n_features, b.n_labels) for b in batches] == [(3, 2), (3, 3), (4, 3), (5, 3), (6, 3)]
    # a second pass finds all in place
    assert [b.known for b in stream] == [b.known for b in batches]
    assert [replace(b, x_values=b.x_values).y_indices.tolist() for b in stream] == [
        b.y_indices.tolist() for b in batches
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_dense_model_sees_the_same_whatever_the_batch_size(tmp_path, size):
    """A column is missing until it appears, and 0 where a later row leaves it out."""
    path = tmp_path / "x.jsonl"
    path.write_text(
        "".join(f'{{"x": {x}, "y": []}}\n' for x in ('{"a": 1}', "{}", '{"b": 2, "new": 1}', "{}", '{"c": 3}'))
    )
    stream = Matched(open_stream(path, batch_size=size), Schema([Feature(n) for n in "abc"], ["l"]), new_features=False)
    nan = np.nan
    expected = [[1, nan, nan], [0, nan, nan], [0, 2, nan], [0, 0, nan], [0, 0, 3]]
    np.testing.assert_array_equal(np.concatenate([batch.x_dense() for batch in stream]), expected)
