"""What a processor does to the bits of a word in one instruction."""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types

from stream_ml.jit import lean_kernel

__all__ = ["bits_in", "lowest_bit"]

intrinsic: Any = numba.extending.intrinsic


@intrinsic
def _trailing_zeros(typing: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _population(typing: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@lean_kernel
def lowest_bit(mask: Any) -> Any:
    """Position of the lowest bit that is set; 64 where none is."""
    return _trailing_zeros(mask)


@lean_kernel
def bits_in(mask: Any) -> Any:
    """Number of bits that are set."""
    return _population(mask)
