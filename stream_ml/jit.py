"""The one place where numba's compiler flags are set.

`fastmath` stays off: exact replay (a seed fixes a run bit for bit) rules it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def _sources() -> str:
    """A digest of all kernels: one that calls another must be compiled anew when the other changes."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*_kernels.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCES = _sources()


class _Cache(FunctionCache):
    """Numba's cache looks at a function's own file only (numba issue 9348); this one at all kernels."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), SOURCES)


def kernel(function: F) -> F:
    """Compile `function` with the project's flags; compiled code is cached on disk and releases the GIL."""
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
    dispatcher._cache = _Cache(dispatcher.py_func)
    return cast(F, dispatcher)
