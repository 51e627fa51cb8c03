"""What was read of a stream, in a few numbers: whether it is still the same when it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import numpy as np

from stream_ml.streams.batch import Batch

__all__ = ["Fingerprint"]


class Fingerprint:
    """Running checksums (CRC-32) of the rows of a stream, however they are cut into batches.

    Examples
    --------
    >>> from stream_ml.streams import Feature, Schema
    >>> batch = Batch.from_dense(Schema([Feature("x")], ["a"]), [[1], [2], [3]], [[1], [0], [1]])
    >>> whole, parts = Fingerprint(), Fingerprint()
    >>> whole.update(batch)
    >>> for row in range(3):
    ...     parts.update(batch.rows(row, row + 1))
    >>> whole == parts, parts.facts()["rows"]
    (True, 3)
    """

    def __init__(self, facts: Mapping[str, int] | None = None) -> None:
        self._sums: dict[str, int] = dict(facts or {})

    def update(self, batch: Batch) -> None:
        """Add the rows of a batch: features, labels, modes."""
        parts = {
            "x_sizes": np.diff(batch.x_indptr),
            "x_indices": batch.x_indices,
            "x_values": batch.x_values,
            "y_sizes": np.diff(batch.y_indptr),
            "y_indices": batch.y_indices,
            "mode": batch.mode,
            "labelled": batch.labelled,
        }
        if batch.partial is not None:
            partial = batch.partial
            parts |= {"in_part": partial.rows, "absent_sizes": np.diff(partial.indptr), "absent": partial.indices}
        for name, array in parts.items():
            self._sums[name] = crc32(np.ascontiguousarray(array).view(np.uint8).data, self._sums.get(name, 0))
        self._sums["rows"] = self._sums.get("rows", 0) + len(batch)

    def facts(self) -> dict[str, int]:
        """The checksums and the number of rows, as plain values."""
        return dict(self._sums)

    def __eq__(self, other: object) -> bool:
        """Whether the same rows were added."""
        return isinstance(other, Fingerprint) and self._sums == other._sums

    __hash__ = None  # type: ignore[assignment]
