"""Progress suits where it is shown."""

from __future__ import annotations

import io
import time

import numba
import pytest
from rich.console import Console

from stream_ml.cli import progress
from stream_ml.cli.progress import Bar, Lines, Silent, display_for
from stream_ml.evaluation import METRICS
from stream_ml.evaluation import Progress as Snapshot

RECENT = dict.fromkeys(METRICS, 0.25)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=140)


def snapshot(n):
    return Snapshot(n, n, n, n / 5000, RECENT, RECENT, 3)


def test_display_for():
    assert isinstance(display_for(console(True), quiet=False), Bar)
    assert isinstance(display_for(console(False), quiet=False), Lines)
    assert isinstance(display_for(console(True), quiet=True), Silent)


def test_bar_shows_rate_and_live_metrics():
    out = console(True)
    bar = Bar(out)
    with bar.compiling():
        pass
    with bar.running("a [b]", lambda: 4000):
        bar.update(snapshot(2000))
        bar._progress.refresh()
        shown = out.file.getvalue()
    for part in ("a [b]", "50%", "5,000/s", "micro F1 0.250", "subset accuracy 0.250", "3 events"):
        assert part in shown


def test_lines_come_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    out = console(False)
    lines = Lines(out)
    with lines.running("a", lambda: 4000):
        for second in range(25):
            now[0] = second
            lines.update(snapshot(second * 100))
    shown = out.file.getvalue().splitlines()
    assert shown == [
        "1,000 of 4,000 rows, 5,000/s, micro F1 0.250, subset accuracy 0.250, 3 events",
        "2,000 of 4,000 rows, 5,000/s, micro F1 0.250, subset accuracy 0.250, 3 events",
    ]


@pytest.mark.parametrize("display", [Lines, Bar])
def test_compiling_is_told_only_when_something_is_compiled(display):
    out = console(display is Bar)
    with display(out).compiling():
        pass
    assert "compiling" not in out.file.getvalue()
    with display(out).compiling():
        numba.njit(lambda x: x + 1)(1)
        time.sleep(0.2)  # the status is redrawn some times a second
    assert "compiling (once per install" in out.file.getvalue()


@pytest.mark.parametrize("display", [Lines, Bar])
def test_compiling_in_the_midst_of_a_run_is_told_once(display):
    out = console(display is Bar)
    with display(out).running("a", lambda: 4000):
        assert "compiling" not in out.file.getvalue()
        for _ in range(2):
            numba.njit(lambda x: x + 1)(1)
    assert out.file.getvalue().count("compiling what the stream needs besides (once per install") == 1


def test_silent_is_silent():
    silent = Silent()
    with silent.compiling(), silent.running("a", lambda: None):
        silent.update(snapshot(1))
