"""The similarity graph of the labels: the pairs that occurred, under both of their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.labels._cut_kernels import STATISTICS, cut_in_two
from stream_ml.labels._kernels import (
    attractions,
    best_unions,
    build_graph,
    inside_edges,
    link_groups,
    similarities,
    weight_inside,
)
from stream_ml.labels.cooccurrence import Cooccurrence
from stream_ml.labels.groups import Groups

__all__ = ["Edges", "Graph", "linked_groups"]


def linked_groups(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    weight: NDArray[np.float64],
    size: NDArray[np.int64],
    cap: int,
) -> NDArray[np.int64]:
    """Average-linkage groups of at most `cap`, each named by its lowest member.

    Edges `first < second` of positive weight, each pair once, between nodes that hold `size` labels.
    """
    group_of = np.empty(len(size), dtype=np.int64)
    link_groups(first.copy(), second.copy(), weight.copy(), size.copy(), cap, group_of)
    return group_of


@dataclass(frozen=True, slots=True)
class Edges:
    """Pairs among some labels, by their positions: int64, int64, float64, float64, shape (pairs,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    jaccard: NDArray[np.float64]
    excess: NDArray[np.float64]

    def lost(self, slot_of: NDArray[np.int64]) -> float:
        """The largest share of its excess similarity that a slot has with other slots: 0 keeps all, 1 is the worst."""
        a, b = slot_of[self.first], slot_of[self.second]
        n_slots = int(slot_of.max()) + 1
        inside = np.bincount(a[a == b], weights=self.excess[a == b], minlength=n_slots)
        across = sum(np.bincount(s[a != b], weights=self.excess[a != b], minlength=n_slots) for s in (a, b))
        return float((across / np.maximum(across + inside, 1e-300)).max(initial=0.0))

    def groups(self, n: int, cap: int) -> NDArray[np.int64]:
        """Average-linkage groups of at most `cap` of the `n` labels; each is named by its lowest member."""
        return linked_groups(self.first, self.second, self.jaccard, np.ones(n, dtype=np.int64), cap)


class Graph:
    """Similarities of all pairs of labels that occurred, at one moment.

    Independent labels meet by chance: to part them loses nothing. So beside its Jaccard similarity each pair has an
    `excess`, the part of it that is more than chance. Linkage compares averages and goes by the similarity; what a
    change of the partition would lose or gain is a sum over many pairs, where chance adds up, and goes by the excess.

    Attributes
    ----------
    counts, total
        Fading number of instances with each label, float64 (labels,); of all instances.
    indptr, neighbours, jaccard, excess
        CSR: the other label of each pair, and its similarities.
    """

    __slots__ = ("_met", "_position", "counts", "excess", "indptr", "jaccard", "neighbours", "total")

    def __init__(self, statistics: Cooccurrence, total: float) -> None:
        n_labels = statistics.n_labels
        keys, stored = statistics.table()
        room = statistics.n_pairs
        low, high = np.empty((2, room), dtype=np.int64)
        near, beyond = np.empty((2, room))
        self.counts, self.total = statistics.counts(), total
        singles, unit = statistics.stored_counts()
        n = similarities(keys, stored, singles, unit, max(self.total, 1e-12), low, high, near, beyond)
        self.indptr = np.zeros(n_labels + 1, dtype=np.int64)
        self.neighbours = np.empty(2 * n, dtype=np.int64)
        self.jaccard, self.excess = np.empty((2, 2 * n))
        build_graph(low, high, near, beyond, n, self.indptr, self.neighbours, self.jaccard, self.excess)
        self._position, self._met = np.full((2, n_labels), -1, dtype=np.int64)

    def inside(self, labels: NDArray[np.int32]) -> Edges:
        """The pairs among `labels`."""
        room = int((self.indptr[labels + 1] - self.indptr[labels]).sum()) // 2
        first, second = np.empty((2, room), dtype=np.int64)
        near, beyond = np.empty((2, room))
        graph = self.indptr, self.neighbours, self.jaccard, self.excess
        n = inside_edges(*graph, labels, self._position, first, second, near, beyond)
        return Edges(first[:n], second[:n], near[:n], beyond[:n])

    def cut_in_two(
        self, labels: NDArray[np.int32], pivot: bool, evidence: float, tau: float, floor: int, max_size: int
    ) -> tuple[NDArray[np.bool_], dict[str, float]] | None:
        """The side of each of `labels` and the statistics that ask for the cut, or None; see `_cut_kernels`."""
        links = self.indptr, self.neighbours, self.jaccard, self.excess, self.counts
        sides, found = np.empty(len(labels), dtype=np.bool_), np.empty(len(STATISTICS))
        rules = pivot, evidence, tau, floor, max_size
        if not cut_in_two(*links, labels, self._position, self._met, *rules, sides, found):
            return None
        return sides, dict(zip(STATISTICS, found.tolist(), strict=True))

    def pulls(self, label: int, slot_of: NDArray[np.int64], n_slots: int) -> NDArray[np.float64]:
        """Summed excess of a label's pairs with the labels of each slot (-1: none), float64 (n_slots,)."""
        lo, hi = self.indptr[label], self.indptr[label + 1]
        slots = slot_of[self.neighbours[lo:hi]]
        out = np.zeros(n_slots)
        np.add.at(out, slots[slots >= 0], self.excess[lo:hi][slots >= 0])
        return out

    def unions(
        self, groups: Groups, max_size: int, least_share: float
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Of each cluster its own excess, the cluster that it fits best (-1: none), and the excess between the two."""
        n = len(groups.ids)
        inside = self.weight_inside(self.excess, groups.slot_of, n)
        partner, gain = np.empty(n, dtype=np.int64), np.empty(n)
        links, parts = (self.indptr, self.neighbours, self.excess), (groups.starts, groups.members)
        best_unions(*links, groups.slot_of, *parts, max_size, least_share, inside, partner, gain)
        return inside, partner, gain

    def attractions(self, groups: Groups) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Of each label its excess with its own cluster, the slot of the other one with most (-1: none), and that."""
        n = len(groups.slot_of)
        home, best, there = np.empty(n), np.empty(n, dtype=np.int64), np.empty(n)
        links = self.indptr, self.neighbours, self.excess
        attractions(*links, groups.slot_of, len(groups.ids), home, best, there)
        return home, best, there

    def weight_inside(
        self, weight: NDArray[np.float64], slot_of: NDArray[np.int64], n_slots: int
    ) -> NDArray[np.float64]:
        """Summed weight of the pairs inside each slot (-1: none), float64 (n_slots,)."""
        inside = np.zeros(n_slots)
        weight_inside(self.indptr, self.neighbours, weight, slot_of, inside)
        return inside

    def excess_inside(self, slot_of: NDArray[np.int64]) -> float:
        """Summed excess of the pairs inside slots; labels with slot -1 left out."""
        return float(self.weight_inside(self.excess, slot_of, int(slot_of.max()) + 1).sum())

    def kept_beyond_random(self, slot_of: NDArray[np.int64], total: float) -> float:
        """Share of the excess `total` that is kept, less what random clusters of these sizes would keep (-1 left out).

        Without the latter, fewer and larger clusters would always be better.
        """
        size = np.bincount(slot_of[slot_of >= 0])
        n = int(size.sum())
        return self.excess_inside(slot_of) / max(total, 1e-12) - float((size * (size - 1)).sum()) / (n * (n - 1))

    def similarity_kept(self, cluster_of: NDArray[np.int32]) -> float:
        """Share of the summed similarity of all pairs that lies inside clusters; 1 when there is none."""
        slot_of = np.unique(cluster_of, return_inverse=True)[1]
        total = float(self.jaccard.sum()) / 2
        inside = float(self.weight_inside(self.jaccard, slot_of, int(slot_of.max()) + 1).sum())
        return min(1.0, inside / total) if total > 0 else 1.0
