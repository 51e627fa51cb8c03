"""Rows as dictionaries: what they mean, one by one and as a stream."""

from __future__ import annotations

import copy
import math
import pickle
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import row_lists, small_streams

from stream_ml import IHomerClassifier
from stream_ml.errors import DataError
from stream_ml.streams import Feature, Limited, Schema
from stream_ml.streams.dicts import DictRows, DictStream

OPTIONS = {"period": 10, "tree": {"grace_period": 10}, "experts": {"window": 64}}
values = st.one_of(
    st.integers(-3, 3), st.floats(-5, 5, width=16), st.booleans(), st.none(), st.sampled_from(["red", "blue"])
)
rows_of_dicts = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["a", "b", "c", 4, ("d", 5)]), values, max_size=5),
        st.dictionaries(st.sampled_from(["p", "q", 7]), st.sampled_from([True, False, None]), max_size=3),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(small_streams(modes=False, partial=True))
def test_rows_come_back_from_the_dictionaries_that_batches_give(batch):
    rows = DictRows(batch.schema)
    for row, (x, y) in enumerate(batch.iter_dicts()):
        expected = batch.rows(row, row + 1)
        one = rows.batch(missing_named(batch, row, x), y)
        assert row_lists(one) == row_lists(expected) or np.isnan(one.x_values).any()
        np.testing.assert_array_equal(one.x_dense(), expected.x_dense())
        assert one.labelled.tolist() == expected.labelled.tolist()
        np.testing.assert_array_equal(one.y_dense(), expected.y_dense())
        np.testing.assert_array_equal(one.unknown_labels(batch.n_labels), expected.unknown_labels(batch.n_labels))


def missing_named(batch, row, x):
    """`x` with what is missing: `iter_dicts` leaves it out."""
    return x | {
        batch.schema.features[j].name: None for j in np.flatnonzero(np.isnan(batch.rows(row, row + 1).x_dense()[0]))
    }


@settings(deadline=None, derandomize=True, max_examples=25)
@given(small_streams(modes=False, partial=True))
def test_the_model_learns_and_says_the_same_as_from_the_batch(batch):
    whole, single = (IHomerClassifier(batch.schema, **OPTIONS) for _ in range(2))
    expected = whole.test_then_train(batch)
    for row, (x, y) in enumerate(batch.iter_dicts()):
        x = missing_named(batch, row, x)
        probabilities, decided = single.predict_proba_one(x), single.predict_one(x)
        assert [p[True] for p in probabilities.values()] == expected.probabilities[row].tolist()
        a, b = expected.label_indptr[row : row + 2]
        assert np.flatnonzero(list(decided.values())).tolist() == expected.label_indices[a:b].tolist()
        single.learn_one(x, y)
    again = single.state_dict()
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows_of_dicts, st.booleans(), st.integers(1, 50))
def test_one_by_one_is_as_the_stream_in_any_batches(pairs, sparse, batch_size):
    given_pairs = copy.deepcopy(pairs)
    stream = DictStream(pairs, sparse=sparse, batch_size=batch_size)
    whole = IHomerClassifier(Schema(sparse=sparse), **OPTIONS)
    predictions = [whole.test_then_train(batch) for batch in stream]
    probabilities = [p for part in predictions for p in part.probabilities]
    single = IHomerClassifier(Schema(sparse=sparse), **OPTIONS)
    names = [feature.name for feature in stream.schema.features]
    for (x, y), expected in zip(pairs, probabilities, strict=True):
        known = all(k in single.schema.feature_positions for k in map(str, x))
        told = single.predict_proba_one(x)
        assert single.predict_one(x).keys() == told.keys()
        if known and not any(isinstance(v, str) for v in x.values()):
            by_name = {str(name): p[True] for name, p in told.items()}
            for label, at in zip(stream.schema.labels, range(len(expected)), strict=False):
                assert by_name.get(label, 0.0) == expected[at]
        single.learn_one(x, y)
    assert pairs == given_pairs
    if whole.n_learned:
        assert [f.name for f in single.schema.features] == names[: single.schema.n_features]
        a, b = whole.state_dict(), single.state_dict()
        if len(a["arities"]) == len(b["arities"]):  # rows without labels bring features to the stream alone
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert whole.n_learned == single.n_learned


def test_absent_and_missing_are_told_apart():
    for sparse, absent in ((False, math.nan), (True, 0.0)):
        rows = DictRows(Schema([Feature("a"), Feature("b")], sparse=sparse))
        np.testing.assert_array_equal(rows.unlabelled({"a": 1}).x_dense(), [[1, absent]])
        np.testing.assert_array_equal(rows.unlabelled({"a": None, "b": math.nan}).x_dense(), [[math.nan, math.nan]])


