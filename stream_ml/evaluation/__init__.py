"""Metrics, baselines and the prequential loop."""

from stream_ml.evaluation.baselines import MajorityLabelset, NoChange
from stream_ml.evaluation.calibration import Calibration
from stream_ml.evaluation.drift_comparison import compare_on_drifts
from stream_ml.evaluation.drift_score import score_drifts
from stream_ml.evaluation.drift_trace import DriftTrace
from stream_ml.evaluation.metrics import METRICS, Metrics
from stream_ml.evaluation.partitions import PartitionHistory, adjusted_rand_index
from stream_ml.evaluation.prequential import Model, Progress, Result, RunState, part_of, prequential
from stream_ml.evaluation.ranking import RANKED, PrecisionAtK
from stream_ml.evaluation.warm_up import needs_gates, warm_up

__all__ = [
    "METRICS",
    "RANKED",
    "Calibration",
    "DriftTrace",
    "MajorityLabelset",
    "Metrics",
    "Model",
    "NoChange",
    "PartitionHistory",
    "PrecisionAtK",
    "Progress",
    "Result",
    "RunState",
    "adjusted_rand_index",
    "compare_on_drifts",
    "needs_gates",
    "part_of",
    "prequential",
    "score_drifts",
    "warm_up",
]
