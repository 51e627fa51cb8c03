"""The handler only sets a flag; whoever runs looks at it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopFlag"]

LOOK_SECONDS = 0.1


class StopFlag:
    """Set by SIGINT or SIGTERM; a second one ends the process at once.

    Attributes
    ----------
    signal
        Number of the signal, None so far.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def asked(self) -> bool:
        """Whether the process shall end."""
        return self.signal is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals inside the block."""
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def within(self, seconds: float, leave: Callable[[], None]) -> Iterator[None]:
        """End the process so many seconds after it was asked to stop, if the block has not ended by then.

        A client may wait for brokers for minutes, a compiler for its kernels; whoever stops a service does not. `leave`
        is called first. What a checkpoint holds is not touched by how a process ends.
        """
        over = threading.Event()

        def watch() -> None:
            while not self.asked:
                if over.wait(LOOK_SECONDS):
                    return
            if not over.wait(seconds):
                leave()
                os._exit(0)

        threading.Thread(target=watch, name="stop", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number
