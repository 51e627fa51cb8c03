"""Files as they come: odd but good ones are read, what is decided about them holds, and nothing stays open."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tracemalloc

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams import LEARN, PREDICT, Feature, concatenate, lines, open_stream
from stream_ml.streams.csv_file import OTHER
from stream_ml.streams.label_spec import label_columns, meka_count

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
HEAD = "@relation 'x: -C -1'\n@attribute a numeric\n@attribute b {u,v}\n@attribute l {0,1}\n@data\n"


def read(tmp_path, text, name="x.arff", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_stream(path, **options)


def rows(stream):
    """Per row (features with None where missing, positive labels or None where not known)."""
    out = []
    for b in stream:
        for x, y, known in zip(b.x_dense().tolist(), b.y_dense(), b.labelled.tolist(), strict=True):
            labels = {b.schema.labels[m] for m in np.flatnonzero(y)}
            out.append(([None if v != v else v for v in x], labels if known else None))
    return out


# -- ARFF ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1,v,1 % a remark, with 'a quote", ([1, 1], {"l"})),
        ("1\tv 1", ([1, 1], {"l"})),
        ("  1 ,\tv , 1\t", ([1, 1], {"l"})),
        ("1,'v',\"1\"", ([1, 1], {"l"})),
        ("'1', v, 1", ([1, 1], {"l"})),
        ("?,'v','1'", ([None, 1], {"l"})),
        ("?,?,?", ([None, None], None)),
        ("{0 1,1 v,2 1}", ([1, 1], {"l"})),
        ("{ 2 1 , 1 'v',0 1 } % a remark", ([1, 1], {"l"})),
        ("{}", ([0, 0], set())),
        ("{ }", ([0, 0], set())),
        ("{2 ?}", ([0, 0], None)),
        ("{0\t1}", ([1, 0], set())),
    ],
)
@pytest.mark.parametrize("first", ["2,u,0\n", "{0 2}\n"], ids=["dense", "sparse"])
def test_arff_row(tmp_path, row, expected, first):
    stream = read(tmp_path, HEAD + first + row)
    assert rows(stream) == [([2, 0], set()), expected]
    assert stream.schema.sparse == first.startswith("{")
    (batch,) = stream
    assert batch.mode.tolist() == [PREDICT | LEARN, PREDICT | LEARN if expected[1] is not None else PREDICT]
    if not stream.schema.sparse:  # a row of a dense schema stores every feature
        assert batch.x_indices.tolist() == [0, 1, 0, 1]
    else:
        assert not (batch.x_values == 0).any()


@pytest.mark.parametrize("row", ["1,v,1,{0.5}", "{0 1},{0.5}", "{0 1}, {2}"])
def test_arff_weights_are_refused_by_name(tmp_path, row):
    with pytest.raises(DataError, match="weight"):
        list(read(tmp_path, HEAD + row))


def test_labels_declared_the_other_way_round_in_every_place(tmp_path):
    text = "@relation x\n@attribute p {1,0}\n@attribute a numeric\n@attribute q {1,0}\n@attribute r {1,0}\n@data\n"
    stream = read(tmp_path, text + "{1 5}\n{0 0,1 5,3 0}\n{2 0}\n{0 1,3 0}\n{1 5,0 0}\n", labels="p,q,r")
    labels = [{"p", "q", "r"}, {"q"}, {"p", "r"}, {"p", "q"}, {"q", "r"}]
    assert [y for _, y in rows(stream)] == labels
    dense = "1,5,1,1\n0,5,1,0\n1,0,0,1\n1,0,1,0\n0,5,1,1\n"
    assert rows(read(tmp_path, text + dense, labels="p,q,r")) == rows(stream)


def test_labels_of_one_value(tmp_path):
    text = "@relation 'x: -C -2'\n@attribute a numeric\n@attribute l {0}\n@attribute m {1}\n@data\n"
    assert rows(read(tmp_path, text + "1,0,1\n")) == [([1], {"m"})]
    assert rows(read(tmp_path, text + "{0 1}\n")) == [([1], {"m"})]


@pytest.mark.parametrize(
    ("relation", "n"),
    [
        ("Music: -C 6", 6),
        ("Music:-C 6", 6),
        ("Music: -C  -6 -split-number 3", -6),
        ("x-weka.filters.unsupervised.attribute.Remove-R1-C 3: -C 6", 6),
        ("x-weka.filters.unsupervised.attribute.Remove -C 3", 0),
        ("x: -C 6-weka.filters.unsupervised.instance.RemovePercentage-P66.0", 6),
        ("x: -weka.filters.Foo-C 9 -C 2", 2),
        ("x: -c 4", 4),
        ("x: -c 4 -C 5", 5),
        ("x: -C many", 0),
        ("x: -C", 0),
        ("x: -C2", 0),
        ("x -C 6", 0),
        (": -C 6", 0),
        ("", 0),
    ],
)
def test_meka_count(relation, n):
    assert meka_count(relation) == n


def test_unquoted_relation_and_odd_header(tmp_path):
    text = "%c\n\n@RELATION x: -C 1\r\n\t@Attribute 'l' { 0 ,\t1 } % r\n@attribute\ta\tReal [0,1] %r\n@DATA\n"
    stream = read(tmp_path, text + "1, 2\n")
    assert (stream.schema.labels, rows(stream)) == (["l"], [([2], {"l"})])


def test_text_that_is_not_utf8_is_latin1(tmp_path):
    text = HEAD.replace(" a numeric", " größe {é,e}").encode("latin-1")
    stream = read(tmp_path, text + "é,u,1\n".encode("latin-1") + b"e,u,0\n")
    assert stream.schema.features[0].name == "größe"
    assert rows(stream) == [([0, 0], {"l"}), ([1, 0], set())]


def test_values_that_need_quotes(tmp_path):
    text = HEAD.replace("{u,v}", r"""{'?', 'a,b', "it's", 'p\'q', ' ', '%', 'New York', '\u00e9', ''}""")
    cells = ["'?'", "?", "'a,b'", '"it\'s"', r"'p\'q'", "' '", "'%'", "New York", "'New York'", "é", "''"]
    stream = read(tmp_path, text + "".join(f"1,{cell},1\n" for cell in cells))
    assert [x[1] for x, _ in rows(stream)] == [0, None, 1, 2, 3, 4, 5, 6, 6, 7, 8]


# -- labels ---------------------------------------------------------------------------------------------------------


def test_a_name_with_a_comma_or_a_colon(tmp_path):
    columns = ["a", "b, c", "last:1", 'd"e', "x"]
    for spec, at in [('"b, c"', [1]), ('x,"b, c"', [1, 4]), ("last:1", [2]), ('"d""e",a', [0, 3]), ("b, c", [1])]:
        assert label_columns(spec, columns, source="f") == at
    with pytest.raises(LabelSpecError, match="cannot be"):
        label_columns('"b, c', columns, source="f")


def test_what_labels_could_be_is_said(tmp_path):
    for name, text in (("x.arff", HEAD.replace(": -C -1", "")), ("x.csv", "a,b,l\n1,2,1\n")):
        with pytest.raises(LabelSpecError) as error:
            read(tmp_path, text, name)
        assert "first:N | last:N | prefix:P | xml:FILE | name,name" in str(error.value)
        assert "columns: a, b, l" in str(error.value)


# -- CSV ------------------------------------------------------------------------------------------------------------


def test_csv_records_of_several_lines(tmp_path, monkeypatch):
    text = 'a,"na\nme",l\n1,"x\ny",1\r\n2,z,0\n3,"say ""x\n\n\ny""",1\n4,z,"0"\n'
    for chunk in (1, 7, 1 << 20):
        monkeypatch.setattr(lines, "CHUNK", chunk)
        stream = read(tmp_path, text, "x.csv", labels="l")
        assert stream.schema.features[1].name == "na\nme"
        assert stream.schema.features[1].values == ("x\ny", "z", 'say "x\n\n\ny"')
        assert rows(stream) == [([1, 0], {"l"}), ([2, 1], set()), ([3, 2], {"l"}), ([4, 1], set())]
    broken = text + "5,z,2\n"  # the line is counted from the file's first one
    with pytest.raises(DataError, match="line 11, field 'l'"):
        list(read(tmp_path, broken, "x.csv", labels="l"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('1,"x,1', "a quote that is not closed"),
        ('1,"x"y,1', "text behind a quoted value, found 'y,1"),
        ('1,"' + "x" * 3_000_000 + '",1', "not closed within a megabyte|more than 1 MB"),
    ],
)
def test_csv_quotes_gone_wrong_cost_one_line(tmp_path, bad, message):
    text = f"a,b,l\n1,x,1\n{bad}\n" + "2,x,0\n" * 5
    stream = read(tmp_path, text, "x.csv", labels="l", on_error="skip")
    assert [x[0] for x, _ in rows(stream)] == [1, 2, 2, 2, 2, 2]
    assert stream.skipped.count == 1
    with pytest.raises(DataError, match=message) as error:
        list(read(tmp_path, text, "x.csv", labels="l"))
    assert "line 3" in str(error.value)


