"""Streams whose drifts are known."""

from stream_ml.simulation.concepts import GroupConcept
from stream_ml.simulation.scenario import Scenario
from stream_ml.simulation.stream import SimulatedStream, default_stream
from stream_ml.streams.truth import Drift

__all__ = ["Drift", "GroupConcept", "Scenario", "SimulatedStream", "default_stream"]
