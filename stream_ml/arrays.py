"""Arrays that carry learner state: growing them by doubling, and naming them for a flat mapping."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["capacity", "grown", "trimmed", "tuple_arrays"]


def capacity(needed: int, current: int) -> int:
    """Room to hold `needed`: exactly that at first, half as much again whenever it must grow later.

    >>> capacity(14, 0), capacity(10, 14), capacity(15, 14)
    (14, 14, 21)
    """
    if needed <= current:
        return current
    return needed if current == 0 else max(needed, current + current // 2)


def grown(array: NDArray, shape: tuple[int, ...], fill: float = 0.0) -> NDArray[Any]:
    """A copy of `array` enlarged to `shape`, the new places holding `fill`."""
    out = np.full(shape, fill, dtype=array.dtype) if fill else np.zeros(shape, dtype=array.dtype)
    if array.size:
        out[tuple(map(slice, array.shape))] = array
    return out


def trimmed(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The used part of an array that has room for more: what is saved does not tell when the room was made."""
    return array[tuple(map(slice, shape))]


def tuple_arrays(state: Any) -> dict[str, NDArray]:
    """The arrays of a NamedTuple by field name."""
    return dict(zip(state._fields, state, strict=True))