def test_texts_are_features_of_their_own_and_each_excludes_the_others():
    rows = DictRows(Schema())
    rows.batch({"colour": "red"}, {"p": True})
    rows.batch({"colour": "blue"}, {"p": True})
    assert [f.name for f in rows.schema.features] == ["colour=red", "colour=blue"]
    again = DictRows(rows.schema)  # as after a model was loaded
    for one in (rows, again):
        assert one.unlabelled({"colour": "red"}).x_dense().tolist() == [[1, 0]]
        assert one.unlabelled({"colour": "green"}).x_dense().tolist() == [[0, 0]]
        np.testing.assert_array_equal(one.unlabelled({"colour": None}).x_dense(), [[math.nan] * 2])
    assert rows.schema.n_features == 2
    sparse = DictRows(Schema(sparse=True))
    assert row_lists(sparse.batch({"colour": "red"}, ["p"])) == [[(0, 1.0)]]


def test_nominal_values_of_a_schema():
    rows = DictRows(Schema([Feature("colour", ("red", "blue")), Feature("size", ("1", "2"))]))
    assert rows.unlabelled({"colour": "blue", "size": 2}).x_dense().tolist() == [[1, 1]]
    with pytest.raises(DataError, match=r"x, field 'colour': a value that the feature lacks; expected one of"):
        rows.unlabelled({"colour": "green"})


def test_names_that_are_no_texts_come_back_as_they_were():
    model = IHomerClassifier(**OPTIONS)
    for i in range(30):
        model.learn_one({0: i % 2, ("n", 1): 0.5}, {3: i % 2 == 1, "spam": False, 2.5: True})
    assert model.predict_one({0: 1, ("n", 1): 0.5}) == {3: True, "spam": False, 2.5: True}
    again = pickle.loads(pickle.dumps(model))
    assert again.predict_proba_one({0: 1}) == model.predict_proba_one({0: 1})
    with pytest.raises(
        DataError, match=r"field '3': two labels of the same text; expected other names, found 3 and '3'"
    ):
        model.learn_one({0: 1}, {"3": True})
    with pytest.raises(DataError, match="field '0': two features of the same text"):
        model.learn_one({"0": 1}, {3: True})


def test_labels_by_set_or_in_part():
    rows = DictRows(Schema(labels=["p", "q", "r"]))
    assert rows.batch({}, {"q"}).y_indices.tolist() == [1]
    assert rows.batch({}, {"q"}).partial is None
    assert rows.batch({}, {"p": False, "q": True, "r": np.False_}).partial is None
    assert rows.batch({}, {"q": 1, "r": None}).unknown_labels(3).tolist() == [[True, False, True]]
    assert not rows.batch({}, {}).labelled[0]
    assert not rows.batch({}, None).labelled[0]
    assert not rows.batch({}, {"p": None}).labelled[0]
    assert rows.batch({}, []).labelled[0]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ({"a": 1j}, {"p": True}, r"x, field 'a': not a value; expected a number, text, true, false or None, found 1j"),
        ({"a": Decimal(1)}, {"p": True}, "x, field 'a': not a value"),
        ({"a": [1]}, {"p": True}, "x, field 'a': not a value"),
        ({"a": np.zeros(2)}, {"p": True}, "x, field 'a': not a value"),
        ({"a": 1e39}, {"p": True}, "x, field 'a': too large for single precision"),
        ({"a": -math.inf}, {"p": True}, "x, field 'a': too large for single precision"),
        ({"a": 10**400}, {"p": True}, "x, field 'a': too large for single precision"),
        ([1.0], {"p": True}, "x: no features; expected {feature: value}"),
        ({"a": 1.0}, {"p": 0.5}, "y, field 'p': not a label's value; expected true, false or None, found 0.5"),
        ({"a": 1.0}, {"p": "yes"}, "y, field 'p': not a label's value"),
        ({"a": 1.0}, "p", "y: no labels; expected {label: true or false}, or a set of labels, found 'p'"),
        ({"a": 1.0}, 3, "y: no labels"),
        ({"a": "red", "a=red": 1.0}, {"p": True}, "x, field 'a(=red)?': a name that is also that of a text"),
    ],
)
def test_what_is_no_row_is_told_and_changes_nothing(x, y, message):
    model = IHomerClassifier(**OPTIONS)
    model.learn_one({"a": 1.0, "b": "red"}, {"p": True, "q": False})
    before = model.state_dict()
    with pytest.raises(DataError, match=message):
        model.learn_one(x, y)
    assert model.schema.labels == ["p", "q"]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(DataError):
        IHomerClassifier().predict_one({"a": 1j})


def test_streams_of_pairs():
    pairs = [({"a": float(i)}, {"p": i % 2 == 0}) for i in range(2500)]
    stream = DictStream(pairs, name="pairs")
    assert (stream.n_instances, stream.grows) == (2500, True)
    assert [len(b) for b in Limited(stream, 1200)] == [1000, 200]
    assert sum(len(b) for b in DictStream(iter(pairs))) == 2500
