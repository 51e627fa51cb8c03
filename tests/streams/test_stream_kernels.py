"""Compiled reading of rows agrees with its plain twins."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import streams as twin

from stream_ml.streams import open_stream
from stream_ml.streams._kernels import parse_number

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
    wanted = np.array([[np.nan if r[c] is None else r[c] for c in features] for r, _ in expected], dtype=np.float32)
    np.testing.assert_array_equal(x, wanted)
    np.testing.assert_array_equal(y, [[c in chosen for c in positive] for _, chosen in expected])
