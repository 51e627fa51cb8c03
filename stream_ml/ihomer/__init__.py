"""The classifier: label clusters to learners, routing, restructuring, events."""

from stream_ml.ihomer.classifier import IHomerClassifier
from stream_ml.ihomer.events import EVENT_KINDS, Event
from stream_ml.ihomer.parameters import IHomerParameters

__all__ = ["EVENT_KINDS", "Event", "IHomerClassifier", "IHomerParameters"]
