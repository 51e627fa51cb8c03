"""A stream in the columns of another schema, matched by name: what a saved model knows, met in another file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.lines import listed
from stream_ml.streams.schema import OTHER, Feature, Schema
from stream_ml.streams.source import Skipped, Stream

__all__ = ["Matched", "Matching"]


class Matched(Stream):
    """The rows of a stream with its columns at the places that a schema has for these names.

    Columns that the stream lacks are missing in a dense schema and 0 in a sparse one (of a nominal feature: its first
    value). Labels that the schema lacks are appended to it; features are, too, or are left out. Values of nominal
    features are matched by name; one that the schema lacks is `(other)` where it has that, else missing.

    Parameters
    ----------
    inner
        The stream, as it is after its limit, order and delay.
    schema
        Where columns have their places; it grows while the stream is read.
    new_features
        Whether features that it lacks are appended.

    Raises
    ------
    DataError
        While iterating: a feature is numeric here and nominal there, or no feature is in both.
    """

    def __init__(self, inner: Stream, schema: Schema, *, new_features: bool = True) -> None:
        self.inner, self.new_features = inner, new_features
        self.schema, self.name = schema, inner.name
        self.n_instances, self.grows = inner.n_instances, getattr(inner, "grows", False)
        self.notes = getattr(inner, "notes", ())
        self._sizes = schema.n_features, schema.n_labels
        self.matching: Matching | None = None

    @property
    def skipped(self) -> Skipped:  # type: ignore[override]
        """The inner stream's."""
        return self.inner.skipped

    def __iter__(self) -> Iterator[Batch]:
        """The inner stream's batches."""
        return self._matched(self.inner)

    def pieces(self) -> Iterator[Batch]:
        """The inner stream's pieces."""
        return self._matched(self.inner.pieces())

    def _matched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        self.matching = None
        for batch in batches:
            if self.matching is None:
                self.matching = Matching(
                    batch.schema, self.schema, sizes=self._sizes, new_features=self.new_features, source=self.name
                )
            yield self.matching.batch(batch)


