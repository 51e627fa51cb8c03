"""Reliability of probabilities: the compiled tallies agree with their twin, and tell good from bad probabilities."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import evaluation as twin
from streams_strategy import label_sets, unknown_sets

from stream_ml.evaluation import Calibration, prequential
from stream_ml.streams import LEARN, PREDICT, Batch, Delayed, Feature, Predictions, Schema, Stream

quick = settings(deadline=None, derandomize=True, max_examples=60)
NONE = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32)
"""No label decided."""


def pairs(p, y):
    names = [f"l{i}" for i in range(y.shape[1])]
    batch = Batch.from_dense(Schema([Feature("x")], names), np.zeros((len(y), 1)), y)
    empty = np.zeros(len(y) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    return batch, Predictions(*empty, p.astype(np.float32))


class Frequencies:
    """Says of each label its fading frequency among the rows it learned, 0 of labels beyond the highest of these."""

    parameters: ClassVar[dict] = {}

    def __init__(self):
        self.total, self.counts = 0.0, np.zeros(3)

    def test_then_train(self, batch):
        p, y = np.zeros((len(batch), 3), np.float32), batch.y_dense()
        for row, mode in enumerate(batch.mode):
            met = max(np.flatnonzero(self.counts), default=-1) + 1
            p[row, :met] = (self.counts[:met] + 0.5) / (self.total + 1.0)
            if mode & LEARN:
                self.total, self.counts = self.total * 0.999 + 1.0, self.counts * 0.999 + y[row]
        return Predictions(np.zeros(len(batch) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32), p)


class Given(Stream):
    """500 rows of three labels; the first is never positive at first, the last comes late."""

    name = "given"

    def __init__(self, batch_size):
        super().__init__(batch_size=batch_size)
        y = np.random.default_rng(5).random((500, 3)) < [0.2, 0.6, 0.1]
        y[:40, 0] = y[:90, 2] = False
        self.whole = pairs(np.zeros(y.shape), y)[0]
        self.schema = self.whole.schema

    def pieces(self):
        yield self.whole


@quick
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 12), st.booleans(), st.integers(0, 2**32 - 1))
def test_calibration_rows_twin(rows, n_labels, bins, late, seed):
    rng = np.random.default_rng(seed)
    p = rng.choice([0.0, 0.04, 0.5, 1.0, *rng.random(3)], (rows, n_labels))
    y = rng.random((rows, n_labels)) < 0.4
    unknown = (rng.random(y.shape) < 0.4) & ~(np.arange(n_labels) == seed % n_labels)
    batch, predictions = pairs(p, np.where(unknown & bool(seed % 3), np.nan, y))
    if late:
        batch.mode[:] = rng.integers(0, 4, rows)
    calibration = Calibration(bins=bins, fading=0.9)
    cut = rows // 2
    calibration.update(batch.rows(0, cut), Predictions(*NONE, predictions.probabilities[:cut]))
    again = Calibration(bins=bins, fading=0.9)
    again.load_state_dict(calibration.state_dict())
    again.update(batch.rows(cut, rows), Predictions(*NONE, predictions.probabilities[cut:]))
    modes = [(bool(mode & PREDICT), bool(mode & LEARN)) for mode in batch.mode]
    table, losses = twin.calibration_rows(
        predictions.probabilities.tolist(), label_sets(batch), unknown_sets(batch), modes, 0.05, 0.9, bins
    )
    state = again.state_dict()
    np.testing.assert_allclose(state["bins"], table, rtol=1e-9)
    np.testing.assert_allclose(state["losses"], losses, rtol=1e-6)


@pytest.mark.parametrize("delay", [0, 1, 60, 700])
def test_the_frequencies_wait_for_labels_as_a_model_does(delay):
    found = [
        prequential(Delayed(Given(size), delay) if delay else Given(size), Frequencies(), baselines=False)
        for size in (500, 7)
    ]
    one, other = (result.summary["calibration"] for result in found)
    assert one["log_loss"] == pytest.approx(one["prior_log_loss"], rel=1e-6)
    assert one == other


def test_labels_that_are_never_learned_cost_both_the_same():
    batch = pairs(np.zeros((20, 2)), np.arange(40).reshape(20, 2) % 3 == 0)[0].with_mode(PREDICT)
    calibration = Calibration()
    calibration.update(batch, Predictions(*NONE, np.zeros((20, 2), np.float32)))
    result = calibration.result()
    assert result["log_loss"] == result["prior_log_loss"] > 1


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
