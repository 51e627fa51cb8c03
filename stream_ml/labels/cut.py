"""When and how one cluster is cut: the Hoeffding test on its dissimilarities, and the parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.labels.graph import Edges, Graph, linked_groups

__all__ = ["Cut", "Rules", "cut_all", "cut_cluster", "group_labels"]

SPLIT_LOSS = 0.2
"""A cut within the size limit may leave no part with more than this share of its excess similarity outside..."""
OUTLIER_LOSS = 0.02
"""... unless it loses at most this share of the cluster's similarity, and parts labels with next to no excess."""
NEXT_TO_NONE = 0.25
"""An average excess below this share of `tau` is none; half that of a merge, so that the two do not alternate."""
READY = 0.9
"""Labels with enough evidence must hold this share of a set's occurrences before the set is grouped by linkage..."""
READY_CLUSTERS = 10
"""... or be enough for this many of the largest clusters: in a long tail most labels never have evidence."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What clusters are cut by; see `LabelClusters`.

    `floor` is the smallest part that a cut should make, `least` the smallest cluster worth one (but for two labels).
    """

    split: str
    delta: float
    tau: float
    floor: int
    least: int
    max_size: int

    def bound(self, n: float) -> float:
        """Hoeffding bound of a mean over `n` instances, at most 1."""
        return min(1.0, math.sqrt(math.log(1.0 / self.delta) / (2.0 * n))) if n > 0 else 1.0

    def settled(self, counts: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Labels with enough evidence to be placed: a similarity of theirs is known to within one half."""
        return counts * 0.5 >= math.log(1.0 / self.delta)

    def ready(self, graph: Graph, labels: NDArray[np.int32]) -> bool:
        """Whether linkage of these labels would rest on evidence."""
        counts = graph.counts[labels]
        settled = counts[self.settled(counts)]
        many = len(settled) > READY_CLUSTERS * self.max_size or settled.sum() >= READY * counts.sum()
        return self.bound(graph.total) < self.tau and len(settled) > 1 and bool(many)


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut that is wanted: the parts (sorted labels, neighbours alike) and the statistics that ask for it."""

    parts: list[NDArray[np.int32]]
    reason: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Spread:
    """Dissimilarities of a cluster: smallest, two largest, mean; evidence and positions of the farthest pair."""

    d0: float
    d1: float
    d2: float
    avg: float
    n: float
    pivots: tuple[int, int]

    @property
    def extent(self) -> float:
        """ODAC's measure that the cluster is more than one."""
        return (self.d1 - self.d0) * abs(self.d1 + self.d0 - 2.0 * self.avg)


def cut_cluster(graph: Graph, labels: NDArray[np.int32], rules: Rules) -> Cut | None:
    """The cut that the evidence asks for, or None. `labels` are sorted."""
    k = len(labels)
    if k < 2 * rules.floor or 2 < k < rules.least:
        return None
    settled = np.flatnonzero(rules.settled(graph.counts[labels]))
    too_big = k > rules.max_size
    if too_big and rules.split == "similarity" and (cut := _cut_big(graph, labels, rules)):
        return cut
    if not 2 <= len(settled) <= (k if rules.split == "pivot" else rules.max_size):
        return None
    everything = graph.inside(labels)
    edges = everything.among(settled, k)
    spread = _spread(graph, labels[settled], edges)
    eps = rules.bound(spread.n)
    if k == 2:
        similarity = float(edges.excess.sum())
        asked = similarity + eps < rules.tau and similarity < NEXT_TO_NONE * rules.tau
    else:
        asked = spread.d1 - spread.d2 > eps or eps < rules.tau
    if not asked or (rules.split == "pivot" and 2 < k <= rules.max_size and spread.extent <= eps):
        return None
    if rules.split == "pivot":
        sides = _pivot_sides(graph, labels, settled, edges, spread.pivots)
    else:
        sides = _similar_sides(graph, labels, settled, everything, edges, rules.floor)
    parts = [labels[~sides], labels[sides]]
    lost = everything.lost(sides.astype(np.int64))
    gap = _gap(edges, sides[settled])
    if min(map(len, parts)) < rules.floor:
        return None
    if rules.split == "similarity" and k > 2:
        kept = lost <= SPLIT_LOSS or _outliers(everything, sides, rules.tau)
        if not kept or max(spread.extent, gap) <= eps:
            return None
    reason = {"d0": spread.d0, "d1": spread.d1, "d2": spread.d2, "avg": spread.avg, "gap": gap}
    return Cut(parts, reason | {"eps": eps, "n": spread.n, "lost": lost})


def _gap(edges: Edges, sides: NDArray[np.bool_]) -> float:
    """How much more similar labels are on average that are on one side than those that are not."""
    across = sides[edges.first] != sides[edges.second]
    n_across = int(sides.sum()) * int((~sides).sum())
    n_inside = len(sides) * (len(sides) - 1) // 2 - n_across
    inside = float(edges.jaccard[~across].sum()) / n_inside if n_inside else 0.0
    return inside - float(edges.jaccard[across].sum()) / n_across if n_across else 0.0


def _outliers(edges: Edges, sides: NDArray[np.bool_], tau: float) -> bool:
    """Whether next to no similarity lies between the sides, be it much or little of what the smaller one has."""
    across = sides[edges.first] != sides[edges.second]
    n_across = int(sides.sum()) * int((~sides).sum())
    little = edges.jaccard[across].sum() <= OUTLIER_LOSS * edges.jaccard.sum()
    return bool(little and edges.excess[across].sum() < NEXT_TO_NONE * tau * n_across)


def cut_all(graph: Graph, labels: NDArray[np.int32], rules: Rules) -> list[NDArray[np.int32]]:
    """The parts that are left when nothing asks for a further cut."""
    done, todo = [], [labels]
    while todo:
        part = todo.pop()
        cut = cut_cluster(graph, part, rules)
        if cut is None:
            done.append(part)
        else:
            todo += reversed(cut.parts)
    return done


def _cut_big(graph: Graph, labels: NDArray[np.int32], rules: Rules) -> Cut | None:
    """A cluster over the size limit falls apart into its average-linkage groups as soon as there is evidence."""
    if not rules.ready(graph, labels):
        return None
    parts = group_labels(graph, labels, rules)
    if len(parts) < 2:
        return None
    slot_of = np.empty(len(labels), dtype=np.int64)
    for slot, part in enumerate(parts):
        slot_of[np.searchsorted(labels, part)] = slot
    lost = graph.inside(labels).lost(slot_of)
    return Cut(parts, {"eps": rules.bound(graph.total), "n": graph.total, "lost": lost})


def _spread(graph: Graph, labels: NDArray[np.int32], edges: Edges) -> _Spread:
    """Of equally distant pairs (most never meet) the one with most evidence speaks."""
    n_pairs = len(labels) * (len(labels) - 1) // 2
    strangers = n_pairs - len(edges.jaccard)
    distance = 1.0 - edges.jaccard
    avg = float((distance.sum() + strangers) / n_pairs)
    d0 = float(distance.min(initial=1.0))
    counts = graph.counts[labels]
    if strangers:
        i, j = graph.stranger_pair(labels)
        d2 = 1.0 if strangers > 1 else float(distance.max(initial=0.0)) if n_pairs > 1 else 1.0
        return _Spread(d0, 1.0, d2, avg, float(counts[i] + counts[j]), (i, j))
    evidence = (counts[edges.first] + counts[edges.second]) / (1.0 + edges.jaccard)  # |i or j|
    far = np.lexsort((-evidence, -distance))[:2]
    d1, d2 = float(distance[far[0]]), float(distance[far[-1]])
    return _Spread(d0, d1, d2, avg, float(evidence[far[0]]), (int(edges.first[far[0]]), int(edges.second[far[0]])))


def _pivot_sides(
    graph: Graph, labels: NDArray[np.int32], settled: NDArray[np.int64], edges: Edges, pivots: tuple[int, int]
) -> NDArray[np.bool_]:
    """Each label to the pivot it is more similar to, as in ODAC; ties, by falling evidence, to the smaller side."""
    nearness = np.zeros((2, len(labels)))
    for side, pivot in enumerate(pivots):
        for at, other in ((edges.first, edges.second), (edges.second, edges.first)):
            nearness[side, settled[other[at == pivot]]] = edges.jaccard[at == pivot]
        nearness[side, settled[pivot]] = 2.0
    sides = nearness[1] > nearness[0]
    tied = np.flatnonzero(nearness[1] == nearness[0])
    filled = [len(labels) - int(sides.sum()) - len(tied), int(sides.sum())]
    for i in tied[np.argsort(-graph.counts[labels[tied]], kind="stable")].tolist():
        sides[i] = filled[1] < filled[0]
        filled[int(sides[i])] += 1
    return sides


def _similar_sides(
    graph: Graph, labels: NDArray[np.int32], settled: NDArray[np.int64], everything: Edges, edges: Edges, floor: int
) -> NDArray[np.bool_]:
    """Two sides that keep similarity: average-linkage groups, dealt out to the side they are more similar to."""
    k = len(labels)
    units = _units(settled, edges.groups(len(settled), max(1, len(settled) - floor)))
    if len(settled) < k:
        rest = np.setdiff1d(np.arange(k), settled)
        units += [rest[[i]] for i in np.argsort(-graph.counts[labels[rest]], kind="stable").tolist()]
    excess = np.zeros((k, k))
    excess[everything.first, everything.second] = excess[everything.second, everything.first] = everything.excess
    side, filled = np.full(k, -1), [0, 0]
    for n, unit in enumerate(units):
        pull = [float(excess[unit][:, side == s].sum()) for s in (0, 1)]
        to = int(pull[1] > pull[0] or (pull[1] == pull[0] and filled[1] < filled[0])) if n else 0
        if filled[to] + len(unit) > k - floor:
            to = 1 - to
        filled[to] += len(unit)
        side[unit] = to
    return side == 1


def _units(positions: NDArray[np.int64], group_of: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The groups of `positions`, largest first."""
    _, slot, size = np.unique(group_of, return_inverse=True, return_counts=True)
    members = np.split(positions[np.argsort(slot, kind="stable")], np.cumsum(size)[:-1])
    return [members[s] for s in np.argsort(-size, kind="stable").tolist()]


def group_labels(graph: Graph, labels: NDArray[np.int32], rules: Rules) -> list[NDArray[np.int32]]:
    """Parts of at most the largest size that keep most similarity.

    Labels with enough evidence are linked; small groups and labels with little evidence join the part that they are
    most similar to and that has room. What is similar to nothing: labels with enough evidence are dealt into parts as
    they come (no cut between them loses anything), those without stay together, however many they are.
    """
    counts, ceiling = graph.counts[labels], rules.max_size
    settled = rules.settled(counts)
    core, rest = labels[settled], labels[~settled]
    edges = graph.inside(core)
    units = [core[unit] for unit in _units(np.arange(len(core)), edges.groups(len(core), ceiling))]
    parts = [[unit] for unit in units if len(unit) >= max(2, rules.floor)]
    loose = [unit for unit in units if len(unit) < max(2, rules.floor)]
    loose.sort(key=lambda unit: (-len(unit), -float(graph.counts[unit].max())))
    n_known = len(loose)
    met, rest = rest[graph.counts[rest] > 0], rest[graph.counts[rest] == 0]
    loose += [met[[i]] for i in np.argsort(-graph.counts[met], kind="stable").tolist()]
    slot_of = np.full(len(graph.counts), -1, dtype=np.int64)
    for s, part in enumerate(parts):
        slot_of[part[0]] = s
    size = np.array([len(part[0]) for part in parts], dtype=np.int64)
    strangers: list[list[NDArray[np.int32]]] = [[], []]
    for n, unit in enumerate(loose):
        pull = sum((graph.pulls(int(label), slot_of, len(parts)) for label in unit), np.zeros(len(parts)))
        pull = np.where(size + len(unit) <= ceiling, pull / np.maximum(size, 1), 0.0)
        if pull.any():
            to = int(pull.argmax())
            parts[to].append(unit)
            slot_of[unit] = to
            size[to] += len(unit)
        else:
            strangers[int(n >= n_known)].append(unit)
    done = [np.concatenate(part) for part in parts]
    known, unknown = (np.concatenate([core[:0], *units]) for units in strangers)
    unknown = np.concatenate([unknown, rest])
    done += np.array_split(known, -(-len(known) // ceiling)) if len(known) >= rules.floor and len(known) else []
    left = unknown if len(known) >= rules.floor else np.concatenate([known, unknown])
    if len(left):
        room = [s for s, part in enumerate(done) if len(part) + len(left) <= ceiling]
        if len(left) < rules.floor and room:
            smallest = min(room, key=lambda s: (len(done[s]), s))
            done[smallest] = np.concatenate([done[smallest], left])
        else:
            done.append(left)
    return _side_by_side(graph, [np.sort(part) for part in done], ceiling)


def _side_by_side(graph: Graph, parts: list[NDArray[np.int32]], ceiling: int) -> list[NDArray[np.int32]]:
    """The parts so ordered that similar ones are neighbours: by their groups under limits that double."""
    labels = np.concatenate(parts)
    slot = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    edges = graph.inside(labels)
    first, second = slot[edges.first], slot[edges.second]
    linked = (first != second) & (edges.excess > 0)
    low, high = np.minimum(first, second)[linked], np.maximum(first, second)[linked]
    keys, which = np.unique(low * len(parts) + high, return_inverse=True)
    weight = np.zeros(len(keys))
    np.add.at(weight, which, edges.excess[linked])
    levels = [np.arange(len(parts))]
    size = np.array([len(part) for part in parts], dtype=np.int64)
    while len(keys) and ceiling < len(labels):
        ceiling *= 2
        levels.append(linked_groups(keys // len(parts), keys % len(parts), weight, size, ceiling))
    return [parts[s] for s in np.lexsort(levels).tolist()]
