"""Streams: schema, batches, sources and transforms."""

from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions
from stream_ml.streams.dicts import DictStream
from stream_ml.streams.files import open_stream
from stream_ml.streams.matching import Matched
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import Skipped, Stream, concatenate
from stream_ml.streams.transforms import Delayed, Limited, Shuffled
from stream_ml.streams.truth import Drift

__all__ = [
    "LEARN",
    "PREDICT",
    "Batch",
    "Delayed",
    "DictStream",
    "Drift",
    "Feature",
    "Limited",
    "Matched",
    "Predictions",
    "Schema",
    "Shuffled",
    "Skipped",
    "Stream",
    "concatenate",
    "open_stream",
]
