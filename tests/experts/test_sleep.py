"""Which experts sleep, and when they wake."""

from __future__ import annotations

import numpy as np

from stream_ml.experts import SleepSchedule

GAINS = np.array([1e-5, 1e-4, 0.1, 1e-6])


def test_the_least_useful_sleeps_one_at_a_time_and_is_tried_again():
    schedule = SleepSchedule([True, True, True, False])
    assert schedule.review(900, GAINS) == ([], [])
    assert schedule.review(1000, GAINS) == ([0], [])
    assert schedule.awake.tolist() == [False, True, True, True]
    assert schedule.review(2000, GAINS) == ([1], [])
    assert schedule.review(3000, GAINS) == ([], [])
    assert schedule.review(5000, GAINS) == ([], [0])
    assert schedule.review(6000, GAINS) == ([0], [1])  # awake for one review, and still of no use


def test_a_drift_wakes_all():
    schedule = SleepSchedule([True, True, True, False])
    schedule.review(1000, GAINS)
    assert schedule.wake_all(1500) == [0]
    assert schedule.awake.all()
    assert schedule.review(2000, GAINS) == ([1], [])  # the first has been awake for 500 instances only


def test_resume():
    schedule = SleepSchedule([True, True, True, False])
    schedule.review(1000, GAINS)
    again = SleepSchedule([True, True, True, False])
    again.load_state_dict({name: array.copy() for name, array in schedule.state_dict().items()})
    for n in range(2000, 9000, 1000):
        assert again.review(n, GAINS) == schedule.review(n, GAINS)
