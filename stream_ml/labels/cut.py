"""Cutting one cluster in two, and the statistics that say whether to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.labels._kernels import merge_groups, pivot_sides

__all__ = ["Cut", "cut_cluster"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A cluster's dissimilarities, the evidence behind the largest, and two sides with what is lost between them.

    `sides` is bool (labels,); `lost` the share of the cluster's similarity above chance that lies between them.
    """

    d0: float
    d1: float
    d2: float
    mean: float
    evidence: float
    sides: NDArray[np.bool_]
    lost: float

    def reason(self) -> dict[str, float]:
        """The statistics, for an event."""
        names = ("d0", "d1", "d2", "mean", "evidence", "lost")
        return {name: float(getattr(self, name)) for name in names}


def cut_cluster(
    similarity: NDArray[np.float64],
    excess: NDArray[np.float64],
    counts: NDArray[np.float64],
    how: str,
    floor: int,
    ceiling: int,
) -> Cut | None:
    """The best cut of a cluster, or None where labels that occurred do not suffice for one.

    Parameters
    ----------
    similarity
        Jaccard similarities, float64 (k, k), symmetric, diagonal ignored.
    excess
        How much of them is more than chance: what a cut should keep inside.
    counts
        Fading number of instances with each label, float64 (k,).
    how
        `similarity` or `pivot`.
    floor, ceiling
        Smallest side; size that a cluster should not exceed.
    """
    k = len(counts)
    seen = np.flatnonzero(counts > 0)
    if len(seen) < 2:
        return None
    rows, columns = np.triu_indices(len(seen), 1)
    rows, columns = seen[rows], seen[columns]
    distance = 1.0 - similarity[rows, columns]
    evidence = counts[rows] + counts[columns]
    evidence = evidence / (1.0 + similarity[rows, columns])  # |i or j| = (n_i + n_j) / (1 + J)
    # of equally distant pairs (most never meet) the one with most evidence speaks
    far = np.lexsort((-evidence, -distance))[:2] if k > 2 else np.zeros(1, dtype=np.int64)
    sides = np.zeros(k, dtype=np.bool_)
    if k == 2:
        sides[1] = True
    elif how == "pivot":
        pivot_sides(similarity, int(rows[far[0]]), int(columns[far[0]]), sides)
    else:
        sides = _similar_sides(excess, floor, ceiling)
    smaller = min(int(sides.sum()), k - int(sides.sum()))
    if smaller < floor:
        return None
    upper = np.triu(excess, 1)
    total = upper.sum()
    lost = float(upper[sides[:, None] != sides[None, :]].sum() / total) if total > 0 else 0.0
    d1 = float(distance[far[0]])
    d2 = float(distance[far[1]]) if len(far) > 1 else d1
    return Cut(float(distance.min()), d1, d2, float(distance.mean()), float(evidence[far[0]]), sides, lost)


def _similar_sides(similarity: NDArray[np.float64], floor: int, ceiling: int) -> NDArray[np.bool_]:
    """Two sides of similar labels: groups by average linkage, none over two thirds, dealt out to the side they fit.

    Groups go from the largest to the smallest, each to the side it is more similar to unless that is full; so sides
    stay balanced, and a hierarchy of cuts is as deep as the logarithm of the label space.
    """
    k = len(similarity)
    cap = max(k - floor, 1) if k <= ceiling else min(max(ceiling, (k + 1) // 2), max(k - floor, 1))
    sums, group_of = similarity.copy(), np.zeros(k, dtype=np.int64)
    merge_groups(sums, cap, group_of)
    groups, size = np.unique(group_of, return_counts=True)
    order = np.lexsort((groups, -size))
    first = np.flatnonzero(group_of == groups[order[0]])
    side = np.zeros(k, dtype=np.int8)
    side[first] = 1
    filled = [0, len(first), 0]
    room = max(cap, (2 * k) // 3)
    for g in order[1:].tolist():
        members = group_of == groups[g]
        pull = [float(similarity[members][:, side == s].sum()) for s in (1, 2)]
        prefer = 1 if pull[0] > pull[1] else 2
        if pull[0] == pull[1]:
            prefer = 1 if filled[1] < filled[2] else 2
        if filled[prefer] + size[g] > room:
            prefer = 3 - prefer
        side[members] = prefer
        filled[prefer] += int(size[g])
    return side == 2
