"""Label co-occurrence and its online clustering."""

from stream_ml.labels.cooccurrence import Cooccurrence
from stream_ml.labels.odac import Change, LabelClusters

__all__ = ["Change", "Cooccurrence", "LabelClusters"]
