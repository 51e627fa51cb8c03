"""The one place where numba's compiler flags are set, and where its compiling is noticed.

`fastmath` stays off: exact replay (a seed fixes a run bit for bit) rules it out.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.cpu import CPUTargetOptions
from numba.core.event import Event, Listener, install_listener
from numba.core.runtime import rtsys

__all__ = ["kernel", "lean_kernel", "when_compiling"]

F = TypeVar("F", bound=Callable[..., Any])


def _sources() -> str:
    """A digest of all kernels and what they go by: one that uses another is compiled anew when that changes."""
    digest, here = hashlib.sha256(), Path(__file__).parent
    for path in sorted([here / "elementary.py", *here.rglob("*_kernels.py"), *here.rglob("_layout.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCES = _sources()


class _Cache(FunctionCache):
    """Numba's cache looks at a function's own file only (numba issue 9348); this one at all kernels, and at flags."""

    flags: tuple[tuple[str, bool], ...] = ()

    def __init__(self, py_func: Callable[..., Any]) -> None:
        super().__init__(py_func)
        # of other kernels, an index is not even read: it may name classes that are elsewhere now
        file: Any = self._cache_file
        file._version = f"{numba.__version__} {SOURCES}"
        # an index is written before the code it names, perhaps by two processes at once: no name is used twice, so
        # that code is there or not, but never that of another version or signature
        base = file._data_name_pattern.partition("{")[0]
        file._data_name = lambda number: f"{base}{uuid.uuid4().hex[:12]}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code of a signature, or None; without the half second of loading what only a compiler needs.

        What was cut short or damaged is forgotten, and compiled anew.
        """
        rtsys.initialize(target_context)
        try:
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception:  # unpickling may raise anything
            self.flush()
            return None

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), SOURCES, self.flags)


def kernel(function: F) -> F:
    """Compile `function` with the project's flags; compiled code is cached on disk and releases the GIL."""
    return _compiled(function, lean=False)


def lean_kernel(function: F) -> F:
    """The same for a kernel that makes and returns no arrays: no references are counted to those it is given.

    Counting costs a locked memory access for every array of every tuple that is passed on, each of them as much as
    some ten arithmetic operations. What calls it holds the arrays meanwhile. And it becomes a part of the kernels that
    call it: a tuple of arrays is passed on by value, which can be more than what is to be done with it.
    """
    return _compiled(function, lean=True)


def _compiled(function: F, *, lean: bool) -> F:
    """A dispatcher for calls from Python and, behind it, one for calls from other kernels.

    The code of the latter has no entry for Python, whose unpacking of tuples of arrays would be most of what there is
    to compile of a small kernel; it is made when a kernel that calls it is compiled. No kernel has an entry for C.
    """
    if getattr(numba.config, "DISABLE_JIT", 0):
        return function

    def made(*, inside: bool) -> Any:
        flags = {
            "no_cfunc_wrapper": True,
            "no_cpython_wrapper": inside,
            "_nrt": not lean,
            "forceinline": lean and inside,
        }
        return _dispatcher(function, **flags)

    outer, inner = made(inside=False), cache(partial(made, inside=True))
    outer.get_call_template = lambda args, kws: inner().get_call_template(args, kws)
    outer.get_overload = lambda signature: inner().get_overload(signature)
    return cast(F, outer)


def _dispatcher(function: Callable[..., Any], **flags: bool) -> Any:
    njit: Any = numba.njit
    # all of them spare work and change no result, and _nrt is private: what numba does not know is left out
    known = {name: on for name, on in flags.items() if hasattr(CPUTargetOptions, name)}
    dispatcher = njit(nogil=True, error_model="numpy", **known)(function)
    dispatcher._cache = _Cache(dispatcher.py_func)
    dispatcher._cache.flags = tuple(sorted(known.items()))
    return dispatcher


class _Compilations(Listener):
    def __init__(self, first: Callable[[], object], each: Callable[[], object] | None) -> None:
        self._first, self._each, self._told = first, each, False

    def on_start(self, event: Event) -> None:
        if not self._told:
            self._told = True
            self._first()
        if self._each is not None:
            self._each()

    def on_end(self, event: Event) -> None:
        pass


@contextmanager
def when_compiling(first: Callable[[], object], each: Callable[[], object] | None = None) -> Iterator[None]:
    """Call `first` once, and `each` every time, when a kernel is compiled in the block; not when one is loaded."""
    with install_listener("numba:compile", _Compilations(first, each)):
        yield
