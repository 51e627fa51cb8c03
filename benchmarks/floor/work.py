"""Bytes to be touched and operations to be done: what a part of the classifier needs, whatever its code does.

Formulas name, for one row: n its entries, L labels, p its positives. What state a part must read is counted once, and
once more what it must write; what one row hands from part to part (log-odds, design columns) fits the first level of
the cache and is not counted. The row itself comes from far memory, and its probabilities go there. Vectors are taken to
be full and operations independent, so a floor is below what any code reaches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["FAR", "IN_ORDER", "Work", "nbytes"]

IN_ORDER = 0
FAR = 1 << 28
"""A working set that fits no cache."""
LEAST, LEAST_LINE, LONGEST_LINE = 1 << 14, 64, 1 << 12


@dataclass
class Work:
    """`moved`: bytes by (working set, line; `IN_ORDER`), sizes rounded up; `done`: operations by name and precision.

    Operations: `flop_32` (an addition or a product), `root` (a division or a square root), `exp`, `log`, each `_32` or
    `_64`, and `step_64`: load, compare, branch.
    """

    moved: Counter[tuple[int, int]] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    def touch(self, count: float, held: int, line: int = IN_ORDER) -> Work:
        """So many bytes of a working set of `held`, at random if in lines."""
        self.moved[_power(held, LEAST, FAR), line and _power(line, LEAST_LINE, LONGEST_LINE)] += count  # type: ignore[assignment]
        return self

    def do(self, **operations: float) -> Work:
        """So many of each operation."""
        for name, times in operations.items():
            self.done[name] += times  # type: ignore[assignment]
        return self

    def __iadd__(self, other: Work) -> Work:
        self.moved.update(other.moved)
        self.done.update(other.done)
        return self

    @property
    def nbytes(self) -> float:
        """All bytes."""
        return sum(self.moved.values())

    def count(self, *names: str) -> float:
        """Operations of these names, of either precision."""
        return sum(times for what, times in self.done.items() if what.partition("_")[0] in names)


def nbytes(state: Any) -> int:
    """Of a tuple of arrays, and of tuples of them."""
    return state.nbytes if isinstance(state, np.ndarray) else sum(nbytes(part) for part in state)


def _power(number: int, least: int, most: int) -> int:
    """The power of two at or above it, in bounds."""
    return int(min(most, max(least, 1 << max(0, int(number) - 1).bit_length())))
