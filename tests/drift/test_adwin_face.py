"""What `Adwin` shows besides detections: the count of changes and the variance of the window."""

from __future__ import annotations

import numpy as np
import pytest
from river.drift import ADWIN

from stream_ml.drift import Adwin, adwin_mean, adwin_update, adwin_variance, adwin_width, new_bank


def steps(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, 0.2, 700) for mean in (0.2, 0.8, 0.3, 0.9)])


def test_count_goes_on_over_all_changes():
    one, many = Adwin(), Adwin()
    positions = many.update_many(steps())
    assert len(positions) >= 3
    assert sum(one.update(value) for value in steps()) == one.n_detections == many.n_detections == len(positions)
    many.update_many(np.full(3000, 0.9))
    before = many.n_detections
    many.update_many(np.full(200, 9.0))
    assert many.n_detections == before + 1


def test_variance_is_rivers_over_the_width():
    ours, river = Adwin(), ADWIN()
    assert ours.variance == 0.0
    for value in steps(1).tolist():
        ours.update(value)
        river.update(value)
        # river 0.26.1 gives the sum of squared deviations by that name
        assert ours.variance == pytest.approx(river.variance / river.width, rel=1e-9, abs=1e-12)
    assert ours.n_detections >= 3


def test_readers_of_a_bank_are_those_of_the_detector():
    bank, detector = new_bank(3), Adwin()
    for value in steps(2)[:900].tolist():
        adwin_update(bank, 2, value, 0.002, 32, 5, 5, 10)
        detector.update(value)
    read = [float(reader(bank, 2)) for reader in (adwin_width, adwin_mean, adwin_variance)]
    assert read == [detector.width, detector.estimation, detector.variance]
    assert [float(reader(bank, 0)) for reader in (adwin_width, adwin_mean, adwin_variance)] == [0.0, 0.0, 0.0]


def test_count_is_saved_and_restored():
    values = steps(3)
    whole, first, second = Adwin(), Adwin(), Adwin()
    whole.update_many(values)
    first.update_many(values[:1500])
    assert first.n_detections > 0
    second.load_state_dict({name: array.copy() for name, array in first.state_dict().items()})
    assert second.n_detections == first.n_detections
    second.update_many(values[1500:])
    assert second.n_detections == whole.n_detections > first.n_detections


def test_loaded_count_is_a_copy():
    source, target = Adwin(), Adwin()
    source.update_many(steps(4))
    target.load_state_dict(source.state_dict())
    kept = target.n_detections
    source.update_many(np.full(3000, 0.9))
    source.update_many(np.full(200, 9.0))
    assert source.n_detections > target.n_detections == kept


def test_state_without_a_count_is_refused_and_changes_nothing():
    source, target = Adwin(), Adwin()
    source.update_many(steps(5))
    state = source.state_dict()
    del state["n_detections"]
    with pytest.raises(KeyError, match="n_detections"):
        target.load_state_dict(state)
    with pytest.raises(ValueError, match="n_detections: expected int64 of shape"):
        target.load_state_dict({**source.state_dict(), "n_detections": np.zeros(2, dtype=np.int64)})
    assert (target.width, target.n_detections) == (0, 0)