def test_csv_quote_inside_a_value_is_a_character(tmp_path):
    assert rows(read(tmp_path, 'a,l\n5" pipe,1\nx,0\n', "x.csv", labels="l")) == [([0], {"l"}), ([1], set())]


def test_csv_values_that_come_later(tmp_path):
    text = "a,b,l\n" + "1,x,0\n2,y,1\n" * 500 + "3,z,1\n4,x,0\n5,,1\n"
    stream = read(tmp_path, text, "x.csv", labels="l")
    assert stream.schema.features[1].values == ("x", "y", OTHER)
    assert [x[1] for x, _ in rows(stream)][-3:] == [2, 0, None]
    with pytest.raises(DataError, match=r"line 1005, field 'a': not a number; expected a number, found 'w'"):
        list(read(tmp_path, text + "w,x,1\n", "x.csv", labels="l"))


def test_csv_a_few_texts_among_numbers_are_errors(tmp_path):
    text = "a,l\n" + "1,0\n" * 20 + "none,1\n"
    with pytest.raises(DataError, match=r"line 22, field 'a': not a number; .*'none'"):
        list(read(tmp_path, text, "x.csv", labels="l"))


@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("False", "True"), ("no", "yes"), ("N", "Y"), ("0.0", "1.0")])
def test_csv_labels(tmp_path, no, yes):
    text = f"a,l,m\n1,{yes},{no}\n2,,\n3,{no},{yes}\n4,NA,?\n5,{no},{no}\n"
    assert [y for _, y in rows(read(tmp_path, text, "x.csv", labels="l,m"))] == [{"l"}, None, {"m"}, None, set()]
    if no == "False":
        text += "6,TRUE,no\n"
        assert rows(read(tmp_path, text, "x.csv", labels="l,m"))[-1] == ([6], {"l"})


