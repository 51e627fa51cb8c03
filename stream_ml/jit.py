"""The one place where numba's compiler flags are set.

`fastmath` stays off: exact replay (a seed fixes a run bit for bit) rules it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` with the project's flags; compiled code is cached on disk and releases the GIL."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
