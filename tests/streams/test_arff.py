"""ARFF files: what was written is what is read, in every spelling that the format allows."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams import lines, open_stream

QUICK = settings(deadline=None, derandomize=True, max_examples=80)
NAMES = st.text("aAbB'\"\\,%{}? éß_1:-", min_size=1, max_size=6)
HEADER = (
    "@relation '{}'\n@attribute a numeric\n@attribute b {{u,v}}\n@attribute l {{0,1}}\n@attribute m {{0,1}}\n@data\n"
)
ROWS = "1.5,v,0,1\n?,u,1,0\n-2,?,1,1\n"


def rows(stream):
    """Per row (features with None where missing, labels)."""
    read = []
    for batch in stream:
        for x, y in zip(batch.x_dense().tolist(), batch.y_dense().tolist(), strict=True):
            read.append(([None if v != v else v for v in x], y))
    return read


def read(tmp_path, text, name="x.arff", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_stream(path, **options)


def quote(text, mark):
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


@st.composite
def files(draw):
    """The bytes of an ARFF file, its name, and what is in it: columns, number of labels, rows."""
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    n_labels = draw(st.integers(1, len(names) - 1))
    values = st.none() | st.lists(NAMES, min_size=1, max_size=4, unique=True).map(tuple)
    columns = [draw(values) for _ in names[n_labels:]]
    pairs = st.sampled_from([None, ("0", "1"), ("1", "0"), ("false", "true"), ("TRUE", "FALSE")])
    kinds = [*columns, *(draw(pairs) for _ in range(n_labels))]
    sparse = draw(st.booleans())
    mark, upper, gap = draw(st.sampled_from("'\"")), draw(st.booleans()), draw(st.sampled_from([" ", "\t", "  "]))
    word = str.upper if upper else str.lower
    out = [word("@relation") + gap + quote(draw(NAMES), mark), "", "% a comment, 'with a quote"]
    for name, kind in zip(names, kinds, strict=True):
        inner = draw(st.sampled_from([",", ", ", " ,\t"])).join(quote(v, mark) for v in kind or ())
        described = word(draw(st.sampled_from(["numeric", "real", "integer"]))) if kind is None else "{" + inner + "}"
        out.append(word("@attribute") + gap + quote(name, mark) + gap + described)
    out.append(word("@data"))
    expected = []
    for _ in range(draw(st.integers(1, 8))):
        x, y, cells = [], [], []
        for column, kind in enumerate(kinds):
            is_label = column >= len(columns)
            absent = sparse and draw(st.booleans())
            if is_label:
                truth = draw(st.booleans())
                text = str(int(truth)) if kind is None else next(v for v in kind if (v.lower() in "1true") == truth)
                absent = absent and text == (kind or ("0",))[0]
                y.append(truth)
            elif kind is None:
                value = 0.0 if absent else draw(st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False))
                text = "?" if value is None else repr(value)
                x.append(value)
            else:
                at = 0 if absent else draw(st.none() | st.integers(0, len(kind) - 1))
                text = "?" if at is None else quote(kind[at], mark)
                x.append(None if at is None else float(at))
            if not absent:
                cells.append((f"{column} " if sparse else "") + text)
        line = draw(st.sampled_from([",", ", ", "\t,"])).join(cells)
        out.append("{" + line + "}" if sparse else line)
        out += draw(st.sampled_from([[], [], [""], ["% 'x"], ["\t "]]))
        expected.append((x, y))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    data = (
        draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
        + (newline.join(out) + draw(st.sampled_from(["", newline]))).encode()
    )
    packed = draw(st.booleans())
    return (
        gzip.compress(data) if packed else data,
        "x.arff.gz" if packed else "x.arff",
        names,
        kinds,
        n_labels,
        expected,
    )


@QUICK
@given(files(), st.sampled_from([1, 7, 1000]))
def test_what_is_written_is_read(case, batch_size):
    data, file, names, kinds, n_labels, expected = case
    with tempfile.TemporaryDirectory() as folder:
        stream = read(Path(folder), data, file, labels=f"last:{n_labels}", batch_size=batch_size)
        assert [f.name for f in stream.schema.features] == names[:-n_labels]
        assert [f.values for f in stream.schema.features] == kinds[:-n_labels]
        assert stream.schema.labels == names[-n_labels:]
        assert rows(stream) == expected


@pytest.mark.parametrize(
    ("option", "labels"),
    [("x: -C 1", ["a"]), ("x: -C 2", ["a", "l"]), ("x: -C -1", ["m"]), ("x: -C -2", ["l", "m"]),
     ("x: -split-percentage 50 -C -2", ["l", "m"]), ("x: -C -2 -split-number 3", ["l", "m"])],
)  # fmt: skip
def test_meka_option(tmp_path, option, labels):
    text = HEADER.format(option).replace("@attribute b {u,v}\n", "").replace("a numeric", "a {0,1}")
    assert read(tmp_path, text).schema.labels == labels


def test_meka_option_behind_a_filter_of_weka(tmp_path):
    relation = "x-weka.filters.unsupervised.attribute.Remove-R1-C 1: -C -2"
    assert read(tmp_path, HEADER.format(relation) + ROWS).schema.labels == ["l", "m"]


def test_a_filter_of_weka_alone_names_no_labels(tmp_path):
    with pytest.raises(LabelSpecError, match="--labels"):
        read(tmp_path, HEADER.format("x-weka.filters.unsupervised.attribute.Remove-R1") + ROWS)


XML = '<?xml version="1.0"?>\n<labels xmlns="http://mulan.sourceforge.net/labels">{}</labels>'


def test_label_list_of_mulan_wins_over_meka(tmp_path):
    (tmp_path / "x.xml").write_text(XML.format('<label name="m"><label name="l"/></label>'))
    stream = read(tmp_path, HEADER.format("x: -C 1") + ROWS)
    assert stream.schema.labels == ["l", "m"]
    assert rows(stream) == [([1.5, 1], [False, True]), ([None, 0], [True, False]), ([-2, None], [True, True])]
    assert read(tmp_path, HEADER.format("x: -C 1") + ROWS, labels="m").schema.labels == ["m"]


def test_label_list_beside_a_packed_file(tmp_path):
    (tmp_path / "x.xml").write_text(XML.format('<label name="m"/>'))
    assert read(tmp_path, gzip.compress((HEADER.format("x") + ROWS).encode()), "x.arff.gz").schema.labels == ["m"]


def test_label_list_that_names_what_is_not_there(tmp_path):
    (tmp_path / "x.xml").write_text(XML.format('<label name="nowhere"/>'))
    with pytest.raises(LabelSpecError, match=r"'nowhere'.*x\.xml"):
        read(tmp_path, HEADER.format("x") + ROWS)


@pytest.mark.parametrize("text", ["", "<labels>", "<labels/>", "<x><label name='m'/></x>", "<labels><label/></labels>",
                                  '<!DOCTYPE a [<!ENTITY b "c">]><labels><label name="m"/></labels>'])  # fmt: skip
def test_broken_label_list(tmp_path, text):
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(DataError, match=r"x\.xml"):
        read(tmp_path, HEADER.format("x") + ROWS)


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        ("last:2", ["l", "m"]),
        ("last:1", ["m"]),
        ("prefix:m", ["m"]),
        ("m,l", ["l", "m"]),
        ("l", ["l"]),
        ("m, l", ["l", "m"]),
    ],
)
def test_named_labels(tmp_path, spec, labels):
    stream = read(tmp_path, HEADER.format("x") + ROWS, labels=spec)
    assert stream.schema.labels == labels
    assert sum(len(batch) for batch in stream) == 3


def test_labels_of_another_label_list(tmp_path):
    (tmp_path / "other.xml").write_text(XML.format('<label name="m"/>'))
    assert read(tmp_path, HEADER.format("x"), labels=f"xml:{tmp_path / 'other.xml'}").schema.labels == ["m"]


def test_absent_label_takes_the_value_declared_first(tmp_path):
    head = "@relation 'x: -C -2'\n@attribute a numeric\n@attribute l {1,0}\n@attribute m {0,1}\n@data\n"
    stream = read(tmp_path, head + "{0 2}\n{1 0}\n{1 1,2 1}\n{}\n{ 2 0 }\n")
    assert stream.schema.sparse
    assert rows(stream) == [
        ([2], [True, False]), ([0], [False, False]), ([0], [True, True]), ([0], [True, False]), ([0], [True, False]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "off", "on"),
    [("{0,1}", "0", "1"), ("{1,0}", "0", "1"), ("{false,true}", "false", "true"), ("{True,False}", "False", "True"),
     ("{no,yes}", "no", "yes"), ("numeric", "0", "1"), ("real", "0.0", "1.0"), ("integer", "0", "1")],
)  # fmt: skip
def test_spellings_of_labels(tmp_path, kind, off, on):
    text = f"@relation 'x: -C -1'\n@attribute a numeric\n@attribute l {kind}\n@data\n5,{on}\n6,{off}\n"
    assert rows(read(tmp_path, text)) == [([5], [True]), ([6], [False])]


def test_names_that_differ_by_case_only(tmp_path):
    text = "@relation 'x: -C -1'\n@attribute A numeric\n@attribute a numeric\n@attribute l {0,1}\n@data\n1,2,1\n"
    stream = read(tmp_path, text)
    assert [f.name for f in stream.schema.features] == ["A", "a"]
    assert rows(stream) == [([1, 2], [True])]


# the plain file, and the same one with every value between quotes, which only the careful reader takes
DENSE = HEADER.format("x: -C -2") + "1.5,v,0,1\n-2e-3,u,1,0\n0,u,0,0\n16777217,v,1,1\n.1,u,0,1\n" * 40
SPARSE = HEADER.format("x: -C -2") + "{0 1.5,1 v,3 1}\n{2 1}\n{}\n{0 -2e-3}\n{1 v,2 1,3 1}\n" * 40


def with_quotes(text):
    head, _, body = text.partition("@data\n")
    out = []
    for line in body.splitlines():
        cells = [cell.split(" ") for cell in line.strip("{}").split(",") if cell]
        written = ",".join(" ".join([*cell[:-1], f"'{cell[-1]}'"]) for cell in cells)
        out.append("{" + written + "}" if line.startswith("{") else written)
    return head + "@data\n" + "\n".join(out) + "\n"


@pytest.mark.parametrize("text", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_plain_and_careful_reading_agree(tmp_path, text):
    plain = list(read(tmp_path, text, "plain.arff", batch_size=30))
    careful = list(read(tmp_path, with_quotes(text), "careful.arff", batch_size=30))
    head = text.partition("@data\n")[0]
    halves = [t.partition("@data\n")[2].splitlines() for t in (text, with_quotes(text))]
    mixed = "\n".join(halves[i % 3 == 0][i] for i in range(len(halves[0])))
    between = list(read(tmp_path, head + "@data\n" + mixed, "mixed.arff", batch_size=30))
    assert sum(len(b) for b in plain) == 200
    for other in (careful, between):
        for a, b in zip(plain, other, strict=True):
            for part in ("x_indptr", "x_indices", "x_values", "y_indptr", "y_indices", "mode", "labelled"):
                left, right = getattr(a, part), getattr(b, part)
                assert left.dtype == right.dtype
                np.testing.assert_array_equal(left, right, err_msg=part)
            assert a.first == b.first


@pytest.mark.parametrize("text", [DENSE, SPARSE, DENSE.replace("\n", "\r\n"), with_quotes(SPARSE).rstrip("\n")])
def test_borders_of_chunks_and_batches_do_not_show(tmp_path, monkeypatch, text):
    expected = rows(read(tmp_path, text))
    for chunk in (1, 3, 17, 64, 1000):
        monkeypatch.setattr(lines, "CHUNK", chunk)
        assert rows(read(tmp_path, text)) == expected
    for batch_size in (1, 7, 1000):
        batches = list(read(tmp_path, text, batch_size=batch_size))
        assert rows(batches) == expected
        assert [b.first for b in batches] == list(range(0, 200, batch_size))
        assert all(len(b) == batch_size for b in batches[:-1])


def test_a_stream_is_read_again_from_its_start(tmp_path):
    stream = read(tmp_path, HEADER.format("x: -C -2") + ROWS)
    assert rows(stream) == rows(stream) != []


def test_no_rows_make_an_empty_stream(tmp_path):
    assert list(read(tmp_path, HEADER.format("x: -C -2"))) == []
