"""Label sets out of probabilities: the joint posterior over sets, and the decision that each loss asks for."""

from stream_ml.decisions.joint import JointPosterior
from stream_ml.decisions.objectives import OBJECTIVES, Deciders, Objective, joined

__all__ = ["OBJECTIVES", "Deciders", "JointPosterior", "Objective", "joined"]
