"""What predicts for one label cluster: its labels, in the order of its tree's columns, and the tree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.ihomer.events import Event
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import Batch
from stream_ml.trees import MultiLabelHoeffdingTree

__all__ = ["ClusterLearner"]

TREE_KINDS = {
    "split": "tree_split",
    "warning": "tree_warning",
    "drift": "tree_drift",
    "swap": "tree_swap",
    "drop": "tree_drop",
    "deactivate": "tree_memory",
    "activate": "tree_memory",
    "restart": "tree_memory",
}


class ClusterLearner:
    """A cluster's labels (positions in the stream's label space) and the tree that predicts them.

    Self-contained: it needs the instance, the cluster's own labels and nothing of other clusters, so that it can move.
    Methods that change the label set return a new learner that takes the tree over.
    """

    def __init__(self, labels: NDArray[np.int32], tree: MultiLabelHoeffdingTree) -> None:
        self.labels, self.tree = labels, tree
        self._root = tree.root

    @classmethod
    def fresh(
        cls, labels: NDArray[np.int32], arities: NDArray[np.int32], sparse: bool, settings: IHomerParameters
    ) -> ClusterLearner:
        """A learner that knows nothing yet."""
        return cls(labels, _tree(arities, len(labels), sparse, settings))

    @property
    def weight(self) -> float:
        """Instances learned."""
        return float(self.tree.n_learned)

    @property
    def nbytes(self) -> int:
        """Bytes held by the tree."""
        return sum(self.tree.memory_usage().values())

    def process(
        self,
        block: Batch,
        mode: NDArray[np.uint8],
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        n_learned: int,
        out: NDArray[np.float32],
        *,
        checked: bool = False,
    ) -> None:
        """Leaf log-odds of every row to `out` (rows, leaf slots, labels of the cluster), then learn the row.

        `checked`: rows are known to have no missing value and no feature that the tree does not know.
        """
        self.tree.process(
            block.x_indptr,
            block.x_indices,
            block.x_values,
            y_indptr,
            y_indices,
            mode,
            0,
            len(block),
            n_learned,
            out,
            checked=checked,
        )

    def start_background(self, instance: int) -> None:
        """Grow an alternate tree beside the tree, unless one grows; it takes over when it is significantly better."""
        self.tree.start_alternate(instance)

    def limit_memory(self, megabytes: float) -> None:
        """Bound what the tree's leaves observe."""
        self.tree.limit_memory(megabytes)

    @property
    def bytes_per_leaf(self) -> int:
        """Bytes that a leaf takes which observes."""
        return self.tree.bytes_per_leaf

    def drain_events(self, cluster: int, since: int = 0) -> list[Event]:
        """What happened in the tree since the last call. A swap of the whole tree is one of the cluster's learner.

        `since` is when the last call was: what a tree did without a row at hand, when it was given less memory, it
        dates by the rows that it has learned itself.
        """
        events = []
        for fact in self.tree.drain_events():
            kind = fact["kind"]
            whole = kind in {"swap", "drop"} and fact["node"] == self._root
            if whole and kind == "swap":
                self._root = fact["alternate"]
            kind = kind if whole else TREE_KINDS[kind]
            reason = {name: value for name, value in fact.items() if name not in {"kind", "instance"}}
            scope = "cluster" if whole else "tree"
            events.append(Event(kind, max(since, fact["instance"]), scope, str(cluster), reason))
        return events

    def grow_features(self, arities: NDArray[np.int32]) -> None:
        """Make room for new features."""
        self.tree.grow_features(arities)

    def restricted(self, labels: NDArray[np.int32]) -> ClusterLearner:
        """The learner of the labels it shares with `labels`: the same tree, with their statistics alone."""
        keep = np.flatnonzero(np.isin(self.labels, labels)).astype(np.int32)
        if len(keep) == len(self.labels):
            return self
        return ClusterLearner(self.labels[keep], self.tree.restrict(keep))

    def extended(self, labels: NDArray[np.int32]) -> ClusterLearner:
        """With labels appended that were never positive before."""
        if not len(labels):
            return self
        return ClusterLearner(np.concatenate([self.labels, labels]), self.tree.extend(len(labels)))

    def grafted(self, other: ClusterLearner) -> ClusterLearner:
        """With the labels of `other` appended; the structure is this one's, the other's labels bring their rates."""
        return ClusterLearner(np.concatenate([self.labels, other.labels]), self.tree.graft_labels(other.tree))

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"labels": self.labels, **{f"tree.{name}": a for name, a in self.tree.state_dict().items()}}

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, NDArray],
        arities: NDArray[np.int32],
        n_labels: int,
        sparse: bool,
        settings: IHomerParameters,
    ) -> ClusterLearner:
        """The learner that `state_dict` described, of a stream of `n_labels` labels."""
        part = Part.of(state)
        labels = part.array("labels", Spec(np.int32, (part.length("labels"),), 0, n_labels - 1))
        part.check(len(np.unique(labels)) == len(labels), "labels", "a label twice")
        tree = _tree(np.zeros(0, dtype=np.int32), 1, sparse, settings)
        tree.load_state_dict(part.part("tree."))
        part.check(tree.n_labels == len(labels), "labels", f"the tree knows {tree.n_labels}")
        part.check(np.array_equal(tree.arities, arities), "tree.table.arities", "not those of the stream")
        return cls(labels, tree)


def _tree(
    arities: NDArray[np.int32], n_labels: int, sparse: bool, settings: IHomerParameters
) -> MultiLabelHoeffdingTree:
    """A tree of the given settings."""
    options = settings.tree.model_dump(exclude={"enabled"})
    return MultiLabelHoeffdingTree(arities, n_labels, sparse=sparse, **options)
