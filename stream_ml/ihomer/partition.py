"""Clusters and their learners: routing, background learners, and what happens to a tree when its cluster changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.ihomer._kernels import route_labels, scatter_logits
from stream_ml.ihomer.events import Event
from stream_ml.ihomer.learner import ClusterLearner
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.labels import Change, LabelClusters
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import PREDICT, Batch

__all__ = ["Partition", "event_of"]


class Partition:
    """The label clusters and one learner for each, kept in step.

    `learners` maps a cluster's id to its learner, in the order of the clusters' slots; `arities` are those of
    the features that they know.
    """

    def __init__(self, settings: IHomerParameters, *, sparse: bool) -> None:
        self.settings, self.sparse = settings, sparse
        options = settings.clusters.model_dump(exclude={"enabled", "n_min", "reopen_keep"})
        self.clusters = LabelClusters(0, memory_limit_mb=settings.memory_of("pairs"), **options)
        self.learners: dict[int, ClusterLearner] = {}
        self.slot_of = np.zeros(0, dtype=np.int64)
        self._waiting = False
        self.position_of = np.zeros(0, dtype=np.int64)
        self.arities = np.zeros(0, dtype=np.int32)

    @property
    def n_labels(self) -> int:
        """Labels in the partition."""
        return len(self.slot_of)

    @property
    def n_slots(self) -> int:
        """Number of clusters."""
        return len(self.learners)

    @property
    def ids(self) -> list[int]:
        """Cluster ids in slot order."""
        return list(self.learners)

    def _index(self) -> None:
        """Tell for every label its cluster's slot (-1: its tree does not know it yet) and its position there."""
        n = self.clusters.n_labels
        self.slot_of, self.position_of = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64)
        for slot, learner in enumerate(self.learners.values()):
            self.slot_of[learner.labels] = slot
            self.position_of[learner.labels] = np.arange(len(learner.labels))
        self._waiting = bool((self.slot_of < 0).any())

    # -- the hot path ---------------------------------------------------------------------------------------------

    def tasks(self, block: Batch, n_learned: int, out: NDArray[np.float32]) -> list[Callable[[], None]]:
        """For each learner, to predict and learn the block; leaf log-odds go to `out` (rows, leaf slots, labels)."""
        if not self.settings.tree.enabled:
            return []
        y_indptr = np.empty((self.n_slots, len(block) + 1), dtype=np.int64)
        y_indices = np.empty(len(block.y_indices), dtype=np.int32)
        cursor = np.zeros(self.n_slots, dtype=np.int64)
        route_labels(block.y_indptr, block.y_indices, self.slot_of, self.position_of, cursor, y_indptr, y_indices)
        mode = block.mode | np.uint8(PREDICT)  # stacking learns from the log-odds of rows that are only learned, too

        def run(slot: int, learner: ClusterLearner) -> None:
            part = np.empty((len(block), out.shape[1], len(learner.labels)), dtype=np.float32)
            learner.process(block, mode, y_indptr[slot], y_indices, n_learned, part)
            scatter_logits(part, learner.labels, out)

        return [partial(run, slot, learner) for slot, learner in enumerate(self.learners.values())]

    def learn_labels(self, block: Batch) -> None:
        """Count the block's label co-occurrence."""
        self.clusters.update(block.y_indptr, block.y_indices, block.mode, 0, len(block))

    # -- growth ---------------------------------------------------------------------------------------------------

    def grow_features(self, arities: NDArray[np.int32]) -> None:
        """Make room for new features in every tree."""
        if len(arities) > len(self.arities):
            self.arities = arities
            for learner in self.learners.values():
                learner.grow_features(arities)

    def grow_labels(self, n_labels: int, companions: NDArray[np.int32], instance: int) -> list[Event]:
        """Let new labels join, near the labels of the instance that brought them; returns the events.

        Past the first period their trees learn of them at its next multiple: where new labels keep coming, a tree is
        not copied for each. Until then the root experts predict them. A cluster that is new has its tree at once.
        """
        changes = self.clusters.grow(n_labels, companions, instance)
        founded = any(cluster not in self.learners for change in changes for cluster in change.after)
        if founded or instance < self.settings.period:
            return self._apply(changes, instance)
        self._index()
        return [event_of(change, instance) for change in changes]

    def _let_in(self) -> None:
        """Make the labels that wait for it known to their clusters' trees."""
        if not self._waiting:
            return
        for cluster, labels in self.clusters.partition.items():
            new = np.setdiff1d(labels, self.learners[cluster].labels).astype(np.int32)
            self.learners[cluster] = self.learners[cluster].extended(new)
        self._index()
        self._share_memory()

    # -- structure ------------------------------------------------------------------------------------------------

    def start_background(self, cluster: int, instance: int) -> None:
        """Start a background tree for a cluster that was warned of drift, unless it has one."""
        if self.settings.tree.enabled:
            self.learners[cluster].start_background(instance)

    def restart(self, cluster: int, instance: int) -> list[Event]:
        """A fresh tree for a cluster that drifted by so much that the old one misleads; returns the events."""
        if not self.settings.tree.enabled:
            return []
        old = self.learners[cluster]
        self.learners[cluster] = ClusterLearner.fresh(old.labels, self.arities, self.sparse, self.settings)
        self._share_memory()
        reason = {"nodes": old.tree.n_nodes, "weight": old.weight}
        last = old.drain_events(cluster, self._last_look(instance))
        return [*last, Event("restart", instance, "cluster", str(cluster), reason)]

    def _last_look(self, instance: int) -> int:
        """When events were last taken, at the end of a period."""
        return max(0, instance - self.settings.period)

    def reopen(self) -> None:
        """Forget most of the co-occurrence seen so far, so that the partition follows what comes now."""
        self.clusters.reopen(self.settings.clusters.reopen_keep)

    def settle(self, instance: int, *, test: bool) -> list[Event]:
        """What happened in the trees, then, if they are to be tested, what becomes of the clusters."""
        self._let_in()
        events = self.tree_events(self._last_look(instance))
        if self.settings.clusters.enabled and test:
            events += self._apply(self.clusters.check(instance), instance)
        return events

    def tree_events(self, since: int) -> list[Event]:
        """What happened in the trees since the last call, in the order of the instances."""
        events = [event for cluster, learner in self.learners.items() for event in learner.drain_events(cluster, since)]
        return sorted(events, key=lambda event: event.instance)

    def _apply(self, changes: list[Change], instance: int) -> list[Event]:
        """Bring the learners in step with changes of the partition; knowledge is carried over."""
        events = []
        for change in changes:
            gone = {cluster: self.learners.pop(cluster) for cluster in change.before if cluster in self.learners}
            for cluster, labels in change.after.items():
                self.learners[cluster] = self._succeed(list(gone.values()), np.asarray(labels, dtype=np.int32))
            events.append(event_of(change, instance))
        if changes:
            self.learners = {c: self.learners[c] for c in sorted(self.learners)}
            self._index()
            self._share_memory()
        return events

    def _share_memory(self) -> None:
        """Divide the trees' memory by the sizes of their label sets.

        Of clusters whose share is less than a leaf, the largest get one, as long as there is room; the others' trees do
        not grow.
        """
        columns = sum(len(learner.labels) + 1 for learner in self.learners.values())
        poor, left = [], 0.0
        for cluster, learner in self.learners.items():
            share = self.settings.memory_of("trees") * (len(learner.labels) + 1) / columns
            if share * 2**20 >= learner.bytes_per_leaf:
                learner.limit_memory(share)
            else:
                poor.append(cluster)
                left += share
        for cluster in sorted(poor, key=lambda c: (-len(self.learners[c].labels), c)):
            learner = self.learners[cluster]
            leaf = learner.bytes_per_leaf / 2**20
            fits = leaf <= left
            left -= leaf if fits else 0.0
            learner.limit_memory(leaf if fits else 0.0)

    def _succeed(self, before: list[ClusterLearner], labels: NDArray[np.int32]) -> ClusterLearner:
        """The learner of a cluster that takes over `labels` from the learners `before`.

        The one that knows most of the labels (of equals, the one that has seen more) gives the tree, restricted to what
        it shares with the new cluster; the other labels are grafted on from where they were, or start anew.
        """
        shared = [(len(np.intersect1d(x.labels, labels)), x.weight, -i) for i, x in enumerate(before)]
        if not shared or max(shared)[0] == 0:
            return ClusterLearner.fresh(labels, self.arities, self.sparse, self.settings)
        best = before[-max(shared)[2]]
        learner = best.restricted(labels)
        for other in before:
            if other is not best and len(np.intersect1d(other.labels, labels)):
                learner = learner.grafted(other.restricted(labels))
        return learner.extended(np.setdiff1d(labels, learner.labels).astype(np.int32))

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part."""
        return {
            "trees": sum(learner.nbytes for learner in self.learners.values()),
            "co_occurrence": sum(a.nbytes for a in self.clusters.state_dict().values()),
        }

    # -- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        state: dict[str, Any] = {f"clusters.{name}": a for name, a in self.clusters.state_dict().items()}
        state["ids"] = np.array(self.ids, dtype=np.int64)
        state["arities"] = self.arities
        state["limits"] = np.array([learner.tree.parameters.memory_limit_mb for learner in self.learners.values()])
        for cluster, learner in self.learners.items():
            state |= {f"learner.{cluster}.{name}": a for name, a in learner.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        self.arities = part.array("arities", Spec(np.int32, (part.length("arities"),), 0))
        self.clusters.load_state_dict(part.part("clusters."))
        partition, n_labels = self.clusters.partition, self.clusters.n_labels
        ids = part.array("ids", Spec(np.int64, (len(partition),), 0)).tolist()
        part.check(ids == list(partition), "ids", "not those of the clusters")
        self.learners = {}
        for cluster in ids:
            learner = ClusterLearner.from_state(
                part.part(f"learner.{cluster}."), self.arities, n_labels, self.sparse, self.settings
            )
            own = np.isin(learner.labels, partition[cluster])
            part.check(own.all(), f"learner.{cluster}.labels", "a label of another cluster")
            self.learners[cluster] = learner
        self._index()
        if "limits" not in part:  # files up to version 3
            self._share_memory()
            return
        most = self.settings.memory_of("trees")
        limits = part.array("limits", Spec(np.float64, (len(ids),), 0, most)).tolist()
        for learner, limit in zip(self.learners.values(), limits, strict=True):
            learner.tree.parameters = replace(learner.tree.parameters, memory_limit_mb=limit)


def event_of(change: Change, instance: int) -> Event:
    """A change of the partition as an event; of labels that join, the new ones alone."""
    before, after = ({str(c): list(labels) for c, labels in x.items()} for x in (change.before, change.after))
    changed: dict[str, Any] = {"before": before, "after": after}
    if change.kind == "join":
        changed = {"joined": {c: sorted(set(labels) - set(before.get(c, ()))) for c, labels in after.items()}}
    where = " ".join(map(str, change.before or change.after))
    return Event(change.kind, instance, "cluster", where, dict(change.reason), changed)
