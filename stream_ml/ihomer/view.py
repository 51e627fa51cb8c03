"""Looking into a classifier: its clusters, trees and experts as plain values; nothing here changes a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions import Deciders
from stream_ml.drift import adwin_mean, adwin_width
from stream_ml.experts import ROOT_EXPERTS, ExtraExperts, SleepSchedule, Stacking
from stream_ml.gating import GATE_EXPERTS
from stream_ml.ihomer.gated import GatedLearner
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.ihomer.partition import Partition
from stream_ml.ihomer.watch import DEPENDENCE, LOSS, LossWatch
from stream_ml.labels import LabelClusters
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

    settings: IHomerParameters
    n_learned: int
    _schema: Schema | None
    _partition: Partition
    _stacking: Stacking
    _sleep: SleepSchedule
    _deciders: Deciders
    _watch: LossWatch
    _gated: GatedLearner | None = None
    _extra: ExtraExperts

    @property
    def extra_experts(self) -> dict[str, Any]:
        """Experts of one's own, by name."""
        return dict(self._extra.experts)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """What stacking weighs, in the order of its weights."""
        return (*EXPERTS, *self._extra.names)

    def needs_gates(self, schema: Schema) -> bool:
        """Whether labels are gated, or will be once those that a schema names are met (see `IHomerParameters`)."""
        size = np.array([schema.n_labels]), np.array([schema.n_features])
        return self._gated is not None or bool(self.settings.too_many(*size)[0])

    def glance(self, labels: NDArray[np.int64]) -> dict[str, Any]:
        """What changes as a model learns, JSON-ready; {} before data.

        `learned`; `clusters` and `tree_nodes`, their numbers; `weights`, each expert's weight, the mean over all labels
        (None while it sleeps); `labels`, those of the given positions that are known, and `similarity`, their pairs as
        `[place, place, Jaccard similarity in thousandths]`, places in `labels`.
        """
        if self._schema is None:
            return {}
        labels, numbers = self._met(labels)
        learners = self._partition.learners.values()
        both, single = self._clusters.statistics.among(numbers)
        either = single[:, None] + single[None, :] - both
        thousandths = np.rint(1000.0 * np.divide(both, either, out=np.zeros_like(both), where=either > 0)).astype(int)
        first, second = np.nonzero(np.triu(thousandths, 1))
        weighed = self._weights_of(None)[:-1]
        means = weighed.mean(axis=1) if weighed.shape[1] else np.zeros(len(weighed))
        awake = np.ones(len(self.expert_names), dtype=np.bool_)
        awake[: len(ROOT_EXPERTS)] = self._sleep.awake
        if self._gated is not None:
            awake[:] = [name in GATE_EXPERTS for name in self.expert_names]
        weights = [round(w, 5) if there else None for w, there in zip(means.tolist(), awake.tolist(), strict=True)]
        return {
            "learned": self.n_learned,
            "clusters": self._clusters.n_clusters,
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
        labels, numbers = self._met(labels)
        clusters, deciders = self._clusters, self._deciders if self._gated is None else self._gated.deciders
        cluster_of = clusters.clusters_of(numbers)
        weights, thresholds = self._weights_of(numbers)[:-1], deciders.thresholds(numbers)
        rows = [
            {
                "position": label,
                "cluster": int(cluster_of[i]),
                "threshold": round(float(thresholds[i]), 4),
                "weights": [round(w, 4) for w in weights[:, i].tolist()],
            }
            for i, label in enumerate(labels.tolist())
        ]
        both, single = clusters.statistics.among(numbers[:together])
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
        return None if self._schema is None else self._clusters.tree.nested()

    @property
    def _clusters(self) -> LabelClusters:
        """The clusters, of labels by number."""
        return self._partition.clusters if self._gated is None else self._gated.clusters

    def _met(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of labels by position those that were met, and the numbers by which the parts of the model know them."""
        if self._gated is not None:
            return self._gated.met(labels)
        labels = labels[labels < self._partition.n_labels]
        return labels, labels

    def _weights_of(self, numbers: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """Stacking weights (experts + 1, labels) of labels by number, or of all; of experts that no gate has, 0."""
        if self._gated is None:
            weights = self._stacking.weights()
            return weights if numbers is None else weights[:, numbers]
        own = self._gated.gates.label_weights(numbers)
        weights = np.zeros((len(self.expert_names) + 1, own.shape[1]))
        weights[[*(self.expert_names.index(name) for name in GATE_EXPERTS), -1]] = own
        return weights

    def gates(self) -> dict[str, int] | None:
        """How many gates there are, where labels are too many to look at all; None where all are looked at.

        `labels` met, `groups` of up to `width` children, how many are on the longest path (`depth`), `blocks` of
        weights (of a group and a feature), and how many of them were `forgotten` for want of memory.
        """
        return None if self._gated is None else self._gated.gates.facts()

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
        watch = self._watch if self._gated is None else self._gated.watch
        bank, named = watch.drift_bank, {LOSS: "loss", DEPENDENCE: "dependence"}
        return {
            named.get(watched, str(watched)): {
                "width": float(adwin_width(bank, slot)),
                "mean": float(adwin_mean(bank, slot)),
            }
            for watched, slot in watch.detector_of.items()
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
