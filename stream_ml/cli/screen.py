"""A terminal that a live view takes over for a while, and gives back as it was, however that ends."""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO

from rich.console import Console, RenderableType
from rich.live import Live

__all__ = ["Held", "Screen", "terminal"]

REDRAWN = 3
"""Times a second."""
HELD_LINES = 1000
GIVE_BACK = b"\x1b[?1049l\x1b[?25h"
"""The other screen off, the cursor on."""


def terminal() -> Console | None:
    """Standard error, else standard output, if it is a terminal that can be drawn on and nobody's log."""
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        return None
    for file in (sys.stderr, sys.stdout):
        if file is not None and file.isatty():
            console = Console(file=file)
            if console.is_interactive and not console.is_dumb_terminal:
                return console
    return None


class Held(StringIO):
    """Takes what is written for standard error while a view is there: its last lines are shown, and told at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=HELD_LINES)
        self._left_out, self._rest = 0, ""

    def write(self, text: str) -> int:
        """Take whole lines; what follows the last one waits."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._left_out += len(self.lines) == HELD_LINES
            self.lines.append(line)
        return len(text)

    def last(self, n: int) -> list[str]:
        """The last `n` lines."""
        return list(self.lines)[-n:]

    def drain(self) -> str:
        """All that is held, once."""
        first = f"({self._left_out:,} earlier lines went by; 2>FILE keeps them)\n" if self._left_out else ""
        text = first + "".join(f"{line}\n" for line in self.lines) + (f"{self._rest}\n" if self._rest else "")
        self.lines.clear()
        self._left_out, self._rest = 0, ""
        return text


class Screen:
    """The whole of a terminal, redrawn a few times a second by a thread of its own.

    What is written to standard error meanwhile would be drawn over if it went to the same terminal: it is held then.

    Parameters
    ----------
    console
        What `terminal` gave.

    Attributes
    ----------
    held
        Where standard error goes while the screen is shown; None: it goes elsewhere anyway.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._descriptor = console, console.file.fileno()
        self._on = False
        error = sys.stderr
        self.held = Held() if error is not None and error.isatty() else None

    @contextmanager
    def shown(self, draw: Callable[[], RenderableType]) -> Iterator[None]:
        """Show what `draw` gives, called by another thread, while the block runs."""
        view = Live(
            get_renderable=draw,
            console=self._console,
            screen=True,
            refresh_per_second=REDRAWN,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        error = sys.stderr
        if self.held is not None:
            sys.stderr = self.held
        try:
            self._on = True
            view.start(refresh=True)
            yield
            with suppress(OSError):
                view.refresh()  # how it ended
        finally:
            sys.stderr = error
            try:
                # a terminal that is gone, as after SIGHUP, must not cost the results
                with suppress(OSError):
                    view.stop()
                    self._on = False
            finally:
                self.restore()

    def restore(self) -> None:
        """Give the terminal back, and tell what was held; at once, as for a process that ends now."""
        if self._on:
            self._on = False
            self._say(self._descriptor, GIVE_BACK)
        if self.held is not None and (text := self.held.drain()):
            self._say(2, text.encode(errors="backslashreplace"))

    def _say(self, descriptor: int, data: bytes) -> None:
        with suppress(OSError, ValueError):
            # a terminal that was told to stop (Ctrl-S) must not keep the process from ending
            if select.select([], [descriptor], [], 0)[1]:
                os.write(descriptor, data)
