"""Looking into a classifier: its clusters, trees and experts as plain values; nothing here changes a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions import Deciders
from stream_ml.drift import adwin_mean, adwin_width
from stream_ml.experts import ROOT_EXPERTS, ExtraExperts, SleepSchedule, Stacking
from stream_ml.ihomer.partition import Partition
from stream_ml.ihomer.watch import DEPENDENCE, LOSS, LossWatch
from stream_ml.streams.schema import Schema

__all__ = ["EXPERTS", "ModelView"]

EXPERTS = (*ROOT_EXPERTS, "leaf_prior", "leaf_naive_bayes", "leaf_labelset")
"""What stacking weighs, in the order of its weights; experts of one's own follow."""
MOST_TREES = 12
MOST_DEEP = 4
MOST_RATES = 4
"""Labels told of a leaf."""


class ModelView:
    """The read-only side of a classifier.

    Everything is read off the state as it stands: cost follows the labels that are asked for, not the rows learned.
    """

    n_learned: int
    _schema: Schema | None
    _partition: Partition
    _stacking: Stacking
    _sleep: SleepSchedule
    _deciders: Deciders
    _watch: LossWatch
    _extra: ExtraExperts

    @property
    def extra_experts(self) -> dict[str, Any]:
        """Experts of one's own, by name."""
        return dict(self._extra.experts)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """What stacking weighs, in the order of its weights."""
        return (*EXPERTS, *self._extra.names)

    def glance(self, labels: NDArray[np.int64]) -> dict[str, Any]:
        """What changes as a model learns, JSON-ready; {} before data.

        `learned`; `clusters` and `tree_nodes`, their numbers; `weights`, each expert's weight, the mean over all labels
        (None while it sleeps); `labels`, those of the given positions that are known, and `similarity`, their pairs as
        `[place, place, Jaccard similarity in thousandths]`, places in `labels`.
        """
        if self._schema is None:
            return {}
        labels = labels[labels < self._partition.n_labels]
        learners = self._partition.learners.values()
        both, single = self._partition.clusters.statistics.among(labels)
        either = single[:, None] + single[None, :] - both
        thousandths = np.rint(1000.0 * np.divide(both, either, out=np.zeros_like(both), where=either > 0)).astype(int)
        first, second = np.nonzero(np.triu(thousandths, 1))
        means = (
            self._stacking.weights()[:-1].mean(axis=1) if self._partition.n_labels else np.zeros(len(self.expert_names))
        )
        awake = np.ones(len(self.expert_names), dtype=np.bool_)
        awake[: len(ROOT_EXPERTS)] = self._sleep.awake
        weights = [round(w, 5) if there else None for w, there in zip(means.tolist(), awake.tolist(), strict=True)]
        return {
            "learned": self.n_learned,
            "clusters": len(learners),
            "tree_nodes": sum(learner.tree.n_nodes for learner in learners),
            "weights": weights,
            "labels": labels.tolist(),
            "similarity": np.stack([first, second, thousandths[first, second]], axis=1).tolist(),
        }

    def structure(self, labels: NDArray[np.int64], together: int) -> dict[str, Any]:
        """What a model has come to, JSON-ready; {} before data.

        Of the labels at the given positions, as far as they are known: `labels`, for each its `position`, `cluster`,
        `threshold` (the cut of its probability where F1 would have been best so far) and `weights` (of `experts`).
        `cooccurrence` of the first `together` of them: fading numbers of instances, of each (`counts`), of all
        (`total`) and of pairs, `[place, place, number]`. `hierarchy`: nested pairs of cluster ids. `clusters`: their
        sizes by id. `trees`: the largest ones, cut off below some depth, where nodes say how many are left out.
        """
        if self._schema is None:
            return {}
        labels = labels[labels < self._partition.n_labels]
        clusters = self._partition.clusters
        weights, thresholds = self._stacking.weights()[:-1, labels], self._deciders.thresholds(labels)
        rows = [
            {
                "position": label,
                "cluster": int(clusters.cluster_of[label]),
                "threshold": round(float(thresholds[i]), 4),
                "weights": [round(w, 4) for w in weights[:, i].tolist()],
            }
            for i, label in enumerate(labels.tolist())
        ]
        shown = labels[:together]
        both, single = clusters.statistics.among(shown)
        pairs = [[i, j, round(float(both[i, j]), 2)] for i, j in np.argwhere(np.triu(both, 1) > 0).tolist()]
        return {
            "experts": list(self.expert_names),
            "labels": rows,
            "cooccurrence": {
                "total": round(clusters.statistics.total(), 2),
                "counts": [round(count, 2) for count in single.tolist()],
                "pairs": pairs,
            },
            "clusters": {str(cluster): len(members) for cluster, members in clusters.partition.items()},
            "hierarchy": self.hierarchy(),
            "trees": self._trees(self._schema),
        }

    def hierarchy(self) -> Any:
        """The tree above the clusters as nested pairs of their ids; a single cluster's id; None before data."""
        return None if self._schema is None else self._partition.clusters.tree.nested()

    def trees(self) -> dict[int, dict[str, Any]]:
        """Per cluster, by id: its `labels` (positions), and its tree: `nodes`, `depth`, `root`, `text`.

        `root` and `text` are what the tree's `describe` and `to_text` give, with names.
        """
        if self._schema is None:
            return {}
        features = [f.name for f in self._schema.features]
        values = [f.values for f in self._schema.features]
        found = {}
        for cluster, learner in self._partition.learners.items():
            tree, labels = learner.tree, learner.labels.tolist()
            names = {"features": features, "labels": [self._schema.labels[i] for i in labels], "values": values}
            root, text = tree.describe(**names), tree.to_text(**names)
            found[cluster] = {"labels": labels, "nodes": tree.n_nodes, "depth": tree.depth, "root": root, "text": text}
        return found

    def drift_windows(self) -> dict[str, dict[str, float]]:
        """Windows of the detectors that tell drift, by what they watch: `loss`, `dependence`, or a cluster's id.

        `width`, in values seen since the window's begin, and `mean` of the loss in it.
        """
        if self._schema is None:
            return {}
        bank, named = self._watch.drift_bank, {LOSS: "loss", DEPENDENCE: "dependence"}
        return {
            named.get(watched, str(watched)): {
                "width": float(adwin_width(bank, slot)),
                "mean": float(adwin_mean(bank, slot)),
            }
            for watched, slot in self._watch.detector_of.items()
        }

    def _trees(self, schema: Schema) -> list[dict[str, Any]]:
        """The trees of most nodes, the largest first."""
        features, values = [f.name for f in schema.features], [f.values for f in schema.features]
        trees = [(cluster, x.labels, x.tree) for cluster, x in self._partition.learners.items()]
        trees.sort(key=lambda item: (-item[2].n_nodes, -len(item[1]), item[0]))
        return [
            {
                "cluster": cluster,
                "labels": len(labels),
                "nodes": tree.n_nodes,
                "leaves": tree.n_leaves,
                "depth": tree.depth,
                "learned": tree.n_learned,
                "loss": round(tree.mean_loss, 4),
                "root": _sketch(tree.describe(features, [schema.labels[i] for i in labels.tolist()], values)),
            }
            for cluster, labels, tree in trees[:MOST_TREES]
        ]


def _sketch(node: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """A described tree without what is deep, and of each leaf the likeliest labels."""
    out: dict[str, Any] = {"weight": round(node["weight"], 1)}
    if "rates" in node:
        likeliest = sorted(node["rates"].items(), key=lambda item: (-item[1], item[0]))[:MOST_RATES]
        return out | {"rates": {name: round(rate, 3) for name, rate in likeliest}, "active": node["active"]}
    if depth == MOST_DEEP:
        return out | {"more": _size(node)}
    test = {name: node[name] for name in ("feature", "test", "threshold")}
    sides = {side: _sketch(node[side], depth + 1) for side in ("left", "right")}
    return out | test | sides | ({"alternate": True} if "alternate" in node else {})


def _size(node: dict[str, Any]) -> int:
    """Nodes of a described subtree, itself included."""
    below: Sequence[dict[str, Any]] = [node[side] for side in ("left", "right") if side in node]
    return 1 + sum(map(_size, below))
