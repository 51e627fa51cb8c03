"""What things are called in a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["EXPERT_NAMES", "GENERATOR", "LOWER_IS_BETTER", "METRIC_NAMES", "PART_NAMES", "event_line", "listed"]

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
