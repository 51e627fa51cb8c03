"""The handler only sets a flag; whoever runs looks at it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopFlag"]


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

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number
