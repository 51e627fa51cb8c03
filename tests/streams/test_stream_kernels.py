"""Compiled reading of rows agrees with its plain twins."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import streams as twin

from stream_ml.streams import Feature, open_stream
from stream_ml.streams._kernels import (
    UNUSUAL,
    add_left_out,
    entry_index,
    is_missing,
    is_plain_text,
    line_bounds,
    parse_number,
    parse_pair_rows,
    parse_pairs,
    parse_row,
    trimmed,
    without_quotes,
)
from stream_ml.streams.columns import ColumnPlan, new_rows

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
GAPS = st.sampled_from(["", "", " ", "\t", "  "])


def parse(text):
    data = np.frombuffer(b"," + text.encode() + b",", dtype=np.uint8)
    return parse_number(data, 1, len(data) - 1)


written = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(str),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.text("0123456789+-.eE_ nafix", max_size=12),
)


@settings(deadline=None, derandomize=True, max_examples=1500)
@given(written)
@example("")
@example(".")
@example("-")
@example("1e")
@example("1e+")
@example("1.2.3")
@example("5.")
@example(".5")
@example("-0")
@example("0.1")
@example("1e22")
@example("1e23")
@example("1e-22")
@example("123456789012345")
@example("9007199254740993")
@example("16777217")
@example("1.000000059604644775390625")  # half way between two float32
@example("1.00000005960464477539062500000001")
@example("7.038531e-26")
@example("747734218835830728e-18")  # more than 53 bits, and two roundings would cross the half way
@example("715148590087890652e-15")
@example("73503437042236329e-15")
@example("1e-46")
@example("1" + "0" * 50)
@example("0." + "0" * 60 + "1")
@example("1e99999")
def test_parse_number_is_right_where_it_is_sure(text):
    value, sure = parse(text)
    expected = twin.parse_number(text)
    if expected is None:
        assert not sure
    elif sure:  # what is stored is single precision
        with np.errstate(over="ignore"):
            assert np.float32(value) == np.float32(expected)
        assert np.signbit(value) == np.signbit(expected)
        assert value == pytest.approx(expected, rel=2.0**-49, abs=0)


@pytest.mark.parametrize("text", ["0", "1", "-1", "0.5", "12.25", "+3", "1e-3", "2.5E2", "0.061", "123456", "1e5"])
def test_common_numbers_take_the_quick_way(text):
    assert parse(text) == (float(text), True)


@st.composite
def plain_files(draw):
    """Columns, label columns with their positive texts, and lines without quotes: sparse or dense."""
    labels = draw(st.integers(1, 3))
    values = st.lists(st.text("abcxyz019", min_size=1, max_size=3), min_size=2, max_size=5, unique=True).map(tuple)
    columns = draw(st.lists(st.none() | values, min_size=1, max_size=5))
    features = len(columns)
    columns += draw(
        st.lists(st.sampled_from([None, ("0", "1"), ("1", "0"), ("f", "t")]), min_size=labels, max_size=labels)
    )
    positive = {c: "t" if columns[c] == ("f", "t") else "1" for c in range(features, features + labels)}
    sparse = draw(st.booleans())
    numbers = st.floats(-1e6, 1e6, width=32).map(lambda v: f"{v:.6g}")

    def cell(column):
        if column in positive:
            return draw(st.sampled_from(columns[column] or ("0", "1")))
        return draw(st.just("?") | (st.sampled_from(columns[column]) if columns[column] else numbers))

    lines = []
    for _ in range(draw(st.integers(1, 12))):
        if sparse:
            chosen = [c for c in range(len(columns)) if draw(st.booleans())]
            cells = [f"{draw(GAPS)}{c}{draw(st.sampled_from([' ', '  ']))}{cell(c)}{draw(GAPS)}" for c in chosen]
            lines.append("{" + ",".join(cells) + "}" + draw(GAPS))
        else:
            lines.append(",".join(f"{draw(GAPS)}{cell(c)}{draw(GAPS)}" for c in range(len(columns))))
        lines += draw(st.sampled_from([[], [], [], [""], ["% 1,2"], [" \t"]]))
    return columns, positive, lines


@QUICK
@given(plain_files())
def test_parse_rows_and_match_value_agree_with_their_twins(case):
    columns, positive, lines = case
    kinds = ["numeric" if values is None else "{" + ",".join(values) + "}" for values in columns]
    header = ["@relation x", *(f"@attribute c{c} {kind}" for c, kind in enumerate(kinds)), "@data"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.arff")
        path.write_text("\n".join([*header, *lines]))
        stream = open_stream(path, labels=f"last:{len(positive)}")
        x = np.concatenate([b.x_dense() for b in stream])
        y = np.concatenate([b.y_dense() for b in stream])
    expected = twin.parse_rows(lines, columns, positive)
    features = [c for c in range(len(columns)) if c not in positive]
    wanted = np.array([[np.nan if r[c] is None else r[c] for c in features] for r, _, _ in expected], dtype=np.float32)
    np.testing.assert_array_equal(x, wanted)
    np.testing.assert_array_equal(y, [[c in chosen for c in positive] for _, chosen, _ in expected])


def as_bytes(text):
    return np.frombuffer(text.encode() + b"\n", dtype=np.uint8)


@QUICK
@given(st.text("ab \t\r\n", max_size=12), st.integers(0, 3))
def test_line_bounds_agrees_with_its_twin(text, before):
    end, a, b = line_bounds(as_bytes("x" * before + text), before, before + len(text))
    wanted, first, last = twin.line_bounds(text)
    assert end - before == wanted
    assert (a >= b) == (first is None)
    assert first is None or (a - before, b - before) == (first, last)


@QUICK
@given(st.text("ab \t", max_size=12), st.integers(0, 3))
def test_trimmed_agrees_with_its_twin(text, before):
    start, stop = trimmed(as_bytes(" " * before + text), before, before + len(text))
    assert text[start - before : stop - before] == twin.trimmed(text)


@QUICK
@given(st.from_regex(r"[0-9]{0,11}[ \t]{0,2}[-0-9a']{0,3}", fullmatch=True).map(twin.trimmed))
@example("123456789 1")
@example("1234567890 1")
@example("007\t1")
def test_entry_index_agrees_with_its_twin(text):
    index, place = entry_index(as_bytes(text), 0, len(text))
    expected = twin.entry_index(text)
    assert (index < 0) == (expected is None)
    assert expected is None or (index, text[place:]) == expected


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.text("""a"'\\? ,""", max_size=6) | st.from_regex(r""" ?(["'])[aN? ]{0,3}\1 ?""", fullmatch=True), st.booleans()
)
def test_without_quotes_agrees_with_its_twin(cell, csv):
    start, stop = trimmed(as_bytes(cell), 0, len(cell))
    a, b, quoted, plain = without_quotes(as_bytes(cell), start, stop, csv, stop - start == len(cell))
    expected = twin.without_quotes(cell, csv)
    assert plain == (expected is not None)
    assert expected is None or (cell[a:b], quoted) == expected


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize("text", ["", "?", "NA", "na", "N", "A", "AN", "NAN", "??", "0", "x?"])
def test_is_missing_agrees_with_its_twin(text, csv):
    data = as_bytes("?" + text + "?")
    assert is_missing(data, 1, 1 + len(text), csv) == twin.is_missing(text, csv)


