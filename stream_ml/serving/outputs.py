"""Predictions as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.serving.records import Record
from stream_ml.streams.batch import Batch, Predictions

__all__ = ["most_probable", "output_values"]

WIDE = 512
"""Labels from which on the most probable are picked out before they are sorted."""


def output_values(
    records: Sequence[Record | None],
    keys: Sequence[str | None],
    rows: Sequence[int],
    batch: Batch,
    predictions: Predictions,
    versions: NDArray[np.int64],
    most: int,
) -> list[bytes]:
    """The message of each of some rows: id, labels, probabilities, model version, and where the instance stood.

    Keys: `id` (where the instance had one), `labels`, `probabilities` (the `most` most probable labels, largest first,
    to six digits), `model_version` (instances learned before this one), `source` (`topic`, `partition`, `offset`). It
    holds nothing that another run of the same records would not say.
    """
    names = batch.schema.labels
    indptr, indices = predictions.label_indptr.tolist(), predictions.label_indices.tolist()
    values = []
    ranked = most_probable(predictions, rows, most)
    for row, (labels, chances) in zip(rows, ranked, strict=True):
        record, key = records[row], keys[row]
        assert record is not None
        message: dict[str, Any] = {} if key is None else {"id": key}
        message["labels"] = [names[m] for m in indices[indptr[row] : indptr[row + 1]]]
        if most:
            message["probabilities"] = {names[m]: p for m, p in zip(labels, chances, strict=True)}
        message["model_version"] = int(versions[row])
        message["source"] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        values.append(orjson.dumps(message))
    return values


def most_probable(predictions: Predictions, rows: Sequence[int], most: int) -> list[tuple[list[int], list[float]]]:
    """For each row its `most` most probable labels and their probabilities, largest first; ties by position, no zeros.

    Examples
    --------
    >>> p = np.array([[0.25, 0.5, 0.5, 0.0]], np.float32)
    >>> most_probable(Predictions(np.zeros(2, np.int64), np.zeros(0, np.int32), p), [0], 3)
    [([1, 2, 0], [0.5, 0.5, 0.25])]
    """
    probabilities, likely = predictions.probabilities, predictions.likely
    if likely is not None and most:
        told = [list(likely.of_row(row).items())[:most] for row in rows]
        return [([m for m, _ in row], [round(p, 6) for _, p in row]) for row in told]
    if probabilities is None or not most or not probabilities.shape[1]:
        return [([], [])] * len(rows)
    p = probabilities[np.asarray(rows, dtype=np.int64)]
    if p.shape[1] <= WIDE:
        order = np.argsort(-p, axis=1, kind="stable")[:, :most]
        chances = np.take_along_axis(p, order, axis=1)
        sizes = np.count_nonzero(chances > 0.0, axis=1).tolist()
        rounded = np.round(chances.astype(np.float64), 6).tolist()
        return [(labels[:n], values[:n]) for labels, values, n in zip(order.tolist(), rounded, sizes, strict=True)]
    result = []
    for row in p:
        least = np.partition(row, len(row) - most)[len(row) - most]
        labels = np.flatnonzero(row >= max(least, np.float32(1e-12)))
        labels = labels[np.argsort(-row[labels], kind="stable")][:most]
        values = row[labels]
        n = int(np.count_nonzero(values > 0.0))
        result.append((labels[:n].tolist(), np.round(values[:n].astype(np.float64), 6).tolist()))
    return result
