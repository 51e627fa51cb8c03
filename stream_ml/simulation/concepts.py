"""What generates labels from features: concepts whose label dependence is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["GroupConcept"]


@dataclass(frozen=True, slots=True)
class GroupConcept:
    """Labels in groups that switch on together, each group by a rule over the features that differs by region.

    In the line of MOA's multi-label meta-generator (Read, Bifet, Holmes, Pfahringer, Machine Learning 2012): dependence
    between labels is made explicitly. Group `g` is on with probability `sigmoid(sharpness * (score - threshold_g))`,
    where the score is linear in the features with weights that the value of one nominal feature picks; so the concept
    is local, and a tree that tests the nominal feature finds linear problems below. A label of a group that is on is
    positive with probability `together`, of one that is off with probability `noise`.

    Attributes
    ----------
    group_of
        Group of each label, int64 (labels,).
    weights
        float64 (groups, regions, features).
    threshold
        float64 (groups,).
    region_feature
        Position of the nominal feature that picks the region of each group, int64 (groups,).
    """

    group_of: NDArray[np.int64]
    weights: NDArray[np.float64]
    threshold: NDArray[np.float64]
    region_feature: NDArray[np.int64]
    together: float = 0.9
    noise: float = 0.005
    sharpness: float = 8.0

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        *,
        n_features: int,
        group_sizes: Sequence[int],
        region_features: Sequence[int],
        n_regions: int,
        relevant: int = 4,
        threshold: float = 0.5,
    ) -> GroupConcept:
        """A concept with `relevant` random features of unit weight in all per group and region."""
        n_groups = len(group_sizes)
        weights = np.zeros((n_groups, n_regions, n_features))
        numeric = np.setdiff1d(np.arange(n_features), region_features)
        for g in range(n_groups):
            for r in range(n_regions):
                chosen = rng.choice(numeric, relevant, replace=False)
                value = rng.normal(size=relevant)
                weights[g, r, chosen] = value / np.linalg.norm(value)
        return cls(
            group_of=np.repeat(np.arange(n_groups), group_sizes),
            weights=weights,
            threshold=np.full(n_groups, threshold),
            region_feature=rng.choice(np.asarray(region_features), n_groups),
        )

    def labels(self, x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Label sets of the rows of `x` (rows, features): bool (rows, labels)."""
        rows, n_groups = len(x), len(self.threshold)
        on = np.empty((rows, n_groups))
        for g in range(n_groups):
            region = x[:, self.region_feature[g]].astype(np.int64) % self.weights.shape[1]
            score = np.einsum("ij,ij->i", x, self.weights[g][region])
            on[:, g] = self.sharpness * (score - self.threshold[g])
        # exp overflows beyond 709; at -700 the chance is 0 for all purposes
        active = rng.random((rows, n_groups)) < 1.0 / (1.0 + np.exp(-np.maximum(on, -700.0)))
        chance = np.where(active[:, self.group_of], self.together, self.noise)
        return rng.random(chance.shape) < chance

    def with_rules_of(self, other: GroupConcept, groups: Sequence[int]) -> GroupConcept:
        """This concept with the weights of some groups taken from another: a local drift of the concept.

        Thresholds and the features that pick the regions stay this concept's.
        """
        weights = self.weights.copy()
        weights[list(groups)] = other.weights[list(groups)]
        return replace(self, weights=weights)

    def with_groups(self, group_of: NDArray[np.int64]) -> GroupConcept:
        """This concept with labels regrouped: a drift of label dependence."""
        return replace(self, group_of=np.asarray(group_of, dtype=np.int64))

    def groups(self) -> list[list[int]]:
        """Labels of each group: the true partition."""
        return [np.flatnonzero(self.group_of == g).tolist() for g in range(len(self.threshold))]
