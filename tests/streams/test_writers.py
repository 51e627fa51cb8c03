"""What is written is read back: the same features by name and value, the same labels by name."""

from __future__ import annotations

import gzip
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import small_streams

from stream_ml.errors import ConfigError, DataError
from stream_ml.streams import Batch, Feature, Schema, Stream, open_stream
from stream_ml.streams.writers import write_stream

quick = settings(deadline=None, derandomize=True, max_examples=40)


class Given(Stream):
    """One batch as a stream."""

    def __init__(self, batch, name="given"):
        super().__init__(batch_size=7)
        self.batch, self.schema, self.name = batch, batch.schema, name

    def pieces(self):
        yield self.batch


def canonical(stream, *, zeros=True):
    """Rows by names: features without zeros or missing values, and positive labels; None for unknown ones."""
    rows = []
    for batch in stream:
        for (x, y), labelled in zip(batch.iter_dicts(), batch.labelled.tolist(), strict=True):
            features = {}
            for name, value in x.items():
                if isinstance(value, str):
                    features[f"{name}={value}"] = 1.0
                elif value:
                    features[name] = value
            rows.append((features, {label for label, on in y.items() if on} if labelled else None))
    return rows


def named(batch):
    """The batch with texts, not digits, as nominal values."""
    features = [Feature(f.name, f.values and tuple(f"v{v}" for v in f.values)) for f in batch.schema.features]
    return replace(batch, schema=Schema(features, batch.schema.labels, sparse=batch.schema.sparse))


def read(path, batch):
    options = {"labels": f"last:{batch.n_labels}"} if ".csv" in path.name else {}
    return open_stream(path, **options)


@quick
@given(st.data(), st.sampled_from(["arff", "arff.gz", "jsonl", "csv", "jsonl.gz"]))
def test_read_back(tmp_path_factory, data, ending):
    batch = named(data.draw(small_streams(missing="jsonl" not in ending)))
    if batch.schema.sparse and ending == "csv":
        return
    batch = batch.with_mode(3)
    path = tmp_path_factory.mktemp("written") / f"a.{ending}"
    assert write_stream(Given(batch), path) == len(batch)
    found, expected = canonical(read(path, batch)), canonical([batch])
    if ending.startswith("jsonl") and not batch.schema.sparse and not any(f.nominal for f in batch.schema.features):
        place = {f"{j}": f.name for j, f in enumerate(batch.schema.features)}
        found = [({place[name]: v for name, v in x.items()}, y) for x, y in found]
    if ending.startswith("jsonl") and batch.schema.sparse:  # the first value of a nominal feature is what is absent
        expected = [({name: v for name, v in x.items() if not name.endswith("=v0")}, y) for x, y in expected]
    assert found == expected


def small(**schema):
    columns = Schema([Feature("a, b"), Feature("it's", ("x y", "{}"))], ["la bel", "other"], **schema)
    return Batch.from_dense(columns, [[1.1, 1], [np.nan, 0], [0, np.nan]], [[1, 0], [0, 0], [1, 1]])


@pytest.mark.parametrize("ending", ["arff", "csv"])
def test_odd_names_missing_values_and_unknown_labels(tmp_path, ending):
    batch = small()
    batch.labelled[2], batch.mode[2] = False, 1
    batch.y_indptr[3] = batch.y_indptr[2]
    path = tmp_path / f"a.{ending}"
    write_stream(Given(batch), path)
    rows = canonical(read(path, batch))
    assert rows == [({"a, b": np.float32(1.1), "it's={}": 1.0}, {"la bel"}), ({"it's=x y": 1.0}, set()), ({}, None)]


@pytest.mark.parametrize("ending", ["arff.gz", "jsonl.gz", "csv", "arff"])
def test_the_same_rows_make_the_same_bytes(tmp_path, ending):
    one, other = tmp_path / f"one.{ending}", tmp_path / f"other.{ending}"
    for path in (one, other):
        write_stream(Given(small()), path)
    assert one.read_bytes() == other.read_bytes()
    if ending.endswith("gz"):
        assert gzip.decompress(one.read_bytes())


@pytest.mark.parametrize(
    ("name", "sparse", "message"),
    [
        ("a.txt", False, "expected a name that ends in .arff, .jsonl, .csv, .parquet"),
        ("a.parquet.gz", False, "expected a name"),
        ("a.csv", True, "too many columns for a table"),
    ],
)
def test_names_that_do_not_fit_are_told(tmp_path, name, sparse, message):
    with pytest.raises(ConfigError, match=message):
        write_stream(Given(small(sparse=sparse)), tmp_path / name)


