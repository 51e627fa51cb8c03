"""stream-ml: online multi-label learning on real streams."""

from __future__ import annotations

__version__ = "0.1.0"
