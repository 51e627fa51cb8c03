"""Label sets have the frequencies and the dependence that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from stream_ml.errors import ConfigError
from stream_ml.simulation.dependence import LabelSets, both_positive, correlation_of, grouped, of_theta

quick = settings(deadline=None, derandomize=True, max_examples=30)
chance = st.floats(0.02, 0.9)
N = 60_000


@quick
@given(chance, chance, st.floats(-0.95, 0.95))
def test_both_positive_is_the_bivariate_normal(p, q, rho):
    expected = multivariate_normal.cdf([norm.ppf(p), norm.ppf(q)], cov=[[1, rho], [rho, 1]])
    assert both_positive(p, q, rho) == pytest.approx(expected, abs=1e-5)


@quick
@given(chance, chance, st.floats(0.05, 0.95))
def test_a_correlation_gives_the_conditional_frequency(p, q, share):
    low, high = max(0.0, (p + q - 1) / q), min(1.0, p / q)
    wanted = low + share * (high - low)
    assert both_positive(p, q, correlation_of(p, q, wanted)) / q == pytest.approx(wanted, abs=0.01)


@quick
@given(st.integers(0, 99), st.floats(0.3, 0.9))
def test_groups_may_change_and_frequencies_stay(seed, together):
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.1, 0.2, 6)
    groups = np.repeat([0, 1], 3)
    sets = [grouped(frequency, g, together) for g in (groups, rng.permutation(groups))]
    error = 4 * np.sqrt(0.25 / N)
    for label_sets in [*sets, sets[0].mixed(sets[1], 0.4)]:
        y = label_sets.draw(np.random.default_rng(seed), N)
        np.testing.assert_allclose(y.mean(axis=0), frequency, atol=error)
        assert y.sum(axis=1).mean() == pytest.approx(frequency.sum(), abs=6 * error)
        counted = (y.T.astype(float) @ y) / y.sum(axis=0)
        np.testing.assert_allclose(counted, label_sets.theta(), atol=0.04)


def test_theta_is_respected_pair_by_pair():
    frequency = np.array([0.3, 0.2, 0.2])
    asked = [[None, 0.9, None], [None, None, 0.05], [None, None, None]]
    y = of_theta(frequency, asked).draw(np.random.default_rng(1), N)
    both = y.T.astype(float) @ y / y.sum(axis=0)
    assert both[0, 1] == pytest.approx(0.9, abs=0.02)
    assert both[1, 2] == pytest.approx(0.05, abs=0.02)
    assert both[0, 2] == pytest.approx(0.3, abs=0.05)  # independent
    np.testing.assert_allclose(y.mean(axis=0), frequency, atol=0.01)


@pytest.mark.parametrize(
    ("theta", "message"),
    [
        ([[None, 0.5]], "expected 2 rows of 2"),
        ([[None, 0.9], [None, None]], "cannot have chance 0.9"),
        ([[None, 0.5], [0.9, None]], "disagree"),
    ],
)
def test_what_cannot_be_is_told(theta, message):
    with pytest.raises(ConfigError, match=message):
        of_theta(np.array([0.2, 0.5]), theta)


def test_pairs_that_cannot_be_had_together_are_told():
    never = [[None if j == k else 0.0 for k in range(4)] for j in range(4)]
    with pytest.raises(ConfigError, match="all of these at once"):
        of_theta(np.full(4, 0.5), never)


def test_certain_labels_are_certain():
    y = LabelSets(np.array([0.0, 1.0]), np.eye(2)).draw(np.random.default_rng(0), 1000)
    assert not y[:, 0].any()
    assert y[:, 1].all()
