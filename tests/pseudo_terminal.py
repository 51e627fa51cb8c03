"""A command in a pseudo terminal: what it draws, and how it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-m", "stream_ml.cli"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class PseudoTerminal:
    """`stream-ml ARGUMENTS...` on a terminal of the given size, standard error included.

    Attributes
    ----------
    output
        All that was written so far.
    """

    def __init__(self, *arguments: str, columns: int, rows: int, cwd: Path, **environment: str) -> None:
        self._own, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._attributes = termios.tcgetattr(theirs)
        kept = {name: value for name, value in os.environ.items() if name not in {"CI", "COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=cwd,
            env={**kept, "TERM": "xterm-256color", **environment},
        )
        self._theirs, self.output = theirs, ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        data = b""
        while True:
            try:
                more = os.read(self._own, 1 << 16)
            except OSError:  # Linux says so when nobody has the other end any longer
                return
            if not more:
                return
            data += more
            self.output = data.decode(errors="replace")

    def until(self, text: str, seconds: float = 60.0) -> None:
        """Wait for it to be shown."""
        self._wait(lambda: text in self.output, seconds, f"{text!r} was not shown")

    def end(self, seconds: float = 120.0) -> int:
        """The exit code; the terminal's settings are as they were."""
        self._wait(lambda: self.process.poll() is not None, seconds, "it does not end")
        assert termios.tcgetattr(self._theirs) == self._attributes
        os.close(self._theirs)
        self._reader.join()
        os.close(self._own)
        return int(self.process.returncode)

    def _wait(self, what: Callable[[], bool], seconds: float, problem: str) -> None:
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError(f"{problem}:\n{self.output[-3000:]}")
            time.sleep(0.01)

    @property
    def was_taken_and_given_back(self) -> bool:
        """Whether the other screen was shown, and at the end neither it nor a hidden cursor is left."""
        screens, cursors = (re.findall(rf"\x1b\[\?{mode}([hl])", self.output) for mode in (1049, 25))
        return "h" in screens and screens[-1] == "l" and cursors[-1:] == ["h"]

    @property
    def drawn(self) -> str:
        """What was shown on the other screen, without colours."""
        return ESCAPES.sub("", self.output.partition("\x1b[?1049h")[2].rpartition("\x1b[?1049l")[0])

    @property
    def left(self) -> str:
        """What stands on the terminal after it was given back."""
        return ESCAPES.sub("", self.output.rpartition("\x1b[?1049l")[2])
