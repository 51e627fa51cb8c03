"""What any learner must beat: the last label set, and the most frequent one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.states import Part, Spec
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions

__all__ = ["MajorityLabelset", "NoChange"]

EMPTY = np.zeros(0, dtype=np.int32)


class NoChange:
    """Predicts the label set learned last; of labels that are not known there, what was known last.

    On streams whose neighbours resemble each other it is hard to beat (Žliobaitė, Bifet, Read, Pfahringer: Evaluation
    methods and decision theory for classification of streaming data with temporal dependence, Machine Learning 2015).
    """

    def __init__(self) -> None:
        self._last = EMPTY

    @property
    def parameters(self) -> dict[str, Any]:
        """It has none."""
        return {}

    def test_then_train(self, batch: Batch) -> Predictions:
        """For each row with PREDICT the label set of the last row before it that had LEARN."""
        batch = self._completed(batch)
        source = np.where(batch.mode & LEARN, np.arange(1, len(batch) + 1), 0)
        before = np.concatenate([[0], np.maximum.accumulate(source)])
        indptr = np.concatenate([[0], batch.y_indptr + len(self._last)])
        predictions = _copy_sets(before[:-1], indptr, np.concatenate([self._last, batch.y_indices]), batch.mode)
        if len(batch) and before[-1]:
            row = int(before[-1]) - 1
            self._last = batch.y_indices[batch.y_indptr[row] : batch.y_indptr[row + 1]].copy()
        return predictions

    def _completed(self, batch: Batch) -> Batch:
        """The batch with whole label sets: labels that are not known are as they were in the learned row before."""
        if batch.partial is None:
            return batch
        sets, last = [], self._last
        for row, mode in enumerate(batch.mode.tolist()):
            labels = batch.y_indices[batch.y_indptr[row] : batch.y_indptr[row + 1]]
            if mode & LEARN:
                if batch.partial.rows[row]:
                    absent = batch.partial.indices[batch.partial.indptr[row] : batch.partial.indptr[row + 1]]
                    labels = np.union1d(labels, np.setdiff1d(last, absent)).astype(np.int32)
                last = labels
            sets.append(labels)
        indptr = np.concatenate([[0], np.cumsum([len(s) for s in sets])]).astype(np.int64)
        return replace(batch, y_indptr=indptr, y_indices=np.concatenate(sets), partial=None)

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"last": self._last}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        self._last = part.array("last", Spec(np.int32, (part.length("last"),), 0))


class MajorityLabelset:
    """Predicts the label set that was learned most often so far; of equals, the one that got there first.

    Rows whose labels are known in part do not count.

    Parameters
    ----------
    max_sets
        Label sets counted at once. When twice as many have been met, the least frequent (of equals, the newest) are
        dropped, so memory is bounded on streams that never repeat themselves.
    """

    def __init__(self, max_sets: int = 100_000) -> None:
        self.max_sets = max_sets
        self._counts: dict[bytes, int] = {}
        self._best = EMPTY.tobytes()
        self._best_count = 0

    @property
    def parameters(self) -> dict[str, Any]:
        """Its settings."""
        return {"max_sets": self.max_sets}

    def test_then_train(self, batch: Batch) -> Predictions:
        """For each row with PREDICT the majority label set of all rows before it that had LEARN."""
        sets, which = [self._best], np.empty(len(batch), dtype=np.int64)
        data, starts, counts = batch.y_indices.tobytes(), (batch.y_indptr * 4).tolist(), self._counts
        for row, mode in enumerate(batch.with_whole_sets().mode.tolist()):
            which[row] = len(sets) - 1
            if not mode & LEARN:
                continue
            key = data[starts[row] : starts[row + 1]]
            count = counts.get(key, 0) + 1
            counts[key] = count
            if count > self._best_count:
                self._best_count = count
                if key != self._best:
                    self._best = key
                    sets.append(key)
            if len(counts) > 2 * self.max_sets:
                kept = sorted(counts.items(), key=lambda item: -item[1])[: self.max_sets]
                counts = self._counts = dict(kept)
        indptr = np.concatenate([[0], np.cumsum([len(s) // 4 for s in sets])])
        return _copy_sets(which, indptr, np.frombuffer(b"".join(sets), dtype=np.int32), batch.mode)

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name: the counted label sets as CSR in the order they are kept, their counts, and the majority."""
        return {
            "indptr": np.cumsum([0, *(len(key) // 4 for key in self._counts)], dtype=np.int64),
            "indices": np.frombuffer(b"".join(self._counts), dtype=np.int32),
            "counts": np.array(list(self._counts.values()), dtype=np.int64),
            "best": np.frombuffer(self._best, dtype=np.int32),
            "best_count": np.array([self._best_count], dtype=np.int64),
        }

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, n = Part.of(state), Part.of(state).length("indices")
        indices = part.array("indices", Spec(np.int32, (n,), 0))
        indptr = part.array("indptr", Spec(np.int64, (part.length("indptr"),), 0, n))
        part.pointers("indptr", indptr, n)
        counts = part.array("counts", Spec(np.int64, (len(indptr) - 1,), 0))
        data = indices.tobytes()
        keys = [data[4 * a : 4 * b] for a, b in pairwise(indptr.tolist())]
        self._counts = dict(zip(keys, counts.tolist(), strict=True))
        self._best = part.array("best", Spec(np.int32, (part.length("best"),), 0)).tobytes()
        self._best_count = part.whole("best_count", 0)


def _copy_sets(
    which: NDArray[np.int64], indptr: NDArray[np.int64], indices: NDArray[np.int32], mode: NDArray[np.uint8]
) -> Predictions:
    """Row r predicts set `which[r]` of the CSR `indptr`, `indices`, if it has PREDICT."""
    sizes = np.where(mode & PREDICT, indptr[which + 1] - indptr[which], 0)
    out = np.zeros(len(which) + 1, dtype=np.int64)
    np.cumsum(sizes, out=out[1:])
    places = np.arange(out[-1]) - np.repeat(out[:-1], sizes) + np.repeat(indptr[which], sizes)
    return Predictions(out, indices[places].astype(np.int32))
