"""When so many records are bad that something else is wrong, it is better to stop than to go on."""

from __future__ import annotations

from collections import deque

from stream_ml.errors import ServiceError

__all__ = ["Breaker", "TooManyBadError"]


class TooManyBadError(ServiceError):
    """Too many records are bad."""


class Breaker:
    """Watches how many records are bad: in a row, and as a share of the last ones.

    Parameters
    ----------
    max_consecutive
        Bad records in a row that are too many; None: any number goes.
    max_share, window
        Share of the last `window` records that is too much, once there were as many; None: any share goes.

    Examples
    --------
    >>> breaker = Breaker(3, None, 10)
    >>> breaker.note(7, [5, 6])
    >>> breaker.note(2, [0])
    Traceback (most recent call last):
    stream_ml.serving.breaker.TooManyBadError: 3 bad records in a row: not the topic that was meant, or its form changed
    """

    def __init__(self, max_consecutive: int | None, max_share: float | None, window: int) -> None:
        self.max_consecutive, self.max_share, self.window = max_consecutive, max_share, window
        self._records = 0
        self._last_bad = -1
        self._run = 0
        self._recent: deque[int] = deque()

    @property
    def in_a_row(self) -> int:
        """Bad records in a row, up to the last record."""
        return self._run if self._last_bad == self._records - 1 else 0

    @property
    def recent(self) -> int:
        """Bad records among the last `window`."""
        return sum(number >= self._records - self.window for number in self._recent)

    def note(self, records: int, bad: list[int]) -> None:
        """Take in some records, of which those at the places `bad` (rising, from 0) were bad.

        Raises
        ------
        TooManyBadError
            That is too many.
        """
        first, self._records = self._records, self._records + records
        for place in bad:
            number = first + place
            self._run = self._run + 1 if number == self._last_bad + 1 and self._run else 1
            self._last_bad = number
            self._recent.append(number)
            while self._recent[0] <= number - self.window:
                self._recent.popleft()
            if self.max_consecutive is not None and self._run >= self.max_consecutive:
                raise TooManyBadError(
                    f"{self._run} bad records in a row: not the topic that was meant, or its form changed"
                )
            full = number + 1 >= self.window
            if self.max_share is not None and full and len(self._recent) > self.max_share * self.window:
                raise TooManyBadError(
                    f"{len(self._recent)} of the last {self.window} records are bad: their form changed, perhaps"
                )
