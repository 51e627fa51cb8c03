"""Arrays that users give are checked where they enter."""

from __future__ import annotations

import numpy as np
import pytest

from stream_ml.errors import DataError
from stream_ml.streams import Batch, Feature, Schema, open_stream

GOOD_X, GOOD_Y = [[1.0, 0], [2.0, 1]], [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (GOOD_X, [[0, -1], [1, 1]], "row 0, field 'q': a label that is neither 0 nor 1; expected .*NaN, found -1.0"),
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
        ([["1", "0"], ["2", "1"]], GOOD_Y, "x is no array of numbers: it holds str"),
        ([[1j, 0], [2, 1]], GOOD_Y, "x is no array of numbers: it holds complex128"),
        (GOOD_X, [["0", "1"], ["1", "1"]], "y is no array of 0 and 1"),
        (np.zeros((2, 2, 1)), GOOD_Y, "x of another form; expected rows and columns, found 3 dimensions"),
        (GOOD_X, [0, 1], "y of another form; expected rows and columns, found 1 dimension"),
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
    masked = Batch.from_dense(schema, np.ma.masked_array(GOOD_X, [[1, 0], [0, 0]]), GOOD_Y)
    assert np.isnan(masked.x_values).tolist() == [True, False, False, False]
    assert np.isnan(Batch.from_dense(schema, [[None, 1], [2, 0]], GOOD_Y).x_values[0])


LARGEST, TOO_LARGE = "3.4028235677973362e38", ("3.4028235677973366e38", "-3.5e38", "1e39", "-1e39", "1e71", "1e400")
FILES = {
    "a.csv": "a,l\n1,0\n{},1\n",
    "dense.arff": "@relation 'x: -C -1'\n@attribute a numeric\n@attribute l {{0,1}}\n@data\n1,0\n{},1\n",
    "sparse.arff": "@relation 'x: -C -1'\n@attribute a numeric\n@attribute l {{0,1}}\n@data\n{{0 1}}\n{{0 {},1 1}}\n",
    "a.svm": "l 1:1\nl 1:{}\n",
    "a.xmc": "2 2 2\n1 1:2\n1 1:{}\n",
    "object.jsonl": '{{"x": {{"a": 1}}, "y": []}}\n{{"x": {{"a": {}}}, "y": []}}\n',
    "list.jsonl": '{{"x": [1], "y": []}}\n{{"x": [{}], "y": []}}\n',
}


@pytest.mark.parametrize("name", FILES)
def test_values_beyond_single_precision_are_bad_rows_in_every_format(name, tmp_path):
    path, options = tmp_path / name, {"labels": "l"} if name.endswith((".csv", ".arff")) else {}
    lines = FILES[name].count("\n")
    for value in TOO_LARGE:
        path.write_text(FILES[name].format(value))
        where = rf"line {lines}, field '(a|1|x\.a|x\.0)': too large for single precision"
        with pytest.raises(DataError, match=where):
            list(open_stream(path, **options))
        stream = open_stream(path, on_error="skip", **options)
        assert sum(map(len, stream)) == stream.skipped.count == 1
    path.write_text(FILES[name].format(LARGEST))
    assert np.concatenate([b.x_values for b in open_stream(path, **options)])[-1] == np.finfo(np.float32).max
