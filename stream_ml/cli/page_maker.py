"""A second process that makes the page of a run: it loads what draws it while the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stream_ml.cores import spare_core

__all__ = ["PageMaker", "make_page", "page_maker"]

PATIENCE = 60.0
"""Seconds that the process waits for work, and is waited for: in a long run it saves little, and would hold 100 MB."""
PROGRAM = "from stream_ml.cli.page_maker import make_page; make_page()"


class PageMaker:
    """The process, or none. It says nothing, and whatever becomes of it costs nothing but time."""

    def __init__(self, *, wanted: bool) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not (wanted and sys.executable and spare_core()):
            return
        # modules come from where they come from here: not from the directory that it happens to be started in
        command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {PROGRAM}"]
        pipe = subprocess.PIPE
        with suppress(OSError):  # no process to be had: then without
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)

    def page(self, runs: Sequence[Path]) -> str | None:
        """The page of runs whose files are written; None: it is to be made here, and what is wrong to be told here."""
        if self._process is None:
            return None
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            page, _ = self._process.communicate(b"\0".join(map(os.fsencode, runs)), PATIENCE)
            if self._process.returncode == 0:
                return page.decode() or None
        return None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with self._process as process:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                process.kill()
            self._process = None


@contextmanager
def page_maker(*, wanted: bool) -> Iterator[PageMaker]:
    """A process that makes a page, if it is wanted and a core is idle; it is gone when the block ends."""
    maker = PageMaker(wanted=wanted)
    try:
        yield maker
    finally:
        maker.close()


def make_page() -> None:
    """What the process does: get ready, wait for the names of runs, write their page.

    Its input ends when the process that started it does, however that ends.
    """
    # to be asked to end is to end in order: matplotlib may hold a lock on the file of its fonts
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from stream_ml.report.page import page_template, render_page
    from stream_ml.report.run_data import named_apart, read_run

    page_template()
    waiting = threading.Timer(PATIENCE, os._exit, [1])
    waiting.daemon = True
    waiting.start()
    names = sys.stdin.buffer.read()
    waiting.cancel()
    if names:
        runs = named_apart([read_run(Path(os.fsdecode(name))) for name in names.split(b"\0")])
        sys.stdout.buffer.write(render_page(runs).encode())
        sys.stdout.flush()
    os._exit(0)  # to take apart all that was loaded takes half a second
