"""What the decorators ask of numba, numba does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numba.core.caching import NullCache
from numpy.typing import NDArray

from stream_ml.jit import kernel, lean_kernel


class Two(NamedTuple):
    """What a kernel is given."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]


def chosen(two, n):
    """Holds one of two arrays, and then views of it."""
    array = two.first
    for i in range(n):
        array = two.second[i:] if array[0] > 0 else two.first[i:]
    return array[0]


@pytest.mark.parametrize(("decorator", "counts"), [(kernel, True), (lean_kernel, False)])
def test_a_lean_kernel_counts_no_references(decorator, counts):
    compiled = decorator(chosen)
    compiled._cache = NullCache()
    assert compiled(Two(np.array([1.0, 2.0]), np.array([3.0, 4.0])), 2) == 4.0
    [llvm] = compiled.inspect_llvm().values()
    body = "\n".join(line for line in llvm.splitlines() if not line.startswith("declare"))
    assert ("NRT_incref" in body) == counts


def test_what_is_called_by_kernels_alone_has_no_entry_for_python():
    @kernel
    def inner(value):
        return value + 1

    @kernel
    def outer(value):
        return inner(value)

    assert outer(2) == 3
    assert len(outer.signatures) == 1
    assert not inner.signatures
    assert inner(4) == 5
