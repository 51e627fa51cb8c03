"""Independent pieces of work on several cores: each has memory of its own, so that their number changes no result."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path

from stream_ml.errors import ConfigError

__all__ = ["InOrder", "run_all", "set_threads", "threads"]

VARIABLES = "STREAM_ML_THREADS", "NUMBA_NUM_THREADS"
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time that a container has in each period, and the period's length (cgroup v2)."""

MOST_WAITING = 4
"""Tasks that may wait behind the thread that starts them."""

_given: int | None = None
_helpers: ThreadPoolExecutor | None = None
_inside = threading.local()


def threads() -> int:
    """Threads that learn: what `set_threads` said, else `STREAM_ML_THREADS`, `NUMBA_NUM_THREADS`, or all usable cores.

    Raises
    ------
    ConfigError
        One of the variables is not a number of threads.
    """
    return _usual() if _given is None else _given


@cache
def _usual() -> int:
    """What the environment says; asked once."""
    for name in VARIABLES:
        if text := os.environ.get(name, ""):
            if not (text.isascii() and text.isdigit() and int(text)):
                raise ConfigError(f"{name}: expected a number of threads, at least 1, found {text!r}")
            return int(text)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # not in a container, or no bound
        quota, period = map(int, QUOTA.read_text(encoding="ascii").split())
        cores = min(cores, max(1, quota // period))
    return cores


def set_threads(n: int | None) -> None:
    """Learn with `n` threads from now on, in this process; None: as many as its environment says.

    Results do not depend on it. Two cores make learning 1.2 to 1.6 times as fast (docs/performance.md); where
    several models learn at a time, each in a process of its own, one thread is best.

    Raises
    ------
    ValueError
        `n` is below 1.

    Examples
    --------
    >>> set_threads(1)
    >>> threads()
    1
    >>> set_threads(None)
    """
    if n is not None and n < 1:
        raise ValueError(f"there must be at least one thread, not {n}")
    global _given, _helpers
    helpers, _given, _helpers = _helpers, n, None
    _usual.cache_clear()
    if helpers is not None:
        helpers.shutdown()


def run_all(tasks: Sequence[Callable[[], object]], *, together: bool = True) -> None:
    """Run tasks that do not depend on one another, on several threads if `together`; put long ones first.

    Returns, or raises what the first of those that failed raised, when all have ended.
    """
    n = min(threads(), len(tasks)) if together and not getattr(_inside, "task", False) else 1
    if n == 1:
        for task in tasks:
            task()
        return
    left, failures = deque(enumerate(tasks)), {}

    def work() -> None:
        _inside.task = True
        try:
            while left:
                try:
                    number, task = left.popleft()
                except IndexError:  # another thread was quicker
                    return
                try:
                    task()
                except BaseException as error:
                    failures[number] = error
        finally:
            _inside.task = False

    helping: list[Future[None]] = []
    try:
        while len(helping) < n - 1 and (future := _handed_over(work)) is not None:
            helping.append(future)
        work()
    except BaseException:
        left.clear()
        raise
    finally:
        for future in helping:  # those that have not begun have nothing left to do
            future.cancel()
        _wait_for(helping)
    if failures:
        raise failures[min(failures)]


class InOrder:
    """Tasks that run behind the thread that starts them: one at a time, in the order in which they are started."""

    def __init__(self) -> None:
        self._tasks: deque[Callable[[], object]] = deque()
        self._running: Future[None] | None = None

    def start(self, task: Callable[[], object], *, together: bool = True) -> None:
        """Run a task after all those before it: at once if not `together`, or where there is one thread.

        Raises what a task before it raised, as `wait` does.
        """
        if not together or threads() == 1 or getattr(_inside, "task", False) or len(self._tasks) >= MOST_WAITING:
            self.wait()
            task()
            return
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None
        self._tasks.append(task)
        if self._running is None:
            self._running = _handed_over(self._work)

    def then(self, task: Callable[[], object]) -> None:
        """The same of a task that is too short to be handed over: at once, unless others are before it."""
        self.start(task, together=self._running is not None and not self._running.done())

    def wait(self) -> None:
        """Come back when nothing is left to do; what another thread has not begun is done by this one.

        Raises what a task raised; those after it are dropped.
        """
        running = self._running
        try:
            if running is not None and not running.cancel():
                _wait_for([running])
                running.result()
            while self._tasks:
                self._tasks.popleft()()
        finally:
            self._tasks.clear()
            self._running = None

    def _work(self) -> None:
        _inside.task = True
        try:
            while self._tasks:
                self._tasks.popleft()()
        finally:
            _inside.task = False


def _handed_over(work: Callable[[], None]) -> Future[None] | None:
    """Work that another thread does; None where there can be no other, as when the interpreter is shutting down."""
    try:
        return _pool().submit(work)
    except RuntimeError:
        return None


def _wait_for(futures: Sequence[Future[None]]) -> None:
    """Come back when all are done; an interrupt meanwhile is raised then, so that nothing goes on unwatched."""
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            wait(futures)
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _pool() -> ThreadPoolExecutor:
    """Threads beside the one that asks, which works, too."""
    global _helpers
    if _helpers is None:
        _helpers = ThreadPoolExecutor(max(1, threads() - 1), thread_name_prefix="learn")
    return _helpers


def _forked() -> None:
    """A child has none of its parent's threads."""
    global _helpers
    _helpers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
