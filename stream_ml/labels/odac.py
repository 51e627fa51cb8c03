"""Online divisive-agglomerative clustering of labels on Jaccard dissimilarity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_ml.labels._kernels import cross_pairs
from stream_ml.labels.cooccurrence import Cooccurrence
from stream_ml.labels.cut import Cut, cut_cluster

__all__ = ["Change", "LabelClusters"]

SPLIT_LOSS = 0.1
"""A split within the size limit may cut at most this share of the similarity inside the cluster."""
MERGE_GAIN = 0.25
"""A merge must bring at least this share of the union's similarity: far above SPLIT_LOSS, so they do not alternate."""
MOVE_FACTOR = 2.0
"""A label moves to a cluster it is this many times more similar to than to its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of some clusters.

    Attributes
    ----------
    kind
        `split`, `merge`, `move` (labels between clusters) or `join` (new labels).
    instance
        Instances learned when it was decided.
    before, after
        Cluster ids and their labels (sorted positions).
    reason
        The statistics behind it.
    """

    kind: Literal["split", "merge", "move", "join"]
    instance: int
    before: dict[int, list[int]]
    after: dict[int, list[int]]
    reason: dict[str, float] = field(default_factory=dict)


class LabelClusters:
    """A partition of the labels that follows their co-occurrence.

    Every call of `check` tests each cluster as ODAC does (Rodrigues, Gama, Pedroso, IEEE TKDE 2008): with `d1 >= d2`
    its two largest Jaccard dissimilarities, `d0` the smallest, `avg` the mean over its pairs, and the Hoeffding bound
    `eps = sqrt(ln(1/delta) / 2n)`, `n` the fading number of instances with a label of the pair at `d1`, it is split
    when `d1 - d2 > eps or eps < tau`, and `(d1 - d0) |d1 + d0 - 2 avg| > eps`. That says when. How is said by `split`:

    - `similarity` (default): an average-linkage cut in two that keeps similarity inside, taken only if it keeps 90% of
      it or the cluster is too big. In sparse label spaces most pairs never meet, and the farthest pair scatters labels.
    - `pivot`: each label goes to the nearer label of the farthest pair, as published.

    Two clusters merge when their union would hold a quarter more similarity than they do apart; a label moves when it
    is twice as similar to another cluster. Clusters of two have no `d2` and no spread: they split when the upper bound
    of their similarity is below `tau`.

    Parameters
    ----------
    n_labels
        Labels known at the start; they form one cluster.
    split
        `similarity` or `pivot`.
    delta
        One minus the confidence of the Hoeffding bound.
    tau
        Below this bound near-equal dissimilarities count as told apart.
    min_size, max_size
        Bounds on a cluster. `min_size=None` takes the most frequent label-set size (Neves et al. 2025), at most 4.
    fading
        Factor on all counts per learned instance.

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
        split: Literal["similarity", "pivot"] = "similarity",
        delta: float = 0.05,
        tau: float = 0.1,
        min_size: int | None = None,
        max_size: int = 24,
        fading: float = 0.9998,
    ) -> None:
        self.split, self.delta, self.tau = split, delta, tau
        self.min_size, self.max_size = min_size, max_size
        self.statistics = Cooccurrence(fading=fading)
        self.cluster_of = np.zeros(0, dtype=np.int64)
        self._next_id = 0
        if n_labels:
            self.grow(n_labels)

    # -- the partition --------------------------------------------------------------------------------------------

    @property
    def n_labels(self) -> int:
        """Labels in the partition."""
        return len(self.cluster_of)

    @property
    def partition(self) -> dict[int, NDArray[np.int32]]:
        """Sorted labels of each cluster, by id in rising order. Ids are never used twice."""
        order = np.argsort(self.cluster_of, kind="stable").astype(np.int32)
        ids, starts = np.unique(self.cluster_of[order], return_index=True)
        return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True)) if len(ids) else {}

    def grow(self, n_labels: int, companions: NDArray[np.int32] | None = None, instance: int = 0) -> list[Change]:
        """Let labels `self.n_labels .. n_labels` join.

        They enter the cluster that holds most of `companions`, the known labels of the instance that brought them;
        without any, the smallest cluster.
        """
        old = self.n_labels
        if n_labels <= old:
            return []
        new = list(range(old, n_labels))
        partition = self.partition
        known = np.zeros(0, dtype=np.int64) if companions is None else self.cluster_of[companions[companions < old]]
        if len(known):
            home = int(np.bincount(known).argmax())
        elif partition:
            home = min(partition, key=lambda c: (len(partition[c]), c))
        else:
            home = self._new_id()
        before = partition.get(home, np.zeros(0, dtype=np.int32)).tolist()
        self.cluster_of = np.concatenate([self.cluster_of, np.full(n_labels - old, home, dtype=np.int64)])
        self.statistics.grow(n_labels)
        return [Change("join", instance, {home: before} if before else {}, {home: before + new})]

    def update(
        self,
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
        start: int,
        stop: int,
    ) -> None:
        """Count the label sets of rows `start .. stop` that are to be learned."""
        self.statistics.update(y_indptr, y_indices, mode, start, stop)

    def reopen(self, keep: float) -> None:
        """Keep only the share `keep` of the evidence, so that the partition follows what comes now."""
        self.statistics.scale(keep)

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
        cross_pairs(y_indptr, y_indices, mode, start, stop, self.cluster_of, out)
        return out

    def similarity_kept(self) -> float:
        """Share of the summed Jaccard similarity of all pairs that lies inside clusters; 1 when there is none."""
        low, high, jaccard, _, _ = self._jaccard()
        total = jaccard.sum()
        return float(jaccard[self.cluster_of[low] == self.cluster_of[high]].sum() / total) if total else 1.0

    def _jaccard(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Pairs seen, their Jaccard similarity, how much of it is more than chance, and the label counts.

        Independent labels meet by chance: to part them loses nothing, so that part does not count when clusters are
        cut, joined, or left by a label.
        """
        counts = self.statistics.counts()
        low, high, both = self.statistics.pairs()
        n_low, n_high = counts[low], counts[high]
        jaccard = both / np.maximum(n_low + n_high - both, 1e-12)
        expected = n_low * n_high / max(self.statistics.total(), 1e-12)
        chance = expected / np.maximum(n_low + n_high - expected, 1e-12)
        return low, high, jaccard, np.maximum(jaccard - chance, 0.0), counts

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    # -- changing it ----------------------------------------------------------------------------------------------

    def check(self, instance: int) -> list[Change]:
        """Merge, move and split as the evidence asks; returns what changed, in order."""
        if not self.n_labels:
            return []
        low, high, jaccard, excess, counts = self._jaccard()
        return [
            *self._merges(instance, low, high, excess, counts),
            *self._moves(instance, low, high, excess, counts),
            *self._splits(instance, low, high, jaccard, excess, counts),
        ]

    def _bound(self, n: float) -> float:
        """Hoeffding bound of a mean over `n` instances."""
        return math.sqrt(math.log(1.0 / self.delta) / (2.0 * n)) if n > 0 else math.inf

    def _floor(self) -> int:
        """Smallest cluster that a split may make."""
        return self.min_size if self.min_size is not None else min(4, self.statistics.typical_size())

    def _splits(
        self,
        instance: int,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        jaccard: NDArray[np.float64],
        excess: NDArray[np.float64],
        counts: NDArray[np.float64],
    ) -> list[Change]:
        changes = []
        floor = self._floor()
        inside = self.cluster_of[low] == self.cluster_of[high]
        low, high, jaccard, excess = low[inside], high[inside], jaccard[inside], excess[inside]
        todo = list(self.partition.items())
        position = np.zeros(self.n_labels, dtype=np.int64)
        while todo:
            cluster, labels = todo.pop(0)
            if len(labels) < max(2, 2 * floor):
                continue
            position[labels] = np.arange(len(labels))
            mine = (self.cluster_of[low] == cluster) & (self.cluster_of[high] == cluster)
            similarity, kept = np.zeros((2, len(labels), len(labels)))
            a, b = position[low[mine]], position[high[mine]]
            similarity[a, b] = similarity[b, a] = jaccard[mine]
            kept[a, b] = kept[b, a] = excess[mine]
            cut = cut_cluster(similarity, kept, counts[labels], self.split, floor, self.max_size)
            if cut is None or not self._wants(cut, len(labels)):
                continue
            first, second = self._new_id(), self._new_id()
            after = {first: labels[~cut.sides], second: labels[cut.sides]}
            for new, part in after.items():
                self.cluster_of[part] = new
            changes.append(
                Change(
                    "split",
                    instance,
                    {cluster: labels.tolist()},
                    {new: part.tolist() for new, part in after.items()},
                    cut.reason() | {"eps": self._bound(cut.evidence)},
                )
            )
            todo += after.items()
        return changes

    def _wants(self, cut: Cut, size: int) -> bool:
        """Whether a cluster of `size` labels should be cut: the test says when, what the cut keeps says whether."""
        eps = self._bound(cut.evidence)
        if size == 2:
            return 1.0 - cut.d1 + eps < self.tau
        told_apart = cut.d1 - cut.d2 > eps or eps < self.tau
        spread = (cut.d1 - cut.d0) * abs(cut.d1 + cut.d0 - 2.0 * cut.mean) > eps
        too_big = size > self.max_size and eps < self.tau
        if self.split == "pivot":
            return (told_apart and spread) or too_big
        return (told_apart and spread and cut.lost <= SPLIT_LOSS) or too_big

    def _merges(
        self,
        instance: int,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        jaccard: NDArray[np.float64],
        counts: NDArray[np.float64],
    ) -> list[Change]:
        """Join the pairs of clusters whose union keeps most more similarity, best first, each cluster once."""
        partition = self.partition
        ids = np.array(list(partition), dtype=np.int64)
        a, b = np.searchsorted(ids, self.cluster_of[low]), np.searchsorted(ids, self.cluster_of[high])
        inside = np.bincount(a[a == b], weights=jaccard[a == b], minlength=len(ids))
        across = a != b
        keys = np.minimum(a, b)[across] * len(ids) + np.maximum(a, b)[across]
        pairs, which = np.unique(keys, return_inverse=True)
        gain = np.bincount(which, weights=jaccard[across], minlength=len(pairs)) if len(pairs) else np.zeros(0)
        first, second = pairs // max(1, len(ids)), pairs % max(1, len(ids))
        sizes = np.array([len(labels) for labels in partition.values()])
        share = gain / np.maximum(gain + inside[first] + inside[second], 1e-12)
        heaviest = np.array([counts[labels].max() for labels in partition.values()])
        changes, used = [], set()
        for i in np.argsort(-share, kind="stable").tolist():
            c, d = int(first[i]), int(second[i])
            eps = self._bound(min(heaviest[c], heaviest[d]))
            if share[i] < MERGE_GAIN:
                break
            if c in used or d in used or sizes[c] + sizes[d] > self.max_size or eps > self.tau:
                continue
            if gain[i] / (sizes[c] * sizes[d]) < self.tau / 2 + eps / 2:
                continue  # a large share of next to nothing
            used |= {c, d}
            before = {int(ids[c]): partition[int(ids[c])].tolist(), int(ids[d]): partition[int(ids[d])].tolist()}
            merged = self._new_id()
            labels = sorted(label for part in before.values() for label in part)
            self.cluster_of[labels] = merged
            reason = {"gained_share": float(share[i]), "eps": eps}
            changes.append(Change("merge", instance, before, {merged: labels}, reason))
        return changes

    def _moves(
        self,
        instance: int,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        jaccard: NDArray[np.float64],
        counts: NDArray[np.float64],
    ) -> list[Change]:
        """Move labels that are far more similar to another cluster than to their own, in one change."""
        ids = np.unique(self.cluster_of)
        own = np.searchsorted(ids, self.cluster_of)
        keys = np.concatenate([low * len(ids) + own[high], high * len(ids) + own[low]])
        if not len(keys):
            return []
        if self.n_labels * len(ids) <= 1 << 22:
            table = np.zeros((self.n_labels, len(ids)))
            table.flat[:] = np.bincount(keys, weights=np.tile(jaccard, 2), minlength=table.size)
            home = table[np.arange(self.n_labels), own].copy()
            table[np.arange(self.n_labels), own] = 0.0
            best = table.argmax(axis=1).astype(np.int64)
            there = table[np.arange(self.n_labels), best]
        else:
            found, which = np.unique(keys, return_inverse=True)
            sums = np.bincount(which, weights=np.tile(jaccard, 2))
            label, cluster = found // len(ids), found % len(ids)
            home, there = np.zeros(self.n_labels), np.zeros(self.n_labels)
            best = own.astype(np.int64)
            at_home = cluster == own[label]
            home[label[at_home]] = sums[at_home]
            order = np.argsort(sums[~at_home], kind="stable")
            there[label[~at_home][order]] = sums[~at_home][order]
            best[label[~at_home][order]] = cluster[~at_home][order]
        cluster_of, size = self.cluster_of.copy(), np.bincount(own)
        floor, moved = self._floor(), []
        for i in np.argsort(home - there, kind="stable").tolist():
            if there[i] <= home[i]:
                break
            source, target = own[i], best[i]
            if there[i] < MOVE_FACTOR * home[i] + self._bound(counts[i]):
                continue
            if size[target] + 1 > self.max_size or size[source] - 1 < floor:
                continue
            size[source] -= 1
            size[target] += 1
            cluster_of[i] = ids[target]
            moved.append(i)
        if not moved:
            return []
        touched = np.union1d(self.cluster_of[moved], cluster_of[moved]).tolist()
        before = {c: np.flatnonzero(self.cluster_of == c).tolist() for c in touched}
        after = {c: np.flatnonzero(cluster_of == c).tolist() for c in touched}
        self.cluster_of = cluster_of
        reason = {
            "moved": float(len(moved)),
            "similarity_before": float(home[moved].mean()),
            "similarity_after": float(there[moved].mean()),
        }
        return [Change("move", instance, before, after, reason)]

    # -- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        state = {f"statistics.{name}": a for name, a in self.statistics.state_dict().items()}
        return state | {"cluster_of": self.cluster_of, "next_id": np.array([self._next_id], dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        self.statistics.load_state_dict({n[11:]: a for n, a in state.items() if n.startswith("statistics.")})
        self.cluster_of = np.array(state["cluster_of"], dtype=np.int64)
        self._next_id = int(state["next_id"][0])
