"""Gated routing: the labels that an instance is likely to have, found along a tree of gates."""

from stream_ml.gating._layout import GATE_EXPERTS, GateRows
from stream_ml.gating.gates import Gates

__all__ = ["GATE_EXPERTS", "GateRows", "Gates"]
