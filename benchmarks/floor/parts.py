"""The parts of the classifier: which kernels and which methods each of them is."""

from __future__ import annotations

from floor import needs, tree_needs
from floor.meter import Site
from stream_ml.decisions import Deciders, JointPosterior, _decision_kernels, _joint_kernels, _threshold_kernels
from stream_ml.experts import Stacking, _bayes_kernels, _kernels, _neighbour_kernels, _stack_kernels
from stream_ml.experts.design import Design
from stream_ml.experts.neighbours import Neighbours
from stream_ml.gating import gates
from stream_ml.ihomer import gated, partition, watch
from stream_ml.labels import LabelClusters, cooccurrence, odac
from stream_ml.trees import MultiLabelHoeffdingTree, growth, hoeffding_tree

__all__ = ["PARTS", "SITES"]

DESIGN, LINEAR, BAYES, PRIOR = "design rows", "linear experts", "naive Bayes", "prior, recency"
NEAR, ROWS, PREPARE, SPLIT = "neighbours", "trees: rows", "trees: leaf naive Bayes", "trees: split search"
GATES, STACK, DRIFT, JOINT = "gates", "stacking", "drift", "joint posterior"
DECIDE, CLUSTERS = "decisions", "label clusters"
PARTS = DESIGN, LINEAR, BAYES, PRIOR, NEAR, ROWS, PREPARE, SPLIT, GATES, STACK, DRIFT, JOINT, DECIDE, CLUSTERS

KERNELS = (
    (_kernels, "design_rows", DESIGN, needs),
    (_kernels, "linear_block", LINEAR, needs),
    (_bayes_kernels, "naive_bayes_block", BAYES, needs),
    (_kernels, "frequency_block", PRIOR, needs),
    (_neighbour_kernels, "neighbours_block", NEAR, needs),
    (partition, "route_labels", ROWS, tree_needs),
    (hoeffding_tree, "process_rows", ROWS, tree_needs),
    (partition, "scatter_logits", ROWS, tree_needs),
    (growth, "prepare_naive_bayes", PREPARE, tree_needs),
    (growth, "search_splits", SPLIT, tree_needs),
    (gates, "gates_block", GATES, needs),
    (_stack_kernels, "stack_block", STACK, needs),
    (odac, "cross_pairs", DRIFT, needs),
    (watch, "watch_clusters", DRIFT, needs),
    (watch, "watch_losses", DRIFT, needs),
    (_joint_kernels, "joint_block", JOINT, needs),
    (_joint_kernels, "likely_block", DECIDE, needs),
    (_joint_kernels, "independent_block", DECIDE, needs),
    (_threshold_kernels, "thresholds_block", DECIDE, needs),
    (_decision_kernels, "balanced_block", DECIDE, needs),
    (cooccurrence, "count_rows", CLUSTERS, needs),
)
METHODS = (
    (Design, "rows", DESIGN),
    (Neighbours, "process", NEAR),
    (partition.Partition, "tasks", ROWS),
    (MultiLabelHoeffdingTree, "process", ROWS),
    (growth.Growth, "_prepare", PREPARE),
    (growth.Growth, "_attempt", SPLIT),
    (gates.Gates, "process", GATES),
    (Stacking, "process", STACK),
    (gated.GatedLearner, "_watch_block", DRIFT),
    (JointPosterior, "process", JOINT),
    (JointPosterior, "process_likely", JOINT),
    (JointPosterior, "follow", JOINT),
    (Deciders, "decide", DECIDE),
    (LabelClusters, "update", CLUSTERS),
    (partition.Partition, "settle", CLUSTERS),
    (watch.LossWatch, "update_clusters", DRIFT),
    (watch.LossWatch, "follow", DRIFT),
    (watch.LossWatch, "take", DRIFT),
)
SITES = (
    *(Site(owner, name, part, True, getattr(counted, name)) for owner, name, part, counted in KERNELS),
    *(Site(owner, name, part, False) for owner, name, part in METHODS),
    Site(LabelClusters, "check", CLUSTERS, False, needs.check),
)
"""Kernels that only other kernels call are part of these."""
