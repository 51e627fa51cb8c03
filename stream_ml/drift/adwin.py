"""One ADWIN change detector: the public face of a bank of one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_ml.arrays import tuple_arrays
from stream_ml.drift._kernels import (
    DETECTED,
    adwin_mean,
    adwin_run,
    adwin_update,
    adwin_variance,
    adwin_width,
    new_bank,
)
from stream_ml.drift.saved import checked_bank
from stream_ml.errors import ConfigError
from stream_ml.states import Part, Spec

__all__ = ["Adwin"]


class Adwin:
    """ADWIN: a window over a stream of numbers that shrinks when their mean has changed.

    Finds changes at the same values as `river.drift.ADWIN` with the same parameters. After a change the window holds
    recent values only; the next value starts a new one.

    Parameters
    ----------
    delta
        Significance, above 0 and below 1: lower means fewer false alarms and later detections.
    clock
        Values between two searches for a change, at least 1.
    max_buckets
        Buckets of one size before the two oldest are merged, at least 1: more means finer cuts and more memory.
    min_window_length
        Least number of values on either side of a cut, at least 1.
    grace_period
        Nothing is searched until the window holds more values than this, at least 0.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    References
    ----------
    Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007.

    Examples
    --------
    >>> import numpy as np
    >>> detector = Adwin()
    >>> detector.update_many(np.repeat([0.2, 0.8], 500)).tolist()
    [543]
    >>> detector.update(0.8), detector.width, round(detector.estimation, 6)
    (False, 457, 0.8)
    """

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        if not 0.0 < delta < 1.0:
            raise ConfigError(f"ADWIN parameter delta must be above 0 and below 1, found {delta!r}")
        whole = {"clock": clock, "max_buckets": max_buckets, "min_window_length": min_window_length}
        for name, value, least in [*((n, v, 1) for n, v in whole.items()), ("grace_period", grace_period, 0)]:
            if int(value) != value or value < least:
                raise ConfigError(f"ADWIN parameter {name} must be a whole number of at least {least}, found {value!r}")
        self.delta, self.clock, self.max_buckets = float(delta), int(clock), int(max_buckets)
        self.min_window_length, self.grace_period = int(min_window_length), int(grace_period)
        self._bank = new_bank(1, self.max_buckets)
        self._n_detections = np.zeros(1, dtype=np.int64)
        self._options = (self.delta, self.clock, self.max_buckets, self.min_window_length, self.grace_period)

    def update(self, value: float) -> bool:
        """Add a finite value; whether a change was found at it. Raises ValueError on NaN and infinity."""
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"ADWIN takes finite values only, found {value}")
        found = bool(adwin_update(self._bank, 0, value, *self._options) != 0)
        if found:
            self._n_detections[0] += 1
        return found

    def update_many(self, values: ArrayLike) -> NDArray[np.int64]:
        """Add finite values, shape (n,), in order; positions (int64, from 0) at which a change was found.

        The same as `update` on each, in one compiled call. Raises ValueError, and adds nothing, when a value is NaN or
        infinite or `values` is not one-dimensional.
        """
        array = np.ascontiguousarray(values, dtype=np.float64)
        if np.ndim(values) != 1:
            raise ValueError(f"ADWIN takes values of shape (n,), found shape {np.shape(values)}")
        if not np.isfinite(array).all():
            raise ValueError(f"ADWIN takes finite values only, found {array[~np.isfinite(array)][0]}")
        positions = np.empty(len(array) // self.clock + 1, dtype=np.int64)
        n = adwin_run(self._bank, 0, array, *self._options, positions)
        self._n_detections[0] += n
        return positions[:n]

    @property
    def drift_detected(self) -> bool:
        """Whether the last value brought a change to light."""
        return bool(self._bank.reals[0, DETECTED] != 0.0)

    @property
    def rise(self) -> bool:
        """Whether the last value brought to light that the mean rose; False for a fall and for no change."""
        return bool(self._bank.reals[0, DETECTED] > 0.0)

    @property
    def n_detections(self) -> int:
        """Changes found since the detector was made (river's count starts anew after each of them)."""
        return int(self._n_detections[0])

    @property
    def width(self) -> int:
        """Number of values in the window."""
        return int(adwin_width(self._bank, 0))

    @property
    def estimation(self) -> float:
        """Mean of the window, 0 when empty."""
        return float(adwin_mean(self._bank, 0))

    @property
    def variance(self) -> float:
        """Population variance of the window, 0 when empty."""
        return float(adwin_variance(self._bank, 0))

    def state_dict(self) -> dict[str, NDArray]:
        """The whole state by name, the parameters not included; arrays are the live ones, copy them to keep them."""
        return {**tuple_arrays(self._bank), "n_detections": self._n_detections}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` of a detector with the same `max_buckets` gave (arrays are copied).

        Raises KeyError when an array is absent, ValueError when one has another shape or dtype; then nothing changes.
        """
        part = Part.of(state)
        bank = checked_bank(part, *self._bank.totals.shape)
        count = part.array("n_detections", Spec(np.int64, (1,), 0))
        self._bank, self._n_detections = bank, count
