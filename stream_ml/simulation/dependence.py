"""Label sets with given frequencies and given dependence, drawn before the features are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ConfigError

__all__ = ["LabelSets", "both_positive", "correlation_of", "grouped", "of_theta"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
TOLERANCE = 0.02
"""How far a conditional frequency may be from the one asked for, when not all can be had at once."""


@dataclass(frozen=True)
class LabelSets:
    """A distribution of label sets: a Gaussian copula, so that frequencies and dependence are free of each other.

    Each label is positive where its standard normal variable is below the quantile of its frequency; the variables are
    correlated. Whatever the correlation, the frequencies are exactly those given.

    Attributes
    ----------
    frequency
        Chance of each label, float64 (labels,), between 0 and 1.
    correlation
        float64 (labels, labels), positive semidefinite, ones on the diagonal.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @cached_property
    def _threshold(self) -> NDArray[np.float64]:
        normal = NormalDist()
        return np.array([normal.inv_cdf(p) if 0 < p < 1 else math.copysign(9, p - 0.5) for p in self.frequency])

    @cached_property
    def _factor(self) -> NDArray[np.float64]:
        values, vectors = np.linalg.eigh(self.correlation)
        return vectors * np.sqrt(np.maximum(values, 0.0))

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.bool_]:
        """`n` label sets: bool (n, labels)."""
        # not `@`: threads of a linear algebra library cost more than they save here, and may round differently
        return np.einsum("nk,jk->nj", rng.normal(size=(n, len(self.frequency))), self._factor) < self._threshold

    def theta(self) -> NDArray[np.float64]:
        """Conditional frequencies: chance of label j (row) where label k (column) is positive; 1 on the diagonal."""
        p = self.frequency
        both = [[both_positive(p[j], p[k], self.correlation[j, k]) for k in range(len(p))] for j in range(len(p))]
        theta = np.array(both) / p[None, :]
        np.fill_diagonal(theta, 1.0)
        return theta

    def mixed(self, other: LabelSets, share: float) -> LabelSets:
        """In between this distribution and another: frequencies and correlations interpolated."""
        if share in (0.0, 1.0):
            return other if share else self
        return LabelSets(
            (1 - share) * self.frequency + share * other.frequency,
            (1 - share) * self.correlation + share * other.correlation,
        )


def both_positive(p: float, q: float, correlation: float) -> float:
    """Chance that two standard normal variables of a correlation are below their quantiles p and q.

    Plackett's integral of the density over the correlation, by Gauss-Legendre.

    >>> round(both_positive(0.5, 0.5, 0.5), 6), round(both_positive(0.3, 0.2, 0.0), 6)
    (0.333333, 0.06)
    """
    h, k = NormalDist().inv_cdf(p), NormalDist().inv_cdf(q)
    bound = math.asin(max(-1.0, min(1.0, correlation)))
    angle = bound * (NODES + 1) / 2
    cos2 = np.maximum(np.cos(angle) ** 2, 1e-300)
    density = np.exp(-(h * h + k * k - 2 * h * k * np.sin(angle)) / (2 * cos2))
    return float(p * q + bound / 2 * (WEIGHTS @ density) / (2 * math.pi))


def correlation_of(p: float, q: float, conditional: float) -> float:
    """The correlation under which a label of frequency p has the chance `conditional` where one of frequency q is.

    Raises
    ------
    ConfigError
        No correlation gives it: the chance of both would be above that of the rarer, or below what overlap forces.
    """
    low, high = max(0.0, (p + q - 1) / q), min(1.0, p / q)
    if not low - 1e-9 <= conditional <= high + 1e-9:
        raise ConfigError(
            f"labels of frequency {p:.3g} and {q:.3g}: the first cannot have chance {conditional:.3g} where the second "
            f"is; expected {low:.3g} to {high:.3g}"
        )
    below, above = -0.999, 0.999
    for _ in range(60):
        middle = (below + above) / 2
        if both_positive(p, q, middle) / q < conditional:
            below = middle
        else:
            above = middle
    return (below + above) / 2


def of_theta(frequency: NDArray[np.float64], theta: Sequence[Sequence[float | None]]) -> LabelSets:
    """Label sets with conditional frequencies `theta[j][k]` of label j where label k is; None: independent.

    Of a pair, either of the two may be given; if both are, they must agree on how often both are positive.

    Raises
    ------
    ConfigError
        A wrong shape, a conditional frequency that is impossible, or ones that cannot be had together.
    """
    n = len(frequency)
    if len(theta) != n or any(len(row) != n for row in theta):
        raise ConfigError(f"theta: expected {n} rows of {n} numbers or nulls, as there are labels")
    correlation = np.eye(n)
    for j in range(n):
        for k in range(j):
            wanted = [
                (value, float(frequency[of]), float(frequency[where]))
                for value, of, where in ((theta[j][k], j, k), (theta[k][j], k, j))
                if value is not None
            ]
            both = [value * where for value, _, where in wanted]
            if both and max(both) - min(both) > 0.001:
                raise ConfigError(f"theta: [{j}][{k}] and [{k}][{j}] disagree on how often both labels are positive")
            if wanted:
                value, of, where = wanted[0]
                correlation[j, k] = correlation[k, j] = correlation_of(of, where, value)
    values, vectors = np.linalg.eigh(correlation)
    nearest = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scale = np.sqrt(np.diag(nearest))
    given = LabelSets(frequency, nearest / np.outer(scale, scale))
    if values.min() < 0:
        asked = np.array([[np.nan if t is None else t for t in row] for row in theta])
        np.fill_diagonal(asked, np.nan)
        off = np.nanmax(np.abs(given.theta() - asked))
        if off > TOLERANCE:
            raise ConfigError(f"theta: no label sets have all of these at once; the nearest are off by {off:.2f}")
    return given


def grouped(frequency: NDArray[np.float64], group_of: NDArray[np.int64], together: float) -> LabelSets:
    """Label sets whose labels go together in groups and are independent across them.

    All pairs within groups have one correlation: that by which, of two labels of the mean frequency, one has the chance
    `together` where the other is. So labels may change groups and keep their frequencies.
    """
    mean = float(np.mean(frequency))
    rho = correlation_of(mean, mean, together)
    correlation = np.where(group_of[:, None] == group_of[None, :], rho, 0.0)
    np.fill_diagonal(correlation, 1.0)
    return LabelSets(frequency, correlation)
