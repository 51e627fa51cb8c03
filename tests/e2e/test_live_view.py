"""`evaluate --live` as a program: in a pseudo terminal, and where there is none."""

from __future__ import annotations

import signal
import subprocess
import sys

import orjson
import pytest
from pseudo_terminal import COMMAND, PseudoTerminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals there")
LINE = ["evaluate", "--model", "no_change", "--limit", "4000", "--no-report"]
TIMED = ("seconds", "wall_seconds", "instances_per_second", "peak_rss_mb")


def summary(folder):
    told = orjson.loads((folder / "summary.json").read_bytes())
    return {name: value for name, value in told.items() if name not in TIMED}


def test_on_a_terminal_it_draws_and_gives_the_terminal_back(tmp_path):
    run = PseudoTerminal(*LINE, "--live", "--out", "live", columns=110, rows=30, cwd=tmp_path)
    assert run.end() == 0, run.output
    assert run.was_taken_and_given_back
    assert "╭─ metrics" in run.drawn
    assert "subset accuracy" in run.left
    # and nowhere else: log lines, no escape codes, the same results
    done = subprocess.run(
        [*COMMAND, *LINE, "--live", "--out", "plain"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert "╭" not in done.stdout + done.stderr
    assert summary(tmp_path / "live") == summary(tmp_path / "plain")
    assert (tmp_path / "live/windows.csv").read_bytes() == (tmp_path / "plain/windows.csv").read_bytes()


def test_a_signal_gives_the_terminal_back(tmp_path):
    line = ["evaluate", "--model", "no_change", "--batch-size", "1", "--no-report", "--live", "--out", "out"]
    run = PseudoTerminal(*line, columns=80, rows=24, cwd=tmp_path)
    run.until("elapsed")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 128 + signal.SIGTERM
    assert run.was_taken_and_given_back
    assert "interrupted" in run.left
    assert summary(tmp_path / "out")["interrupted"]
