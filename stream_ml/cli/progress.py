"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stream_ml.evaluation import Progress as Snapshot
from stream_ml.jit import when_compiling

__all__ = ["MORE", "Bar", "Display", "Lines", "Silent", "display_for", "rate"]

COMPILING = "compiling (once per install, a minute or two)"
MORE = "compiling what the stream needs besides (once per install, up to a minute)"
SECONDS_BETWEEN_LINES = 10.0


class Display(Protocol):
    """What tells the user how a run goes."""

    def compiling(self) -> AbstractContextManager[None]:
        """Around the time when kernels are compiled or loaded."""
        ...

    def running(self, name: str, total: Callable[[], int | None]) -> AbstractContextManager[None]:
        """Around the run over so many rows (None: not known); `total` is asked only by who shows it."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """After every batch."""
        ...

    def restore(self) -> None:
        """Give the terminal back as it was, when the process ends at once."""
        ...


class Silent:
    """Tells nothing."""

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Nothing to tell."""
        yield

    @contextmanager
    def running(self, name: str, total: Callable[[], int | None]) -> Iterator[None]:
        """Nothing to tell."""
        yield

    def update(self, snapshot: Snapshot) -> None:
        """Nothing to tell."""

    def restore(self) -> None:
        """Nothing was taken."""


class Lines:
    """A log line every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total: int | None = None
        self._next = 0.0

    def compiling(self) -> AbstractContextManager[None]:
        """One line, if kernels are compiled."""
        return when_compiling(lambda: self._console.print(f"{COMPILING} ..."))

    @contextmanager
    def running(self, name: str, total: Callable[[], int | None]) -> Iterator[None]:
        """Start counting the seconds."""
        self._total, self._next = total(), time.monotonic() + SECONDS_BETWEEN_LINES
        with when_compiling(lambda: self._console.print(f"{MORE} ...", highlight=False)):
            yield

    def update(self, snapshot: Snapshot) -> None:
        """A line when it is time for one."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES
        total = f" of {self._total:,}" if self._total else ""
        self._console.print(f"{snapshot.n_rows:,}{total} rows, {rate(snapshot)}, {_live(snapshot)}")

    def restore(self) -> None:
        """Nothing was taken."""


class Bar:
    """A progress bar with rate, time left and live metrics."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[live]}"),
            console=console,
            transient=True,
            refresh_per_second=8,
        )
        self._task = self._progress.add_task("", total=None, rate="", live="", visible=False)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """A status that moves."""
        with (
            self._console.status("loading") as status,
            when_compiling(lambda: status.update(f"{COMPILING}; later runs start at once")),
        ):
            yield

    @contextmanager
    def running(self, name: str, total: Callable[[], int | None]) -> Iterator[None]:
        """Show the bar."""
        self._progress.update(self._task, description=name.replace("[", r"\["), total=total(), visible=True)
        with self._progress, when_compiling(lambda: self._console.print(MORE, highlight=False)):
            yield

    def update(self, snapshot: Snapshot) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=snapshot.n_rows, rate=rate(snapshot), live=_live(snapshot))

    def restore(self) -> None:
        """The cursor is there again."""
        self._console.show_cursor(True)


def display_for(console: Console, *, quiet: bool, lines: bool = False) -> Display:
    """The display that suits where stderr goes; with `lines`, nothing that moves."""
    if quiet:
        return Silent()
    return Bar(console) if console.is_terminal and not lines else Lines(console)


def rate(snapshot: Snapshot) -> str:
    """Instances that the model takes in a second."""
    return f"{snapshot.n_instances / snapshot.seconds:,.0f}/s" if snapshot.seconds else ""


def _live(snapshot: Snapshot) -> str:
    """The recent metrics and the number of events."""
    recent = snapshot.recent
    f1, exact = recent["micro_f1"], recent["subset_accuracy"]
    return f"micro F1 {f1:.3f}, subset accuracy {exact:.3f}, {snapshot.n_events:,} events"