def test_a_place_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be written: no such file"):
        write_stream(Given(small()), tmp_path / "none" / "a.arff")


def test_parquet(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'stream-ml[parquet]'")
    path = tmp_path / "a.parquet"
    assert write_stream(Given(small()), path) == 3
    table = pq.read_table(path).to_pydict()
    assert table["a, b"] == [pytest.approx(1.1), None, 0.0]
    assert table["it's"] == ["{}", "x y", None]
    assert table["la bel"] == [True, False, True]


def test_parquet_without_pyarrow_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'stream-ml\[parquet\]'"):
        write_stream(Given(small()), tmp_path / "a.parquet")


@quick
@given(st.data(), st.sampled_from(["arff", "jsonl", "csv"]))
def test_labels_known_in_part_are_read_back(tmp_path_factory, data, ending):
    batch = named(data.draw(small_streams(partial=True, modes=False)))
    path = tmp_path_factory.mktemp("part") / f"x.{ending}"
    if ending == "csv" and batch.schema.sparse:
        return
    write_stream(Given(batch), path)

    def told(batches):
        rows = [dict.fromkeys(y, True) if isinstance(y, list) else y for b in batches for y in b.labels_told()]
        # all labels may be told as a list or as an object
        return [y and {m: on for m, on in y.items() if on or len(y) < len(batch.schema.labels)} for y in rows]

    assert told(read(path, batch)) == told([batch])


GROWING = """{"x": {"a": 1, "colour": "red"}, "y": ["u"]}
{"x": {"a": 2}}
{"x": {"b": 3}, "y": {"v": true, "u": null}}
{"x": {"a": null, "c": -1.5}, "y": ["w", "u"]}
"""


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_a_stream_whose_columns_appear_is_written_with_all_of_them(tmp_path, batch_size):
    """Of labels told in part, those that appear later are not known, either."""
    source, path = tmp_path / "x.jsonl", tmp_path / "x.arff"
    source.write_text(GROWING)
    assert write_stream(open_stream(source, batch_size=batch_size), path) == 4
    (batch,) = open_stream(path)
    assert batch.schema.labels == ["u", "v", "w"]
    assert [f.name for f in batch.schema.features] == ["a", "colour=red", "b", "c"]
    assert np.array_equal(batch.x_dense(), [[1, 1, 0, 0], [2, 0, 0, 0], [0, 0, 3, 0], [np.nan, 0, 0, -1.5]], True)
    assert list(batch.labels_told()) == [["u"], None, {"v": True}, ["u", "w"]]


@pytest.mark.parametrize("ending", ["csv", "arff", "csv.gz"])
def test_a_dense_stream_whose_labels_appear_is_written(tmp_path, ending):
    source, path = tmp_path / "x.jsonl", tmp_path / f"x.{ending}"
    source.write_text('{"x": [1, 2.5], "y": ["u"]}\n{"x": [0, null], "y": ["v"]}\n{"x": [3, 4], "y": ["u", "w"]}\n')
    write_stream(open_stream(source, batch_size=1), path)
    (batch,) = read(path, next(iter(open_stream(source))))
    assert batch.schema.labels == ["u", "v", "w"]
    assert batch.y_dense().tolist() == [[True, False, False], [False, True, False], [True, False, True]]
    assert np.array_equal(batch.x_dense(), [[1, 2.5], [0, np.nan], [3, 4]], True)


def test_a_shuffled_stream_has_all_its_columns(tmp_path):
    source, path = tmp_path / "x.jsonl", tmp_path / "x.arff"
    source.write_text(GROWING)
    write_stream(open_stream(source, shuffle=3), path)
    assert canonical(open_stream(path)) == canonical(open_stream(source, shuffle=3))


def test_a_pipe_that_would_be_read_twice_is_told(tmp_path):
    """With nothing written; JSON Lines are, which need not be."""
    for ending, told in (("arff", "a pipe can be read only once"), ("jsonl", None)):
        pipe, path = tmp_path / f"{ending}.pipe", tmp_path / f"x.{ending}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=[GROWING])
        writer.start()
        stream = open_stream(pipe, format="jsonl")
        if told is None:
            assert write_stream(stream, path) == 4
        else:
            with pytest.raises(DataError, match=told):
                write_stream(stream, path)
            assert not path.exists()
        writer.join()
