"""Kernels that read rows agree with their twins, and leave to the careful readers what they should."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import stream_rows as twin

from stream_ml.streams import _kernels as k
from stream_ml.streams import open_stream
from stream_ml.streams.columns import ColumnPlan, new_rows
from stream_ml.streams.schema import Feature

QUICK = settings(deadline=None, derandomize=True, max_examples=300)
NUMBERS = st.one_of(
    st.integers(-3, 3).map(str),
    st.floats(-1e6, 1e6).map(lambda v: f"{v:.6g}").filter(lambda text: "e-" not in text),
    st.sampled_from(["1.0", "+2", ".5", "4.", "1e-7"]),
)


def raw(text):
    return np.frombuffer(b"," + text.encode() + b",", dtype=np.uint8)


@QUICK
@given(st.text(" \t\r\nab", max_size=12), st.integers(0, 12))
def test_line_bounds(text, start):
    start = min(start, len(text))
    end, a, b = k.line_bounds(raw(text), start + 1, len(text) + 1)
    assert (end - 1, a - 1, b - 1) == twin.line_bounds(text, start)


@st.composite
def rows(draw):
    """Columns, their labels, how rows are written, and a row that may be good or bad."""
    sparse = draw(st.booleans())
    csv = not sparse and draw(st.booleans())
    values = st.none() | st.lists(st.text("abN019", min_size=1, max_size=2), min_size=1, max_size=3, unique=True)
    columns = [draw(values.map(lambda v: tuple(x for x in v if x != "NA") or None if v else None)) for _ in range(3)]
    kinds = [None, ("0", "1"), ("1", "0"), ("no", "yes"), ("0",)]
    at = sorted(draw(st.sets(st.integers(0, 3), min_size=1, max_size=2)))
    for column in at:
        columns.insert(column, draw(st.sampled_from(kinds)))
    cells = []
    for column, kind in enumerate(columns):
        if sparse and draw(st.booleans()):
            continue
        good = st.sampled_from(kind) if kind else (st.sampled_from(["0", "1", "1.0"]) if column in at else NUMBERS)
        cell = draw(st.one_of(good, good, good, st.sampled_from(["?", "?", "", "NA", "x", "2", "1 1", "'a'", "nan"])))
        gaps = st.sampled_from(["", "", " ", "\t "])
        cells.append(draw(gaps) + (f"{column} " if sparse else "") + cell + draw(gaps))
    if draw(st.integers(0, 9)) == 0 and cells:
        cells = draw(st.sampled_from([cells[::-1], cells[1:], [*cells, cells[0]]]))
    return columns, at, sparse, csv, draw(st.sampled_from(",;")), cells


@QUICK
@given(rows())
def test_parse_row(case):
    columns, at, sparse, csv, separator, cells = case
    text = separator.join(cells)
    plan = ColumnPlan([Feature(f"c{i}", v) for i, v in enumerate(columns)], at, source="x")
    expected = twin.parse_row(text, sparse, separator, csv, columns, {c: plan.positive[c] for c in at})
    out = new_rows(64)
    data = raw(text)
    begin = 1 + len(text) - len(text.lstrip(" \t")) if sparse else 1
    n_x, n_y, known, plain = k.parse_row(
        data, begin, len(data) - 1, sparse, ord(separator), csv, plan.compiled(), len(at), out, 0, 0
    )
    assert plain == (expected is not None)
    if expected is not None:
        x, y, expected_known = expected
        assert known == expected_known
        wanted = {plan.targets[c]: np.float32(np.nan if v is None else v) for c, v in x.items()}
        got = dict(zip(out.x_indices[:n_x].tolist(), out.x_values[:n_x], strict=True))
        assert repr(got) == repr(dict(sorted(wanted.items())))
        assert out.y_indices[:n_y].tolist() == sorted(-1 - plan.targets[c] for c in y)


@st.composite
def pair_lines(draw):
    """Lines of an extreme classification file, mostly good."""
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        labels = draw(st.lists(st.integers(0, 9).map(str), max_size=3, unique=draw(st.integers(0, 5)) > 0))
        features = draw(st.lists(st.integers(0, 20), max_size=5, unique=True))
        features = features if draw(st.integers(0, 9)) == 0 else sorted(features)
        pairs = [f"{i}:{draw(NUMBERS)}" for i in features]
        line = ",".join(labels) + draw(st.sampled_from([" ", " ", "  ", "\t"])) + " ".join(pairs)
        odd = ["# x", "qid:1", "3:", ":", "1,", "01:1", "1:2:3", "7"]
        lines.append(line + draw(st.sampled_from(["", "", "", " ", "\r"] + [f" {word}" for word in odd])))
        lines += draw(st.sampled_from([[], [], [""], [" "], ["5"], ["1:1"]]))
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@QUICK
@given(pair_lines(), st.sampled_from([0, 2, 100]), st.sampled_from([1 << 28, 15]), st.sampled_from([1 << 28, 6]))
@example("1,2 0:1 3:2.5\n 4:1\n\n2,1 5:1", 3, 10, 4)
def test_parse_pair_rows_and_parse_pairs(text, blanks, n_features, n_labels):
    expected, expected_lines = twin.parse_pair_rows(text, blanks, n_features, n_labels)
    out = new_rows(1000)
    data = np.frombuffer(text.encode() or b"\n", dtype=np.uint8)
    place, rows_, lines, why = k.parse_pair_rows(data, 0, len(text), blanks, n_features, n_labels, out)
    assert (rows_, lines) == (len(expected), expected_lines)
    assert why == (k.UNUSUAL if place < len(text) else 0)
    x_start = y_start = 0
    for row, (x, y) in enumerate(expected):
        x_end, y_end = out.x_ends[row], out.y_ends[row]
        got = zip(out.x_indices[x_start:x_end].tolist(), out.x_values[x_start:x_end], strict=True)
        assert list(got) == [(i, np.float32(v)) for i, v in x.items()]
        assert out.y_indices[y_start:y_end].tolist() == y
        x_start, y_start = x_end, y_end


def test_kernels_ask_for_room(tmp_path):
    data = np.frombuffer(b"1 0:1\n2 1:1\n3 2:1\n", dtype=np.uint8)
    place, rows_, lines, why = k.parse_pair_rows(data, 0, len(data), 0, 9, 9, new_rows(4))
    assert (place, rows_, lines, why) == (12, 2, 2, k.MORE_ROOM)
    plan = ColumnPlan([Feature("a"), Feature("l")], [1], source="x")
    data = np.frombuffer(b"1,0\n2,1\n3,0\n", dtype=np.uint8)
    result = k.parse_rows(data, 0, len(data), False, ord(","), False, plan.compiled(), 1, new_rows(3))
    assert result == (8, 2, 2, k.MORE_ROOM)
    path = tmp_path / "x.csv"  # more rows and cells than fit at once
    path.write_text("a,l\n" + "1,0\n2,1\n" * 40_000)
    assert sum(len(b) for b in open_stream(path, labels="l")) == 80_000