def test_csv_with_no_rows(tmp_path):
    stream = read(tmp_path, "a,l\n", "x.csv", labels="l")
    assert (stream.schema.n_features, list(stream)) == (1, [])


@QUICK
@given(st.data())
def test_csv_is_read_as_python_writes_it(data):
    import csv
    import io
    import tempfile
    from pathlib import Path

    cell = st.text("ab,\"'\n;\té ", min_size=1, max_size=4).map(lambda t: "v" + t + "w")
    table = data.draw(st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), cell, cell),
                               min_size=1, max_size=8))  # fmt: skip
    out = io.StringIO()
    csv.writer(out, quoting=data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))).writerows(
        [("n", "p", "q", "l"), *((*row, i % 2) for i, row in enumerate(table))]
    )
    with tempfile.TemporaryDirectory() as folder:
        stream = read(Path(folder), out.getvalue(), "x.csv", labels="l")
        features = stream.schema.features[1:]
        got = [(x[0], *(f.values[int(v)] for f, v in zip(features, x[1:], strict=True)), y) for x, y in rows(stream)]
    assert got == [(*row, {"l"} if i % 2 else set()) for i, row in enumerate(table)]


# -- JSON Lines -----------------------------------------------------------------------------------------------------


def json_file(tmp_path, records, **options):
    return read(tmp_path, "\n".join(map(json.dumps, records)), "x.jsonl", **options)


