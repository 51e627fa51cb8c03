"""Label co-occurrence and its online clustering."""

from stream_ml.labels.change import Change
from stream_ml.labels.cooccurrence import Cooccurrence
from stream_ml.labels.groups import Groups
from stream_ml.labels.odac import LabelClusters
from stream_ml.labels.tree import ClusterTree

__all__ = ["Change", "ClusterTree", "Cooccurrence", "Groups", "LabelClusters"]
