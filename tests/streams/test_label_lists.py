"""Labels that stand together in one column of a CSV file."""

from __future__ import annotations

import csv
import io
import json
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.cli.main import main
from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams import label_lists, open_stream
from stream_ml.streams.writers import write_stream

TABLE = "size,genres,mood\n1.5,red|late,a\n2.5,late,b\n3,,a\n4,?,a\n5,red| new thing |red,b\n6,late,\n"
NAMES = st.sampled_from(["a", "b b", "7", "é", "c;d", "0", "x,y", 'q"q'])
ROWS = st.lists(
    st.tuples(st.integers(-9, 9), st.none() | st.lists(NAMES, max_size=4), st.sampled_from("uv")),
    min_size=1,
    max_size=40,
)


def told(stream):
    return [row for batch in stream for row in batch.labels_told()]


def sets(rows):
    """Label lists without order."""
    return [None if row is None else set(row) for row in rows]


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_labels_appear_as_they_come(tmp_path, batch_size):
    """As in JSON Lines: a batch has those met up to its last row; each pass begins anew."""
    path = tmp_path / "x.csv"
    path.write_text(TABLE)
    stream = open_stream(path, labels="column:genres", batch_size=batch_size)
    assert (stream.grows, stream.schema.labels, [f.name for f in stream.schema.features]) == (
        True,
        [],
        ["size", "mood"],
    )
    for _ in range(2):
        batches = list(stream)
        assert told(batches) == [["red", "late"], ["late"], [], None, ["red", "new thing"], ["late"]]
        assert stream.schema.labels == ["red", "late", "new thing"]
        x = np.concatenate([batch.x_dense() for batch in batches])
        assert np.array_equal(x, [[1.5, 0], [2.5, 1], [3, 0], [4, 0], [5, 1], [6, np.nan]], equal_nan=True)
        known = np.concatenate([batch.labels_known() for batch in batches]).tolist()
        assert known == [2, 2, 2, 2, 3, 3]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(ROWS, st.sampled_from("|;#"), st.integers(1, 5), st.booleans())
def test_the_same_rows_as_json_lines(tmp_path_factory, rows, mark, known, header):
    """The same canonical batches, however few texts compiled reading knows."""
    place = tmp_path_factory.mktemp("lists")
    file = io.StringIO()
    rows = [(x, None if y is None else [name for name in y if mark not in name], kind) for x, y, kind in rows]
    cells = [[x, "?" if y is None else mark.join(y), kind] for x, y, kind in rows]
    csv.writer(file).writerows([["x", "tags", "kind"]] * header + cells)
    (place / "a.csv").write_text(file.getvalue())
    lines = [json.dumps({"x": [x, "uv".index(kind)], **({} if y is None else {"y": y})}) for x, y, kind in rows]
    (place / "a.jsonl").write_text("\n".join(lines))
    name = "tags" if header else "x1"
    with patch.object(label_lists, "KNOWN", known):
        stream = open_stream(
            place / "a.csv", labels=f"column:{name}", label_separator=mark, batch_size=3, header=header, format="csv"
        )
        batches = list(stream)
    expected = open_stream(place / "a.jsonl", batch_size=3)
    for ours, theirs in zip(batches, expected, strict=True):
        assert list(ours.labels_told()) == list(theirs.labels_told())
        assert ours.known[1] == theirs.known[1]
        assert (ours.n_labels, ours.mode.tolist()) == (theirs.n_labels, theirs.mode.tolist())
        assert ours.x_dense()[:, 0].tolist() == theirs.x_dense()[:, 0].tolist()
    assert stream.schema.labels == expected.schema.labels


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a|b;c", "d"], [{"a", "b;c"}, {"d"}]),
        (['"a; b,c"', "d;"], [{"a", "b,c"}, {"d"}]),
        (['"a,b"', "d"], [{"a", "b"}, {"d"}]),
        (["1", "2.50"], [{"1"}, {"2.50"}]),
    ],
)
def test_what_stands_between_is_found_by_looking(tmp_path, cells, expected):
    (tmp_path / "x.csv").write_text("x,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert sets(told(open_stream(tmp_path / "x.csv", labels="column:y"))) == expected


def test_labels_of_a_bad_row_are_not_met(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("x,y\n" + "1,a\n" * 20 + "2,b|a\ntwo,c|d\n3,e\n")
    stream = open_stream(path, labels="column:y", on_error="skip")
    assert sets(told(stream)) == [{"a"}] * 20 + [{"a", "b"}, {"e"}]
    assert (stream.schema.labels, stream.skipped.count) == (["a", "b", "e"], 1)
    with pytest.raises(DataError, match="line 23, field 'x': not a number"):
        list(open_stream(path, labels="column:y"))


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("x,genres\n1,a\n", {"labels": "column:genre"}, "did you mean 'genres'"),
        ("genres\na\n", {"labels": "column:genres"}, "no features are left"),
        ("x,genres\n1,a\n", {"labels": "genres", "label_separator": "|"}, "is one of --labels column:NAME"),
        ("x,genres\n1,a\n", {"labels": "column:genres", "label_separator": ""}, "an empty label separator"),
        ("x,genres\n1,\"['a', 'b']\"\n", {"labels": "column:genres"}, "lists with brackets"),
        ("x,genres\n1,a|b\n", {"labels": "column:genres", "format": "arff"}, "only of a CSV file"),
    ],
)
def test_what_cannot_be_is_told(tmp_path, text, options, problem):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(LabelSpecError, match=problem):
        open_stream(tmp_path / "x.csv", **options)


