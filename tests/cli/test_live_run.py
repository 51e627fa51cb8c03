"""When a live view is there, what it reads off a run, and what becomes of standard error meanwhile."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading

import pytest

from stream_ml import IHomerClassifier, prequential
from stream_ml.cli import screen as screen_module
from stream_ml.cli.live_run import LiveRun, last_events
from stream_ml.cli.screen import HELD_LINES, Held, Screen, terminal
from stream_ml.cli.signals import StopSignals
from stream_ml.evaluation import NoChange
from stream_ml.ihomer.events import Event
from stream_ml.simulation import default_stream


class Tty:
    """A pseudo terminal that shows what is written to it as it comes: one that did not would stop who writes."""

    def __init__(self):
        self.own, theirs = os.openpty()
        self.file = os.fdopen(theirs, "w", encoding="utf-8")
        self.data = b""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):  # nobody has the other end any longer
            while more := os.read(self.own, 1 << 16):
                self.data += more

    def console(self, monkeypatch):
        """Have standard error there; in a fixture, pytest would have it back before the test."""
        monkeypatch.setattr(sys, "stderr", self.file)
        return terminal()

    def text(self):
        """All that was written to it; it is closed then."""
        self.file.close()
        self.reader.join()
        return self.data.decode()


@pytest.fixture
def tty(monkeypatch):
    """A pseudo terminal, and nothing said about it in the environment."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    opened = Tty()
    yield opened
    opened.text()
    os.close(opened.own)


@pytest.mark.parametrize(
    ("name", "value", "there"),
    [
        ("TERM", "xterm", True),
        ("TERM", "dumb", False),
        ("CI", "true", False),
        ("CI", "false", True),
        ("NO_COLOR", "1", True),
    ],
)
def test_where_a_view_can_be(tty, monkeypatch, name, value, there):
    monkeypatch.setenv(name, value)
    assert (tty.console(monkeypatch) is not None) == there


def test_a_file_is_no_terminal_whatever_is_said_of_colours(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert terminal() is None
    monkeypatch.setattr(sys, "stderr", None)
    assert terminal() is None


def test_it_shows_a_run_and_changes_nothing(tty, monkeypatch):
    model, seen = IHomerClassifier(), []
    view = LiveRun(tty.console(monkeypatch), model, 500)

    def update(snapshot):
        view.update(snapshot)
        seen.append(view.dashboard())

    with view.compiling():
        pass
    with view.running("a stream", lambda: 2500):
        result = prequential(default_stream(n_instances=2500, seed=1), model, window=500, on_batch=update)
    plain = prequential(default_stream(n_instances=2500, seed=1), IHomerClassifier(), window=500)
    assert result.summary["metrics"] == plain.summary["metrics"]
    assert result.windows == plain.windows
    last = seen[-1]
    facts, values = dict(last.facts), dict(last.metrics)
    assert last.done == 1
    assert facts["rows"] == "2,500 of 2,500"
    assert facts["labels"] == "12"
    assert list(last.columns) == ["window", "no change", "majority", "overall", "recent"]
    row, overall = result.windows[-1], result.summary["metrics"]
    for metric in ("micro_f1", "subset_accuracy"):
        expected = [row[metric], row[f"no_change_{metric}"], row[f"majority_labelset_{metric}"], overall[metric]]
        assert values[metric.replace("_", " ")][:4] == expected
    assert last.curve == [window["micro_f1"] for window in result.windows]
    assert sum(last.clusters) == 12
    assert "\x1b[?1049h" in tty.text()


def test_without_baselines_and_clusters(tty, monkeypatch):
    view = LiveRun(tty.console(monkeypatch), NoChange(), 500)
    prequential(default_stream(n_instances=600), NoChange(), window=500, baselines=False, on_batch=view.update)
    dashboard = view.dashboard()
    assert list(dashboard.columns) == ["window", "overall", "recent"]
    assert dict(dashboard.facts)["clusters"] == "-"


def test_the_last_events_are_those_that_matter():
    events = [Event("drift", 1, "cluster", "3")] + [Event("tree_split", n, "tree", "3") for n in range(500)]
    events += [Event("sleep", 600, "global", "linear"), Event("merge", 700, "cluster", "3 4")]
    assert last_events(events) == ["drift at 1, cluster 3", "merge at 700, cluster 3 4"]
    assert last_events([]) == []


def test_standard_error_is_shown_meanwhile_and_told_afterwards(tty, capfd, monkeypatch):
    screen = Screen(tty.console(monkeypatch))

    def interrupted():
        with screen.shown(lambda: "drawn"):
            sys.stderr.write("careful\n")
            assert screen.held.last(5) == ["careful"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    shown = tty.text()
    assert shown.index("\x1b[?1049h") < shown.index("drawn") < shown.index("\x1b[?1049l")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "careful" in capfd.readouterr().err
    assert not screen.held.drain()


def test_standard_error_that_goes_elsewhere_is_left_alone(tty, monkeypatch, tmp_path):
    console = tty.console(monkeypatch)
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        screen = Screen(console)
        with screen.shown(lambda: "drawn"):
            sys.stderr.write("a line\n")
    assert screen.held is None
    assert (tmp_path / "log").read_text() == "a line\n"
    assert "drawn" in tty.text()


def test_what_is_held_is_bounded_and_says_so():
    held = Held()
    for n in range(HELD_LINES + 7):
        held.write(f"line {n}\n")
    held.write("not yet")
    assert held.last(1) == [f"line {HELD_LINES + 6}"]
    lines = held.drain().splitlines()
    assert lines[0] == "(7 earlier lines went by; 2>FILE keeps them)"
    assert lines[1] == "line 7"
    assert lines[-1] == "not yet"
    assert held.drain() == ""


def test_a_second_signal_gives_the_terminal_back_first(monkeypatch):
    happened = []
    signals = StopSignals()
    signals.restore = lambda: happened.append("restored")
    monkeypatch.setattr(os, "kill", lambda *_: happened.append("killed"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        signals._on_signal(signal.SIGTERM, None)
    assert not happened
    with pytest.raises(KeyboardInterrupt):
        signals._on_signal(signal.SIGTERM, None)
    assert happened == ["restored", "killed"]


def test_a_terminal_that_is_gone_costs_nothing(tty, monkeypatch):
    screen = Screen(tty.console(monkeypatch))

    def gone(self):
        raise OSError(5, "gone")

    monkeypatch.setattr(screen_module.Live, "stop", gone)
    with screen.shown(lambda: "drawn"):
        pass
    assert "\x1b[?1049l" in tty.text()
