"""What this machine can do: bytes from each level of memory, floating-point operations, exponentials and logarithms.

Everything is measured on one core by loops that numba compiles with the project's flags (no `fastmath`, so no fused or
reordered operations), and by numpy's vectorised `exp` and `log`. CPU seconds, best of some repeats.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from floor.work import IN_ORDER, Work

__all__ = ["LARGEST", "SMALLEST", "Machine"]

SMALLEST, LARGEST = 1 << 14, 1 << 28
"""Working sets that are told apart: what fits into the first level of a cache, and what fits into none."""
DEGREE = 16
COMPUTED = 2048
"""Numbers that a computation runs over: they stay in the first level of the cache."""
LINES = 1 << 15
compiled = njit(nogil=True, error_model="numpy")


@compiled
def triad(a, b, c, factor, times):
    for _ in range(times):
        for i in range(len(a)):
            a[i] = b[i] + factor * c[i]


@compiled
def add_lines(table, order, out):
    for i in range(len(order)):
        line, to = table[order[i]], out[i & 15]
        for j in range(len(to)):
            to[j] += line[j]


@compiled
def sum_lines(table, order):
    total = np.int64(0)
    for i in range(len(order)):
        line = table[order[i]]
        for j in range(len(line)):
            total += line[j]
    return total


@compiled
def polynomials(x, out, factors, times):
    """Two operations for each of `DEGREE` factors and each number, all in registers."""
    f0, f1, f2, f3 = factors
    for _ in range(times):
        for i in range(len(x)):
            z = x[i]
            y = f0
            y = (((y * z + f1) * z + f2) * z + f3) * z + f0
            y = (((y * z + f1) * z + f2) * z + f3) * z + f0
            y = (((y * z + f1) * z + f2) * z + f3) * z + f0
            out[i] = (((y * z + f1) * z + f2) * z + f3) * z + f0


@compiled
def chain(x, factor, times):
    """The same one after the other: each operation waits for the one before."""
    y = x[0]
    for _ in range(times):
        for i in range(len(x)):
            y = y * factor + x[i]
    return y


@compiled
def ratios(a, b, out, times):
    for _ in range(times):
        for i in range(len(a)):
            out[i] = a[i] / np.sqrt(b[i])


@compiled
def exponentials(x, out, times):
    for _ in range(times):
        for i in range(len(x)):
            out[i] = math.exp(x[i])


@compiled
def logarithms(x, out, times):
    for _ in range(times):
        for i in range(len(x)):
            out[i] = math.log(x[i])


@compiled
def first_below(x, limit, times):
    """Load, compare, branch: a loop that ends in the midst cannot be made of vectors."""
    found = 0
    for _ in range(times):
        for i in range(len(x)):
            if x[i] < limit:
                found += i
                break
    return found


class Machine:
    """Figures are measured when they are first asked for."""

    def __init__(self, repeats: int = 3, *, seconds: float = 0.01) -> None:
        self.repeats, self.seconds = repeats, seconds
        self.bandwidth = cache(self._bandwidth)
        self.nanoseconds = cache(self._nanoseconds)

    def memory(self, work: Work) -> float:
        """Seconds that what is moved takes."""
        return sum(moved / self.bandwidth(*where) for where, moved in work.moved.items())

    def compute(self, work: Work) -> float:
        """Seconds that what is computed takes, at full vectors."""
        return 1e-9 * sum(times * self.nanoseconds(what) for what, times in work.done.items())

    def floor(self, work: Work) -> float:
        """The longer of both: at best, one goes on behind the other."""
        return max(self.memory(work), self.compute(work))

    def _best(self, run: Callable[[int], object], amount: float) -> float:
        """Least CPU seconds for each of `amount`, which one time of `run` does."""
        run(1)
        times = 1
        while True:
            start = time.process_time()
            run(times)
            spent = time.process_time() - start
            if spent >= self.seconds:
                break
            times *= 2
        for _ in range(self.repeats):
            start = time.process_time()
            run(times)
            spent = min(spent, time.process_time() - start)
        return spent / (amount * times)

    def _bandwidth(self, held: int, line: int) -> float:
        """Bytes a second out of a working set of `held` bytes: in order, or lines of `line` bytes at random."""
        if line == IN_ORDER:
            a, b, c = np.ones((3, max(64, held // 24)))
            return 1.0 / self._best(lambda times: triad(a, b, c, 0.5, times), 24 * len(a))
        n = max(1, held // line)
        rng = np.random.default_rng(1)
        order = (rng.permutation(n) if n >= LINES else rng.integers(0, n, LINES)).astype(np.int32)
        table, out = np.ones((n, line // 8), dtype=np.int64), np.zeros((16, line // 4), dtype=np.float32)
        floats = table.view(np.float32)

        def each(kernel: Callable[..., object], *arguments: Any) -> float:
            return self._best(lambda times: [kernel(*arguments) for _ in range(times)], line * len(order))

        # short lines are read faster one way, long ones the other
        return 1.0 / min(each(sum_lines, table, order), each(add_lines, floats, order, out))

    def _nanoseconds(self, what: str) -> float:
        name, _, bits = what.partition("_")
        kind = np.float32 if bits == "32" else np.float64
        x = np.linspace(0.5, 2.0, COMPUTED).astype(kind)
        out, factors = np.empty_like(x), tuple(kind(f) for f in (0.1, 0.2, 0.3, 0.4))
        ufunc = {"exp": np.exp, "log": np.log}.get(name)

        def vectors(times: int) -> None:
            assert ufunc is not None
            for _ in range(times):
                ufunc(x, out=out)

        run: Callable[[int], object]
        run, amount = {
            "flop": (lambda times: polynomials(x, out, factors, times), 2 * DEGREE),
            "chained": (lambda times: chain(x, kind(0.5), times), 2),
            "root": (lambda times: ratios(x, x, out, times), 2),
            "step": (lambda times: first_below(x, kind(0.0), times), 1),
            "exp": (vectors, 1),
            "log": (vectors, 1),
            "scalarexp": (lambda times: exponentials(x, out, times), 1),
            "scalarlog": (lambda times: logarithms(x, out, times), 1),
        }[name]
        return 1e9 * self._best(run, amount * COMPUTED)
