"""Metrics, baselines and the prequential loop."""

from stream_ml.evaluation.baselines import MajorityLabelset, NoChange
from stream_ml.evaluation.calibration import Calibration
from stream_ml.evaluation.metrics import METRICS, Metrics
from stream_ml.evaluation.prequential import Model, Progress, Result, RunState, part_of, prequential
from stream_ml.evaluation.ranking import RANKED, PrecisionAtK
from stream_ml.evaluation.warm_up import warm_up

__all__ = [
    "METRICS",
    "RANKED",
    "Calibration",
    "MajorityLabelset",
    "Metrics",
    "Model",
    "NoChange",
    "PrecisionAtK",
    "Progress",
    "Result",
    "RunState",
    "part_of",
    "prequential",
    "warm_up",
]
