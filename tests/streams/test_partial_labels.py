"""Labels known in part: rows keep what is known of them wherever they go, at the cost of what they name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.errors import DataError
from stream_ml.ihomer import IHomerClassifier
from stream_ml.streams import LEARN, PREDICT, Batch, Delayed, Feature, Limited, Schema, Shuffled, Stream, open_stream
from stream_ml.streams.batch import Partial
from stream_ml.streams.messages import messages
from stream_ml.streams.source import concatenate

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
CELLS = st.lists(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=3, max_size=3), min_size=1, max_size=30)


def as_batch(y):
    schema = Schema([Feature("i")], ["a", "b", "c"])
    return Batch.from_dense(schema, np.arange(len(y), dtype=float)[:, None], np.array(y).reshape(-1, 3))


def as_told(row):
    """What is known of a row of 0, 1 and NaN, as JSON records say it."""
    names = [name for name, value in zip("abc", row, strict=True) if value == 1]
    if not np.isnan(row).any():
        return names
    return {m: v == 1 for m, v in zip("abc", row, strict=True) if not np.isnan(v)} or None


class Rows(Stream):
    def __init__(self, y, **options):
        super().__init__(**options)
        self.batch = as_batch(y)
        self.name, self.n_instances, self.schema = "rows", len(y), self.batch.schema

    def pieces(self):
        for start in range(0, len(self.batch), 4):
            yield self.batch.rows(start, min(start + 4, len(self.batch)))


def told_by_row(batches, y):
    """Each row's labels, checked against the table by the row's number, which is its feature."""
    rows = []
    for batch in batches:
        for i, mode, told in zip(batch.x_values.astype(int).tolist(), batch.mode, batch.labels_told(), strict=True):
            assert told == as_told(y[i])
            rows.append((i, int(mode)))
    return rows


@QUICK
@given(CELLS, st.integers(1, 9), st.integers(0, 5), st.data())
def test_rows_keep_what_is_known_of_them(y, size, delay, data):
    batch, n = as_batch(y), len(y)
    assert batch.labelled.tolist() == [as_told(row) is not None for row in y]
    assert (batch.mode == np.where(batch.labelled, PREDICT | LEARN, PREDICT)).all()
    told_by_row([batch, batch.take(np.array(data.draw(st.lists(st.integers(0, n - 1))), dtype=np.int64))], y)
    cut = data.draw(st.integers(0, n))
    told_by_row([batch.rows(0, cut), batch.rows(cut, n), concatenate([batch.rows(0, cut), batch.rows(cut, n)])], y)
    stream = Rows(y, batch_size=size)
    assert [i for i, _ in told_by_row(stream, y)] == list(range(n))
    assert sorted(told_by_row(Shuffled(stream, 1), y)) == sorted(told_by_row(stream, y))
    assert len(told_by_row(Limited(stream, 2), y)) == min(2, n)
    learned = [i for i, mode in told_by_row(Delayed(stream, delay), y) if mode == LEARN]
    assert learned == np.flatnonzero(batch.labelled).tolist()


@QUICK
@given(CELLS)
def test_river_gets_the_labels_that_are_known(y):
    for (_, got), row in zip(as_batch(y).iter_dicts(), y, strict=True):
        assert got == {m: v == 1 for m, v in zip("abc", row, strict=True) if not np.isnan(v)}


@QUICK
@given(CELLS)
def test_unknown_labels(y):
    batch = as_batch(y)
    unknown = np.isnan(np.array(y)) & batch.labelled[:, None]
    got = batch.unknown_labels(3)
    assert got.tolist() == (unknown.tolist() if unknown.any() else [])
    assert batch.unknown_labels(1).tolist() == (unknown[:, :1].tolist() if unknown.any() else [])
    assert (batch.partial is None) == (not unknown.any())


def test_a_masked_cell_is_not_known():
    batch = as_batch([[1, 0, 1]])
    masked = Batch.from_dense(batch.schema, [[0.0]], np.ma.masked_array([[1, 0, 1]], [[True, False, False]]))
    assert list(masked.labels_told()) == [{"b": False, "c": True}]


JSON = [
    (["a"], ["a"]),
    ([], []),
    (None, None),
    ({}, None),
    ({"a": None}, None),
    ({"a": True, "c": False, "d": None}, {"a": True, "c": False}),
    ({"b": 1, "c": 0}, {"b": True, "c": False}),
]


@pytest.mark.parametrize(("y", "told"), JSON)
def test_json_lines(tmp_path, y, told):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"x": [1], "y": ["a", "b"]}) + "\n" + json.dumps({"x": [2], "y": y}) + "\n")
    stream = open_stream(path, batch_size=1)
    first, second = stream
    assert list(first.labels_told()) == [["a", "b"]]
    assert list(second.labels_told()) == [told]
    assert second.labelled.tolist() == [told is not None]
    assert "d" not in stream.schema.labels  # null tells nothing, not even that there is such a label
    assert second.n_labels == second.labels_known()[0] == (3 if isinstance(told, dict) and "c" in told else 2)
    assert second.known == (1, 2)


def test_a_row_costs_what_it_names(tmp_path):
    path = tmp_path / "x.jsonl"
    names = [f"l{i}" for i in range(20_000)]
    rows = [{"x": [1], "y": names}, *({"x": [1], "y": {"l7": True, "l9": False}} for _ in range(50))]
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (batch,) = open_stream(path)
    assert len(batch.y_indices) == 20_050
    assert batch.partial is not None
    assert len(batch.partial.indices) == 50


HEAD = "@relation x\n@attribute a numeric\n@attribute l {0,1}\n@attribute m {0,1}\n@attribute n {1,0}\n@data\n"
FILES = {
    "x.arff": (HEAD + "1,?,1,0\n1,?,?,?\n1,0,1,1\n1,0,?,?\n", "l,m,n"),
    "sparse.arff": (HEAD + "{0 1,1 ?,2 1,3 0}\n{1 ?,2 ?,3 ?}\n{0 1,2 1}\n{0 1,2 ?,3 ?}\n", "l,m,n"),
    "x.csv": ("a,l,m,n\n1,,1,0\n1,?,NA,\n1,0,1,1\n1,0,,\n", "l,m,n"),
}


@pytest.mark.parametrize("name", FILES)
def test_missing_labels_of_files(tmp_path, name):
    text, labels = FILES[name]
    (tmp_path / name).write_text(text)
    (batch,) = open_stream(tmp_path / name, labels=labels)
    assert list(batch.labels_told()) == [{"m": True, "n": False}, None, ["m", "n"], {"l": False}]


@QUICK
@given(y=CELLS)
def test_what_simulate_writes_reads_back_the_same(y, tmp_path_factory):
    path = tmp_path_factory.mktemp("back") / "x.jsonl"
    batch = as_batch(y)
    path.write_bytes(b"\n".join(orjson.dumps({"x": x, "y": told}) for x, told in messages(batch)))
    back = [told for part in open_stream(path, batch_size=3) for told in part.labels_told()]
    assert [t if isinstance(t, dict | None) else sorted(t) for t in back] == list(batch.labels_told())


def test_contradictions_are_refused():
    batch = as_batch([[1, 0, 1], [0, 1, 0]])
    model = IHomerClassifier()

    def told(rows, indptr, indices):
        return Partial(np.array(rows), np.array(indptr), np.array(indices, dtype=np.int32))

    for partial, problem in (
        (told([False, True], [0, 0, 2], [1, 2]), "row 1, field 'b': a label that is both present and absent"),
        (told([False, True], [0, 1, 2], [1, 2]), "row 0: labels known to be absent in a row"),
        (told([False, True], [0, 0, 1], [3]), "a label that the schema lacks; expected 0 to 2, found 3"),
    ):
        with pytest.raises(DataError, match=problem):
            model.test_then_train(replace(batch, partial=partial))
    assert model.n_learned == 0
