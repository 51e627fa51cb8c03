"""Arrays that users give are checked where they enter."""

from __future__ import annotations

import numpy as np
import pytest

from stream_ml.errors import DataError
from stream_ml.streams import Batch, Feature, Schema

GOOD_X, GOOD_Y = [[1.0, 0], [2.0, 1]], [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (GOOD_X, [[0, -1], [1, 1]], "row 0, field 'q': a label that is neither 0 nor 1; expected 0 or 1, found -1.0"),
        (GOOD_X, [[0, 1], [np.nan, 1]], "row 1, field 'p': a label that is neither 0 nor 1; .*nan"),
        (GOOD_X, [[0, 1]], "y of another shape; expected 2 rows, as x has, .* found 1 rows of 2"),
        (GOOD_X, [[0], [1]], "y of another shape"),
        ([[1.0], [2.0]], GOOD_Y, "x of another width; expected 2 columns, as the schema has features, found 1"),
        ([[1.0, 0], [np.inf, 1]], GOOD_Y, "row 1, field 'a': an infinite value"),
        ([[1.0, 0], [1e300, 1]], GOOD_Y, "row 1, field 'a': too large for single precision"),
        ([[1.0, 2], [2.0, 1]], GOOD_Y, "row 0, field 'b': not a nominal value; expected a position from 0 to 1"),
        ([[1.0, 0.5], [2.0, 1]], GOOD_Y, "row 0, field 'b': not a nominal value"),
        ([], [], "x of another form; expected rows and columns, found 1 dimension"),
        (1, 1, "x of another form; expected rows and columns, found 0 dimensions"),
        ([1.0, 2.0], [0, 1], "x of another form"),
        ([[1.0, "red"]], [[0, 1]], "x is no array of numbers"),
        ([[1.0], [1.0, 2.0]], GOOD_Y, "x is no array of numbers"),
    ],
)
@pytest.mark.parametrize("sparse", [True, False])
def test_mistakes(x, y, message, sparse):
    schema = Schema([Feature("a"), Feature("b", ("red", "blue"))], ["p", "q"], sparse=sparse)
    with pytest.raises(DataError, match=message):
        Batch.from_dense(schema, x, y)


def test_what_is_right_is_taken():
    schema = Schema([Feature("a"), Feature("b", ("red", "blue"))], ["p", "q"])
    batch = Batch.from_dense(schema, [[np.nan, np.nan], [3, 1]], np.array(GOOD_Y, dtype=bool))
    assert np.isnan(batch.x_values[:2]).all()
    assert batch.y_dense().tolist() == [[False, True], [True, True]]
    assert len(Batch.from_dense(schema, np.zeros((0, 2)), np.zeros((0, 2)))) == 0
