"""Streams made of streams: the first rows, all rows in another order, labels that come late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stream_ml.streams.batch import LEARN, PREDICT, Batch
from stream_ml.streams.schema import Schema
from stream_ml.streams.source import Skipped, Stream, concatenate

__all__ = ["Delayed", "Limited", "Shuffled"]


class _Derived(Stream):
    """A stream on top of another, whose schema, name and skipped rows it shows."""

    def __init__(self, inner: Stream) -> None:
        self.inner = inner
        super().__init__(batch_size=inner.batch_size, on_error=inner.on_error)
        self.name = inner.name
        self.n_instances = inner.n_instances

    @property  # the inner stream may start a new schema with every pass
    def schema(self) -> Schema:  # type: ignore[override]
        """The inner stream's."""
        return self.inner.schema

    @property
    def skipped(self) -> Skipped:
        """The inner stream's."""
        return self.inner.skipped

    @skipped.setter
    def skipped(self, value: Skipped) -> None:
        self.inner.skipped = value


class Limited(_Derived):
    """The first `n` rows."""

    def __init__(self, inner: Stream, n: int) -> None:
        if n < 1:
            raise ValueError(f"limit must be at least 1, not {n}")
        super().__init__(inner)
        self.n = n
        if inner.n_instances is not None:
            self.n_instances = min(n, inner.n_instances)

    def pieces(self) -> Iterator[Batch]:
        """Rows until there are enough."""
        left = self.n
        for piece in self.inner.pieces():
            yield piece.rows(0, min(left, len(piece)))
            left -= min(left, len(piece))
            if not left:
                return


class Shuffled(_Derived):
    """All rows in a random order that the seed fixes; the whole stream is held in memory."""

    def __init__(self, inner: Stream, seed: int) -> None:
        super().__init__(inner)
        self.seed = seed

    def pieces(self) -> Iterator[Batch]:
        """The rows, a batch at a time."""
        pieces = list(self.inner.pieces())
        if not pieces:
            return
        whole = concatenate(pieces)
        del pieces
        order = np.random.default_rng(self.seed).permutation(len(whole))
        for start in range(0, len(order), self.batch_size):
            yield whole.take(order[start : start + self.batch_size])


class Delayed(_Derived):
    """Every row is predicted when it comes, and learned when `delay` more rows have been predicted.

    A row comes twice: to be predicted, with its labels for scoring only, and to be learned. What is left at the end is
    learned in order.
    """

    def __init__(self, inner: Stream, delay: int) -> None:
        if delay < 0:
            raise ValueError(f"delay must be at least 0, not {delay}")
        super().__init__(inner)
        self.delay = delay
        self.n_instances = None if inner.n_instances is None else 2 * inner.n_instances

    def pieces(self) -> Iterator[Batch]:
        """Predict-only and learn-only rows, interleaved."""
        waiting: Batch | None = None
        for piece in self.inner.pieces():
            known = piece if waiting is None else concatenate([waiting, piece])
            before = 0 if waiting is None else len(waiting)
            # row r of `known` is predicted, and row r - delay, if it is there, learned right after it
            predicted = np.arange(before, len(known))
            learned = predicted - self.delay
            both = np.stack([predicted, learned], axis=1).ravel()
            modes = np.tile([PREDICT, LEARN], len(predicted))
            good = both >= 0
            yield known.take(both[good], _modes(known, both[good], modes[good]))
            waiting = known.rows(max(0, len(known) - self.delay), len(known))
        if waiting is not None and len(waiting):
            rows = np.arange(len(waiting))
            yield waiting.take(rows, _modes(waiting, rows, np.full(len(rows), LEARN)))


def _modes(batch: Batch, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The wanted modes, as far as the rows allowed them before: what has no labels is not learned."""
    return (batch.mode[rows] & wanted).astype(np.uint8)
