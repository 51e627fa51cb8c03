"""Compiled copying of what is larger than the caches: past them, so that memory is read once and written once."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stream_ml.jit import kernel

__all__ = ["copy_rows"]

LINE = 64
"""Bytes of a cache line."""
PARTS = 4


@intrinsic
def _stream_line(typing, to, source):
    """Copy a cache line from one address to another, a multiple of 16, with stores that leave the caches alone.

    Other stores read the line first that they will overwrite, which makes a third of the traffic.
    """

    def generate(context, builder, signature, addresses):
        part = ir.VectorType(ir.IntType(64), LINE // PARTS // 8).as_pointer()
        out, into = (builder.inttoptr(address, part) for address in addresses)
        number = ir.IntType(64)
        loaded = [builder.load(builder.gep(into, [number(i)]), align=1) for i in range(PARTS)]
        for i, value in enumerate(loaded):
            store = builder.store(value, builder.gep(out, [number(i)]), align=LINE // PARTS)
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp), generate


@kernel
def copy_rows(to, source):
    """Copy rows of bytes (rows, bytes), each of which lies in one piece."""
    width = source.shape[1]
    for row in range(len(source)):
        a, b = to[row], source[row]
        head = min(width, -a.ctypes.data % LINE)
        lines = (width - head) // LINE
        for k in range(head):
            a[k] = b[k]
        out, into = a.ctypes.data + head, b.ctypes.data + head
        for line in range(lines):
            _stream_line(types.uintp(out + LINE * line), types.uintp(into + LINE * line))  # type: ignore[call-arg]
        for k in range(head + LINE * lines, width):
            a[k] = b[k]
