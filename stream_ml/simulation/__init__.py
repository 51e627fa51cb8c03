"""Streams whose drifts are known."""

from stream_ml.simulation.concepts import GroupConcept
from stream_ml.simulation.stream import Drift, SimulatedStream, default_stream

__all__ = ["Drift", "GroupConcept", "SimulatedStream", "default_stream"]
