"""Arrays that users give, checked: what is wrong is told by row and name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError
from stream_ml.streams.numbers import TOO_LARGE
from stream_ml.streams.schema import Schema

__all__ = ["csr_of", "features_of", "labels_of"]


def features_of(x: Any, schema: Schema) -> NDArray[np.float32]:
    """`x` as (n, n_features) float32; NaN is a missing value.

    Raises
    ------
    DataError
        Another shape than the schema has, a value that is no number, that single precision does not hold, or that a
        nominal feature does not have.
    """
    values = _matrix(x, "x", "numbers")
    if values.shape[1] != schema.n_features:
        expected = f"{schema.n_features} columns, as the schema has features"
        raise DataError("x of another width", expected=expected, found=str(values.shape[1]))
    wrong = ~(np.abs(values) < TOO_LARGE) & ~np.isnan(values)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        problem = "an infinite value" if np.isinf(values[row, column]) else "too large for single precision"
        raise _cell(problem, row, schema.features[column].name, "a number up to 3.4e38, or NaN", values[row, column])
    arities = schema.arities()
    for column in np.flatnonzero(arities).tolist():
        given, limit = values[:, column], int(arities[column])
        wrong = ~np.isnan(given) & ((given < 0) | (given >= limit) | (given != np.floor(given)))
        if wrong.any():
            row = int(np.argmax(wrong))
            expected = f"a position from 0 to {limit - 1} in its list of values"
            raise _cell("not a nominal value", row, schema.features[column].name, expected, given[row])
    return np.ascontiguousarray(values, dtype=np.float32)


def labels_of(y: Any, schema: Schema, n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels of `y` are positive, and which are not known (NaN): bool (n, n_labels) each.

    Raises
    ------
    DataError
        Another shape than the schema and the `n` rows of features have, or a value that is neither 0 nor 1 nor NaN.
    """
    values = _matrix(y, "y", "0 and 1")
    if values.shape != (n, schema.n_labels):
        expected = f"{n} rows, as x has, of {schema.n_labels} labels, as the schema has"
        raise DataError("y of another shape", expected=expected, found=f"{len(values)} rows of {values.shape[1]}")
    unknown = np.isnan(values)
    wrong = (values != 0) & (values != 1) & ~unknown
    if wrong.any():
        row, label = np.argwhere(wrong)[0].tolist()
        raise _cell("a label that is neither 0 nor 1", row, schema.labels[label], "0 or 1, or NaN", values[row, label])
    return values == 1, unknown


def csr_of(cells: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where a table is true, as CSR: `indptr` (rows + 1,), `indices`."""
    rows, columns = np.nonzero(cells)
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(cells)))])
    return ends.astype(np.int64), columns.astype(np.int32)


def _matrix(given: Any, name: str, of: str) -> NDArray[np.float64]:
    """Rows and columns of numbers."""
    try:
        raw = np.asarray(given)
        if raw.dtype.kind not in "biufO":  # numpy would read texts as numbers, and drop imaginary parts
            raise TypeError(f"it holds {raw.dtype.name}")
        values = np.asarray(raw, dtype=np.float64)
        # what is masked is missing, not what lies below the mask; to look for it loads numpy's masked arrays
        if type(given) is not np.ndarray and isinstance(given, np.ma.MaskedArray):
            values = np.where(np.ma.getmaskarray(given), np.nan, values)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is no array of {of}: {error}") from error
    if values.ndim != 2:
        dimensions = f"{values.ndim} dimension{'s' * (values.ndim != 1)}"
        raise DataError(f"{name} of another form", expected="rows and columns", found=dimensions)
    return values


def _cell(problem: str, row: int, field: str, expected: str, found: Any) -> DataError:
    return DataError(problem, source=f"row {row}", field=field, expected=expected, found=str(found))