def test_json_lists_make_a_dense_schema(tmp_path):
    stream = json_file(tmp_path, [{"x": [1, 0], "y": ["p"]}, {"x": [None, True], "y": []}])
    assert not stream.schema.sparse
    assert rows(stream) == [([1, 0], {"p"}), ([None, 1], set())]
    for bad, message in [([1], "wrong number of values; expected 2"), (["red", 1], "'x.0'"), ({"0": 1}, "a list")]:
        with pytest.raises(DataError, match=message):
            list(json_file(tmp_path, [{"x": [1, 0]}, {"x": bad}]))


def test_json_texts_and_nulls(tmp_path):
    records = [{"x": {"c": "red"}}, {"x": {"c": "blue"}}, {"x": {"c": None, "d": None}}, {"x": {"c": 2}}]
    stream = json_file(tmp_path, records)
    assert rows(stream)[2] == ([None, None, None, 0], None)
    assert [f.name for f in stream.schema.features] == ["c=red", "c=blue", "d", "c"]
    with pytest.raises(DataError, match="also that of a text"):
        list(json_file(tmp_path, [{"x": {"c": "red", "c=red": 2}}]))


@pytest.mark.parametrize(
    ("record", "message"),
    [({"x": {}, "y": [True]}, "'y'"), ({"x": {}, "ts": -1}, "'ts'"), ({"x": {}, "ts": "now"}, "'ts'"),
     ({"x": {}, "id": [1]}, "'id'"), ({"x": {"a": [1]}}, r"'x\.a'")],
)  # fmt: skip
def test_json_records_of_the_wrong_form(tmp_path, record, message):
    with pytest.raises(DataError, match=message):
        list(json_file(tmp_path, [record]))


@pytest.mark.parametrize("depth", [200, 300, 1000, 5000])
@pytest.mark.parametrize(
    "line",
    ['{"x": {"a": %s}, "y": []}', '{"x": {"a": 1}, "y": ["a\\"b"], "z": %s}', '{"x": {"a": 1e400}, "y": %s}', "%s"],
)
def test_json_nested_deeply_is_a_bad_row(tmp_path, line, depth):
    text = line % ("[" * depth + "]" * depth) + "\n"
    with pytest.raises(DataError, match="line 2"):
        list(read(tmp_path, '{"x": {}}\n' + text, "x.jsonl"))


def test_json_numbers_of_thousands_of_digits(tmp_path):
    text = '{"x": {"a": 1, "b": 0.%s}, "y": ["a\\"b"]}\n' % ("3" * 6000)
    assert rows(read(tmp_path, text, "x.jsonl")) == [([1, np.float32(1 / 3)], {'a"b'})]
    with pytest.raises(DataError, match=r"field 'x\.b': too large"):
        list(read(tmp_path, text.replace("0.", ""), "x.jsonl"))


def growing(n):
    return [{"x": {f"w{i // 300}": i, "z": 1}, "y": [f"l{i // 700}"]} for i in range(n)]


@pytest.mark.parametrize("options", [{}, {"delay": 5}, {"limit": 1500}, {"delay": 1200, "limit": 1800}])
def test_batch_size_changes_nothing_where_columns_appear(tmp_path, options):
    seen = []
    for size in (1, 7, 1000, 5000):
        batches = list(json_file(tmp_path, growing(2500), batch_size=size, **options))
        assert all(len(b) <= size for b in batches)
        assert [b.first for b in batches] == np.cumsum([0, *map(len, batches)])[:-1].tolist()
        assert [b.known for b in batches[1:]] == [(b.n_features, b.n_labels) for b in batches[:-1]]
        known = [n for b in batches for n in b.labels_known().tolist()]
        dicts = [pair for b in batches for pair in b.iter_dicts()]
        whole = concatenate(batches)
        seen.append((known, dicts, whole.x_values.tolist(), whole.y_indices.tolist(), whole.mode.tolist()))
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_rows_behind_the_limit_show_no_columns(tmp_path):
    for limit in (1, 350, 1650):
        limited, alone = json_file(tmp_path, growing(2500), limit=limit), growing(limit)
        sizes = [(b.n_features, b.n_labels) for b in limited][-1]
        assert sizes == [(b.n_features, b.n_labels) for b in json_file(tmp_path, alone)][-1]


