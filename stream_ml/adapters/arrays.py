"""Rows and labels as arrays or scipy's sparse matrices, turned into batches; scipy is not loaded for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Partial, Predictions, label_rows
from stream_ml.streams.schema import Feature, Schema

__all__ = ["ArrayRows", "check_classes", "indicators", "is_sparse"]


def is_sparse(matrix: Any) -> bool:
    """Whether it is one of scipy's sparse matrices or arrays."""
    return hasattr(matrix, "tocsr")


class ArrayRows:
    """Makes batches of a fixed number of columns.

    Parameters
    ----------
    features, labels
        Their names.
    sparse
        Whether the schema is sparse: zeros are not stored then, and cost nothing.
    """

    def __init__(self, features: Iterable[str], labels: Iterable[str], *, sparse: bool) -> None:
        self.schema = Schema(map(Feature, features), labels, sparse=sparse, name="arrays")

    def unlabelled(self, x: Any) -> Batch:
        """Rows to be predicted; see `batch`."""
        n = x.shape[0]
        labels = np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
        return self._batch(x, *labels, np.zeros(n, dtype=np.bool_), None)

    def batch(self, x: Any, y: Any, mode: int) -> Batch:
        """Rows of which those with a known label have this mode, and the others are predicted if it says so.

        Parameters
        ----------
        x
            float32 (n, n_features), an array or a CSR matrix without duplicates.
        y
            (n, n_labels) of 0 and 1, an array with NaN where a label is not known, or a CSR matrix.

        Raises
        ------
        DataError
            `y` of another shape, or with other values.
        """
        batch = self._batch(x, *self._labels(y, x.shape[0]))
        if batch.labelled.all():
            return batch.with_mode(mode)
        if not mode & PREDICT:
            return batch.take(np.flatnonzero(batch.labelled)).with_mode(mode)
        return replace(batch, mode=np.where(batch.labelled, mode, mode & ~LEARN).astype(np.uint8))

    def _batch(
        self,
        x: Any,
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        labelled: NDArray[np.bool_],
        partial: Partial | None,
    ) -> Batch:
        batch = Batch.of_rows(self.schema, *self._features(x), y_indptr, y_indices, labelled)
        return batch if partial is None else replace(batch, partial=partial)

    def _features(self, x: Any) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        n, width = x.shape
        if not self.schema.sparse:
            values = np.ascontiguousarray(x.toarray() if is_sparse(x) else x, dtype=np.float32)
            if not values.flags.writeable:  # compiled loops are compiled for arrays that can be written to
                values = values.copy()
            indices = np.tile(np.arange(width, dtype=np.int32), n)
            return np.arange(n + 1, dtype=np.int64) * width, indices, values.reshape(-1)
        if is_sparse(x):
            return _stored(x)
        rows, columns = np.nonzero(x)
        ends = np.searchsorted(rows, np.arange(n + 1)).astype(np.int64)
        return ends, columns.astype(np.int32), x[rows, columns].astype(np.float32)

    def _labels(self, y: Any, n: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_], Partial | None]:
        width = self.schema.n_labels
        if y.shape != (n, width):
            expected = f"{n} rows, as X has, of {width} labels, as in the first call"
            raise DataError("y of another shape", expected=expected, found=f"{y.shape[0]} rows of {y.shape[1]}")
        if not is_sparse(y) or np.isnan(y.data).any():
            return label_rows(y.toarray() if is_sparse(y) else y, self.schema, n)
        indptr, indices, values = _stored(y)
        if len(values) and not (values == 1).all():
            at = int(np.argmax(values != 1))
            row, label = int(np.searchsorted(indptr, at, side="right")) - 1, self.schema.labels[int(indices[at])]
            problem = "a label that is neither 0 nor 1"
            raise DataError(problem, source=f"row {row}", field=label, expected="0 or 1", found=str(values[at]))
        return indptr, indices, np.ones(n, dtype=np.bool_), None


def check_classes(classes: Any, n_labels: int) -> None:
    """Refuse values of labels other than 0 and 1: `[0, 1]`, or such a list for each label; None is fine.

    Raises
    ------
    DataError
        They are something else.
    """
    if classes is None:
        return
    each = list(classes) if all(np.ndim(values) for values in classes) else [classes] * n_labels
    if len(each) != n_labels or not all(set(np.asarray(values).tolist()) <= {0, 1} for values in each):
        expected = f"[0, 1], or that for each of the {n_labels} labels"
        raise DataError("classes that labels do not have", field="classes", expected=expected, found=repr(classes))


def indicators(predictions: Predictions, n_labels: int) -> NDArray[np.int64]:
    """The decided label sets as 0 and 1: int64 (n, n_labels)."""
    out = np.zeros((len(predictions), n_labels), dtype=np.int64)
    out[np.repeat(np.arange(len(predictions)), np.diff(predictions.label_indptr)), predictions.label_indices] = 1
    return out


def _stored(matrix: Any) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """What a sparse matrix stores, as CSR: indices rise within a row, none is stored twice, and no zeros."""
    csr = matrix.tocsr()
    if not csr.has_canonical_format or not csr.data.all():
        csr = csr.copy()
        csr.sum_duplicates()
        csr.eliminate_zeros()
    return csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data.astype(np.float32)
