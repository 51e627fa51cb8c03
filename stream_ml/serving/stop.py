"""Signals that end a service: a flag that whoever runs looks at, and an end that comes even if nobody does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["StopFlag"]

LEAVE_SECONDS = 8.0
"""Time from the signal to the end of the process, whatever it waits for."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """Set by SIGINT or SIGTERM; a second one, or time, ends the process at once.

    A client may wait for brokers for minutes, and a compiler for its kernels, without running any Python; so a thread
    hears the signals, too. How a process ends does not touch what its checkpoints hold.

    Attributes
    ----------
    signal
        Number of the signal, None so far.
    leave
        Called before the process ends because time is up.
    restore
        Called before the process is ended at once, for whatever reason: what a terminal shows is put back.
    """

    def __init__(self, seconds: float = LEAVE_SECONDS) -> None:
        self.signal: int | None = None
        self.leave: Callable[[], None] = lambda: None
        self.restore: Callable[[], None] = lambda: None
        self._seconds = seconds

    @property
    def asked(self) -> bool:
        """Whether the process shall end."""
        return self.signal is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals inside the block."""
        hears, tells = os.pipe()
        os.set_blocking(tells, False)
        before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        # the number of each signal is written when it comes, whatever the main thread is doing
        woken = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
        watcher = threading.Thread(target=self._watch, args=(hears,), name="stop", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(tells)
            watcher.join()
            os.close(hears)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def _watch(self, hears: int) -> None:
        """Set the flag at the first signal; end the process at the second one, or when it has not ended by itself."""
        until: float | None = None
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready, _, _ = select.select([hears], [], [], left)
            if not ready:
                self.leave()
                self.restore()
                os._exit(0)
            heard = os.read(hears, 1)
            if not heard:  # the block has ended
                return
            if heard[0] in SIGNALS:
                if until is not None:
                    self.restore()
                    os._exit(128 + heard[0])
                self.signal, until = heard[0], time.monotonic() + self._seconds
