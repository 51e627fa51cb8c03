"""CSV, JSON Lines, svmlight and XMC files; limit, shuffle and delay; batches cut, joined and shown."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import label_sets, row_lists, small_streams

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams import (
    LEARN,
    PREDICT,
    Batch,
    Delayed,
    Feature,
    Limited,
    Schema,
    Shuffled,
    Stream,
    concatenate,
    lines,
    open_stream,
)

QUICK = settings(deadline=None, derandomize=True, max_examples=60)


def read(tmp_path, text, name, **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_stream(path, **options)


def named(stream):
    """Per row ({feature: stored value, None where missing}, labels by name or None where not known)."""
    read = []
    for batch in stream:
        names, labels = [f.name for f in batch.schema.features], batch.schema.labels
        for x, y, known in zip(row_lists(batch), label_sets(batch), batch.labelled.tolist(), strict=True):
            given_ = {names[j]: None if v != v else v for j, v in x}
            read.append((given_, {labels[m] for m in y} if known else None))
    return read


# -- CSV ----------------------------------------------------------------------------------------------------------

CSV = 'a,"b, or c",l,m\n1.5,red,0,1\n,"green, dark",1,0\n-2,?,true,false\n'
CSV_ROWS = [
    ({"a": 1.5, "b, or c": 0}, {"m"}),
    ({"a": None, "b, or c": 1}, {"l"}),
    ({"a": -2, "b, or c": None}, {"l"}),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [False, True])
def test_csv(tmp_path, newline, before, packed):
    data = before + CSV.replace("\n", newline).encode()
    stream = read(tmp_path, gzip.compress(data) if packed else data, "x.csv.gz" if packed else "x.csv", labels="l,m")
    assert [(f.name, f.values) for f in stream.schema.features] == [("a", None), ("b, or c", ("red", "green, dark"))]
    assert not stream.schema.sparse
    assert named(stream) == CSV_ROWS


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_separators(tmp_path, separator):
    text = "a,b,l\n1,2,0\n3,4,1\n".replace(",", separator)
    assert named(read(tmp_path, text, "x.csv", labels="last:1")) == [
        ({"a": 1, "b": 2}, set()),
        ({"a": 3, "b": 4}, {"l"}),
    ]


def test_csv_with_a_label_list_beside(tmp_path):
    (tmp_path / "x.xml").write_text('<labels><label name="m"/></labels>')
    assert read(tmp_path, "m,a\n1,2\n", "x.csv").schema.labels == ["m"]


def test_csv_without_labels(tmp_path):
    with pytest.raises(LabelSpecError, match="--labels"):
        read(tmp_path, CSV, "x.csv")


def test_csv_batches(tmp_path, monkeypatch):
    text = "a,l\n" + "".join(f"{i},{i % 2}\n" for i in range(50))
    expected = [({"a": i}, {"l"} if i % 2 else set()) for i in range(50)]
    monkeypatch.setattr(lines, "CHUNK", 13)
    for batch_size in (1, 7, 1000):
        assert named(read(tmp_path, text, "x.csv", labels="l", batch_size=batch_size)) == expected


# -- JSON Lines ---------------------------------------------------------------------------------------------------

RECORDS = [
    {"x": {"a": 1.5, "b": True}, "y": ["p"]},
    {"x": {"a": None, "colour": "red"}, "y": []},
    {"x": {"c": 3, "d": -1}, "y": ["q", "p"]},
    {"x": {"colour": "blue"}, "y": None, "id": "k7", "ts": 12},
    {"x": {}},
    {"x": {"a": 2}, "y": [5]},
]
JSON_ROWS = [
    ({"a": 1.5, "b": 1}, {"p"}),
    ({"a": None, "colour=red": 1}, set()),
    ({"c": 3, "d": -1}, {"p", "q"}),
    ({"colour=blue": 1}, None),
    ({}, None),
    ({"a": 2}, {"5"}),
]


def without_zeros(rows):
    return [({name: value for name, value in x.items() if value != 0}, y) for x, y in rows]


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_json_lines(tmp_path, batch_size):
    text = "\n\n".join(map(json.dumps, RECORDS))
    stream = read(tmp_path, text, "x.jsonl", batch_size=batch_size)
    assert without_zeros(named(stream)) == JSON_ROWS
    assert stream.schema.sparse
    assert stream.schema.labels == ["p", "q", "5"]
    batches = list(stream)
    assert [key for b in batches for key in (b.ids or [""] * len(b))] == ["", "", "", "k7", "", ""]
    assert concatenate(batches).timestamps.tolist() == [-1, -1, -1, 12, -1, -1]
    modes = [mode for b in batches for mode in b.mode.tolist()]
    assert modes == [PREDICT if y is None else PREDICT | LEARN for _, y in JSON_ROWS]
    assert all(b.x_indices.max(initial=-1) < b.n_features for b in batches)
    assert all(b.y_indices.max(initial=-1) < b.n_labels for b in batches)
    assert named(stream) == named(stream)  # the schema starts anew with every pass


def test_json_lists(tmp_path):
    text = '{"x": [3, 0, -1], "y": ["p"]}\n{"x": [0, 2.5, null], "y": []}\n'
    stream = read(tmp_path, text, "x.ndjson")
    assert without_zeros(named(stream)) == [({"0": 3, "2": -1}, {"p"}), ({"1": 2.5, "2": None}, set())]


# -- svmlight and XMC ---------------------------------------------------------------------------------------------


def test_svmlight(tmp_path):
    text = "# from somewhere\n3,rare 1:0.5 7:2 # a comment\n 2:1\nrare qid:4 1:-1e-3\n\n12\n"
    stream = read(tmp_path, text, "x.svm")
    assert named(stream) == [({"1": 0.5, "7": 2}, {"3", "rare"}), ({"2": 1}, set()),
                             ({"1": pytest.approx(-1e-3)}, {"rare"}), ({}, {"12"})]  # fmt: skip
    assert named(stream) == named(stream)


def test_svmlight_takes_indices_in_any_order(tmp_path):
    (batch,) = read(tmp_path, "1 5:5 2:2\n1 2:3 5:4\n", "x.libsvm")
    assert all(np.all(np.diff(batch.x_indices[a:b]) > 0) for a, b in pairwise(batch.x_indptr))
    assert named([batch]) == [({"5": 5, "2": 2}, {"1"}), ({"2": 3, "5": 4}, {"1"})]


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
@pytest.mark.parametrize("ending", ["x.txt", "x.xmc", "x.xmc.gz"])
def test_extreme_classification_file(tmp_path, batch_size, ending):
    text = "3 10 4\n0,3 0:1 9:2.5\n 4:1\n1 2:-1\n"
    stream = read(
        tmp_path, gzip.compress(text.encode()) if ending.endswith(".gz") else text, ending, batch_size=batch_size
    )
    assert (stream.schema.n_features, stream.schema.n_labels, stream.n_instances) == (10, 4, 3)
    assert named(stream) == [({"0": 1, "9": 2.5}, {"0", "3"}), ({"4": 1}, set()), ({"2": -1}, {"1"})]
    assert {(b.n_features, b.n_labels) for b in stream} == {(10, 4)}


@pytest.mark.parametrize("row", ["4 1:1", "0 10:1", "0,9 1:1"])
def test_extreme_classification_file_keeps_to_its_header(tmp_path, row):
    with pytest.raises(DataError, match=r"x\.txt, line 3.*out of range"):
        list(read(tmp_path, f"2 10 4\n1 1:1\n{row}\n", "x.txt"))


# -- open_stream --------------------------------------------------------------------------------------------------

SAME = {
    "arff": ("@relation x\n@attribute a numeric\n@attribute l {0,1}\n@data\n1,1\n", {"labels": "l"}),
    "csv": ("a,l\n1,1\n", {"labels": "l"}),
    "jsonl": ('{"x": {"a": 1}, "y": ["l"]}\n', {}),
    "svmlight": ("l 1:1\n", {}),
}
ENDINGS = {"arff": "arff", "csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "svm": "svmlight",
           "svmlight": "svmlight", "libsvm": "svmlight", "txt": "svmlight", "ARFF": "arff"}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("ending", "kind"), ENDINGS.items())
def test_format_by_name(tmp_path, ending, kind, packed):
    text, options = SAME[kind]
    data = gzip.compress(text.encode()) if packed else text
    stream = read(tmp_path, data, f"x.y.{ending}" + ".gz" * packed, **options)
    assert named(stream) == [({"1" if kind == "svmlight" else "a": 1}, {"l"})]
    assert stream.name == "x.y"


@pytest.mark.parametrize("kind", SAME)
def test_format_by_option(tmp_path, kind):
    text, options = SAME[kind]
    assert len(named(read(tmp_path, text, "x.dat", format=kind, **options))) == 1
    with pytest.raises(DataError, match=r"x\.dat.*format"):
        read(tmp_path, text, "x.dat", **options)


def test_format_that_there_is_not(tmp_path):
    with pytest.raises(DataError, match=r"'arf'.*arff"):
        read(tmp_path, "", "x.arff", format="arf")


@pytest.mark.parametrize("kind", ["jsonl", "svmlight"])
def test_formats_that_name_labels_in_every_row_take_no_label_option(tmp_path, kind):
    with pytest.raises(DataError, match="--labels"):
        read(tmp_path, SAME[kind][0], "x", format=kind, labels="last:1")


# -- limit, shuffle, delay ----------------------------------------------------------------------------------------


class Numbers(Stream):
    """Rows 0, 1, 2, ... in pieces of odd sizes; every fifth row has no labels."""

    def __init__(self, n, batch_size=4):
        super().__init__(batch_size=batch_size)
        self.n_instances, self.name = n, "numbers"
        self.schema = Schema([Feature("i")], ["even"], name="numbers")

    def pieces(self):
        i = np.arange(self.n_instances)
        whole = Batch.from_dense(self.schema, i[:, None], i[:, None] % 2 == 0)
        whole.labelled[:] = i % 5 != 0
        whole.mode[:] = np.where(whole.labelled, PREDICT | LEARN, PREDICT)
        cuts = np.unique(np.r_[0, np.arange(3, self.n_instances, 5), self.n_instances])
        for start, stop in pairwise(cuts):
            yield whole.rows(int(start), int(stop))


def values(stream):
    return [int(v) for b in stream for v in b.x_values]


@pytest.mark.parametrize("n", [1, 4, 17, 30, 99])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_limit(n, batch_size):
    stream = Limited(Numbers(30, batch_size), n)
    assert values(stream) == list(range(min(n, 30)))
    assert stream.n_instances == min(n, 30)
    assert [len(b) for b in stream][:-1] == [batch_size] * (-(-min(n, 30) // batch_size) - 1)


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
@QUICK
def test_shuffle_is_a_permutation_that_the_seed_fixes(n, seed):
    orders = [values(Shuffled(Numbers(n, batch_size), seed)) for batch_size in (1, 7, 1000)]
    assert orders[0] == orders[1] == orders[2]
    assert sorted(orders[0]) == list(range(n))
    assert len({tuple(values(Shuffled(Numbers(30), s))) for s in (seed, seed + 1)}) == 2


def test_shuffle_carries_whole_rows():
    for x, y in (pair for b in Shuffled(Numbers(40), 3) for pair in b.iter_dicts()):
        assert y == ({"even": x["i"] % 2 == 0} if x["i"] % 5 else {})
    for b in Shuffled(Numbers(40), 3):
        assert (b.labelled == (b.x_values % 5 != 0)).all()


def late(n, delay):
    """What a stream of late labels does: (row, mode) in order."""
    events = []
    for i in range(n + delay):
        if i < n:
            events.append((i, PREDICT))
        if 0 <= i - delay < n:
            events.append((i - delay, LEARN if (i - delay) % 5 else 0))
    return events


@given(st.integers(0, 40), st.integers(0, 50), st.sampled_from([1, 3, 7, 1000]))
@QUICK
def test_delay(n, delay, batch_size):
    batches = list(Delayed(Numbers(n, batch_size), delay))
    events = [(int(v), int(m)) for b in batches for v, m in zip(b.x_values, b.mode, strict=True)]
    assert [e for e in events if e[1]] == [e for e in late(n, delay) if e[1]]
    assert [i for i, mode in events if mode & PREDICT] == list(range(n))
    assert [i for i, mode in events if mode & LEARN] == [i for i in range(n) if i % 5]
    for b in batches:  # labels are there for scoring with every row, and what has none stays so
        assert (b.labelled == (b.x_values % 5 != 0)).all()
        assert (b.y_dense()[:, 0] == (b.x_values % 2 == 0)).all()
    assert [b.first for b in batches] == list(np.cumsum([0, *map(len, batches)])[:-1])


def test_options_together(tmp_path):
    text = "a,l\n" + "".join(f"{i},{i % 2}\n" for i in range(20))
    plain = read(tmp_path, text, "x.csv", labels="l", shuffle=4)
    some = read(tmp_path, text, "x.csv", labels="l", shuffle=4, limit=5, delay=2, batch_size=3)
    first = values(plain)[:5]
    predicted = [int(v) for b in some for v, m in zip(b.x_values, b.mode, strict=True) if m & PREDICT]
    learned = [int(v) for b in some for v, m in zip(b.x_values, b.mode, strict=True) if m & LEARN]
    assert predicted == learned == first


@pytest.mark.parametrize(("kind", "value"), [(Limited, 0), (Delayed, -1)])
def test_impossible_numbers(kind, value):
    with pytest.raises(ValueError, match="at least"):
        kind(Numbers(3), value)
    with pytest.raises(ValueError, match="batch_size"):
        Numbers(3, batch_size=0)


# -- Batch --------------------------------------------------------------------------------------------------------


def same(a, b):
    return row_lists_equal(a, b) and label_sets(a) == label_sets(b) and a.mode.tolist() == b.mode.tolist()


def row_lists_equal(a, b):
    return repr(row_lists(a)) == repr(row_lists(b))  # NaN equals NaN here


@given(small_streams(), st.data())
@QUICK
def test_rows_cut_and_joined(batch, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(batch)), max_size=4)))
    edges = [0, *cuts, len(batch)]
    pieces = [batch.rows(a, b) for a, b in pairwise(edges)]
    assert [p.first for p in pieces] == edges[:-1]
    assert same(concatenate(pieces), batch)


@given(small_streams(), st.data())
@QUICK
def test_take(batch, data):
    chosen = data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=20))
    taken = batch.take(np.array(chosen, dtype=np.int64))
    assert same(taken, concatenate([batch.rows(0, 0), *(batch.rows(i, i + 1) for i in chosen)]))
    assert (taken.x_indptr.dtype, taken.x_indices.dtype, taken.x_values.dtype) == (np.int64, np.int32, np.float32)


@given(small_streams(), st.booleans())
@QUICK
def test_iter_dicts(batch, zeros):
    dense = batch.x_dense()
    pairs = list(batch.iter_dicts(zeros=zeros))
    assert len(pairs) == len(batch)
    for i, (x, y) in enumerate(pairs):
        expected = {}
        for j, feature in enumerate(batch.schema.features):
            value = float(dense[i, j])
            if value != value:
                continue
            stored = j in batch.x_indices[batch.x_indptr[i] : batch.x_indptr[i + 1]]
            if feature.values is not None and (stored or zeros):
                expected[feature.name] = feature.values[int(value)]
            elif feature.values is None and (value or zeros):
                expected[feature.name] = value
        assert x == expected
        assert y == dict(zip(batch.schema.labels, batch.y_dense()[i].tolist(), strict=True))


@pytest.mark.parametrize("sparse", [False, True])
def test_kinds_that_are_known_hold_in_csv_and_json_lines(tmp_path, sparse):
    known = Schema([Feature("n"), Feature("c", ("2", "1"))], sparse=sparse)
    stream = read(tmp_path, "c,n,d,l\n1,5,a,0\n2,6,b,1\n3,7,a,1\n?,8,b,0\n", "x.csv", labels="l", known=known)
    kinds = {f.name: f.values for f in stream.schema.features}
    assert kinds == {"c": ("2", "1", "(other)"), "n": None, "d": ("a", "b")}
    assert [x["c"] for x, _ in named(stream)] == [1.0, 0.0, 2.0, None]
    with pytest.raises(DataError, match=r"line 3, field 'n': not a number"):
        list(read(tmp_path, "c,n,l\n1,5,0\n2,red,1\n", "x.csv", labels="l", known=known))
    rows = [{"n": 5}, {"c": 1}, {"c": "2", "d": "new"}, {"c": 3.5}, {"c": None}, {"c": True}]
    text = "\n".join(json.dumps({"x": x, "y": []}) for x in rows)
    for size in (1, 6):
        found = [x for x, _ in named(read(tmp_path, text, "x.jsonl", known=known, batch_size=size))]
        absent = {} if sparse else {"c": None}
        assert found[0] == {"n": 5.0, **absent}
        assert [x["c"] for x in found[1:]] == [1.0, 0.0, 2.0, None, 1.0]  # true is 1
        assert found[2]["d=new"] == 1.0
    with pytest.raises(DataError, match=r"line 1, field 'x.c': not a value; expected text"):
        list(read(tmp_path, '{"x": {"c": [1]}}\n', "x.jsonl", known=known))


@pytest.mark.parametrize(("labels", "more"), [("l,m", "tags"), ("column:tags", "l,m")])
def test_columns_that_are_ignored_are_not_there(tmp_path, labels, more):
    """Whatever stands in them, and wherever they stand."""
    text = (
        "key,n,tags,l,m,text\nK1,1,a|b,0,1,x y\n'K2,2,b,1,0,\n"
        '7,3,,1,1,"Ä, ""B"\n"?",4,?,0,0,' + "z" * 5000 + "\nK3,5,a,1,0,\t \n"
    )
    stream = read(tmp_path, text, "x.csv", labels=labels, ignore=f"text,key,{more}", batch_size=3)
    assert [f.name for f in stream.schema.features] == ["n"]
    in_one = [{"a", "b"}, {"b"}, set(), None, {"a"}]
    in_columns = [{"m"}, {"l"}, {"l", "m"}, set(), {"l"}]
    expected = in_one if "column" in labels else in_columns
    assert named(stream) == [({"n": float(i)}, y) for i, y in enumerate(expected, 1)]
    assert stream.notes == []


def test_columns_without_names_are_ignored_too(tmp_path):
    stream = read(tmp_path, "a,1,0\nb,2,1\n", "x.csv", labels="last:1", header=False, ignore="x0")
    assert named(stream) == [({"x1": 1.0}, set()), ({"x1": 2.0}, {"x2"})]


@pytest.mark.parametrize(
    ("name", "ignore", "problem"),
    [
        ("x.csv", "kee", "no column 'kee' that could be ignored .did you mean 'key'"),
        ("x.csv", "zzzz", "no column 'zzzz' that could be ignored .columns: key, n, l"),
        ("x.csv", "", "no ignored columns; expected name,name"),
        ("x.csv", '"n', "ignored columns .* cannot be"),
        ("x.csv", "key,l", "column 'l' is ignored, and holds labels"),
        ("x.csv", "key,n", "no features are left"),
        ("x.jsonl", "key", "columns of a jsonl file are not left out .leave --ignore out"),
    ],
)
def test_what_cannot_be_ignored_is_told(tmp_path, name, ignore, problem):
    with pytest.raises(DataError, match=problem):
        read(tmp_path, "key,n,l\na,1,0\n", name, labels="l" if "csv" in name else None, ignore=ignore)