@QUICK
@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_add_left_out_agrees_with_its_twin(absent, given_columns):
    inverted, out, n = np.array(sorted(absent), dtype=np.int64), np.zeros(16, dtype=np.int32), 0
    targets, at = -1 - np.arange(10), 0  # column c is label c
    for column in [*sorted(given_columns), 10]:
        at, n = add_left_out(inverted, at, column, targets, out, n)
        assert sorted(out[:n].tolist()) == twin.add_left_out(sorted(absent), given_columns, column)
    assert at == len(absent)


COLUMNS = [None, ("u", "v", "0"), None, ("0", "1"), ("1", "0"), None]
POSITIVE = {3: "1", 4: "1", 5: "1"}
CELLS = st.sampled_from(["0", "1", "1", "0", "2", "-1.5", "u", "v", "?", "?", "", "NA", "x", "1 0", "'u'", '"v"', "'0'",
                         '"1"', "'?'", '""', '"NA"', "'u\\'", '"u""v"', "'u", '" 1"'])  # fmt: skip
# cells that fit their columns, so that whole rows are often plain
FITTING = [
    st.sampled_from(["?", *(mark + v + mark for v in values or ("0", "1", "1.0") for mark in ("", "", "'", '"'))])
    for values in COLUMNS
]


@st.composite
def row_texts(draw, sparse):
    pick = st.just(draw(st.sampled_from([0, 0, 0, 0.2])))
    columns = list(range(len(COLUMNS)))
    if sparse:
        columns = [c for c in columns if draw(st.booleans())]
        columns = draw(st.permutations(columns)) if draw(st.integers(0, 5)) == 0 else columns
        columns += draw(st.sampled_from([[], [], [], [], [6], [5]]))
    elif draw(st.integers(0, 5)) == 0:
        columns = columns[: draw(st.integers(1, 5))] + draw(st.sampled_from([[], columns]))
    all_unknown = draw(st.integers(0, 3)) == 0
    parts = []
    for column in columns:
        wild = draw(pick) > 0 and draw(st.integers(0, 5)) == 0
        cell = draw(CELLS if wild or column >= len(COLUMNS) else FITTING[column])
        if column in POSITIVE and not wild:
            cell = "?" if all_unknown else draw(st.sampled_from(COLUMNS[column] or ("0", "1")))
        parts.append(draw(GAPS) + (f"{column}{draw(st.sampled_from([' ', ' ', chr(9), '']))}" if sparse else "") + cell)
    return (draw(GAPS) + ",").join(parts)


