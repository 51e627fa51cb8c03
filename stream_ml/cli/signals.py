"""Signals end a run between two batches, so that what was scored is whole and gets written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopSignals"]


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP end the run; a second signal ends the process at once.

    The first is raised as `KeyboardInterrupt`: at once while the run waits for data, else when the batch under way is
    done (`guard`).

    Attributes
    ----------
    received
        Number of the first signal, None so far.
    restore
        Called before a second signal ends the process: what a terminal shows is put back.
    """

    NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self.received: int | None = None
        self.restore: Callable[[], None] = lambda: None
        self._busy = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside the block; outside they do what they did."""
        numbers = [getattr(signal, name) for name in self.NAMES if hasattr(signal, name)]
        # what is ignored stays ignored: a run under nohup outlives its terminal
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around what must not be left half done."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self.received is not None:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.restore()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number
        if not self._busy:
            raise KeyboardInterrupt
