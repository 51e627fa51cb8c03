"""The online predictors and their stacking."""

from stream_ml.experts.extra import ExtraExpert, ExtraExperts
from stream_ml.experts.neighbours import Nearest
from stream_ml.experts.pool import BLOCK_ROWS, ROOT_EXPERTS, SLEEPERS, ExpertPool
from stream_ml.experts.sleep import SleepSchedule
from stream_ml.experts.stacking import Stacking

__all__ = [
    "BLOCK_ROWS",
    "ROOT_EXPERTS",
    "SLEEPERS",
    "ExpertPool",
    "ExtraExpert",
    "ExtraExperts",
    "Nearest",
    "SleepSchedule",
    "Stacking",
]
