"""States that come back from a file: nothing of them is believed before it was checked.

Compiled loops look at no bounds, so whatever is an index, a size or a pointer in a saved state must be known to be good
before they see it; and an array of another type would be compiled for anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["FLAWS", "LARGEST", "Part", "Spec", "StateError", "shown", "told", "whole"]

T = TypeVar("T", bound=tuple)
LARGEST = 2**53
"""Numbers of instances, and of what is counted by instances, are at most that."""
FLAWS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What reading a state that somebody made up can meet."""


class StateError(ValueError):
    """A state that no model was ever in."""


class Spec(NamedTuple):
    """What an array must be.

    Attributes
    ----------
    dtype, shape
        Exactly those.
    low, high
        Bounds of all values, both inclusive; None: any.
    finite
        Whether NaN and infinities are refused. They are wherever they would spread, silently and for ever; not in
        what a single expert believes: stacking takes log-odds that are no number for none.
    """

    dtype: DTypeLike
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    finite: bool = True


class Part(Mapping[str, NDArray[Any]]):
    """The arrays of one part of a state, by the names the part knows them by; errors give their whole names.

    Parameters
    ----------
    arrays
        All arrays of the state.
    prefix
        What the names of this part's begin with.

    Examples
    --------
    >>> part = Part({"pool.n": np.array([3]), "pool.x": np.zeros(2)}).part("pool.")
    >>> part.whole("n", 0, 10), part.array("x", Spec(np.float64, (2,))).tolist()
    (3, [0.0, 0.0])
    >>> part.array("x", Spec(np.float64, (3,)))
    Traceback (most recent call last):
    stream_ml.states.StateError: pool.x: expected float64 of shape (3,), found float64 of shape (2,)
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> None:
        self._arrays, self._prefix = arrays, prefix

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]]) -> Part:
        """The state as a part, which it may be already."""
        return state if isinstance(state, Part) else cls(state)

    def part(self, prefix: str) -> Part:
        """The arrays whose names begin with that, which is left out of them."""
        return Part(self._arrays, self._prefix + prefix)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise KeyError(f"{self._prefix}{name} is missing")
        return self._arrays[self._prefix + name]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._arrays

    def __iter__(self) -> Iterator[str]:
        n = len(self._prefix)
        return (name[n:] for name in self._arrays if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def fail(self, name: str, problem: str) -> NoReturn:
        """Raise StateError: what is wrong with the array of that name."""
        raise StateError(f"{self._prefix}{name}: {problem}")

    def check(self, good: Any, name: str, problem: str) -> None:
        """Fail unless it is good."""
        if not good:
            self.fail(name, problem)

    def array(self, name: str, spec: Spec) -> NDArray[Any]:
        """A copy of an array that is what `spec` says, C-contiguous; else StateError."""
        found, dtype = self[name], np.dtype(spec.dtype)
        if found.dtype != dtype or found.shape != spec.shape:
            self.fail(
                name, f"expected {dtype} of shape {spec.shape}, found {found.dtype} of shape {shown(found.shape)}"
            )
        copy = np.array(found, dtype=dtype, order="C")
        if not copy.size:
            return copy
        if dtype == np.bool_:
            self.check(copy.view(np.uint8).max() <= 1, name, "expected 0 and 1 for truth values")
            return copy
        low, high = copy.min(), copy.max()  # NaN if there is one
        if spec.finite and not np.isfinite([low, high]).all():
            self.fail(name, "expected finite numbers")
        if (spec.low is not None and low < spec.low) or (spec.high is not None and high > spec.high):
            bounds = f"{'' if spec.low is None else spec.low} to {'' if spec.high is None else spec.high}"
            self.fail(name, f"expected values of {bounds}, found {low} to {high}")
        return copy

    def load(self, kind: type[T], specs: Mapping[str, Spec]) -> T:
        """A NamedTuple of copies, every field as its spec says."""
        return kind(*(self.array(name, specs[name]) for name in kind._fields))  # type: ignore[attr-defined]

    def whole(self, name: str, low: int, high: int = LARGEST) -> int:
        """The whole number that an array of one holds."""
        return int(self.array(name, Spec(np.int64, (1,), low, high))[0])

    def length(self, name: str) -> int:
        """Size of an array's first axis, whose content is checked later; all other sizes must follow from such."""
        found = self[name]
        self.check(found.ndim, name, "expected an array, found a single value")
        return len(found)

    def pointers(self, name: str, pointers: NDArray[Any], end: int) -> None:
        """Fail unless pointers (last axis) begin with 0, never fall, and end with `end`."""
        good = pointers.shape[-1] and (pointers[..., 0] == 0).all() and (np.diff(pointers) >= 0).all()
        self.check(good and (pointers[..., -1] == end).all(), name, f"expected to rise from 0 to {end}")

    def plain(self, name: str) -> Any:
        """The plain values that an array holds as bytes of JSON."""
        found = self[name]
        self.check(found.dtype == np.uint8 and found.ndim == 1, name, "expected bytes of JSON")
        try:
            return json.loads(found.tobytes())
        except (ValueError, RecursionError):
            self.fail(name, "no JSON")


def whole(value: Any, low: int = 0, high: int = LARGEST) -> int:
    """A whole number of a JSON value.

    Raises
    ------
    StateError
        It is none, or out of bounds.
    """
    if type(value) is not int or not low <= value <= high:
        raise StateError(f"expected a whole number of {low} to {high}, found {shown(value)}")
    return value


def told(error: BaseException) -> str:
    """An error in one line of bearable length."""
    text = str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def shown(value: Any) -> str:
    """A value of a file, for a message: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
