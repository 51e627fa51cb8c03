"""What all sources share: a re-iterable stream of batches, rows put together, bad rows counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch, Partial, all_known
from stream_ml.streams.lines import TextFile
from stream_ml.streams.schema import Schema

__all__ = ["FileStream", "RowBuilder", "Skipped", "Stream", "concatenate", "rebatch"]

KEPT_MESSAGES = 20


@dataclass(slots=True)
class Skipped:
    """Rows left out under `on_error="skip"`: how many, and the first messages."""

    count: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, error: DataError) -> None:
        """Count one more."""
        self.count += 1
        if len(self.messages) < KEPT_MESSAGES:
            self.messages.append(str(error))


class Stream(ABC):
    """Batches of one source, in order; every `iter` starts anew.

    A subclass gives `pieces`, sets `schema` and `name`, and where it can tell `n_instances`.

    Attributes
    ----------
    schema
        Columns; of formats without a header it grows while the stream is read.
    name
        For reports.
    n_instances
        Rows, where they are known without reading.
    grows
        Whether features and labels may appear while it is read.
    skipped
        Rows left out since the last start.
    notes
        What a reader of the results should know of how it is read, a line each.
    """

    schema: Schema
    name: str
    n_instances: int | None = None
    grows: bool = False
    notes: Sequence[str] = ()

    def __init__(self, *, batch_size: int = 1000, on_error: Literal["raise", "skip"] = "raise") -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size, self.on_error = batch_size, on_error
        self.skipped = Skipped()

    def __iter__(self) -> Iterator[Batch]:
        """Batches of `batch_size` rows, numbered from 0; the last one may be shorter."""
        self.skipped = Skipped()
        return rebatch(self.pieces(), self.batch_size, grows=self.grows)

    @abstractmethod
    def pieces(self) -> Iterator[Batch]:
        """The rows in pieces of any size that does not depend on `batch_size`; their numbers do not matter."""

    def bad_row(self, error: DataError) -> None:
        """Raise the error, or count it."""
        if self.on_error == "raise":
            raise error
        self.skipped.add(error)


class FileStream(Stream):
    """A text file's rows; the stream is called as the file is, without its endings."""

    def __init__(self, path: Path, *, batch_size: int = 1000, on_error: Literal["raise", "skip"] = "raise") -> None:
        super().__init__(batch_size=batch_size, on_error=on_error)
        name = path.name.removesuffix(".gz")
        self.path, self.name, self._file = path, name.rpartition(".")[0] or name, TextFile(path)

    def _error(
        self,
        line: int,
        problem: str,
        *,
        field: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> DataError:
        """What is wrong in a line."""
        return DataError(
            problem, source=str(self.path), line=line, field=field, expected=expected, found=found, hint=hint
        )


class RowBuilder:
    """Rows, one by one, into a batch."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.clear()

    def clear(self) -> None:
        """Start over."""
        self.x_ends, self.y_ends = [0], [0]
        self.x_indices: list[int] = []
        self.x_values: list[float] = []
        self.y_indices: list[int] = []
        self.partial: list[bool] = []
        self.negative_ends = [0]
        self.negative: list[int] = []
        self.labelled: list[bool] = []
        self.ids: list[str | None] = []
        self.timestamps: list[int] = []

    def __len__(self) -> int:
        """Rows so far."""
        return len(self.labelled)

    @property
    def n_cells(self) -> int:
        """Stored features so far."""
        return len(self.x_indices)

    def add(
        self,
        x: Iterable[tuple[int, float]],
        y: Iterable[int] | None,
        *,
        negative: Iterable[int] | None = None,
        key: str | None = None,
        timestamp: int | None = None,
    ) -> None:
        """One row: (feature, value) pairs in any order, labels; `y=None`: the labels are not known.

        With `negative` labels no others are known than those and the positive ones.
        """
        cells = sorted(x)
        self.x_indices += [index for index, _ in cells]
        self.x_values += [value for _, value in cells]
        self.y_indices += sorted(set(y)) if y is not None else []
        self.negative += sorted(set(negative)) if negative is not None else []
        self.negative_ends.append(len(self.negative))
        self.partial.append(negative is not None)
        self.labelled.append(y is not None)
        self.x_ends.append(len(self.x_indices))
        self.y_ends.append(len(self.y_indices))
        self.ids.append(key)
        self.timestamps.append(-1 if timestamp is None else timestamp)

    def batch(self) -> Batch:
        """The rows so far; the builder is empty then."""
        built = replace(
            Batch.of_rows(
                self.schema,
                np.array(self.x_ends, dtype=np.int64),
                np.array(self.x_indices, dtype=np.int32),
                np.array(self.x_values, dtype=np.float32),
                np.array(self.y_ends, dtype=np.int64),
                np.array(self.y_indices, dtype=np.int32),
                np.array(self.labelled, dtype=np.bool_),
            ),
            ids=[key or "" for key in self.ids] if any(key is not None for key in self.ids) else None,
            timestamps=np.array(self.timestamps, dtype=np.int64) if max(self.timestamps, default=-1) >= 0 else None,
            partial=Partial(
                np.array(self.partial, dtype=np.bool_),
                np.array(self.negative_ends, dtype=np.int64),
                np.array(self.negative, dtype=np.int32),
            )
            if any(self.partial)
            else None,
        )
        self.clear()
        return built


def concatenate(batches: Iterable[Batch]) -> Batch:
    """One batch of the rows of several, in order; numbered as the first one.

    Raises
    ------
    ValueError
        There is none, or their schemas differ.

    Examples
    --------
    >>> from stream_ml.streams import Batch, Feature, Schema
    >>> batch = Batch.from_dense(Schema([Feature("x")], ["a"]), [[1], [2], [3]], [[1], [0], [1]])
    >>> concatenate([batch.rows(0, 1), batch.rows(1, 3)]).y_indptr.tolist()
    [0, 1, 1, 2]
    """
    batches = list(batches)
    if not batches:
        raise ValueError("no batches to concatenate")
    if any(b.schema is not batches[0].schema for b in batches):
        raise ValueError("batches of different schemas cannot be concatenated")
    if len(batches) == 1:
        return batches[0]

    def joined(ends: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        sizes = np.concatenate([np.diff(e) for e in ends])
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    has_ids = any(b.ids is not None for b in batches)
    has_times = any(b.timestamps is not None for b in batches)
    return Batch(
        schema=batches[0].schema,
        first=batches[0].first,
        n_features=max(b.n_features for b in batches),
        n_labels=max(b.n_labels for b in batches),
        x_indptr=joined([b.x_indptr for b in batches]),
        x_indices=np.concatenate([b.x_indices for b in batches]),
        x_values=np.concatenate([b.x_values for b in batches]),
        y_indptr=joined([b.y_indptr for b in batches]),
        y_indices=np.concatenate([b.y_indices for b in batches]),
        mode=np.concatenate([b.mode for b in batches]),
        labelled=np.concatenate([b.labelled for b in batches]),
        ids=[key for b in batches for key in (b.ids or [""] * len(b))] if has_ids else None,
        timestamps=np.concatenate(
            [b.timestamps if b.timestamps is not None else np.full(len(b), -1, dtype=np.int64) for b in batches]
        )
        if has_times
        else None,
        known=batches[0].known,
        partial=_joined_partial(batches),
    )


def _joined_partial(batches: list[Batch]) -> Partial | None:
    """What is known in part of the rows of several batches."""
    if all(b.partial is None for b in batches):
        return None
    parts = [b.partial or all_known(len(b)) for b in batches]
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    return Partial(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([part.indices for part in parts]),
    )


def rebatch(pieces: Iterator[Batch], batch_size: int, *, grows: bool = False) -> Generator[Batch, None, None]:
    """The same rows, numbered from 0, in batches of `batch_size`; closing this closes `pieces`.

    Where features and labels appear while the stream is read (`grows`), a batch has as many as appeared up to its last
    row, and tells how many were `known` before its first: nothing that is still to come shows.
    """
    waiting: list[Batch] = []
    rows = first = 0
    known = (0, 0)

    def taken() -> Batch:
        nonlocal known, first, rows, waiting
        batch = concatenate(waiting).numbered(first)
        if grows:
            batch = replace(batch, known=known)
            known = batch.known_at(len(batch)) or known
            batch = replace(batch, n_features=known[0], n_labels=known[1])
        first, rows, waiting = first + rows, 0, []
        return batch

    try:
        for piece in pieces:
            start = 0
            while start < len(piece):
                stop = min(len(piece), start + batch_size - rows)
                waiting.append(piece.rows(start, stop))
                rows += stop - start
                start = stop
                if rows == batch_size:
                    yield taken()
        if waiting:
            yield taken()
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
