"""What a batch must be to be learned, and which of its rows' labels what learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError
from stream_ml.streams.batch import LEARN, Batch, Partial

__all__ = ["check_kinds", "check_positions", "running_highest", "without_scored_labels"]


def without_scored_labels(batch: Batch) -> Batch:
    """The batch without the labels of rows that are not learned: they are the evaluator's, and may be new here."""
    learns = (batch.mode & LEARN) != 0
    if learns.all():
        return batch
    sizes = np.diff(batch.y_indptr)
    y_indptr = np.zeros(len(batch) + 1, dtype=np.int64)
    np.cumsum(np.where(learns, sizes, 0), out=y_indptr[1:])
    partial = None if batch.partial is None else batch.partial._replace(rows=batch.partial.rows & learns)
    return replace(batch, y_indptr=y_indptr, y_indices=batch.y_indices[np.repeat(learns, sizes)], partial=partial)


def running_highest(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], rows: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The highest index of some of the rows up to each row, -1 before any: int64 (n,).

    >>> running_highest(np.array([0, 2, 2, 3]), np.array([4, 1, 7]), np.array([True, True, True])).tolist()
    [4, 4, 7]
    """
    highest = np.full(len(rows), -1, dtype=np.int64)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        highest[filled] = np.maximum.reduceat(indices, indptr[filled])
    highest[~rows] = -1
    return np.maximum.accumulate(highest)


def check_kinds(arities: NDArray[np.int32], known: NDArray[np.int32]) -> None:
    """Refuse features of other kinds than those of these positions that are known; arities as of `Schema.arities`.

    Raises
    ------
    DataError
        One is nominal here and numeric there.
    """
    both = min(len(arities), len(known))
    if ((arities[:both] > 0) != (known[:both] > 0)).any():
        raise DataError("a feature was numeric before and is nominal now, or the reverse", hint="use a new model")


def check_positions(batch: Batch) -> None:
    """Refuse positions that the schema does not have: compiled loops trust them.

    Raises
    ------
    DataError
        Such a position, an infinite value, or labels known in part that contradict themselves.
    """
    for name, indices, n, limit in (
        ("feature", batch.x_indices, batch.n_features, batch.schema.n_features),
        ("label", batch.y_indices, batch.n_labels, batch.schema.n_labels),
    ):
        highest = max(n - 1, int(indices.max(initial=-1)))
        if highest >= limit or int(indices.min(initial=0)) < 0:
            raise DataError(f"a {name} that the schema lacks", expected=f"0 to {limit - 1}", found=str(highest))
    if batch.partial is not None:
        _check_partial(batch, batch.partial)
    if np.isinf(batch.x_values).any():
        raise DataError("an infinite value", expected="finite numbers, or NaN where a value is missing", found="inf")


def _check_partial(batch: Batch, partial: Partial) -> None:
    """Refuse labels that are present and absent in one row, as well as labels that are no labels."""
    highest = int(partial.indices.max(initial=-1))
    if highest >= batch.schema.n_labels or int(partial.indices.min(initial=0)) < 0:
        expected = f"0 to {batch.schema.n_labels - 1}"
        raise DataError("a label that the schema lacks", expected=expected, found=str(highest))
    rows = [np.repeat(np.arange(len(batch)), np.diff(indptr)) for indptr in (batch.y_indptr, partial.indptr)]
    n = batch.schema.n_labels
    both = np.intersect1d(rows[0] * n + batch.y_indices, rows[1] * n + partial.indices)
    if len(both):
        row, label = divmod(int(both[0]), n)
        name = batch.schema.labels[label]
        raise DataError("a label that is both present and absent", source=f"row {row}", field=name)
    wrong = (partial.rows & ~batch.labelled) | (~partial.rows & (np.diff(partial.indptr) > 0))
    if wrong.any():
        source = f"row {int(np.argmax(wrong))}"
        raise DataError("labels known to be absent in a row that is not labelled in part", source=source)
