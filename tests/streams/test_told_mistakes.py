"""Mistakes that could be read as something else are told: data for names, misspelt keys, labels named twice."""

from __future__ import annotations

import pytest

from stream_ml.cli.main import main
from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams import open_stream


def test_a_csv_file_without_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2,0\n3,4,1\n")
    with pytest.raises(DataError, match=r"line 1: the first line looks like data.*--no-header"):
        open_stream(path, labels="last:1")
    stream = open_stream(path, labels="last:1", header=False)
    assert stream.schema.labels == ["x2"]
    (batch,) = stream
    assert batch.x_dense().tolist() == [[1, 2], [3, 4]]
    assert batch.y_dense().ravel().tolist() == [False, True]
    (tmp_path / "a.arff").write_text("@relation x\n@attribute a numeric\n@data\n")
    with pytest.raises(DataError, match="needs no line of names"):
        open_stream(tmp_path / "a.arff", header=False)


@pytest.mark.parametrize(
    ("first", "looks"),
    [
        ("1.5,?,0", True),
        ("1e-3,,NA", True),
        ('"1"; "2"; "0"', True),
        ("-1\t+2\t.5", True),
        ("?,?,NA", False),
        ("a,2020,2021", False),
        ("2020", False),
    ],
)
def test_a_first_line_of_numbers_looks_like_data(first, looks, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(first.replace(" ", "") + "\n")
    with pytest.raises(DataError) as told:
        open_stream(path, labels="no such label")
    assert ("looks like data" in str(told.value)) is looks


def test_a_csv_file_without_names_may_begin_with_anything(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf\n?,"re,\nd",0\n1,blue,1\n1,blue\n?,"re,\nd",?\n')
    stream = open_stream(path, labels="last:1", header=False, on_error="skip")
    (batch,) = stream
    assert [x for x, _ in batch.iter_dicts()] == [{"x1": "re,\nd"}, {"x0": 1.0, "x1": "blue"}, {"x1": "re,\nd"}]
    assert batch.labelled.tolist() == [True, True, False]
    assert stream.skipped.count == 1
    path.write_text("\n")
    with pytest.raises(DataError, match="the file is empty; expected rows"):
        open_stream(path, labels="last:1", header=False)


@pytest.mark.parametrize("header", ["a,b,a", "a,b, a ", 'a,b,"a"'])
def test_a_name_twice_in_the_header(header, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(header + "\n1,2,0\n")
    with pytest.raises(DataError, match="line 1, field 'a': two columns of the same name"):
        open_stream(path, labels="last:1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"x": {"a": 1}, "Y": ["l"]}', "line 1, field 'Y': an unknown key; expected x, y, id, ts"),
        ('{"x": {"a": 1, "a": 2}, "y": ["l"]}', "line 1, field 'a': a key twice"),
        ('{"x": {"a": 1}, "y": ["l"], "y": []}', "line 1, field 'y': a key twice"),
    ],
)
def test_json_keys(line, message, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        list(open_stream(path))
    path.write_text('{"x": {"a \\" b": "\\"", "a": 1}, "y": ["l", "l"], "id": "x\\\\"}\n')  # escapes are no second key
    (batch,) = open_stream(path)
    assert batch.y_indices.tolist() == [0]


def test_a_label_named_twice(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,l\n1,2,0\n")
    with pytest.raises(LabelSpecError, match="stands there twice"):
        open_stream(path, labels="l,l")
    with pytest.raises(LabelSpecError, match="'l' stands there twice"):
        open_stream(path, labels='l, b,"l"')


def test_svmlight_has_no_mark_for_missing_values(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("1 1:nan\n")
    with pytest.raises(DataError, match="expected a finite number, found 'nan'"):
        list(open_stream(path))


def test_labels_in_one_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("size;tags\n3;0\n4;late|too big\n")
    with pytest.raises(DataError, match=r"line 3, field 'tags': .*found 'late\|too big' \(.*say --labels column:tags"):
        list(open_stream(path, labels="tags"))
    path.write_text("size;tags\n3;0\n4;7\n")
    with pytest.raises(DataError, match=r"line 3, field 'tags': .*found '7'$"):
        list(open_stream(path, labels="tags"))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1,5", "-2,25", ""], True),
        (["1,5", "2", "3,0"], True),
        (["1", "2"], False),
        (["1,5", "red"], False),
        (["1,5,3", "2,1,1"], False),
    ],
)
def test_a_decimal_comma_is_told(tmp_path, values, told):
    (tmp_path / "a.csv").write_text("size;n;l\n" + "".join(f"{value};{i};1\n" for i, value in enumerate(values)))
    stream = open_stream(tmp_path / "a.csv", labels="l")
    assert ["column 'size': numbers with a decimal comma are read as texts" in note for note in stream.notes] == [
        True
    ] * told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([f"K{i}" for i in range(40)], "40 different texts in 40 rows"),
        ([f"K{i}" for i in range(38)] + ["K0", "?"], "38 different texts in 39 rows"),
        ([f"K{i}" for i in range(30)] + ["K0"] * 10, None),
        ([f"K{i}" for i in range(19)], None),
        ([str(i) for i in range(40)], None),
        ([f"2024-01-{1 + i % 28}T{i}:00" for i in range(40)], "dates or times are read as texts"),
    ],
)
def test_a_column_of_texts_that_all_differ_is_told(tmp_path, capsys, monkeypatch, values, told):
    """Once, with the option that leaves it out, and not when it is left out."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{value},{i},{i % 2}\n" for i, value in enumerate(values)]
    (tmp_path / "a.csv").write_text('"the, key",size,l\n' + "".join(rows))
    stream = open_stream(tmp_path / "a.csv", labels="l")
    assert [told in note for note in stream.notes] == [True] if told else not stream.notes
    command = ["evaluate", "--model", "no_change", "--source", "a.csv", "--labels", "l", "--no-report", "--overwrite"]
    assert main([*command, "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert said.count("""or leave it out: --ignore '"the, key"'""") == (told is not None)
    assert said.count("warning: a.csv, column 'the, key': ") == (told is not None)
    assert main([*command, "--out", "run", "--ignore", '"the, key"']) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"{len(values)} instances, 1 features" in shown.out


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([str(i) for i in range(17)] + ["n/a"] * 3, "numbers beside n/a are read as texts"),
        ([f"{i}.5" for i in range(12)] + ["low", "high", "NA", ""], "numbers beside high, low are read as texts"),
        ([str(i) for i in range(40)] + ["n/a"], None),
        ([str(i % 5) for i in range(17)] + ["n/a"] * 3, None),
        ([str(i) for i in range(9)] + ["a", "b"] * 10, None),
    ],
)
def test_numbers_beside_texts_are_told(tmp_path, values, told):
    (tmp_path / "a.csv").write_text("size;n;l\n" + "".join(f"{value};{i};1\n" for i, value in enumerate(values)))
    stream = open_stream(tmp_path / "a.csv", labels="l")
    assert [told in note for note in stream.notes] == [True] if told else not stream.notes


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["2024-01-31", "2024-02-01", ""], True),
        (["2024-01-31T10:20:30.5Z", "2024-02-01 10:20"], True),
        (["31.01.2024", "1.2.2024"], True),
        (["1/31/24 9:05", "?"], True),
        (["10:20", "9:59:01"], True),
        (["1.5", "2.5"], False),
        (["1-2", "red"], False),
        (["192.168.1.1", "10.0.0.1"], False),
        (["", ""], False),
    ],
)
def test_a_column_of_dates_is_told(tmp_path, capsys, monkeypatch, values, told):
    """Once, by every command that reads the file, and not when nothing is to be said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("when,size,l\n" + "".join(f"{value},{i},1\n" for i, value in enumerate(values)))
    stream = open_stream(tmp_path / "a.csv", labels="l", limit=5, shuffle=1)
    assert [note.partition(": dates or times are read as texts")[1] != "" for note in stream.notes] == [True] * told
    command = ["evaluate", "--model", "no_change", "--source", "a.csv", "--labels", "l", "--no-report", "--overwrite"]
    assert main([*command, "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert ("warning: a.csv, column 'when': dates or times" in said) is told
    assert "(other)" in said or not told
    assert main([*command, "--out", "run", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
