"""Every setting of the classifier, with its default, bounds and meaning."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream_ml.decisions import Objective

__all__ = [
    "ClusterParameters",
    "DecisionParameters",
    "DriftParameters",
    "ExpertParameters",
    "IHomerParameters",
    "RoutingParameters",
    "TreeParameters",
    "without_drift_handling",
]


LARGEST = 2**53
"""Whole numbers up to here fit everywhere."""
CELL_BYTES = 60
"""What root experts keep of a feature and label."""
NEIGHBOURS_MB, PAIRS_MB = 64.0, 128.0
"""What the window of dense rows, and the label pairs that are counted, may hold."""
MEMORY_SHARES = {"all_labels": 0.3, "gates": 0.6, "neighbours": 0.1, "pairs": 0.1, "trees": 0.3}
"""Of a limit on the whole. Gates stand in for trees and for experts of all labels; a fifth is left for the rest."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"at most {LARGEST}")
        return value


class ClusterParameters(_Section):
    """Online divisive-agglomerative clustering of the labels (`stream_ml.labels`)."""

    enabled: bool = Field(True, description="Partition the labels; when false, all labels stay in one cluster.")
    split: Literal["similarity", "pivot", "random"] = Field(
        "similarity", description="How a cluster is cut: keeping similarity, by pivots as in ODAC, or at random."
    )
    n_min: int = Field(200, ge=1, description="Learned instances between two tests of the clusters, in whole periods.")
    delta: float = Field(0.05, gt=0, lt=1, description="One minus the confidence of the Hoeffding bound.")
    tau: float = Field(0.1, gt=0, lt=1, description="Bound below which near-equal dissimilarities count as told apart.")
    min_size: int | None = Field(
        None, ge=1, description="Half the size worth cutting; by default the typical label-set size."
    )
    max_size: int = Field(24, ge=2, description="Largest cluster, once there is evidence to cut by.")
    fading: float = Field(0.9998, gt=0, le=1, description="Fading factor of co-occurrence counts, per instance.")
    reopen_keep: float = Field(0.05, ge=0, le=1, description="Share of the counts kept after a drift of dependence.")


class TreeParameters(_Section):
    """The multi-label Hoeffding tree of each cluster (`stream_ml.trees`)."""

    enabled: bool = Field(True, description="Grow trees; when false, root experts predict alone.")
    grace_period: int = Field(200, ge=1, description="Instances a leaf sees between two attempts to split it.")
    split_confidence: float = Field(1e-5, gt=0, lt=1, description="Delta of the Hoeffding bound of a split.")
    tie_threshold: float = Field(0.1, ge=0, description="Bound below which the best of near-equal splits is taken.")
    max_depth: int = Field(20, ge=0, le=1000, description="Tests on the longest path.")
    naive_bayes: bool = Field(True, description="Whether leaves vote by naive Bayes, too.")
    drift: bool = Field(True, description="Whether tests are watched for drift and alternate subtrees grown.")
    memory_limit_mb: float = Field(128.0, gt=0, description="Statistics of all trees together, in MB.")


class DriftParameters(_Section):
    """ADWIN on the loss of each cluster and of the whole."""

    enabled: bool = Field(True, description="Watch losses and act on drift.")
    drift_confidence: float = Field(0.002, gt=0, lt=1, description="ADWIN's delta for a drift.")
    warning_confidence: float = Field(0.02, gt=0, lt=1, description="ADWIN's delta for a warning.")
    clock: int = Field(32, ge=1, description="Learned instances between two looks at a detector's window.")
    keep: float = Field(
        0.05, ge=0, le=1, description="Share of the evidence that slows learning down kept after a drift."
    )


class ExpertParameters(_Section):
    """Root experts and their stacking (`stream_ml.experts`)."""

    prior_fading: float = Field(0.999, gt=0, le=1, description="Fading factor of label frequencies, per instance.")
    window: int = Field(
        2048, ge=1, le=2**20, description="Recent instances among which nearest neighbours are looked for."
    )
    neighbours: int = Field(20, ge=0, le=1024, description="Nearest neighbours that vote; 0: none are looked for.")
    sleep: bool = Field(True, description="Whether experts that add nothing sleep, to be tried again on a schedule.")
    stacking_decay: float = Field(
        0.999, gt=0, le=1, description="Factor per instance on what the shared stacking weights remember."
    )
    stacking_own_rate: float = Field(0.01, gt=0, description="Step of each label's own stacking weights.")


class RoutingParameters(_Section):
    """Gated routing (`stream_ml.gating`): how labels are found where there are too many to look at all."""

    gated_above: int = Field(
        1000, ge=0, description="Labels above which gates find those that are likely; else all are looked at."
    )
    all_labels_mb: float = Field(
        256.0, gt=0, description="MB that weights of all labels may take; labels are gated where they would take more."
    )
    reach: float = Field(0.1, gt=0, le=1, description="Probability below which a gate is not followed.")
    memory_limit_mb: float = Field(1024.0, gt=0, description="MB that the weights of gates may take.")


class DecisionParameters(_Section):
    """From probabilities to label sets (`stream_ml.decisions`)."""

    objective: Objective = Field("balanced", description="The loss that decisions are best for, or balanced.")
    alternatives: tuple[Objective, ...] = Field((), description="Objectives decided for in addition.")
    joint: bool = Field(True, description="Whether candidates are whole label sets, not labels one by one.")
    fading: float = Field(0.9998, gt=0, le=1, description="Fading factor of label sets and thresholds, per instance.")


class IHomerParameters(_Section):
    """Settings of `IHomerClassifier`."""

    memory_limit_mb: float | None = Field(
        None, ge=64, description="MB that the model may hold in all; none: only what its parts may hold is bounded."
    )
    period: int = Field(
        100, ge=1, description="Learned instances between two looks at drift and partition; acts at its multiples."
    )
    clusters: ClusterParameters = ClusterParameters()
    tree: TreeParameters = TreeParameters()
    drift: DriftParameters = DriftParameters()
    experts: ExpertParameters = ExpertParameters()
    routing: RoutingParameters = RoutingParameters()
    decisions: DecisionParameters = DecisionParameters()

    def memory_of(self, part: Literal["all_labels", "gates", "neighbours", "pairs", "trees"]) -> float:
        """MB that a part may hold: what is set for it, and no more than its share of `memory_limit_mb`."""
        own = {
            "all_labels": self.routing.all_labels_mb,
            "gates": self.routing.memory_limit_mb,
            "neighbours": NEIGHBOURS_MB,
            "pairs": PAIRS_MB,
            "trees": self.tree.memory_limit_mb,
        }[part]
        return own if self.memory_limit_mb is None else min(own, MEMORY_SHARES[part] * self.memory_limit_mb)

    def too_many(self, labels: NDArray[np.int64], features: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether labels are too many to look at all: by number, or by what experts keep of them and the features."""
        room = self.memory_of("all_labels") * 2**20
        return (labels > self.routing.gated_above) | (labels * features * CELL_BYTES > room)


def without_drift_handling(parameters: dict[str, Any]) -> dict[str, Any]:
    """The same settings with nothing that forgets: no detectors, no fading, no window of neighbours.

    What a learner loses by drift is measured against one of these. The short memory of the recency expert stays.
    """
    settings = IHomerParameters(**parameters).model_dump()
    settings["drift"]["enabled"] = False
    settings["tree"]["drift"] = False
    settings["clusters"]["fading"] = settings["decisions"]["fading"] = 1.0
    settings["experts"] |= {"prior_fading": 1.0, "neighbours": 0, "stacking_decay": 1.0}
    return settings
