"""Where the time of a run goes: each call into a part is timed where it happens, on the state that it finds."""

from __future__ import annotations

import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from floor.work import Work

__all__ = ["ELSEWHERE", "Meter", "Site"]

ELSEWHERE = "Python between parts"
CALIBRATIONS, CALIBRATION = 5, 500


class Site(NamedTuple):
    """A function by its owner and name, and the part that its time belongs to; `needs` counts the work of a
    call, given its arguments by name and what it `said`."""

    owner: Any
    name: str
    part: str
    kernel: bool = True
    needs: Callable[..., Work] | None = None


class Meter:
    """CPU seconds by part and kind, (part, whether a kernel); what a part calls of another is that one's alone.

    What the timers themselves take is measured first and taken off. With `counting`, work is counted instead and times
    are of no use.
    """

    def __init__(
        self, sites: Sequence[Site], *, counting: bool = False, clock: Callable[[], float] = time.process_time
    ) -> None:
        self.sites, self.counting, self.clock = sites, counting, clock
        self.spent: dict[tuple[str, bool], float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.work: dict[str, Work] = defaultdict(Work)
        self._stack: list[tuple[str, bool]] = [(ELSEWHERE, False)]
        self._last = self._cost = 0.0
        if not counting:
            self._cost = min(self._calibrate() for _ in range(CALIBRATIONS))
            self.spent.clear()
            self.calls.clear()

    def _calibrate(self) -> float:
        """Seconds of one switch from part to part."""
        nothing = self._timed(Site(None, "", ELSEWHERE), lambda: None)
        start = self.clock()
        for _ in range(CALIBRATION):
            nothing()
        return (self.clock() - start) / (2 * CALIBRATION)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time, or count, what is called in the block."""
        before = [(site.owner, site.name, site.owner.__dict__[site.name]) for site in self.sites]
        try:
            for site, (*_, function) in zip(self.sites, before, strict=True):
                wrapped = self._counted(site, function) if self.counting else self._timed(site, function)
                setattr(site.owner, site.name, wrapped)
            self._last = self.clock()
            yield
            self._switch()
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)

    @property
    def total(self) -> float:
        """Seconds of all."""
        return sum(self.spent.values())

    def _switch(self) -> None:
        now = self.clock()
        self.spent[self._stack[-1]] += now - self._last - self._cost
        self._last = now

    def _timed(self, site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
        key = site.part, site.kernel

        def call(*arguments: Any, **named: Any) -> Any:
            self._switch()
            self._stack.append(key)
            try:
                return function(*arguments, **named)
            finally:
                self._switch()
                self._stack.pop()
                self.calls[site.part] += site.kernel

        return call

    def _counted(self, site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
        needs = site.needs
        if needs is None:
            return function

        signature = inspect.signature(getattr(function, "py_func", function))

        def call(*arguments: Any) -> Any:
            said = function(*arguments)
            named = signature.bind(*arguments).arguments
            self.work[site.part] += needs(SimpleNamespace(**named, said=said))
            return said

        return call
