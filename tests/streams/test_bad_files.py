"""Bad input, kind by kind: one short line that says where, and skipped rows change no other row."""

from __future__ import annotations

import gzip
import random
import re

import numpy as np
import pytest

from stream_ml.errors import DataError
from stream_ml.streams import concatenate, open_stream

ARFF = "@relation 'x: -C -2'\n@attribute a numeric\n@attribute b {u,v}\n@attribute l {0,1}\n@attribute m {0,1}\n@data\n"
SPARSE = ARFF + "{0 1,3 1}\n"
CSV = "a,b,l\n1,2,0\n"
JSON = '{"x": {"a": 1}, "y": ["l"]}\n'
XMC = "5 5 4\n1 0:1\n"
JUNK = random.Random(0).randbytes(5000)
LONG = "9" * 10_000_000
LABELS = {"csv": "last:1"}


def header(old, new):
    assert old in ARFF
    return ARFF.replace(old, new) + "1,u,0,1\n"


# name: (file name, content or None, patterns that the message must match)
FILES: dict[str, tuple[str, str | bytes | None, list[str]]] = {
    "missing file": ("x.arff", None, ["no such file"]),
    "empty arff": ("x.arff", "", ["empty"]),
    "empty csv": ("x.csv", "", ["empty"]),
    "empty jsonl": ("x.jsonl", "", ["empty"]),
    "empty svmlight": ("x.svm", "", ["empty"]),
    "empty gzip": ("x.arff.gz", gzip.compress(b""), ["empty"]),
    "truncated gzip": ("x.arff.gz", gzip.compress((ARFF + "1,u,0,1\n" * 5000).encode())[:-40], ["truncated"]),
    "truncated gzip of csv": ("x.csv.gz", gzip.compress(CSV.encode())[:-4], ["truncated"]),
    "not gzip": ("x.arff.gz", ARFF, ["gzip"]),
    "damaged gzip": ("x.svm.gz", gzip.compress(XMC.encode() * 50)[:15] + b"\xff" * 30, ["gzip"]),
    "binary junk": ("x.arff", JUNK, []),
    "binary junk as csv": ("x.csv", JUNK, []),
    "binary junk as svmlight": ("x.svm", JUNK, []),
    "binary junk as JSON": ("x.jsonl", JUNK, ["line 1"]),
    "NUL in a header": ("x.arff", header("@attribute b", "@attribute \0"), ["line 3", "binary"]),
    "10 MB line of a header": ("x.arff", "@relation x\n@attribute " + LONG, []),
    "10 MB line of no header": ("x.arff", LONG, ["line 1"]),
    "no @data": ("x.arff", ARFF.replace("@data\n", ""), ["@data"]),
    "no attributes": ("x.arff", "@relation x\n@data\n1\n", ["line 2", "no attributes"]),
    "not a header": ("x.arff", header("@attribute b {u,v}", "hello"), ["line 3", "expected @attribute", "hello"]),
    "no labels": ("x.arff", header(": -C -2", ""), ["label", "--labels"]),
    "too many labels": ("x.arff", header("-C -2", "-C 4"), ["-C 4"]),
    "duplicate names": ("x.arff", header("@attribute b", "@attribute a"), ["line 3", "same name", "'a'", "line 2"]),
    "duplicate names in csv": ("x.csv", "a,a,l\n1,2,0\n", ["line 1", "same name", "'a'"]),
    "nameless column": ("x.csv", "a,,l\n1,2,0\n", ["line 1", "name"]),
    "STRING attribute": ("x.arff", header("a numeric", "a STRING"), ["line 2", "'a'", "(?i)string", "(?i)numeric"]),
    "DATE attribute": ("x.arff", header("a numeric", "a date yyyy"), ["line 2", "'a'", "(?i)date"]),
    "unknown type": ("x.arff", header("a numeric", "a float"), ["line 2", "'a'", "float"]),
    "no type": ("x.arff", header("a numeric", "a"), ["line 2", "'a'"]),
    "values not closed": ("x.arff", header("{u,v}", "{u,v"), ["line 3", "'b'"]),
    "no values": ("x.arff", header("{u,v}", "{}"), ["line 3", "'b'", "without values"]),
    "a value twice": ("x.arff", header("{u,v}", "{u,v,u}"), ["line 3", "'b'", "twice"]),
    "a name's quote not closed": ("x.arff", header("@attribute a", "@attribute 'a"), ["line 2"]),
    "a label that is not binary": ("x.arff", header("l {0,1}", "l {p,q,r}"), ["'l'", "not binary", "p,q,r"]),
}  # fmt: skip

