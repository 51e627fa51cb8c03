"""The columnar unit of work: some consecutive rows of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.streams.dense import csr_of, features_of, labels_of
from stream_ml.streams.schema import Schema

__all__ = [
    "AGAIN",
    "ALL_KNOWN",
    "LEARN",
    "PREDICT",
    "Batch",
    "Likely",
    "Partial",
    "Predictions",
    "all_known",
    "first_learned",
    "label_rows",
]

PREDICT = 1
"""Bit of `Batch.mode`: the row is to be predicted (before it is learned, if it is)."""
LEARN = 2
"""Bit of `Batch.mode`: the row's labels may be learned from."""
AGAIN = 4
"""Bit of `Batch.mode` beside LEARN: further labels of an instance that was learned before. Only what is kept label by
label learns of them; the instance does not count anew."""


def first_learned(mode: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows are instances learned for the first time, and so counted."""
    return (mode & (LEARN | AGAIN)) == LEARN


class Partial(NamedTuple):
    """Rows whose labels are known in part.

    Of these the positive labels and those named here are known, all others are not; so a row costs what it names.
    """

    rows: NDArray[np.bool_]
    """Whether the row is one of them, (n,)."""
    indptr: NDArray[np.int64]
    """Row pointers, (n + 1,)."""
    indices: NDArray[np.int32]
    """Labels known to be absent, rising within a row; of complete rows none are named."""


def label_rows(
    y: Any, schema: Schema, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_], Partial | None]:
    """Labels (n, n_labels) of 0/1, NaN where not known, as a batch has them: pointers, positives, labelled, partial.

    Raises as `Batch.from_dense` does.
    """
    positive, unknown = labels_of(y, schema, n)
    n_unknown = unknown.sum(axis=1)
    labelled = (n_unknown < schema.n_labels) | (n_unknown == 0)
    in_part = (n_unknown > 0) & labelled
    partial = Partial(in_part, *csr_of(~positive & ~unknown & in_part[:, None])) if in_part.any() else None
    return *csr_of(positive), labelled, partial


ALL_KNOWN = np.zeros((0, 0), dtype=np.bool_)
"""What `Batch.unknown_labels` says where all is known."""


def all_known(n: int) -> Partial:
    """That of `n` rows none is known in part."""
    return Partial(np.zeros(n, dtype=np.bool_), np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))


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
    partial
        The rows whose labels are known in part. None: of every row with labels all are known. A row of which no label
        is known is not `labelled`, and not partial.
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
    partial: Partial | None = field(default=None)

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
        """Rows from arrays: `x` (n, n_features), NaN where missing; `y` (n, n_labels) of 0/1, NaN where not known.

        Rows are predicted, then learned; those of which no label is known are only predicted.

        Raises
        ------
        DataError
            Shapes that do not fit the schema or each other, a value that single precision does not hold or that a
            nominal feature does not have, or a label that is neither 0 nor 1 nor NaN: says row and field.

        Examples
        --------
        >>> from stream_ml.streams.schema import Feature, Schema
        >>> schema = Schema([Feature("a"), Feature("b")], ["p", "q"])
        >>> batch = Batch.from_dense(schema, [[1, 0], [2, 3]], [[0, 1], [1, 1]])
        >>> batch.y_indices.tolist(), next(batch.iter_dicts())
        ([1, 0, 1], ({'a': 1.0, 'b': 0.0}, {'p': False, 'q': True}))
        """
        values = features_of(x, schema)
        n = len(values)
        y_indptr, y_indices, labelled, partial = label_rows(y, schema, n)
        x_rows, x_columns = np.nonzero(values) if schema.sparse else np.nonzero(np.ones(values.shape, dtype=np.bool_))
        built = cls.of_rows(
            schema,
            np.concatenate([[0], np.cumsum(np.bincount(x_rows, minlength=n))]).astype(np.int64),
            x_columns.astype(np.int32),
            values[x_rows, x_columns],
            y_indptr,
            y_indices,
            labelled,
            first=first,
        )
        return built if partial is None else replace(built, partial=partial)

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
            partial=self._partial_rows(start, stop),
        )

    def _partial_rows(self, start: int, stop: int) -> Partial | None:
        """What is known in part of the rows `start .. stop`."""
        if self.partial is None or not self.partial.rows[start:stop].any():
            return None
        ends = self.partial.indptr[start : stop + 1]
        return Partial(self.partial.rows[start:stop], ends - ends[0], self.partial.indices[ends[0] : ends[-1]])

    def known_at(self, row: int) -> tuple[int, int] | None:
        """How many features and labels had appeared before that row; None where all are known from the start."""
        return None if self.known is None else self._shown(0, row, self.known)

    def _shown(self, start: int, stop: int, known: tuple[int, int]) -> tuple[int, int]:
        """How many features and labels have appeared before row `stop`, where `known` had before row `start`."""
        x, y = (
            indices[indptr[start] : indptr[stop]].max(initial=-1) + 1
            for indptr, indices in ((self.x_indptr, self.x_indices), (self.y_indptr, self.y_indices))
        )
        if self.partial is not None:
            ends = self.partial.indptr
            y = max(y, self.partial.indices[ends[start] : ends[stop]].max(initial=-1) + 1)
        return max(known[0], int(x)), max(known[1], int(y))

    def labels_known(self) -> NDArray[np.int64]:
        """How many labels had appeared up to each row, itself included: int64 (n,)."""
        if self.known is None:
            return np.full(len(self), self.n_labels, dtype=np.int64)
        highest = np.full(len(self), self.known[1] - 1, dtype=np.int64)
        named = [(self.y_indptr, self.y_indices)]
        if self.partial is not None:
            named.append((self.partial.indptr, self.partial.indices))
        for indptr, indices in named:
            filled = np.flatnonzero(np.diff(indptr))
            last = indices[indptr[filled + 1] - 1]  # labels of a row rise
            highest[filled] = np.maximum(highest[filled], last)
        return np.maximum.accumulate(highest) + 1

    def unknown_labels(self, n_labels: int) -> NDArray[np.bool_]:
        """Which of the first labels are not known of the partial rows, bool (n, n_labels); (0, 0) when there are none.

        Of rows that are not labelled it says nothing.
        """
        partial = self.partial
        if partial is None or not partial.rows.any():
            return ALL_KNOWN
        unknown = np.repeat(partial.rows[:, None], n_labels, axis=1)
        for indptr, indices in ((self.y_indptr, self.y_indices), (partial.indptr, partial.indices)):
            inside = indices < n_labels
            unknown[np.repeat(np.arange(len(self)), np.diff(indptr))[inside], indices[inside]] = False
        return unknown

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
        partial = self.partial
        if partial is not None:
            ends, places = gather(partial.indptr)
            partial = Partial(partial.rows[rows], ends, partial.indices[places])
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
            partial=partial,
        )

    def with_whole_sets(self) -> Batch:
        """The same rows; those whose labels are known in part are not to be learned."""
        if self.partial is None:
            return self
        return replace(self, mode=np.where(self.partial.rows, self.mode & ~np.uint8(LEARN), self.mode))

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

    def labels_told(self) -> Iterator[list[str] | dict[str, bool] | None]:
        """Each row's labels by name: the positive ones; where known in part, whether each is; None where not known."""
        names = self.schema.labels
        ends, indices = self.y_indptr.tolist(), self.y_indices.tolist()
        in_part, absent_ends, absent = (a.tolist() for a in self.partial or all_known(len(self)))
        for row, labelled in enumerate(self.labelled.tolist()):
            labels = indices[ends[row] : ends[row + 1]]
            if in_part[row]:
                others = absent[absent_ends[row] : absent_ends[row + 1]]
                known = sorted([(m, True) for m in labels] + [(m, False) for m in others])
                yield {names[m]: positive for m, positive in known}
            else:
                yield [names[m] for m in labels] if labelled else None

    def iter_dicts(self, *, zeros: bool = True) -> Iterator[tuple[dict[str, Any], dict[str, bool]]]:
        """River-style `(x, y)` pairs: `{feature: value}` and `{label: bool}` with every label named that is known.

        Of a row that is not labelled that is none. A nominal value is given as its string, a missing one is left out.
        `zeros=False` leaves out numeric zeros and absent features, as people do who feed river sparse data. Where
        features and labels appear while a stream is read, a row has those that appeared up to it.
        """
        features = self.schema.features[: self.n_features]
        names = [f.name for f in features]
        labels = self.schema.labels[: self.n_labels]
        n_features = self.n_features if self.known is None else self.known[0]
        shown = self.labels_known().tolist()
        absent: dict[str, Any] = {}
        nothing: dict[str, bool] = {}
        labels_told = self.labels_told()
        for row in range(len(self)):
            if self.known is not None:
                n_features = max(
                    n_features, int(self.x_indices[self.x_indptr[row] : self.x_indptr[row + 1]].max(initial=-1)) + 1
                )
            if self.schema.sparse and zeros:
                for f in features[len(absent) : n_features]:
                    absent[f.name] = f.values[0] if f.values is not None else 0.0
            nothing.update(dict.fromkeys(labels[len(nothing) : shown[row]], False))
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
            told = next(labels_told)
            y = told if isinstance(told, dict) else {} if told is None else nothing | dict.fromkeys(told, True)
            yield x, y


class Likely(NamedTuple):
    """The most probable labels of each row, the likeliest first; others are improbable."""

    sizes: NDArray[np.int32]
    """(n,)"""
    labels: NDArray[np.int32]
    """(n, most): of a row the first `sizes[row]`."""
    probabilities: NDArray[np.float32]
    """(n, most)"""

    def of_row(self, row: int) -> dict[int, float]:
        """Probabilities of a row's labels, the likeliest first."""
        n = self.sizes[row]
        return dict(zip(self.labels[row, :n].tolist(), self.probabilities[row, :n].tolist(), strict=True))

    def dense(self, n_labels: int) -> NDArray[np.float32]:
        """Probabilities of all labels, float32 (n, n_labels): 0 for the others."""
        out = np.zeros((len(self.sizes), n_labels), dtype=np.float32)
        rows, places = np.nonzero(np.arange(self.labels.shape[1]) < self.sizes[:, None])
        out[rows, self.labels[rows, places]] = self.probabilities[rows, places]
        return out


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model said of the rows of a batch, each before it was learned.

    Attributes
    ----------
    label_indptr, label_indices
        The decided label set of each row, CSR: int64 (n + 1,), int32, sorted within a row. Rows that were not to be
        predicted are empty.
    probabilities
        float32 (n, n_labels), or None from models that have none, or give the `likely` ones alone.
    alternatives
        The same rows decided for other objectives, by name.
    likely
        The most probable labels of each row, from models of very many labels that do not look at them all.
    """

    label_indptr: NDArray[np.int64]
    label_indices: NDArray[np.int32]
    probabilities: NDArray[np.float32] | None = None
    alternatives: Mapping[str, Predictions] = field(default_factory=dict)
    likely: Likely | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.label_indptr) - 1

    def dense(self, n_labels: int) -> NDArray[np.float32] | None:
        """Probabilities of all labels, float32 (n, n_labels), of unlikely ones 0; None from models without any."""
        if self.probabilities is None and self.likely is not None:
            return self.likely.dense(n_labels)
        return self.probabilities
