"""What a live view draws fits any terminal, and shows texts as they are."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from stream_ml.cli.dashboard import Dashboard, curve, plain

NASTY = "[bold]a[/] \x1b[2J漢字 \x07\udc80 ‮ b"
FULL = Dashboard(
    f"my stream {NASTY}",
    0.25,
    [("rows", "5,000 of 20,000"), ("rate", "7,777/s"), ("labels", "12"), ("memory", "312 MB")],
    ["window", "no change", "majority", "overall", "recent"],
    [("subset accuracy", [0.5, 0.25, None, float("nan"), 0.4]), ("micro f1", [0.75, 0.1, 0.2, 0.7, 0.73])],
    "micro f1 by window of 1,000",
    [0.2, 0.5, 0.9],
    [3, 40, 7],
    [f"drift at {n}, cluster {NASTY}" for n in range(100)],
    [f"log line {n} {NASTY}" for n in range(100)],
)


def drawn(dashboard, width, height, encoding="utf-8"):
    """The lines of a screen that a terminal of this size would show."""
    raw = io.BytesIO()
    out = Console(
        file=io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape"),
        force_terminal=True,
        width=width,
        height=height,
        color_system=None,
        _environ={"TERM": "xterm"},
    )
    with out.screen(hide_cursor=False) as screen:
        out.file.flush()
        raw.truncate(0)
        raw.seek(0)
        screen.update(dashboard)
        out.file.flush()
        text = raw.getvalue().decode(encoding)
    return text.removeprefix("\x1b[H").split("\n")


@pytest.mark.parametrize("width", [60, 80, 99, 100, 130, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 24, 50])
def test_it_fits(width, height):
    lines = drawn(FULL, width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert not any(not c.isprintable() for line in lines for c in line)
    assert lines[0].startswith("my stream [bold]a[/] ·[2J")


@pytest.mark.parametrize("width", [60, 120, 200])
def test_all_is_shown_where_there_is_room(width):
    text = "\n".join(drawn(FULL, width, 50))
    wanted = ["25%", "5,000 of 20,000", "7,777/s", "312 MB", "subset accuracy", "0.500", "0.750", "0.250", "no change"]
    wanted += ["micro f1 by window", "0.20", "0.90", "3 clusters", "40 7 3", "drift at 99, cluster [bold]a[/]"]
    wanted += ["log line 99", "█"]
    for part in wanted:
        assert part in text
    assert ("recent" in text) == (width >= 160)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 16), (120, 12)])
def test_where_there_is_little_room_what_matters_most_stays(width, height):
    text = "\n".join(drawn(FULL, width, height))
    assert "5,000 of 20,000" in text
    assert "subset accuracy" in text


def test_before_anything_is_known():
    text = "\n".join(drawn(Dashboard("s", facts=[("elapsed", "0:00")]), 80, 24))
    assert "elapsed" in text
    assert "nothing yet" in text
    assert "none so far" in text
    assert "log" not in text


def test_a_terminal_that_knows_ascii_alone_gets_ascii():
    lines = drawn(Dashboard("s", 0.5, [("rows", "1")], curve=[0.1, 0.9]), 80, 24, encoding="ascii")
    assert "".join(lines).isascii()
    assert "####" in "".join(lines)


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=300),
    width=st.integers(-3, 120),
    height=st.integers(1, 20),
    ascii_only=st.booleans(),
)
def test_a_curve_fits_and_its_ends_are_where_they_belong(values, width, height, ascii_only):
    lines, low, high = curve(values, width, height, ascii_only=ascii_only)
    assert len(lines) == height
    assert {len(line) for line in lines} == {len(lines[0])}
    assert 1 <= len(lines[0]) <= max(1, width)
    assert " " not in lines[-1]
    assert low < high
    if len(values) <= width:
        assert low <= min(values) + 1e-9
        assert high >= max(values) - 1e-9
        highest, wide = values.index(max(values)), max(1, width) // len(values)
        column = [line[highest * wide] for line in lines]
        assert sum(c != " " for c in column) == max(sum(line[i] != " " for line in lines) for i in range(len(lines[0])))


def test_plain_keeps_one_line():
    assert plain("a\nb\tc").plain == "a·b·c"
