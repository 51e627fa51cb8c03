"""Runs in processes of their own: what one does to memory or to the interpreter, no other feels."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.context import BaseContext
from typing import TypeVar

from stream_ml.benchmark.measure import Measured

__all__ = ["run_all"]

T = TypeVar("T")


def run_all(
    tasks: Sequence[T],
    run: Callable[[T], Measured],
    jobs: int,
    *,
    preload: Sequence[str] = (),
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[T, Measured]]:
    """Results as they come, `jobs` runs at a time; a run that fails, or dies, gives a `Measured` that says so.

    Parameters
    ----------
    tasks
        What to run; sent to the process.
    run
        A function of a module, called there.
    jobs
        Runs at a time.
    preload
        Modules that are loaded once, where the system can fork processes off one that has them.
    guard
        Entered while a process is started: what interrupts must wait until it has all that it is told.
    """
    context = _context(preload)
    waiting = list(reversed(tasks))
    running: dict[Future[Measured], tuple[T, ProcessPoolExecutor]] = {}
    pools: list[ProcessPoolExecutor] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                # a pool for each: a process that dies takes no other along
                pool = ProcessPoolExecutor(1, mp_context=context)
                pools.append(pool)
                task = waiting.pop()
                with guard():
                    running[pool.submit(run, task)] = (task, pool)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                task, pool = running.pop(future)
                pool.shutdown(wait=False)
                pools.remove(pool)
                yield task, _result(future)
    finally:
        for pool in pools:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)


def _context(preload: Sequence[str]) -> BaseContext:
    """Clean processes: from a server that loaded only `preload`, else from nothing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context


def _result(future: Future[Measured]) -> Measured:
    try:
        return future.result()
    except BrokenProcessPool:
        return Measured(error="the process died (out of memory?)")
    except Exception as error:  # whatever a foreign library raises is its result
        return Measured(error=f"{type(error).__name__}: {error}")
