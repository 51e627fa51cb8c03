"""Results that are done stay done: one file per run, written at once or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stream_ml.benchmark.measure import Measured
from stream_ml.benchmark.tallies import Tallies

__all__ = ["Store"]


class Store:
    """A directory of measured runs, by a digest of what was run.

    A run is found again when its settings are the same; one that ran out of time, only if its budget was not smaller.
    Failed runs are tried again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _file(self, settings: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()[:20]
        return self.path / f"{digest}.npz"

    def save(self, settings: Mapping[str, Any], budget: float | None, measured: Measured) -> None:
        """Keep a run."""
        facts = {"settings": settings, "budget": budget, **measured.facts(), "objectives": list(measured.tallies)}
        arrays: dict[str, Any] = {"facts": np.frombuffer(orjson.dumps(facts), dtype=np.uint8)}
        for i, tallies in enumerate(measured.tallies.values()):
            arrays |= {f"{i}.{name}": array for name, array in tallies.to_arrays().items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        self.path.mkdir(parents=True, exist_ok=True)
        target = self._file(settings)
        partial = target.with_suffix(f".{os.getpid()}.tmp")
        partial.write_bytes(buffer.getvalue())
        partial.replace(target)

    def load(self, settings: Mapping[str, Any], budget: float | None) -> Measured | None:
        """The run of these settings, if it is there, did not fail, and more time would not have changed it."""
        file = self._file(settings)
        if not file.exists():
            return None
        with np.load(file) as arrays:
            facts = orjson.loads(arrays["facts"].tobytes())
            tallies = {
                name: Tallies.from_arrays({key: arrays[f"{i}.{key}"] for key in ("sums", "counts")})
                for i, name in enumerate(facts["objectives"])
            }
        had = facts["budget"]
        more_time = facts["partial"] and had is not None and (budget is None or budget > had)
        if facts["error"] is not None or more_time:
            return None
        return Measured(tallies, facts["rows"], facts["seconds"], facts["partial"])
