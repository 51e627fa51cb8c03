"""Arrays that carry learner state: growing them by doubling, and naming them for a flat mapping."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligned_zeros", "capacity", "grown", "trimmed", "tuple_arrays"]

LINE = 16
"""Numbers of four bytes in a line of memory."""


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


def aligned_zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros, float32, that begin with a line of memory: what is as long as one then never lies in two.

    >>> aligned_zeros((3, 16)).ctypes.data % 64
    0
    """
    size = int(np.prod(shape))
    room = np.zeros(size + LINE, dtype=np.float32)
    start = -(room.ctypes.data // room.itemsize) % LINE
    return room[start : start + size].reshape(shape)
