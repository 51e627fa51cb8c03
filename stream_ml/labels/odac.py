"""Online divisive-agglomerative clustering of labels on Jaccard dissimilarity."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.labels._kernels import cross_pairs
from stream_ml.labels.change import Change
from stream_ml.labels.cooccurrence import MAX_ROW_LABELS, Cooccurrence
from stream_ml.labels.cut import Rules, cut_all, cut_cluster, group_labels
from stream_ml.labels.graph import Graph, linked_groups
from stream_ml.labels.groups import Groups, regrouped
from stream_ml.labels.tree import ClusterTree
from stream_ml.states import LARGEST, Part, Spec

__all__ = ["LabelClusters"]

HISTORY = 64
"""Changes that are kept."""
MOST_IDS = 1 << 30
MERGE_GAIN = 0.4
"""For one of two clusters that merge, this share of its similarity must be with the other: far above what a split may
lose, so they do not alternate."""
MERGE_SHARE = 0.5
"""And the average excess between them must be at least this share of `tau` and the bound."""
MOVE_FACTOR = 2.0
"""A label moves to a cluster it is this many times more similar to than to its own."""
REGROUP_GAIN = 1.08
"""A partition made afresh replaces the present one when it keeps this many times the excess similarity..."""
REGROUP_LEAST = 0.005
"""... beyond what random clusters of these sizes keep, and gains this share of all similarity: more than noise."""
PAIR_BYTES = 128
"""At most, with the room that its table keeps free."""
RETEST = 0.1
"""What was not asked for is asked again when this share of the evidence is new: a cluster's cut, and what merges or
moves."""
BETWEEN = -1
"""Stands among the clusters that are to be tested for what merges or moves between them."""
TYPICAL_SIZE_LIMIT = 4
"""Bound on the most frequent label-set size, where the smallest cluster worth a cut follows from it."""


class LabelClusters:
    """A partition of the labels that follows their co-occurrence.

    Every call of `check` tests each cluster as ODAC does (Rodrigues, Gama, Pedroso, IEEE TKDE 2008): with `d1 >= d2`
    its two largest Jaccard dissimilarities, `d0` the smallest, `avg` the mean over its pairs, and the Hoeffding bound
    `eps = sqrt(ln(1/delta) / 2n)`, `n` the fading number of instances with a label of the pair at `d1`, it is split
    when `d1 - d2 > eps or eps < tau`, and `(d1 - d0) |d1 + d0 - 2 avg| > eps`. That says when. How is said by `split`:

    - `similarity` (default): in two by average linkage, if each side keeps 80% of its similarity above chance, or if
      next to none lies between them. The last condition above is also met when labels of one side are more similar
      than labels of both by more than `eps`: it cannot see two equal halves. A cluster over the size limit falls apart
      into its average-linkage groups.
    - `pivot`: each label goes to the nearer label of the farthest pair, as published.

    Two clusters merge when 40% of the similarity of one of them is with the other; a label moves when it is twice as
    similar to another cluster; and whenever the evidence has doubled, a partition is made afresh and replaces the
    present one, where they differ, if it keeps 8% more. Clusters of two have no `d2` and no spread: they split when
    the upper bound of their similarity above chance is below `tau`. What was not asked for is tested again when it
    changed, or a tenth of the evidence is new. docs/label-clusters.md has reasons and figures.

    Parameters
    ----------
    n_labels
        Labels known at the start; they form one cluster.
    split
        `similarity` or `pivot`; `random` deals the labels out at random, once, into clusters of the sizes that
        `similarity` would make: what partitions are compared with.
    delta
        One minus the confidence of the Hoeffding bound.
    tau
        Below this bound near-equal dissimilarities count as told apart.
    min_size, max_size
        Bounds on a cluster. With `min_size=None` any part is allowed, but a cluster is worth a cut only from twice
        the most frequent label-set size on (after Neves et al. 2025), at most 8. Labels that lack evidence may be more
        than `max_size` together.
    fading
        Factor on all counts per learned instance.
    memory_limit_mb
        What the counts of pairs may hold; when they would be more, the lightest pairs go.

    Attributes
    ----------
    cluster_of
        Cluster id of each label, int32 (n_labels,).
    tree
        The hierarchy above the clusters.
    history
        The latest 64 changes.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(0, 2, 600)  # labels 0, 1, 2 occur together, and 3, 4, 5
    >>> y = np.repeat(np.eye(2)[group], 3, axis=1) * (rng.random((600, 6)) < 0.9) > 0
    >>> clusters = LabelClusters(6, min_size=2)
    >>> indptr, indices = np.concatenate([[0], y.sum(1).cumsum()]), y.nonzero()[1].astype(np.int32)
    >>> clusters.update(indptr, indices, np.full(600, 2, dtype=np.uint8), 0, 600)
    >>> [change.kind for change in clusters.check(600)], [labels.tolist() for labels in clusters.partition.values()]
    (['split'], [[0, 1, 2], [3, 4, 5]])
    """

    def __init__(
        self,
        n_labels: int = 0,
        *,
        split: Literal["similarity", "pivot", "random"] = "similarity",
        delta: float = 0.05,
        tau: float = 0.1,
        min_size: int | None = None,
        max_size: int = 24,
        fading: float = 0.9998,
        memory_limit_mb: float = 128.0,
    ) -> None:
        self.split, self.delta, self.tau = split, delta, tau
        self.min_size, self.max_size = min_size, max_size
        self.statistics = Cooccurrence(fading=fading, max_pairs=int(memory_limit_mb * 2**20 / PAIR_BYTES))
        self.cluster_of = np.zeros(0, dtype=np.int32)
        self._present: Groups | None = None
        self.tree = ClusterTree()
        self.history: deque[Change] = deque(maxlen=HISTORY)
        self._next_id = 0
        self._regroup_at = 0
        self._test_at: dict[int, int] = {}
        if n_labels:
            self.grow(n_labels)

    # -- the partition --------------------------------------------------------------------------------------------

    @property
    def n_labels(self) -> int:
        """Labels in the partition."""
        return len(self.cluster_of)

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.tree.clusters())

    def clusters_of(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cluster id of each label, -1 of those that did not join yet."""
        known = labels < self.n_labels
        out = np.full(len(labels), -1, dtype=np.int64)
        out[known] = self.cluster_of[labels[known]]
        return out

    @property
    def partition(self) -> dict[int, NDArray[np.int32]]:
        """Sorted labels of each cluster, by id in rising order. Ids are never used twice."""
        return dict(self.groups.partition)

    @property
    def groups(self) -> Groups:
        """The same in arrays; made when it is asked for, and kept until the partition changes."""
        if self._present is None:
            self._present = Groups.of(self.cluster_of)
        return self._present

    def _become(self, cluster_of: NDArray[np.int32]) -> None:
        """Put each label into a cluster."""
        self.cluster_of, self._present = cluster_of, None

    def grow(self, n_labels: int, companions: NDArray[np.int32] | None = None, instance: int = 0) -> list[Change]:
        """Let labels `self.n_labels .. n_labels` join.

        They enter the cluster that holds most of `companions`, the known labels of the instance that brought them;
        without any, the smallest cluster, until they are seen with others and move.
        """
        old = self.n_labels
        if n_labels <= old:
            return []
        partition = self.partition
        known = np.zeros(0, dtype=np.int32) if companions is None else self.cluster_of[companions[companions < old]]
        if len(known):
            home = int(np.bincount(known).argmax())
        elif partition:
            home = min(partition, key=lambda c: (len(partition[c]), c))
        else:
            home = self._new_id()
        before = {home: partition[home].tolist()} if home in partition else {}
        after = {home: [*before.get(home, []), *range(old, n_labels)]}
        self._become(np.concatenate([self.cluster_of, np.full(n_labels - old, home, dtype=np.int32)]))
        self.statistics.grow(n_labels)
        self.tree.replace(before, list(after))
        self._test_again([home])
        change = Change("join", instance, before, after)
        self.history.append(change)
        return [change]

    def admit(self, companions: NDArray[np.int32], instance: int = 0) -> list[Change]:
        """Let many labels join at once: `companions` (new labels,) gives for each one that it came with, or -1.

        Each enters the cluster of its companion, which may be a new label before it; those that came alone fill up
        clusters of their own.
        """
        old = self.n_labels
        if not len(companions):
            return []
        if not old:  # so many labels are grouped by linkage before long: then no kernel is new
            no_pairs = np.zeros(0, dtype=np.int64)
            linked_groups(no_pairs, no_pairs, np.zeros(0), no_pairs, 1)
        homes = np.concatenate([self.cluster_of, np.full(len(companions), -1, dtype=np.int32)])
        home, room = -1, 0
        for label, companion in enumerate(companions.tolist(), old):
            if companion >= 0:
                homes[label] = homes[companion]
                continue
            if not room:
                home, room = self._new_id(), self.max_size
            homes[label] = home
            room -= 1
        self._become(homes)
        self.statistics.grow(len(homes))
        joined: dict[int, list[int]] = {}
        for label, cluster in enumerate(homes[old:].tolist(), old):
            joined.setdefault(cluster, []).append(label)
        known = {c: np.flatnonzero(homes[:old] == c).tolist() for c in joined}
        before = {c: labels for c, labels in known.items() if labels}
        self.tree.replace([], [c for c in joined if c not in before])
        self._test_again(joined)
        change = Change("join", instance, before, {c: known[c] + labels for c, labels in joined.items()})
        self.history.append(change)
        return [change]

    def update(
        self,
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
        start: int,
        stop: int,
    ) -> None:
        """Count the label sets of rows `start .. stop` that are to be learned; raises IndexError on unknown labels."""
        self.statistics.update(y_indptr, y_indices, mode, start, stop)

    def reopen(self, keep: float) -> None:
        """Keep only the share `keep` of the evidence, so that the partition follows what comes now."""
        self.statistics.scale(keep)
        self._regroup_at = 0
        self._test_at.clear()

    def dependence_loss(
        self,
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
        start: int,
        stop: int,
    ) -> NDArray[np.float64]:
        """Per row the share of its pairs of labels that the partition cuts; -1 without a pair, or when not learned."""
        out = np.empty(stop - start)
        cross_pairs(y_indptr, y_indices, mode, start, stop, MAX_ROW_LABELS, self.cluster_of, out)
        return out

    def similarity_kept(self) -> float:
        """Share of the summed Jaccard similarity of all pairs that lies inside clusters; 1 when there is none."""
        graph = Graph(self.statistics, self.statistics.total())
        return graph.similarity_kept(self.cluster_of)

    # -- changing it ----------------------------------------------------------------------------------------------

    def check(self, instance: int) -> list[Change]:
        """Regroup, merge, move and split as the evidence asks; returns what changed, in order.

        `instance` is the number of instances learned. What is done depends on the counts and on the numbers at which
        this is called, not on how the rows came in.
        """
        if instance < min(self._regroup_at, *(self._test_at.get(c, 0) for c in (BETWEEN, *self.groups.partition))):
            return []
        if not self.n_labels or not (total := self.statistics.total()):
            return []
        graph, rules = Graph(self.statistics, total), self._rules()
        changes = _Changes(self, graph, instance)
        if self.split == "similarity":
            self._regroup(changes, rules)
        if self.split == "random":
            self._scatter(changes, rules)
        else:
            if self._due(BETWEEN, changes):
                self._test_at[BETWEEN] = self._next_test(changes)
                self._merge(changes, rules)
                self._move(changes, rules)
            self._split(changes, rules)
        self.history += changes.made
        return changes.made

    def _test_again(self, clusters: Iterable[int]) -> None:
        """At the next check, since they changed."""
        for cluster in (BETWEEN, *clusters):
            self._test_at.pop(cluster, None)

    def _due(self, cluster: int, changes: _Changes) -> bool:
        """Whether it is to be tested; what would be before long is now, so that tests fall together."""
        return 2 * self._test_at.get(cluster, 0) <= changes.instance + self._next_test(changes)

    def _next_test(self, changes: _Changes) -> int:
        """The instance at which enough evidence is new."""
        return changes.instance + int(RETEST * changes.graph.total)

    def _rules(self) -> Rules:
        typical = min(TYPICAL_SIZE_LIMIT, self.statistics.typical_size())
        floor = 1 if self.min_size is None else min(self.min_size, self.max_size)
        least = 2 * max(1, typical if self.min_size is None else self.min_size)
        method = "similarity" if self.split == "random" else self.split
        return Rules(method, self.delta, self.tau, floor, min(least, self.max_size + 1), self.max_size)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _split(self, changes: _Changes, rules: Rules) -> None:
        """Cut what is to be cut, and the parts in turn.

        What was not cut is tested again when it changed, or a tenth of the evidence is new.
        """
        todo = [item for item in self.partition.items() if self._due(item[0], changes)]
        while todo:
            cluster, labels = todo.pop(0)
            cut = cut_cluster(changes.graph, labels, rules)
            if cut is None:
                self._test_at[cluster] = self._next_test(changes)
            else:
                after = {self._new_id(): part for part in cut.parts}
                changes.make("split", {cluster: labels}, after, cut.reason)
                todo += after.items()

    def _merge(self, changes: _Changes, rules: Rules) -> None:
        """Join clusters that are most similar to each other, best first, each once."""
        graph, present = changes.graph, self.groups
        inside, partner, gain = graph.unions(present, self.max_size, MERGE_GAIN)
        (a,) = (partner >= 0).nonzero()
        if not len(a):
            return
        ids, groups, size = present.ids.tolist(), list(present.partition.values()), present.size
        average = gain[a] / (size[a] * size[partner[a]])
        enough = average >= MERGE_SHARE * rules.tau  # whatever the evidence
        a, average = a[enough], average[enough]
        used: set[int] = set()
        for i in np.argsort(-average, kind="stable").tolist():
            pair = [int(s) for s in sorted((a[i], partner[a[i]]))]
            eps = rules.bound(min(graph.counts[groups[s]].max() for s in pair))
            if used & set(pair) or eps > rules.tau or average[i] < MERGE_SHARE * (rules.tau + eps):
                continue  # decided already, or too little evidence, or a large share of next to nothing
            used |= set(pair)
            before = {ids[s]: groups[s] for s in pair}
            after = {self._new_id(): np.sort(np.concatenate(list(before.values())))}
            share = gain[a[i]] / (gain[a[i]] + min(inside[s] for s in pair))
            reason = {"average_excess": float(average[i]), "gained_share": float(share), "eps": eps}
            changes.make("merge", before, after, reason)

    def _move(self, changes: _Changes, rules: Rules) -> None:
        """Move labels that are far more similar to another cluster than to their own, in one change.

        A cluster either gives or takes, so that two labels do not pass each other.
        """
        graph, present = changes.graph, self.groups
        home, best, there = graph.attractions(present)
        (wanting,) = (there > MOVE_FACTOR * home).nonzero()
        if not len(wanting):
            return
        wanting = wanting[[there[i] >= MOVE_FACTOR * home[i] + rules.bound(graph.counts[i]) for i in wanting]]
        ids, own, size, moved = present.ids, present.slot_of, present.size.copy(), []
        giving, taking = np.zeros((2, len(ids)), dtype=np.bool_)
        for i in wanting[np.argsort((home - there)[wanting], kind="stable")].tolist():
            source, target = own[i], best[i]
            full = size[target] + 1 > self.max_size or size[source] - 1 < max(1, rules.floor)
            if full or taking[source] or giving[target]:
                continue
            giving[source] = taking[target] = True
            size[source] -= 1
            size[target] += 1
            moved.append(i)
        if not moved:
            return
        cluster_of = self.cluster_of.copy()
        cluster_of[moved] = ids[best[moved]]
        touched = np.union1d(self.cluster_of[moved], cluster_of[moved]).tolist()
        before = {c: np.flatnonzero(self.cluster_of == c).astype(np.int32) for c in touched}
        after = {c: np.flatnonzero(cluster_of == c).astype(np.int32) for c in touched}
        reason = {
            "moved": float(len(moved)),
            "similarity_before": float(home[moved].mean()),
            "similarity_after": float(there[moved].mean()),
        }
        changes.make("move", before, after, reason)

    def _regroup(self, changes: _Changes, rules: Rules) -> None:
        """Replace what differs from a partition made afresh, if that keeps much more.

        Tried when as many instances came as counted when it was last tried. Labels with little evidence stay with what
        most of their cluster becomes.
        """
        if changes.instance < self._regroup_at:
            return
        graph, everything = changes.graph, np.arange(self.n_labels, dtype=np.int32)
        if not rules.ready(graph, everything):
            return
        self._regroup_at = changes.instance + max(1, int(graph.total))
        core = everything[rules.settled(graph.counts)]
        groups = group_labels(graph, core, rules) if len(core) > self.max_size else [core]
        groups = [part for group in groups for part in cut_all(graph, group, rules)]
        slot_of = np.full(self.n_labels, -1, dtype=np.int64)
        for s, group in enumerate(groups):
            slot_of[group] = s
        present = np.where(slot_of < 0, -1, self.groups.slot_of)
        total = graph.excess_inside(np.where(slot_of < 0, -1, 0))
        now, then = (graph.kept_beyond_random(slots, total) for slots in (present, slot_of))
        enough = (then - now) * total > REGROUP_LEAST * graph.jaccard.sum() / 2
        if then <= REGROUP_GAIN * now or not enough:
            return
        old = list(self.partition.values())
        for labels in old:
            stays = slot_of[labels] < 0
            if stays.all():
                slot_of[labels] = len(groups)
                groups.append(labels)
            elif stays.any():
                slot_of[labels[stays]] = np.bincount(slot_of[labels[~stays]]).argmax()
        reason = {"eps": rules.bound(graph.total), "n": graph.total, "excess_before": now, "excess_after": then}
        for before, slots in regrouped(self.partition, slot_of):
            parts = [np.flatnonzero(slot_of == s).astype(np.int32) for s in slots]
            after = {self._new_id(): part for part in parts}
            kind: Literal["split", "merge", "move"] = "split" if len(before) == 1 else "merge"
            changes.make(kind if min(len(before), len(after)) == 1 else "move", before, after, reason)

    def _scatter(self, changes: _Changes, rules: Rules) -> None:
        """Random clusters of the sizes that the first cut by similarity would have; never changed again."""
        everything = np.arange(self.n_labels, dtype=np.int32)
        if len(self.partition) > 1 or changes.instance < self._regroup_at or not rules.ready(changes.graph, everything):
            return
        self._regroup_at = changes.instance + int(RETEST * changes.graph.total)
        sizes = [len(part) for part in cut_all(changes.graph, everything, rules)]
        if len(sizes) > 1:
            shuffled = np.random.default_rng(changes.instance).permutation(everything)
            parts = np.split(shuffled, np.cumsum(sizes)[:-1])
            changes.make("split", self.partition, {self._new_id(): np.sort(part) for part in parts}, {"random": 1.0})

    # -- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        state: dict[str, NDArray] = {f"statistics.{n}": a for n, a in self.statistics.state_dict().items()}
        state |= {f"tree.{name}": a for name, a in self.tree.state_dict().items()}
        state["cluster_of"] = self.cluster_of
        state["next_id"] = np.array([self._next_id, self._regroup_at], dtype=np.int64)
        state["test_at"] = np.array(sorted(self._test_at.items()), dtype=np.int64).reshape(-1, 2)
        history = orjson.dumps([change.to_dict() for change in self.history], option=orjson.OPT_NON_STR_KEYS)
        state["history"] = np.frombuffer(history, dtype=np.uint8)
        return state

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        self.statistics.load_state_dict(part.part("statistics."))
        next_id, regroup_at = part.array("next_id", Spec(np.int64, (2,), 0, LARGEST)).tolist()
        part.check(next_id <= MOST_IDS, "next_id", "more clusters than there can have been")
        self._next_id, self._regroup_at = next_id, regroup_at
        n = part.length("cluster_of")
        part.check(n <= self.statistics.n_labels, "cluster_of", "more labels than were counted")
        self._become(part.array("cluster_of", Spec(np.int32, (n,), 0, next_id - 1)))
        self.tree.load_state_dict(part.part("tree."))
        part.check(sorted(self.tree.clusters()) == np.unique(self.cluster_of).tolist(), "tree.inner", "other clusters")
        tests = part.array("test_at", Spec(np.int64, (part.length("test_at"), 2), BETWEEN, LARGEST))
        self._test_at = dict(tests.tolist())
        changes = part.plain("history")
        part.check(isinstance(changes, list) and len(changes) <= HISTORY, "history", "no list of changes")
        self.history = deque(map(Change.from_dict, changes), maxlen=HISTORY)


