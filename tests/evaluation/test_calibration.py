"""Reliability of probabilities: the compiled tallies agree with their twin, and tell good from bad probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import evaluation as twin
from streams_strategy import unknown_sets

from stream_ml.evaluation import Calibration
from stream_ml.streams import Batch, Feature, Predictions, Schema

quick = settings(deadline=None, derandomize=True, max_examples=60)


def pairs(p, y):
    names = [f"l{i}" for i in range(y.shape[1])]
    batch = Batch.from_dense(Schema([Feature("x")], names), np.zeros((len(y), 1)), y)
    empty = np.zeros(len(y) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    return batch, Predictions(*empty, p.astype(np.float32))


@quick
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_calibration_rows_twin(rows, n_labels, bins, seed):
    rng = np.random.default_rng(seed)
    p = rng.choice([0.0, 0.04, 0.5, 1.0, *rng.random(3)], (rows, n_labels))
    y = rng.random((rows, n_labels)) < 0.4
    unknown = (rng.random(y.shape) < 0.4) & ~(np.arange(n_labels) == seed % n_labels)
    batch, predictions = pairs(p, np.where(unknown & bool(seed % 3), np.nan, y))
    calibration = Calibration(bins=bins, fading=0.9)
    cut = rows // 2
    calibration.update(batch, predictions, np.arange(cut))
    again = Calibration(bins=bins, fading=0.9)
    again.load_state_dict(calibration.state_dict())
    again.update(batch, predictions, np.arange(cut, rows))
    truths = [set(batch.y_indices[a:b].tolist()) for a, b in zip(batch.y_indptr[:-1], batch.y_indptr[1:], strict=True)]
    table, losses = twin.calibration_rows(
        predictions.probabilities.tolist(), truths, unknown_sets(batch), 0.05, 0.9, bins
    )
    state = again.state_dict()
    np.testing.assert_allclose(state["bins"], table, rtol=1e-9)
    np.testing.assert_allclose(state["losses"], losses, rtol=1e-6)


def test_true_probabilities_are_calibrated_and_bold_ones_are_not():
    rng = np.random.default_rng(1)
    p = rng.random((4000, 3))
    y = rng.random((4000, 3)) < p
    true, bold = Calibration(), Calibration()
    true.update(*pairs(p, y))
    bold.update(*pairs(np.clip(2 * p - 0.5, 0, 1), y))
    good, bad = true.result(), bold.result()
    assert good["expected_calibration_error"] < 0.02
    assert bad["expected_calibration_error"] > 0.1
    assert good["log_loss"] < good["prior_log_loss"] < bad["log_loss"]
    assert good["prior_log_loss"] == pytest.approx(np.log(2), abs=0.01)
    assert sum(row["pairs"] for row in good["reliability"]) == good["pairs"]


def test_nothing_without_probabilities():
    batch, predictions = pairs(np.zeros((1, 1)), np.ones((1, 1)))
    calibration = Calibration()
    calibration.update(batch, Predictions(predictions.label_indptr, predictions.label_indices))
    assert calibration.result() == {}
