"""Multi-label Hoeffding trees: observers, split search, alternate subtrees."""

from stream_ml.trees.hoeffding_tree import MultiLabelHoeffdingTree
from stream_ml.trees.parameters import TreeParameters

__all__ = ["MultiLabelHoeffdingTree", "TreeParameters"]
