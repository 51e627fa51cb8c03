"""Whether a second process would have a core to itself."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["spare_core"]

SPARE = 0.5
"""Cores that are idle: this process, which is one of those that are busy, has begun just now."""
LOAD = Path("/proc/loadavg")


def spare_core() -> bool:
    """Whether a core is idle: little ran in the last minute, or nothing else runs just now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    with suppress(OSError, ValueError, IndexError):  # elsewhere than on Linux, and in some sandboxes
        busy = min(busy, max(1, int(LOAD.read_text(encoding="ascii").split()[3].partition("/")[0])))
    return cores > 1 and cores - busy > SPARE