# name: (file name, what stands before, the bad row, patterns): alone among good rows
ROWS: dict[str, tuple[str, str, str | bytes, list[str]]] = {
    "too few values": ("x.arff", ARFF, "1,u,0", ["wrong number", "expected 4", "found 3"]),
    "too many values": ("x.arff", ARFF, "1,u,0,1,1", ["wrong number", "expected 4", "found 5"]),
    "a comma too many": ("x.arff", ARFF, "1,u,0,1,", ["expected 4"]),
    "text for a number": ("x.arff", ARFF, "one,u,0,1", ["'a'", "expected a number", "'one'"]),
    "nothing for a number": ("x.arff", ARFF, ",u,0,1", ["'a'", "expected a number"]),
    "underscores": ("x.arff", ARFF, "1_0,u,0,1", ["'a'", "1_0"]),
    "NaN": ("x.arff", ARFF, "nan,u,0,1", ["'a'", "finite", "'nan'"]),
    "infinity": ("x.arff", ARFF, "-Infinity,u,0,1", ["'a'", "finite", "'-Infinity'"]),
    "overflow of double": ("x.arff", ARFF, "1e999,u,0,1", ["'a'", "'1e999'"]),
    "overflow of single": ("x.arff", ARFF, "3.5e38,u,0,1", ["'a'", "single precision", "'3.5e38'"]),
    "undeclared value": ("x.arff", ARFF, "1,w,0,1", ["'b'", "not declared", "{u, v}", "'w'"]),
    "value in another case": ("x.arff", ARFF, "1,U,0,1", ["'b'", "{u, v}", "'U'"]),
    "label 2": ("x.arff", ARFF, "1,u,0,2", ["'m'", "'2'"]),
    "numeric label 2": ("x.arff", ARFF.replace("m {0,1}", "m numeric"), "1,u,0,2", ["'m'", "0 or 1", "'2'"]),
    "quote not closed": ("x.arff", ARFF, "1,'u,0,1", ["'b'|quote"]),
    "NUL": ("x.arff", ARFF, "1,\0,0,1", ["binary|not declared"]),
    "long value": ("x.arff", ARFF, LONG + ",u,0,1", ["'a'", r"999\.\.\."]),
    "garbage line": ("x.arff", ARFF, "x" * 10_000_000, ["xxx|expected 4"]),
    "sparse index out of range": ("x.arff", SPARSE, "{0 1,4 1}", ["out of range", "0 to 3", "4"]),
    "huge sparse index": ("x.arff", SPARSE, "{99999999999999999999999 1}", ["out of range", "0 to 3"]),
    "negative sparse index": ("x.arff", SPARSE, "{-1 1}", ["-1"]),
    "sparse index twice": ("x.arff", SPARSE, "{0 1,0 2}", ["twice", "'a'"]),
    "sparse index without value": ("x.arff", SPARSE, "{0}", []),
    "sparse row not closed": ("x.arff", SPARSE, "{0 1", []),
    "sparse undeclared value": ("x.arff", SPARSE, "{1 w}", ["'b'", "'w'"]),
    "csv too few": ("x.csv", CSV, "1,0", ["expected 3", "found 2"]),
    "csv too many": ("x.csv", CSV, "1,2,3,0", ["expected 3", "found 4"]),
    "csv NaN": ("x.csv", CSV, "1,nan,0", ["'b'", "finite", "'nan'"]),
    "csv infinity": ("x.csv", CSV, "inf,1,0", ["'a'", "finite", "'inf'"]),
    "csv label 2": ("x.csv", CSV, "1,1,2", ["'l'", "0 or 1", "'2'"]),
    "JSON cut off": ("x.jsonl", JSON, '{"x": {"a": 1}, "y": [', ["JSON"]),
    "JSON of nothing": ("x.jsonl", JSON, "hello", ["JSON", "hello"]),
    "JSON with NaN": ("x.jsonl", JSON, '{"x": {"a": NaN}, "y": []}', ["JSON"]),
    "JSON list": ("x.jsonl", JSON, "[1, 2]", ["object"]),
    "JSON number": ("x.jsonl", JSON, "3", ["object", "3"]),
    "JSON without x": ("x.jsonl", JSON, '{"y": []}', ["'x'"]),
    "JSON x text": ("x.jsonl", JSON, '{"x": "a", "y": []}', ["'x'", "list|object"]),
    "JSON y text": ("x.jsonl", JSON, '{"x": {}, "y": "l"}', ["'y'", "list"]),
    "JSON y of objects": ("x.jsonl", JSON, '{"x": {}, "y": [{}]}', ["'y"]),
    "JSON label of text": ("x.jsonl", JSON, '{"x": {}, "y": {"l": "yes"}}', [r"'y\.l'", "true, false or null"]),
    "JSON label 2": ("x.jsonl", JSON, '{"x": {}, "y": {"l": 2}}', [r"'y\.l'", "found 2"]),
    "JSON label twice": ("x.jsonl", JSON, '{"x": {}, "y": {"l": 1, "l": 0}}', ["'l'", "twice"]),
    "JSON nested value": ("x.jsonl", JSON, '{"x": {"a": {"b": 1}}, "y": []}', [r"'x\.a'"]),
    "JSON too large": ("x.jsonl", JSON, '{"x": {"a": 1e300}, "y": []}', [r"'x\.a'", "1e\\+?300"]),
    "JSON junk": ("x.jsonl", JSON, JUNK.replace(b"\n", b""), ["JSON|binary"]),
    "JSON long": ("x.jsonl", JSON, '{"x": {"a": ' + LONG + "}}", []),
    "no colon": ("x.svm", "1 0:1\n", "1 2", ["INDEX:VALUE", "2"]),
    "no value": ("x.svm", "1 0:1\n", "1 2:", ["2"]),
    "text for a value": ("x.svm", "1 0:1\n", "1 2:x", ["'2'", "number", "'x'"]),
    "text for an index": ("x.svm", "1 0:1\n", "1 a:1", ["INDEX:VALUE", "a:1"]),
    "negative index": ("x.svm", "1 0:1\n", "1 -2:1", ["INDEX:VALUE", "-2:1"]),
    "huge index": ("x.svm", "1 0:1\n", "1 99999999999:1", ["out of range"]),
    "svmlight index twice": ("x.svm", "1 0:1\n", "1 2:1 2:1", ["twice", "2"]),
    "svmlight NaN": ("x.svm", "1 0:1\n", "1 2:nan", ["'2'", "finite"]),
    "svmlight infinity": ("x.svm", "1 0:1\n", "1 2:-inf", ["'2'", "finite"]),
    "svmlight long": ("x.svm", "1 0:1\n", "1 2:" + "x" * 10_000_000, ["'2'"]),
    "svmlight NUL": ("x.svm", "1 0:1\n", "1 2:\0", ["binary"]),
    "xmc index out of range": ("x.txt", XMC, "1 5:1", ["out of range", "0 to 4", "5"]),
    "xmc label out of range": ("x.txt", XMC, "4 1:1", ["out of range", "0 to 3", "4"]),
    "xmc label that is a name": ("x.txt", XMC, "urgent 1:1", ["0 to 3", "urgent"]),
}  # fmt: skip
GOOD = {"x.csv": "3,4,1\n", "x.jsonl": '{"x": {"a": 2}, "y": []}\n', "x.svm": "3 1:2\n", "x.txt": "3 1:2\n"}

