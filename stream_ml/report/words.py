"""What things are called in a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "COLUMN_TITLES",
    "EXPERT_NAMES",
    "GENERATOR",
    "LOWER_IS_BETTER",
    "METRIC_NAMES",
    "PART_NAMES",
    "STATISTICS",
    "event_line",
    "listed",
    "meanings",
    "tells_apart",
]

GENERATOR = "stream-ml report"
"""What a page names as what made it."""
LOWER_IS_BETTER = {"hamming_loss"}
METRIC_NAMES = {
    "subset_accuracy": "Subset accuracy",
    "hamming_loss": "Hamming loss (lower is better)",
    "example_f1": "Example F1",
    "example_jaccard": "Example Jaccard",
    "micro_f1": "Micro F1",
    "micro_precision": "Micro precision",
    "micro_recall": "Micro recall",
    "macro_f1": "Macro F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "precision_at_1": "Precision@1",
    "precision_at_3": "Precision@3",
    "precision_at_5": "Precision@5",
}
EXPERT_NAMES = {
    "linear_adaptive": "linear, adaptive",
    "linear_unit_adaptive": "linear, unit, adaptive",
    "linear": "linear",
    "linear_unit": "linear, unit length",
    "naive_bayes": "naive Bayes",
    "prior": "prior",
    "recency": "recency",
    "neighbours": "nearest neighbours",
    "leaf_prior": "leaf: prior",
    "leaf_naive_bayes": "leaf: naive Bayes",
    "leaf_labelset": "leaf: label set",
}
PART_NAMES = EXPERT_NAMES | {
    "trees": "trees",
    "co_occurrence": "co-occurrence",
    "joint": "joint posterior",
    "thresholds": "thresholds",
    "gates": "gates",
    "gate_weights": "weights of gates",
    "labels": "numbers of labels",
}


COLUMN_TITLES = {
    "label": "The label's name",
    "cluster": "The cluster that it is in at the end",
    "support": "Instances that have the label",
    "precision": "Of the instances predicted to have it, the share that does",
    "recall": "Of the instances that have it, the share predicted to",
    "F1": "Harmonic mean of precision and recall",
    "threshold": "From this probability on the label would have been predicted for the best F1 so far; "
    "decisions for other objectives may cut elsewhere",
    "main expert": "The expert of the largest weight for this label",
}
"""What the columns of the table of labels mean."""
STATISTICS = {
    "d0": "smallest dissimilarity of two labels of the cluster: 0, always together; 1, never",
    "d1": "largest dissimilarity of two labels of the cluster",
    "d2": "second largest",
    "avg": "mean dissimilarity of all pairs",
    "gap": "how much more similar labels on the same side of the cut are than labels on two sides, on average",
    "eps": "Hoeffding bound: how far a mean over n instances may be off by chance; what is larger hardly is chance",
    "n": "instances that tell of it, older ones counting less",
    "lost": "largest share of a side's similarity that the cut takes away",
    "average_excess": "mean similarity of a label of one cluster and one of the other, beyond what chance gives",
    "gained_share": "share of the similarity kept by the union that lies between the two clusters",
    "moved": "labels that changed their cluster",
    "similarity_before": "mean similarity of these labels to their old cluster",
    "similarity_after": "mean similarity of these labels to their new one",
    "excess_before": "share of the similarity beyond that of random clusters which the old clusters kept",
    "excess_after": "the same of the new clusters",
    "kept_before": "similarity kept in clusters: share of the similarity of all labels that lies within clusters",
    "window_mean": "mean loss over the window that ADWIN, the drift detector, has left",
    "window_width": "instances in that window",
    "kept_after": "the same afterwards",
    "rise": "how far its mean loss is above that of the window before",
    "nodes": "nodes that its tree had",
    "weight": "instances learned by then",
    "node": "number of the tree's node that it is about",
    "feature": "number of the feature that the node asks for",
    "alternate": "number of the node at the top of the alternate subtree, which grows where the loss rose",
    "loss": "mean loss of the subtree while both were compared",
    "alternate_loss": "that of the alternate subtree",
    "rows": "instances on which they were compared",
    "drift": "instance of the drift that led to it",
    "labels": "labels met by then",
}
"""What the numbers of an event mean."""


def meanings(reasons: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The numbers that some events give as their reasons, and what each means.

    >>> [name for name, _ in meanings([{"eps": 0.1, "merit": 2.0}, {"kind": "split", "d0": 0.2, "eps": 0.3}])]
    ['d0', 'eps']
    """
    given = {name for reason in reasons for name in reason}
    return [(name.replace("_", " "), meaning) for name, meaning in STATISTICS.items() if name in given]


def tells_apart(metric: str, n_labels: int) -> bool:
    """Whether a metric can tell models apart: precision at k of k labels or fewer is the same in whatever order.

    >>> tells_apart("precision_at_3", 3), tells_apart("precision_at_3", 4), tells_apart("micro_f1", 1)
    (False, True, True)
    """
    _, at, k = metric.partition("precision_at_")
    return not at or int(k) < n_labels


def event_line(event: Mapping[str, Any]) -> str:
    """An event in a line.

    >>> event_line({"kind": "drift", "instance": 15104, "scope": "global", "where": "loss", "reason": {"mean": 0.4}})
    'drift at 15,104, of the loss: mean 0.4'
    """
    instance = f"{event['instance']:,}"
    if event["kind"] == "known":
        drift = event["drift"]
        return f"known drift at {instance}: {drift['shape']} {drift['kind']}, {len(drift['labels'])} labels"
    where = event.get("where", "")
    place = f", of the {where}" if event.get("scope") == "global" and where else f", cluster {where}" if where else ""
    reason = ", ".join(f"{name.replace('_', ' ')} {_short(v)}" for name, v in event.get("reason", {}).items())
    return f"{event['kind'].replace('_', ' ')} at {instance}{place}" + (f": {reason}" if reason else "")


def listed(names: Iterable[str], most: int = 8) -> str:
    """Some names, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names = list(names)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
