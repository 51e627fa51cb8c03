"""The online predictors, their stacking, and decision rules."""

from stream_ml.experts.decision import decide
from stream_ml.experts.pool import ROOT_EXPERTS, ExpertPool
from stream_ml.experts.stacking import Stacking

__all__ = ["ROOT_EXPERTS", "ExpertPool", "Stacking", "decide"]
