"""Gates that open where little is known of labels: rows without any, or of which only absent ones are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_ml import IHomerClassifier
from stream_ml.streams import Batch, Feature, Schema
from stream_ml.streams.batch import Partial
from stream_ml.streams.dense import csr_of

N, LATE = 600, 500


def rows_of_one_label(n_labels: int = 3) -> Batch:
    """Label 0 at first and in the last row, no label between; from row LATE on a column that makes all too many."""
    rng = np.random.default_rng(0)
    schema = Schema([Feature(f"f{j}") for j in range(20_000)], [f"l{m}" for m in range(n_labels)], sparse=True)
    columns = rng.integers(0, 50, N).astype(np.int32)
    columns[LATE:] = 19_999
    y = np.array([0, *[-1] * (N - 2), 0])
    positive = np.array([[m == label for m in range(n_labels)] for label in y])
    x = np.arange(N + 1), columns, rng.lognormal(size=N).astype(np.float32)
    return Batch.of_rows(schema, *x, *csr_of(positive), np.ones(N, dtype=np.bool_))


def known_absent(batch: Batch) -> Batch:
    """The same; of rows from LATE on only absent labels are known, but for the last row."""
    absent = np.zeros((len(batch), batch.n_labels), dtype=np.bool_)
    absent[LATE:-1, 1:] = True
    return replace(batch, partial=Partial(absent.any(axis=1), *csr_of(absent)))


@pytest.mark.parametrize("size", [N, 97])
@pytest.mark.parametrize("change", [lambda batch: batch, known_absent], ids=["complete", "in part"])
def test_no_recent_row_has_a_label(size, change):
    batch = change(rows_of_one_label())
    model = IHomerClassifier(routing={"all_labels_mb": 0.5}, experts={"window": 128})
    for start in range(0, N, size):
        said = model.test_then_train(batch.rows(start, min(N, start + size)))
    assert model.gates() is not None
    assert said.likely is not None
    assert model.gates()["labels"] == 1
    assert model.predict(batch.rows(N - 1, N)).likely.of_row(0).keys() == {0}