class Matching:
    """Where the columns of one schema are in another.

    Parameters
    ----------
    schema, target
        The stream's, and the one that its columns are to be at the places of.
    sizes
        Features and labels that the target had before any stream was matched with it.
    new_features
        Whether features that the target lacks are appended to it; labels are in any case.
    source
        The stream's name, for messages.

    Attributes
    ----------
    columns, labels
        For each feature and label of the stream so far its place in the target, int64; -1: left out.
    lost
        Values of nominal features that the target lacks, and that are missing therefore.
    others
        Those that are `(other)` there.
    appearing
        Whether columns appear while the stream is read: that one has not is then nothing to tell.
    """

    def __init__(
        self, schema: Schema, target: Schema, *, sizes: tuple[int, int], new_features: bool, source: str
    ) -> None:
        self.schema, self.target, self.sizes = schema, target, sizes
        self.new_features, self.source = new_features, source
        self.columns, self.labels = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        # of a nominal feature the target's positions of its values, from `starts` on; numeric ones have none
        self._starts, self._codes = np.zeros(0, dtype=np.int64), np.zeros(0)
        self._defaults = np.zeros(0, dtype=np.float32)
        self._other = np.zeros(0)  # the target's position of `(other)`, NaN where it has none
        self.lost = self.others = 0
        self.appearing = False
        ours, theirs = ([feature.name for feature in s.features] for s in (schema, target))
        # where columns appear as they come: of the rows read ahead, whatever the batch has of them
        if ours and theirs and set(ours).isdisjoint(theirs):
            problem = "no feature is one of the model's"
            raise DataError(problem, source=source, expected=listed(theirs, 3), found=listed(ours, 3))

    @property
    def missing(self) -> int:
        """Features that the target had at first and that the stream has not shown."""
        return self.sizes[0] - int(np.count_nonzero((self.columns >= 0) & (self.columns < self.sizes[0])))

    @property
    def unknown(self) -> int:
        """Features of the stream that the target had not at first."""
        return int(np.count_nonzero((self.columns < 0) | (self.columns >= self.sizes[0])))

    @property
    def labels_met(self) -> int:
        """Labels that the target had at first and that the stream has shown."""
        return int(np.count_nonzero(self.labels < self.sizes[1]))

    def told(self) -> list[str]:
        """What does not match, a line each."""
        return self.columns_told() + self.values_told()

    def columns_told(self) -> list[str]:
        """The part of it that is about columns: known after the first batch, unless columns appear."""
        lines = []
        if self.missing and not self.appearing:
            means = "0" if self.target.sparse else "missing values"
            places = set(self.columns.tolist())
            names = [f.name for at, f in enumerate(self.target.features[: self.sizes[0]]) if at not in places]
            lines.append(
                f"features of the model that are not in the stream: {self.missing:,} of {self.sizes[0]:,} ({means}): "
                f"{listed(names, 5)}"
            )
        if self.unknown:
            what = "new to it" if self.new_features else "left out"
            new = np.flatnonzero((self.columns < 0) | (self.columns >= self.sizes[0]))
            names = [self.schema.features[at].name for at in new.tolist()]
            lines.append(
                f"features of the stream that are not the model's: {self.unknown:,} ({what}): {listed(names, 5)}"
            )
        return lines

    def values_told(self) -> list[str]:
        """The part of it that is about values: known when all are read."""
        found = ((self.lost, "missing values"), (self.others, OTHER))
        counts = [f"{count:,} ({what})" for count, what in found if count]
        return [f"values of nominal features that are not the model's: {', '.join(counts)}"] if counts else []

    def batch(self, batch: Batch) -> Batch:
        """The same rows in the target's columns."""
        self._extend(batch.n_features, batch.n_labels)
        self.appearing = batch.known is not None
        n_features, n_labels, known = self.target.n_features, self.target.n_labels, None
        if batch.known is not None:
            n_features, n_labels = self._shown(batch.n_features, batch.n_labels)
            known = self._shown(*batch.known)
        x_indptr, x_indices, x_values = self._features(batch, n_features)
        y_rows, labels = np.repeat(np.arange(len(batch)), np.diff(batch.y_indptr)), self.labels[batch.y_indices]
        order = np.lexsort((labels, y_rows))
        return replace(
            batch,
            schema=self.target,
            n_features=n_features,
            n_labels=n_labels,
            known=known,
            x_indptr=x_indptr,
            x_indices=x_indices,
            x_values=x_values,
            y_indices=labels[order].astype(np.int32),
        )

    def _shown(self, n_features: int, n_labels: int) -> tuple[int, int]:
        """Features and labels of the target up to the first so many of the stream; all that it had at first count."""
        columns, labels = self.columns[:n_features], self.labels[:n_labels]
        return max(self.sizes[0], int(columns.max(initial=-1)) + 1), max(self.sizes[1], int(labels.max(initial=-1)) + 1)

    def _extend(self, n_features: int, n_labels: int) -> None:
        """Find the places of columns that appeared since."""
        new = self.schema.features[len(self.columns) : n_features]
        if new:
            codes = [self._codes]
            starts, columns, defaults, others, filled = [], [], [], [], len(self._codes)
            for feature in new:
                at, values = self._place(feature)
                columns.append(at)
                starts.append(-1 if values is None else filled)
                there = self.target.features[at].values if 0 <= at < self.sizes[0] else None
                others.append(float(there.index(OTHER)) if there is not None and OTHER in there else np.nan)
                defaults.append(0.0 if values is None or not len(values) else values[0])
                if values is not None:
                    codes.append(values)
                    filled += len(values)
            self._codes = np.concatenate(codes)
            self._starts = np.concatenate([self._starts, np.array(starts, dtype=np.int64)])
            self.columns = np.concatenate([self.columns, np.array(columns, dtype=np.int64)])
            self._other = np.concatenate([self._other, others])
            self._defaults = np.concatenate([self._defaults, np.array(defaults, dtype=np.float32)])
        places = []
        for name in self.schema.labels[len(self.labels) : n_labels]:
            place = self.target.label_index(name)
            places.append(self.target.add_label(name) if place is None else place)
        self.labels = np.concatenate([self.labels, np.array(places, dtype=np.int64)])

    def _place(self, feature: Feature) -> tuple[int, NDArray[np.float64] | None]:
        """A feature's place, and the places of its values."""
        at = self.target.feature_index(feature.name)
        if at is None:
            at = self.target.add_feature(feature) if self.new_features else -1
        values = feature.values
        if at < 0:
            return at, None if values is None else np.arange(len(values), dtype=np.float64)
        there = self.target.features[at].values
        if (there is None) != (values is None):
            kinds = ["numeric" if v is None else f"nominal with the values {listed(v, 3)}" for v in (there, values)]
            problem = "a feature of another kind than the model's"
            raise DataError(problem, source=self.source, field=feature.name, expected=kinds[0], found=kinds[1])
        if values is None or there is None:
            return at, None
        codes = {value: float(code) for code, value in enumerate(there)}
        return at, np.array([codes.get(value, codes.get(OTHER, np.nan)) for value in values])

    def _features(
        self, batch: Batch, n_features: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """The features as CSR in the target's columns."""
        rows = np.repeat(np.arange(len(batch)), np.diff(batch.x_indptr))
        columns, values = batch.x_indices.astype(np.int64), batch.x_values
        if self.schema.sparse:  # an absent value of a nominal feature may be another one there
            restated = np.flatnonzero((self._defaults[: batch.n_features] != 0.0) & (self.columns >= 0))
            rows, columns, values = _with_absent(len(batch), rows, columns, values, restated)
        starts = self._starts[columns]
        nominal = (starts >= 0) & ~np.isnan(values)
        values = values.copy()
        values[nominal] = self._codes[starts[nominal] + values[nominal].astype(np.int64)]
        places = self.columns[columns]
        keep = places >= 0
        self.others += int(np.count_nonzero(values[nominal & keep] == self._other[columns[nominal & keep]]))
        self.lost += int(np.count_nonzero(nominal & keep & np.isnan(values)))
        if self.target.sparse:
            keep &= (values != 0.0) | ((starts < 0) & self.schema.sparse)
        rows, places, values = rows[keep], places[keep], values[keep]
        if not self.target.sparse:
            dense = np.full((len(batch), n_features), np.nan, dtype=np.float32)
            if self.schema.sparse:
                mine = self.columns[: batch.n_features]
                dense[:, mine[mine >= 0]] = self._defaults[: batch.n_features][mine >= 0]
                if batch.known is not None:  # what has not appeared yet is missing, wherever the batch ends
                    known = batch.known[0]
                    early = np.arange(len(batch))[:, None] < _first_rows(batch, known)
                    new = mine[known:]
                    dense[:, new[new >= 0]] = np.where(early, np.nan, dense[:, new])[:, new >= 0]
            dense[rows, places] = values
            indptr = np.arange(len(batch) + 1, dtype=np.int64) * n_features
            return indptr, np.tile(np.arange(n_features, dtype=np.int32), len(batch)), dense.reshape(-1)
        order = np.lexsort((places, rows))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(batch)))]).astype(np.int64)
        return indptr, places[order].astype(np.int32), values[order]


def _first_rows(batch: Batch, first: int) -> NDArray[np.int64]:
    """The row at which each feature from `first` on appears, in a batch that has all of them."""
    highest, filled = np.full(len(batch), -1, dtype=np.int64), np.flatnonzero(np.diff(batch.x_indptr))
    highest[filled] = batch.x_indices[batch.x_indptr[filled + 1] - 1]  # features of a row rise
    return np.searchsorted(np.maximum.accumulate(highest), np.arange(first, batch.n_features))


def _with_absent(
    n: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float32],
    restated: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The same cells, and those that the rows leave out of the columns `restated`, with 0: the first value."""
    if not len(restated):
        return rows, columns, values
    among = np.searchsorted(restated, columns)
    there = (among < len(restated)) & (restated[np.minimum(among, len(restated) - 1)] == columns)
    present = np.zeros((n, len(restated)), dtype=np.bool_)
    present[rows[there], among[there]] = True
    more_rows, which = np.nonzero(~present)
    return (
        np.concatenate([rows, more_rows]),
        np.concatenate([columns, restated[which]]),
        np.concatenate([values, np.zeros(len(which), dtype=np.float32)]),
    )
