"""Metrics, baselines and the prequential loop."""

from stream_ml.evaluation.baselines import MajorityLabelset, NoChange
from stream_ml.evaluation.metrics import METRICS, Metrics

__all__ = ["METRICS", "MajorityLabelset", "Metrics", "NoChange"]
