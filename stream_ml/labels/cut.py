"""When and how one cluster is cut: the Hoeffding test on its dissimilarities, and the parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.labels.graph import Graph, linked_groups

__all__ = ["Cut", "Rules", "cut_all", "cut_cluster", "group_labels"]

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

    @property
    def evidence(self) -> float:
        """What the Hoeffding bound has in its numerator."""
        return math.log(1.0 / self.delta)

    def bound(self, n: float) -> float:
        """Hoeffding bound of a mean over `n` instances, at most 1."""
        return min(1.0, math.sqrt(self.evidence / (2.0 * n))) if n > 0 else 1.0

    def settled(self, counts: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Labels with enough evidence to be placed: a similarity of theirs is known to within one half."""
        return counts * 0.5 >= self.evidence

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


def cut_cluster(graph: Graph, labels: NDArray[np.int32], rules: Rules) -> Cut | None:
    """The cut that the evidence asks for, or None. `labels` are sorted."""
    k = len(labels)
    if k < 2 * rules.floor or 2 < k < rules.least:
        return None
    pivot = rules.split == "pivot"
    if k > rules.max_size and not pivot and (cut := _cut_big(graph, labels, rules)):
        return cut
    found = graph.cut_in_two(labels, pivot, rules.evidence, rules.tau, rules.floor, rules.max_size)
    if found is None:
        return None
    sides, reason = found
    return Cut([labels[~sides], labels[sides]], reason)


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