# specifications of labels that cannot be, for a csv file of columns a, b, l
SPECIFICATIONS = {
    "last:9": ["9"], "first:0": ["0"], "last:-1": ["-1"], "first:x": ["x"], "last:": ["last:"], "prefix:z": ["z"],
    "lable": ["'lable'"], "l,nowhere": ["'nowhere'"], "last:3": ["label"], "a,b,l": ["label"], "": ["label"],
    "xml:nowhere.xml": [r"nowhere\.xml"],
}  # fmt: skip


def to_bytes(content):
    return content if isinstance(content, bytes) else content.encode()


def open_and_read(path, **options):
    stream = open_stream(path, **{"labels": LABELS.get(path.name.split(".")[1]), **options})
    return stream, list(stream)


def check(error, patterns, folder):
    text = str(error.value)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 400 + len(str(folder))
    assert not [pattern for pattern in patterns if not re.search(pattern, text)], text


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name, tmp_path):
    file, content, patterns = FILES[name]
    if content is not None:
        (tmp_path / file).write_bytes(to_bytes(content))
    with pytest.raises(DataError) as error:
        open_and_read(tmp_path / file)
    check(error, [re.escape(file), *patterns], tmp_path)


@pytest.mark.parametrize("ending", ["arff", "csv", "jsonl", "svm"])
def test_directory(ending, tmp_path):
    (tmp_path / f"x.{ending}").mkdir()
    with pytest.raises(DataError) as error:
        open_and_read(tmp_path / f"x.{ending}")
    check(error, [rf"x\.{ending}", "directory"], tmp_path)


