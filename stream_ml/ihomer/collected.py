"""What is said of the blocks of a batch, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions import LIKELY, Objective, joined
from stream_ml.streams.batch import Batch, Likely, Predictions

__all__ = ["DENSE_LABELS", "Collected", "LabelSets"]

DENSE_LABELS = 4096
"""Labels up to which there are probabilities of all labels, also where gates found the likely ones."""

LabelSets = tuple[NDArray[np.int64], NDArray[np.int32]]


class Collected:
    """The predictions of a batch, block by block: of all labels, or of those that gates find likely."""

    def __init__(self, objectives: Sequence[Objective], batch: Batch) -> None:
        self._parts: dict[Objective, list[LabelSets]] = {name: [] for name in objectives}
        self._rows, self._labels = len(batch), batch.n_labels
        self._dense: NDArray[np.float32] | None = None
        self._likely: Likely | None = None
        self._first_likely = 0

    def take_all(self, start: int, probabilities: NDArray[np.float32], decided: Mapping[Objective, LabelSets]) -> None:
        """Rows from `start` on, of all labels that are known."""
        if self._dense is None:
            self._dense = np.zeros((self._rows, self._labels), dtype=np.float32)
        stop = start + len(probabilities)
        self._dense[start:stop, : probabilities.shape[1]] = probabilities[:, : self._labels]
        self._take(decided)

    def take_likely(self, start: int, likely: Likely, decided: Mapping[Objective, LabelSets]) -> None:
        """Rows from `start` on, of their likely labels."""
        if self._likely is None:
            self._likely = Likely(
                np.zeros(self._rows, dtype=np.int32),
                np.zeros((self._rows, LIKELY), dtype=np.int32),
                np.zeros((self._rows, LIKELY), dtype=np.float32),
            )
            self._first_likely = start
        for whole, part in zip(self._likely, likely, strict=True):
            whole[start : start + len(part)] = part
        self._take(decided)

    def _take(self, decided: Mapping[Objective, LabelSets]) -> None:
        for name, part in decided.items():
            self._parts[name].append(part)

    def predictions(self) -> Predictions:
        """Label sets by objective, the first one's in front, with the probabilities."""
        sets = {name: joined(parts, self._rows) for name, parts in self._parts.items()}
        first, *others = sets
        alternatives = {str(name): sets[name] for name in others}
        if self._likely is None:
            dense = self._dense if self._dense is not None else np.zeros((self._rows, self._labels), dtype=np.float32)
            return replace(sets[first], probabilities=dense, alternatives=alternatives)
        if self._dense is not None:
            self._add_dense(self._dense[: self._first_likely])
        dense_too = self._likely.dense(self._labels) if self._labels <= DENSE_LABELS else None
        if dense_too is not None and self._dense is not None:
            dense_too[: self._first_likely] = self._dense[: self._first_likely]
        return replace(sets[first], probabilities=dense_too, alternatives=alternatives, likely=self._likely)

    def _add_dense(self, probabilities: NDArray[np.float32]) -> None:
        """The likely labels of the first rows, of which all were looked at."""
        assert self._likely is not None
        most = min(LIKELY, probabilities.shape[1])
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]
        n = len(probabilities)
        self._likely.labels[:n, :most] = order
        self._likely.probabilities[:n, :most] = np.take_along_axis(probabilities, order, axis=1)
        self._likely.sizes[:n] = np.count_nonzero(self._likely.probabilities[:n] > 0.0, axis=1)
