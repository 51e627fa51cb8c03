"""Rows as the JSON objects that `json_lines.JsonRows` reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from stream_ml.streams.batch import Batch

__all__ = ["messages"]


def messages(batch: Batch) -> Iterator[tuple[dict[str, Any] | list[float | None], list[str] | dict[str, bool] | None]]:
    """Features and labels of each row, labels as `Batch.labels_told` has them.

    Features are a list where the schema is dense and numeric, else an object: zeros left out, nominal values as texts.

    >>> from stream_ml.streams import Feature, Schema
    >>> schema = Schema([Feature("n"), Feature("c", ("red", "blue"))], ["a", "b"])
    >>> list(messages(Batch.from_dense(schema, [[0, 1], [2.5, 0]], [[0, 1], [0, 0]])))
    [({'c': 'blue'}, ['b']), ({'n': 2.5, 'c': 'red'}, [])]
    """
    schema = batch.schema
    listed = not schema.sparse and all(not f.nominal for f in schema.features)
    names = [f.name for f in schema.features]
    x_ends, indices, values = batch.x_indptr.tolist(), batch.x_indices.tolist(), batch.x_values.tolist()
    for row, y in enumerate(batch.labels_told()):
        lo, hi = x_ends[row], x_ends[row + 1]
        x: Any
        if listed:
            x = [None if math.isnan(v) else v for v in values[lo:hi]]
        else:
            x = {}
            for j, v in zip(indices[lo:hi], values[lo:hi], strict=True):
                kinds = schema.features[j].values
                if math.isnan(v):
                    x[names[j]] = None
                elif kinds is not None:
                    x[names[j]] = kinds[int(v)]
                elif v:
                    x[names[j]] = v
        yield x, y