def bad_among_good(name):
    """A file with good rows on both sides of the bad one, the same file without it, and the line of the bad one."""
    file, before, bad, _ = ROWS[name]
    good = to_bytes(GOOD.get(file) or ("{2 1}\n" if before == SPARSE else "2,v,1,0\n"))
    start = to_bytes(before) + good
    without = start.replace(b"5 5 4", b"4 5 4", 1) if before == XMC else start  # the header counts the rows
    return start + to_bytes(bad) + b"\n" + good * 2, without + good * 2, start.count(b"\n") + 1


@pytest.mark.parametrize("name", ROWS)
def test_bad_row(name, tmp_path):
    file, _, _, patterns = ROWS[name]
    content, without, line = bad_among_good(name)
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_and_read(path)
    check(error, [rf"{re.escape(file)}, line {line}[,:]", *patterns], tmp_path)
    stream, batches = open_and_read(path, on_error="skip")
    assert stream.skipped.count == 1
    assert stream.skipped.messages == [str(error.value)]
    path.write_bytes(without)
    fine, expected = open_and_read(path)
    assert fine.skipped.count == 0
    got, wanted = concatenate(batches), concatenate(expected)
    for part in ("x_indptr", "x_indices", "x_values", "y_indptr", "y_indices", "mode", "labelled"):
        np.testing.assert_array_equal(getattr(got, part), getattr(wanted, part), err_msg=part)
    assert (got.n_features, got.n_labels) == (wanted.n_features, wanted.n_labels)
    assert stream.schema.to_dict() == fine.schema.to_dict()


@pytest.mark.parametrize("spec", SPECIFICATIONS)
def test_labels_that_cannot_be(spec, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(CSV)
    with pytest.raises(DataError) as error:
        open_stream(path, labels=spec)
    check(error, SPECIFICATIONS[spec], tmp_path)


def test_many_bad_rows_are_all_counted_and_some_are_told(tmp_path):
    path = tmp_path / "x.arff"
    path.write_text(ARFF + "1,u,0,1\nbad\n" * 500)
    for batch_size in (1, 7, 1000):
        stream, batches = open_and_read(path, on_error="skip", batch_size=batch_size)
        assert sum(map(len, batches)) == stream.skipped.count == 500
        assert 0 < len(stream.skipped.messages) <= 100
        assert "line 8" in stream.skipped.messages[0]
        list(stream)
        assert stream.skipped.count == 500  # counted anew with every pass


def test_unordered_sparse_indices_are_fine(tmp_path):
    path = tmp_path / "x.arff"
    path.write_text(ARFF + "{3 1,0 2.5,1 v}\n{0 1,3 0,2 1}\n")
    batch = concatenate(open_and_read(path)[1])
    assert batch.x_indices.tolist() == [0, 1, 0]
    assert batch.x_values.tolist() == [2.5, 1, 1]
    assert batch.y_dense().tolist() == [[False, True], [True, False]]