# -- svmlight and XMC -----------------------------------------------------------------------------------------------


def test_xmc_rows_with_nothing(tmp_path):
    stream = read(tmp_path, "4 3 2\n1 0:1\n\n \n0 2:5\n\n\n", "x.txt")
    assert rows(stream) == [([1, 0, 0], {"1"}), ([0, 0, 0], set()), ([0, 0, 0], set()), ([0, 0, 5], {"0"})]


@pytest.mark.parametrize("n", [1, 3])
def test_xmc_number_of_rows(tmp_path, n):
    with pytest.raises(DataError, match=f"expected {n}, found 2"):
        list(read(tmp_path, f"{n} 3 2\n1 0:1\n0 2:5\n", "x.txt"))


def test_xmc_by_option_needs_its_header(tmp_path):
    with pytest.raises(DataError, match="line 1: no header"):
        read(tmp_path, "1 0:1\n", "x.txt", format="xmc")


def test_svmlight_labels_are_names(tmp_path):
    stream = read(tmp_path, "+1 3:1\n-1 1:2 3:4\n01,1 3:1\n1 1:1e-80\n", "x.svm")
    assert rows(stream)[1:] == [([4, 2], {"-1"}), ([1, 0], {"01", "1"}), ([0, 0], {"1"})]
    assert stream.schema.labels == ["+1", "-1", "01", "1"]


