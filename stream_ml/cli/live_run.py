"""The live view of `stream-ml evaluate --live`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

import psutil
from rich.console import Console

from stream_ml.cli.dashboard import Dashboard
from stream_ml.cli.progress import MORE, Bar, rate
from stream_ml.cli.screen import Screen
from stream_ml.evaluation import Progress as Snapshot
from stream_ml.ihomer.events import Event
from stream_ml.jit import when_compiling
from stream_ml.report.words import event_line

__all__ = ["CURVE", "LINES", "SHOWN", "LiveRun", "duration", "is_shown", "last_events"]

SHOWN = ("subset_accuracy", "hamming_loss", "example_f1", "micro_f1", "macro_f1")
CURVE = "micro_f1"
BASELINES = {"no change": "no_change_", "majority": "majority_labelset_"}
LOOKED_AT = 2000
"""Events that are looked through for those to show: trees split much more often than anything else happens."""
LINES = 60
LOOK_SECONDS = 0.5


class LiveRun:
    """The whole terminal: figures, metrics beside the baselines, their course, events, sizes of clusters.

    Parameters
    ----------
    console
        A terminal.
    model
        Whose `clusters` are looked at now and then.
    window
        Scored instances per window.
    """

    def __init__(self, console: Console, model: Any, window: int) -> None:
        self._console, self._screen = console, Screen(console)
        self._model, self._window = model, window
        self._name = ""
        self._total: int | None = None
        self._snapshot: Snapshot | None = None
        self._clusters: Sequence[int] = ()
        self._began = self._next_look = 0.0

    def compiling(self) -> AbstractContextManager[None]:
        """A status that moves."""
        return Bar(self._console).compiling()

    @contextmanager
    def running(self, name: str, total: Callable[[], int | None]) -> Iterator[None]:
        """Take the terminal over."""
        self._name, self._total, self._began = name, total(), time.monotonic()
        with self._screen.shown(self.dashboard), when_compiling(lambda: print(MORE, file=sys.stderr)):  # noqa: T201
            yield

    def update(self, snapshot: Snapshot) -> None:
        """Keep where the run is, for the next time that it is drawn."""
        self._snapshot = snapshot
        if (now := time.monotonic()) >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._clusters = [len(cluster) for cluster in getattr(self._model, "clusters", ())]

    def restore(self) -> None:
        """Give the terminal back at once."""
        self._screen.restore()

    def dashboard(self) -> Dashboard:
        """What is known now."""
        log = None if self._screen.held is None else self._screen.held.last(LINES)
        snapshot, seconds = self._snapshot, time.monotonic() - self._began
        if snapshot is None:
            return Dashboard(self._name, facts=[("elapsed", duration(seconds))], log=log or None)
        share = snapshot.n_rows / self._total if self._total else None
        windows = snapshot.windows
        name = f"{CURVE.replace('_', ' ')} by window of {self._window:,}"
        return Dashboard(
            self._name,
            share,
            self._facts(snapshot, seconds, share),
            *_table(snapshot),
            name,
            [value for row in windows if (value := row[CURVE]) is not None],
            self._clusters,
            last_events(snapshot.events),
            log or None,
        )

    def _facts(self, snapshot: Snapshot, seconds: float, share: float | None) -> list[tuple[str, str]]:
        total = f" of {self._total:,}" if self._total else ""
        left = f", {duration(seconds / share - seconds)} left" if share and share < 1 else ""
        labels = getattr(getattr(self._model, "schema", None), "n_labels", None)
        rss = psutil.Process().memory_info().rss / 2**20
        facts = [
            ("rows", f"{snapshot.n_rows:,}{total}"),
            ("rate", rate(snapshot)),
            ("elapsed", duration(seconds) + left),
            ("scored", f"{snapshot.n_scored:,}"),
            ("labels", f"{labels:,}" if labels is not None else "-"),
            ("clusters", f"{len(self._clusters):,}" if self._clusters else "-"),
            ("memory", f"{rss:,.0f} MB"),
            ("events", f"{snapshot.n_events:,}"),
        ]
        return facts


def _table(snapshot: Snapshot) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """Columns and rows: the last whole window and the baselines in it, then overall and recent."""
    window = snapshot.windows[-1] if snapshot.windows else {}
    prefixes = {"window": "", **{name: prefix for name, prefix in BASELINES.items() if f"{prefix}{CURVE}" in window}}
    rows = []
    for metric in SHOWN:
        values = [window.get(f"{prefix}{metric}") for prefix in prefixes.values()]
        rows.append((metric.replace("_", " "), [*values, snapshot.overall[metric], snapshot.recent[metric]]))
    return [*prefixes, "overall", "recent"], rows


def last_events(events: Sequence[Event]) -> list[str]:
    """Lines of the last events worth showing, oldest first."""
    recent = (events[i] for i in range(len(events) - 1, max(-1, len(events) - 1 - LOOKED_AT), -1))
    shown = islice((event for event in recent if is_shown(event)), LINES)
    return [event_line(event.to_dict()) for event in shown][::-1]


def is_shown(event: Event) -> bool:
    """Whether an event is more than daily business: inside a tree, or of an expert that rests."""
    return not event.kind.startswith("tree_") and event.kind not in {"sleep", "wake"}


def duration(seconds: float) -> str:
    """Hours, minutes, seconds.

    >>> duration(75), duration(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
