"""The columnar unit of work: some consecutive rows of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.streams.dense import features_of, labels_of
from stream_ml.streams.schema import Schema

__all__ = ["LEARN", "PREDICT", "Batch", "Predictions"]

PREDICT = 1
"""Bit of `Batch.mode`: the row is to be predicted (before it is learned, if it is)."""
LEARN = 2
"""Bit of `Batch.mode`: the row's labels may be learned from."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows `first .. first + n` of a stream.

    Features are always CSR: a row of a dense schema stores every feature, zeros included, so that
    `x_values.reshape(n, n_features)` is its dense form. Indices are strictly increasing within a row.

    Attributes
    ----------
    schema
        The stream's schema; it may have grown since: `n_features` and `n_labels` are those of this batch.
    first
        Number of the first row in the stream, from 0.
    x_indptr, x_indices, x_values
        int64 (n + 1,), int32 (nnz,), float32 (nnz,). NaN is a missing value; a nominal value is its position.
    y_indptr, y_indices
        The positive labels of each row: int64 (n + 1,), int32.
    mode
        uint8 (n,): `PREDICT`, `LEARN`, or both. A row whose labels come late is a predict-only row first and a
        learn-only row later.
    labelled
        bool (n,): whether the row's labels are known to the *evaluator*. A predict-only row may carry labels to be
        scored with; a learner reads labels of rows with `LEARN` alone. "No labels" is labelled with none positive.
    ids, timestamps
        Optional: record ids; int64 milliseconds.
    known
        Of a stream whose features and labels appear while it is read: how many of each had before the first row. None
        where all are known from the start.
    """

    schema: Schema
    first: int
    n_features: int
    n_labels: int
    x_indptr: NDArray[np.int64]
    x_indices: NDArray[np.int32]
    x_values: NDArray[np.float32]
    y_indptr: NDArray[np.int64]
    y_indices: NDArray[np.int32]
    mode: NDArray[np.uint8]
    labelled: NDArray[np.bool_]
    ids: list[str] | None = field(default=None)
    timestamps: NDArray[np.int64] | None = field(default=None)
    known: tuple[int, int] | None = field(default=None)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.mode)

    @classmethod
    def of_rows(
        cls,
        schema: Schema,
        x_indptr: NDArray[np.int64],
        x_indices: NDArray[np.int32],
        x_values: NDArray[np.float32],
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        labelled: NDArray[np.bool_],
        *,
        first: int = 0,
    ) -> Batch:
        """Rows in the batch's own form, taken as they are; those that are labelled are predicted, then learned."""
        return cls(
            schema=schema,
            first=first,
            n_features=schema.n_features,
            n_labels=schema.n_labels,
            x_indptr=x_indptr,
            x_indices=x_indices,
            x_values=x_values,
            y_indptr=y_indptr,
            y_indices=y_indices,
            mode=np.where(labelled, PREDICT | LEARN, PREDICT).astype(np.uint8),
            labelled=labelled,
        )

    @classmethod
    def from_dense(cls, schema: Schema, x: Any, y: Any, *, first: int = 0) -> Batch:
        """Rows from arrays: `x` (n, n_features), NaN where missing; `y` (n, n_labels) of 0/1. Predicted, then learned.

        Raises
        ------
        DataError
            Shapes that do not fit the schema or each other, a value that single precision does not hold or that a
            nominal feature does not have, or a label that is neither 0 nor 1: says row and field.

        Examples
        --------
        >>> from stream_ml.streams.schema import Feature, Schema
        >>> schema = Schema([Feature("a"), Feature("b")], ["p", "q"])
        >>> batch = Batch.from_dense(schema, [[1, 0], [2, 3]], [[0, 1], [1, 1]])
        >>> batch.y_indices.tolist(), next(batch.iter_dicts())
        ([1, 0, 1], ({'a': 1.0, 'b': 0.0}, {'p': False, 'q': True}))
        """
        values = features_of(x, schema)
        positive = labels_of(y, schema, len(values))
        n = len(values)
        y_rows, y_columns = np.nonzero(positive)
        x_rows, x_columns = np.nonzero(values) if schema.sparse else np.nonzero(np.ones(values.shape, dtype=np.bool_))
        return cls.of_rows(
            schema,
            np.concatenate([[0], np.cumsum(np.bincount(x_rows, minlength=n))]).astype(np.int64),
            x_columns.astype(np.int32),
            values[x_rows, x_columns],
            np.concatenate([[0], np.cumsum(np.bincount(y_rows, minlength=n))]).astype(np.int64),
            y_columns.astype(np.int32),
            np.ones(n, dtype=np.bool_),
            first=first,
        )

    def rows(self, start: int, stop: int) -> Batch:
        """The rows `start .. stop` of this batch as a batch of their own (views, but for the row pointers).

        Where features and labels appear while the stream is read, it has those that appeared before `stop`.
        """
        known = self.known_at(start)
        n_features, n_labels = (self.n_features, self.n_labels)
        if known is not None:
            n_features, n_labels = self._shown(start, stop, known)
        x0, x1 = int(self.x_indptr[start]), int(self.x_indptr[stop])
        y0, y1 = int(self.y_indptr[start]), int(self.y_indptr[stop])
        return Batch(
            schema=self.schema,
            first=self.first + start,
            n_features=n_features,
            n_labels=n_labels,
            x_indptr=self.x_indptr[start : stop + 1] - x0,
            x_indices=self.x_indices[x0:x1],
            x_values=self.x_values[x0:x1],
            y_indptr=self.y_indptr[start : stop + 1] - y0,
            y_indices=self.y_indices[y0:y1],
            mode=self.mode[start:stop],
            labelled=self.labelled[start:stop],
            ids=None if self.ids is None else self.ids[start:stop],
            timestamps=None if self.timestamps is None else self.timestamps[start:stop],
            known=known,
        )

    def known_at(self, row: int) -> tuple[int, int] | None:
        """How many features and labels had appeared before that row; None where all are known from the start."""
        return None if self.known is None else self._shown(0, row, self.known)

    def _shown(self, start: int, stop: int, known: tuple[int, int]) -> tuple[int, int]:
        """How many features and labels have appeared before row `stop`, where `known` had before row `start`."""
        x, y = (
            indices[indptr[start] : indptr[stop]].max(initial=-1) + 1
            for indptr, indices in ((self.x_indptr, self.x_indices), (self.y_indptr, self.y_indices))
        )
        return max(known[0], int(x)), max(known[1], int(y))

    def labels_known(self) -> NDArray[np.int64]:
        """How many labels had appeared up to each row, itself included: int64 (n,)."""
        if self.known is None:
            return np.full(len(self), self.n_labels, dtype=np.int64)
        highest = np.full(len(self), self.known[1] - 1, dtype=np.int64)
        filled = np.flatnonzero(np.diff(self.y_indptr))
        if len(filled):
            last = self.y_indices[self.y_indptr[filled + 1] - 1]  # labels of a row rise
            highest[filled] = np.maximum(highest[filled], last)
        return np.maximum.accumulate(highest) + 1

    def with_mode(self, mode: int) -> Batch:
        """The same rows, all of them to be predicted (`PREDICT`), learned (`LEARN`), or both."""
        return replace(self, mode=np.full(len(self), mode, dtype=np.uint8))

    def take(self, rows: NDArray[np.int64], mode: NDArray[np.uint8] | None = None) -> Batch:
        """The named rows, in that order; a row may come twice. `mode` (uint8) replaces theirs."""

        def gather(indptr: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            sizes = indptr[rows + 1] - indptr[rows]
            ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
            return ends, np.arange(ends[-1]) - np.repeat(ends[:-1] - indptr[rows], sizes)

        x_indptr, x_places = gather(self.x_indptr)
        y_indptr, y_places = gather(self.y_indptr)
        return replace(
            self,
            x_indptr=x_indptr,
            x_indices=self.x_indices[x_places],
            x_values=self.x_values[x_places],
            y_indptr=y_indptr,
            y_indices=self.y_indices[y_places],
            mode=self.mode[rows] if mode is None else mode,
            labelled=self.labelled[rows],
            ids=None if self.ids is None else [self.ids[row] for row in rows.tolist()],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
        )

    def numbered(self, first: int) -> Batch:
        """The same rows, the first one having number `first`."""
        return replace(self, first=first)

    def x_dense(self) -> NDArray[np.float32]:
        """Features as (n, n_features) float32; absent ones are 0 in a sparse schema, NaN in a dense one."""
        n = len(self)
        if len(self.x_values) == n * self.n_features:
            return self.x_values.reshape(n, self.n_features)
        out = np.full((n, self.n_features), 0.0 if self.schema.sparse else np.nan, dtype=np.float32)
        out[np.repeat(np.arange(n), np.diff(self.x_indptr)), self.x_indices] = self.x_values
        return out

    def y_dense(self) -> NDArray[np.bool_]:
        """Labels as (n, n_labels) bool."""
        out = np.zeros((len(self), self.n_labels), dtype=np.bool_)
        out[np.repeat(np.arange(len(self)), np.diff(self.y_indptr)), self.y_indices] = True
        return out

    def iter_dicts(self, *, zeros: bool = True) -> Iterator[tuple[dict[str, Any], dict[str, bool]]]:
        """River-style `(x, y)` pairs: `{feature: value}` and `{label: bool}` with every label named.

        A nominal value is given as its string, a missing one is left out. `zeros=False` leaves out numeric zeros and
        absent features, as people do who feed river sparse data. Where features and labels appear while a stream is
        read, a row has those that appeared up to it.
        """
        features = self.schema.features[: self.n_features]
        names = [f.name for f in features]
        labels = self.schema.labels[: self.n_labels]
        n_features, n_labels = self.known or (self.n_features, self.n_labels)
        absent: dict[str, Any] = {}
        nothing: dict[str, bool] = {}
        for row in range(len(self)):
            if self.known is not None:
                n_features = max(
                    n_features, int(self.x_indices[self.x_indptr[row] : self.x_indptr[row + 1]].max(initial=-1)) + 1
                )
                n_labels = max(
                    n_labels, int(self.y_indices[self.y_indptr[row] : self.y_indptr[row + 1]].max(initial=-1)) + 1
                )
            if self.schema.sparse and zeros:
                for f in features[len(absent) : n_features]:
                    absent[f.name] = f.values[0] if f.values is not None else 0.0
            nothing.update(dict.fromkeys(labels[len(nothing) : n_labels], False))
            x = dict(absent)
            lo, hi = self.x_indptr[row], self.x_indptr[row + 1]
            for j, value in zip(self.x_indices[lo:hi].tolist(), self.x_values[lo:hi].tolist(), strict=True):
                values = features[j].values
                if value != value:
                    x.pop(names[j], None)
                elif values is not None:
                    x[names[j]] = values[int(value)]
                elif value or zeros:
                    x[names[j]] = value
            y = dict(nothing)
            for label in self.y_indices[self.y_indptr[row] : self.y_indptr[row + 1]].tolist():
                y[labels[label]] = True
            yield x, y


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model said of the rows of a batch, each before it was learned.

    Attributes
    ----------
    label_indptr, label_indices
        The decided label set of each row, CSR: int64 (n + 1,), int32, sorted within a row. Rows that were not to be
        predicted are empty.
    probabilities
        float32 (n, n_labels), or None from models that have none.
    alternatives
        The same rows decided for other objectives, by name.
    """

    label_indptr: NDArray[np.int64]
    label_indices: NDArray[np.int32]
    probabilities: NDArray[np.float32] | None = None
    alternatives: Mapping[str, Predictions] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.label_indptr) - 1
