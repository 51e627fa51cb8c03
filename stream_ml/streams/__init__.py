"""Streams: schema, batches, sources and transforms."""

from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions
from stream_ml.streams.schema import Feature, Schema

__all__ = ["LEARN", "PREDICT", "Batch", "Feature", "Predictions", "Schema"]
