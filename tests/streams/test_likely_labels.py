"""The likely labels of rows, row by row and as a matrix of all labels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.streams import Predictions
from stream_ml.streams.batch import Likely

rows_of_labels = st.lists(
    st.dictionaries(st.integers(0, 9), st.floats(2**-10, 1, width=32), max_size=6).map(
        lambda row: dict(sorted(row.items(), key=lambda pair: -pair[1]))
    ),
    max_size=8,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(rows_of_labels)
def test_likely(rows):
    """Room beyond a row's labels is never read."""
    labels, probabilities = np.full((len(rows), 6), 999, np.int32), np.full((len(rows), 6), np.nan, np.float32)
    for i, row in enumerate(rows):
        labels[i, : len(row)], probabilities[i, : len(row)] = list(row), list(row.values())
    likely = Likely(np.array([len(row) for row in rows], np.int32), labels, probabilities)
    assert [list(likely.of_row(i).items()) for i in range(len(rows))] == [list(row.items()) for row in rows]
    dense = likely.dense(10)
    assert dense.shape == (len(rows), 10)
    assert dense.dtype == np.float32
    assert [{m: p for m, p in enumerate(row) if p} for row in dense.tolist()] == rows
    said = Predictions(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int32), likely=likely)
    np.testing.assert_array_equal(said.dense(10), dense)


def test_probabilities_of_all_labels_are_given_as_they_are():
    nothing = np.zeros(2, np.int64), np.zeros(0, np.int32)
    p = np.array([[0.25, 0.5]], np.float32)
    likely = Likely(np.array([1], np.int32), np.array([[1]], np.int32), np.array([[0.5]], np.float32))
    assert Predictions(*nothing, p, likely=likely).dense(2) is p
    assert Predictions(*nothing).dense(2) is None