class _Changes:
    """Changes of one check: each is carried out, and told with the share of similarity kept before and after."""

    def __init__(self, clusters: LabelClusters, graph: Graph, instance: int) -> None:
        self.clusters, self.graph, self.instance = clusters, graph, instance
        self.made: list[Change] = []
        self._total = 0.0
        self._kept: float | None = None

    def _inside(self, groups: Sequence[NDArray[np.int32]]) -> float:
        return sum(float(self.graph.inside(labels).jaccard.sum()) for labels in groups)

    def make(
        self,
        kind: Literal["split", "merge", "move"],
        before: dict[int, NDArray[np.int32]],
        after: dict[int, NDArray[np.int32]],
        reason: dict[str, float],
    ) -> None:
        """Let clusters `before` become `after`."""
        clusters = self.clusters
        if self._kept is None:
            self._total = float(self.graph.jaccard.sum()) / 2
            self._kept = self.graph.similarity_kept(clusters.cluster_of)
        kept = self._kept
        if self._total:
            gained = self._inside(list(after.values())) - self._inside(list(before.values()))
            self._kept = min(1.0, max(0.0, kept + gained / self._total))
        clusters._test_again(before)
        cluster_of = clusters.cluster_of.copy()
        for cluster, labels in after.items():
            cluster_of[labels] = cluster
        clusters._become(cluster_of)
        clusters.tree.replace(before, list(after))
        reason = reason | {"kept_before": kept, "kept_after": self._kept}
        was, now = ({c: labels.tolist() for c, labels in side.items()} for side in (before, after))
        self.made.append(Change(kind, self.instance, was, now, reason))
