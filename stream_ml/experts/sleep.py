"""Which experts sleep: those that stacking would not miss cost nothing until they are tried again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.states import LARGEST, Part, Spec

__all__ = ["SleepSchedule"]

REVIEW = 1000
REST = 4000
LEAST_GAIN = 5e-4
AWAKE = -1


class SleepSchedule:
    """Puts the least useful expert to sleep at a review, and wakes each after a rest; by learned instances alone.

    At multiples of `REVIEW` learned instances, of the experts that may sleep and were awake for a whole `REVIEW`, the
    one whose absence would cost least is put to sleep if that is below `LEAST_GAIN` nats an instance. One at a time:
    of two that say the same, either can go, not both. After `REST` instances, or a drift, it is tried again.

    Parameters
    ----------
    may_sleep
        Whether each expert may.
    """

    def __init__(self, may_sleep: Sequence[bool]) -> None:
        self.may_sleep = np.array(may_sleep, dtype=np.bool_)
        self.since = np.full(len(may_sleep), AWAKE, dtype=np.int64)
        self.woken = np.zeros(len(may_sleep), dtype=np.int64)

    @property
    def awake(self) -> NDArray[np.bool_]:
        """Which experts work, bool (experts,)."""
        return self.since == AWAKE

    def due(self, n_learned: int) -> bool:
        """Whether there is a review after so many instances."""
        return n_learned % REVIEW == 0 and bool(self.may_sleep.any())

    def review(self, n_learned: int, gains: NDArray[np.float64]) -> tuple[list[int], list[int]]:
        """Experts that fall asleep and that wake up, after `n_learned` instances; `gains` in nats an instance."""
        if n_learned % REVIEW:
            return [], []
        asleep = []
        tried = self.may_sleep & self.awake & (n_learned - self.woken >= REVIEW) & (gains < LEAST_GAIN)
        if tried.any():
            least = int(np.argmin(np.where(tried, gains, np.inf)))
            self.since[least] = n_learned
            asleep.append(least)
        rested = np.flatnonzero(~self.awake & (n_learned - self.since >= REST))
        self._wake(rested, n_learned)
        return asleep, rested.tolist()

    def wake_all(self, n_learned: int) -> list[int]:
        """End all sleep, as after a drift; gives who slept."""
        sleepers = np.flatnonzero(~self.awake)
        self._wake(sleepers, n_learned)
        return sleepers.tolist()

    def _wake(self, experts: NDArray[np.int64], n_learned: int) -> None:
        self.since[experts] = AWAKE
        self.woken[experts] = n_learned

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"since": self.since, "woken": self.woken}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, n = Part.of(state), len(self.may_sleep)
        self.since = part.array("since", Spec(np.int64, (n,), AWAKE, LARGEST))
        self.woken = part.array("woken", Spec(np.int64, (n,), 0, LARGEST))