@pytest.mark.parametrize(("row", "message"), [("1,1 0:1", "a label twice"), ("1,,2 0:1", "without a name")])
def test_svmlight_labels_gone_wrong(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        list(read(tmp_path, f"0 1:1\n{row}\n", "x.svm"))


# -- all ------------------------------------------------------------------------------------------------------------

SAME = {
    "x.arff": HEAD + "1,u,0\n" * 3000,
    "x.csv": "a,l\n" + "1,0\n" * 3000,
    "x.jsonl": '{"x": {"a": 1}, "y": ["l"]}\n' * 3000,
    "x.svm": "1 1:1\n" * 3000,
}
LABELS = {"x.csv": "l"}


def open_files():
    return {f.path for f in psutil.Process().open_files()}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_closed(tmp_path, name, packed, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", 1000)
    text = gzip.compress(SAME[name].encode()) if packed else SAME[name]
    file = name + ".gz" * packed
    path = str(tmp_path / file)
    stream = read(tmp_path, text, file, labels=LABELS.get(name), batch_size=10)
    assert path not in open_files()
    batches = iter(stream)
    next(batches)
    assert path in open_files()
    batches.close()
    assert path not in open_files()
    batches = iter(stream)
    next(batches)
    with pytest.raises(KeyboardInterrupt):
        batches.throw(KeyboardInterrupt())
    assert path not in open_files()
    assert sum(len(b) for b in stream) == 3000
    assert path not in open_files()


def test_gzip_under_another_name(tmp_path):
    assert len(rows(read(tmp_path, gzip.compress(SAME["x.svm"].encode()), "x.svm"))) == 3000


@pytest.mark.parametrize("name", ["x.arff", "x.csv", "x.svm"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    head, _, row = SAME[name].rstrip("\n").rpartition("\n")
    peaks = []
    for n in (400_000, 1_200_000):
        stream = read(tmp_path, head + "\n" + (row + "\n") * n, name, labels=LABELS.get(name))
        sum(len(b) for b in stream)
        tracemalloc.start()
        assert sum(len(b) for b in stream) >= n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 1e6
    assert peaks[1] < 40e6


@pytest.mark.parametrize(
    ("name", "line"),
    [("x.arff", "1," * 5_000_000), ("x.arff", "{" + "0 1," * 2_500_000 + "}"), ("x.arff", "{" + "'" * 9_999_999 + "}"),
     ("x.arff", "'" + "\\'" * 5_000_000), ("x.csv", "1," * 5_000_000), ("x.csv", '"' * 10_000_001),
     ("x.svm", "1," * 5_000_000), ("x.jsonl", "[" * 10_000_000)],
)  # fmt: skip
def test_10_mb_lines_cost_little(tmp_path, name, line):
    path = tmp_path / name
    path.write_text(SAME[name] + line + "\n" + SAME[name].splitlines()[-1] + "\n")
    stream = open_stream(path, labels=LABELS.get(name), on_error="skip")
    tracemalloc.start()
    n = sum(len(b) for b in stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (n, stream.skipped.count) == (3001, 1)
    assert all(len(message) < 400 + len(str(path)) for message in stream.skipped.messages)
    assert peak < 150e6


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 1 << 20)
    for name in SAME:
        with pytest.raises(DataError, match="a line of more than 1 MB"):
            list(read(tmp_path, SAME[name] + "1" * (5 << 20), name, labels=LABELS.get(name)))


def test_importing_streams_is_light():
    code = "import sys, stream_ml.streams; print([m for m in ('numba', 'orjson', 'river') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"batch_size": 0}, {"limit": 0}, {"delay": -1}])
def test_impossible_options(tmp_path, options):
    with pytest.raises(ValueError, match=r"on_error|at least"):
        read(tmp_path, SAME["x.svm"], "x.svm", **options)


def test_kernels_ask_for_room(tmp_path):
    from stream_ml.streams import _kernels as k
    from stream_ml.streams.columns import ColumnPlan, new_rows

    data = np.frombuffer(b"1 0:1\n2 1:1\n3 2:1\n", dtype=np.uint8)
    assert k.parse_pair_rows(data, 0, len(data), 0, 9, 9, new_rows(4)) == (12, 2, 2, k.MORE_ROOM)
    plan = ColumnPlan([Feature("a"), Feature("l")], [1], source="x")
    data = np.frombuffer(b"1,0\n2,1\n3,0\n", dtype=np.uint8)
    result = k.parse_rows(data, 0, len(data), False, ord(","), False, plan.compiled(), 1, new_rows(3))
    assert result == (8, 2, 2, k.MORE_ROOM)
    stream = read(tmp_path, "a,l\n" + "1,0\n2,1\n" * 40_000, "x.csv", labels="l")  # more than fits at once
    assert sum(len(b) for b in stream) == 80_000


def test_shuffle_is_that_of_numpy(tmp_path):
    text = "a,l\n" + "".join(f"{i},{i % 2}\n" for i in range(2500))
    expected = np.random.Generator(np.random.PCG64(9)).permutation(2500)
    for size in (7, 1000, 3000):
        batches = list(read(tmp_path, text, "x.csv", labels="l", shuffle=9, batch_size=size))
        assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1)
        assert np.array_equal(np.concatenate([b.x_values for b in batches]), expected)


def test_concatenate_wants_batches_of_one_schema(tmp_path):
    one, other = (next(iter(read(tmp_path, SAME[name], name, labels=LABELS.get(name)))) for name in ("x.svm", "x.csv"))
    with pytest.raises(ValueError, match="different schemas"):
        concatenate([one, other])
    with pytest.raises(ValueError, match="no batches"):
        concatenate([])


def test_delayed_rows_that_are_never_learned_come_once(tmp_path):
    text = "a,l\n1,1\n2,\n3,0\n"
    (batch,) = read(tmp_path, text, "x.csv", labels="l", delay=1)
    assert list(zip(batch.x_values.tolist(), batch.mode.tolist(), strict=True)) == [
        (1, PREDICT), (2, PREDICT), (1, LEARN), (3, PREDICT), (3, LEARN),
    ]  # fmt: skip