def test_a_column_of_lists_that_is_called_a_label_says_how(tmp_path):
    (tmp_path / "x.csv").write_text("x,genres\n1,a|b\n")
    with pytest.raises(DataError, match="say --labels column:genres"):
        list(open_stream(tmp_path / "x.csv", labels="genres"))


def test_it_is_written_and_read_back(tmp_path):
    """In each format; in CSV as columns of 0 and 1."""
    (tmp_path / "x.csv").write_text(TABLE)
    stream = open_stream(tmp_path / "x.csv", labels="column:genres")
    for name, options in (("y.csv", {"labels": "last:3"}), ("y.arff", {}), ("y.jsonl", {})):
        assert write_stream(stream, tmp_path / name) == 6
        assert sets(told(open_stream(tmp_path / name, **options))) == sets(told(stream))


def test_from_the_command_line(tmp_path, capsys, monkeypatch):
    """Evaluated, saved, and predicted, whether or not the column of labels is there."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    labels = [";".join(name for name, on in zip(("up", "far off", "late"), row > 0, strict=True) if on) for row in x]
    rows = [",".join([*(f"{v:.4f}" for v in row), tags]) for row, tags in zip(x, labels, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c,tags", *rows]))
    (tmp_path / "new.csv").write_text("\n".join(["a,b,c", *(row.rpartition(",")[0] for row in rows)]))
    said = ["--labels", "column:tags", "--label-separator", ";", "--save-model", "m", "--out", "run", "--quiet"]
    assert main(["evaluate", "--source", "x.csv", *said]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["stream"]["n_labels"], summary["n_scored"]) == (3, 300)
    assert summary["metrics"]["micro_f1"] > 0.7
    again = ["evaluate", "run/config.yaml", "--out", "again", "--quiet"]
    assert main(again) == 0
    assert json.loads((tmp_path / "again" / "summary.json").read_text())["metrics"] == summary["metrics"]
    capsys.readouterr()
    assert main(["predict", "m", "--source", "new.csv", "--quiet"]) == 0
    plain = capsys.readouterr().out
    scored = ["predict", "m", "--source", "x.csv", "--labels", "column:tags", "--score", "--out", "p.jsonl"]
    assert main(scored) == 0
    assert "300 instances scored" in "".join(capsys.readouterr())
    assert (tmp_path / "p.jsonl").read_text() == plain
    assert main(["inspect", "m", "--source", "x.csv", "--row", "3"]) == 0
