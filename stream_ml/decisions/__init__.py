"""Label sets out of probabilities: the joint posterior over sets, and the decision that each loss asks for."""

from stream_ml.decisions._layout import LIKELY, JointRows
from stream_ml.decisions.joint import JointPosterior
from stream_ml.decisions.objectives import FALLBACK, OBJECTIVES, Deciders, Objective, joined

__all__ = ["FALLBACK", "LIKELY", "OBJECTIVES", "Deciders", "JointPosterior", "JointRows", "Objective", "joined"]