def check_row(kind, text, separator, ignored=()):
    sparse, csv = kind == "sparse", kind == "csv"
    features = [Feature(f"c{i}", v) for i, v in enumerate(COLUMNS)]
    plan = ColumnPlan(features, sorted(POSITIVE), source="f", ignored=ignored)
    out, coded = new_rows(64), as_bytes(text)
    n_x, n_y, known, plain = parse_row(
        coded, 0, len(coded) - 1, sparse, ord(separator), csv, plan.compiled(), len(POSITIVE), out, 0, 0
    )
    expected = twin.parse_row(text, COLUMNS, POSITIVE, sparse=sparse, separator=separator, csv=csv, ignored=ignored)
    assert plain == (expected is not None)
    if expected is None:
        return
    x, y, labelled = expected
    assert known == labelled
    stored = [(c, value) for c, value in x.items() if not sparse or value != 0]
    assert out.x_indices[:n_x].tolist() == [plan.targets[c] for c, _ in stored]
    wanted = np.array([np.nan if value is None else value for _, value in stored], dtype=np.float32)
    np.testing.assert_array_equal(out.x_values[:n_x], wanted)
    if known:
        assert out.y_indices[:n_y].tolist() == [c - 3 for c in sorted(y)]


@settings(deadline=None, derandomize=True, max_examples=400)
@given(st.sampled_from(["dense", "sparse", "csv"]), st.data())
def test_parse_row_agrees_with_its_twin(kind, data):
    separator = data.draw(st.sampled_from(";,")) if kind == "csv" else ","
    text = data.draw(row_texts(kind == "sparse")).strip(" \t").replace(",", separator)
    check_row(kind, text, separator, ignored=data.draw(st.sampled_from([(), (1,), (0, 2)])) if kind == "csv" else ())


@QUICK
@given(st.text(st.sampled_from('a \t~é"\x7f\n,'), max_size=5), st.sampled_from([1, 1000, 5000]))
def test_is_plain_text_agrees_with_its_twin(text, times):
    coded = as_bytes(text * times)
    assert is_plain_text(coded, 0, len(coded) - 1) == twin.is_plain_text(text * times)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kind, text)
        for kind in ("dense", "csv")
        for text in (",u,1,0,0,1", "1,,1,0,0,1", "1,u,1,,,", "1,u,1,,0,1", "1,NA,1,0,0,1")
    ]
    + [("sparse", "0 ,3 1"), ("sparse", "0"), ("sparse", ""), ("sparse", "1 v,"), ("dense", "1,u,1,0,0,1,")],
)
def test_parse_row_and_empty_cells(kind, text):
    check_row(kind, text, ",")


LABELS = st.lists(st.sampled_from(["0", "1", "2", "3", "4", "01", "a", ""]), max_size=3).map(",".join)
GOOD_LABELS = st.lists(st.sampled_from("0123"), max_size=3, unique=True).map(",".join)
PAIRS = st.lists(
    st.sampled_from(["0:1", "1:-2.5", "2:x", "3:1e1", "4:0", "5:1", "9:1", "02:1", "7", "6:", ":1"]), max_size=4
)
GOOD_PAIRS = st.lists(st.sampled_from(["0:1", "1:-2.5", "3:1e1", "4:0", "5:.5"]), max_size=4, unique=True).map(sorted)
PAIR_LINES = st.builds(
    lambda before, labels, gap, pairs, after: before + labels + (gap if labels else "") + gap.join(pairs) + after,
    st.sampled_from(["", "", " "]),
    GOOD_LABELS | LABELS,
    st.sampled_from([" ", "\t", "  "]),
    GOOD_PAIRS | GOOD_PAIRS | PAIRS,
    st.sampled_from(["", "", " ", "\r"]),
)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(PAIR_LINES.map(lambda line: line.rstrip(" \t\r")))
def test_parse_pairs_agrees_with_its_twin(text):
    out, coded = new_rows(64), as_bytes(text)
    n_x, n_y, plain = parse_pairs(coded, 0, len(coded) - 1, 7, 4, out, 0, 0)
    expected = twin.parse_pairs(text, 7, 4)
    assert plain == (expected is not None)
    if expected is not None:
        pairs = zip(out.x_indices[:n_x].tolist(), out.x_values[:n_x].tolist(), strict=True)
        assert (list(pairs), out.y_indices[:n_y].tolist()) == expected


@QUICK
@given(st.lists(PAIR_LINES | st.sampled_from(["", "1 2:3"]), min_size=1, max_size=8), st.integers(0, 4))
def test_parse_pair_rows_agrees_with_its_twin(lines, blanks):
    out, coded = new_rows(256), as_bytes("\n".join(lines))
    _, n_rows, n_lines, why = parse_pair_rows(coded, 0, len(coded), blanks, 7, 4, out)
    expected, read = twin.parse_pair_rows(lines, blanks, 7, 4)
    assert (n_rows, n_lines, why) == (len(expected), read, UNUSUAL if read < len(lines) else 0)
    ends = np.cumsum([len(x) for x, _ in expected]), np.cumsum([len(y) for _, y in expected])
    assert out.x_ends[:n_rows].tolist() == ends[0].tolist()
    assert out.y_ends[:n_rows].tolist() == ends[1].tolist()
    assert out.x_indices[: sum(len(x) for x, _ in expected)].tolist() == [i for x, _ in expected for i, _ in x]
    assert out.y_indices[: sum(len(y) for _, y in expected)].tolist() == [m for _, y in expected for m in y]
