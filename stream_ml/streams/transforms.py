"""Streams made of streams: the first rows, all rows in another order, labels that come late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from stream_ml.streams.batch import LEARN, PREDICT, Batch
from stream_ml.streams.schema import Schema
from stream_ml.streams.source import Skipped, Stream, concatenate, rebatch

__all__ = ["Delayed", "Limited", "Shuffled"]

BLOCK = 1000


class _Derived(Stream):
    """A stream on top of another, whose schema, name and skipped rows it shows."""

    def __init__(self, inner: Stream) -> None:
        self.inner = inner
        super().__init__(batch_size=inner.batch_size, on_error=inner.on_error)
        self.name, self.grows = inner.name, inner.grows
        self.n_instances, self.notes = inner.n_instances, getattr(inner, "notes", ())

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
        with closing(iter(self.inner.pieces())) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                yield piece if len(piece) <= left else piece.rows(0, left)
                left -= len(piece)
                if left <= 0:
                    return


class Shuffled(_Derived):
    """All rows in a random order that the seed fixes (numpy's PCG64); the whole stream is held in memory."""

    def __init__(self, inner: Stream, seed: int) -> None:
        super().__init__(inner)
        self.seed, self.grows = seed, False

    def pieces(self) -> Iterator[Batch]:
        """The rows, a thousand at a time."""
        pieces = list(self.inner.pieces())
        if not pieces:
            return
        whole = concatenate(pieces)
        del pieces
        order = np.random.Generator(np.random.PCG64(self.seed)).permutation(len(whole))
        for start in range(0, len(order), BLOCK):
            yield whole.take(order[start : start + BLOCK])


class Delayed(_Derived):
    """Every row is predicted when it comes, and learned right after `delay` more rows have been predicted.

    A row comes twice: to be predicted, with its labels for scoring only, and to be learned. What is left at the end is
    learned in order. Rows whose labels are not known come once.
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
        # blocks no smaller than the delay: copying the rows that wait costs a constant per row
        with closing(rebatch(self.inner.pieces(), max(BLOCK, self.delay))) as blocks:
            for block in blocks:
                known = block if waiting is None else concatenate([waiting, block])
                before = 0 if waiting is None else len(waiting)
                # row r of `known` is predicted, and row r - delay, if it is there, learned right after it
                predicted = np.arange(before, len(known))
                rows = np.stack([predicted, predicted - self.delay], axis=1).ravel()
                modes = np.tile(np.array([PREDICT, LEARN], dtype=np.uint8), len(predicted))
                yield _emitted(known, rows[rows >= 0], modes[rows >= 0])
                waiting = known.rows(max(0, len(known) - self.delay), len(known))
        if waiting is not None and len(waiting):
            rows = np.arange(len(waiting))
            yield _emitted(waiting, rows, np.full(len(rows), LEARN, dtype=np.uint8))


def _emitted(batch: Batch, rows: NDArray[np.int64], wanted: NDArray[np.uint8]) -> Batch:
    """The rows in the wanted modes, as far as they had them before: what has no labels is not learned."""
    modes = batch.mode[rows] & wanted
    return batch.take(rows[modes > 0], modes[modes > 0])
