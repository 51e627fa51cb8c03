"""One model over one stream, for as long as its time lasts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_ml.benchmark.tallies import Tallies
from stream_ml.evaluation import Model
from stream_ml.streams.batch import PREDICT, Batch

__all__ = ["Measured", "measure"]


@dataclass(slots=True)
class Measured:
    """What a run gave.

    Attributes
    ----------
    tallies
        Block tallies by objective; `""` for the model's own decisions.
    rows
        Rows taken.
    seconds
        Time that the model took.
    partial
        Whether its time was over before the stream was.
    error
        What went wrong, or None.
    """

    tallies: dict[str, Tallies] = field(default_factory=dict)
    rows: int = 0
    seconds: float = 0.0
    partial: bool = False
    error: str | None = None

    def facts(self) -> dict[str, Any]:
        """All but the tallies, JSON-ready."""
        return {"rows": self.rows, "seconds": self.seconds, "partial": self.partial, "error": self.error}


def measure(stream: Iterable[Batch], model: Model, *, block: int = 100, budget: float | None = None) -> Measured:
    """Let a model predict, then learn, a stream; a block that was begun is finished.

    Parameters
    ----------
    stream
        Batches of any size.
    model
        Anything with `test_then_train`.
    block
        Rows of a block: of the tallies, and between two looks at the clock.
    budget
        Seconds of the model's own time after which it stops; None: never.
    """
    measured = Measured({"": Tallies()})
    for batch in stream:
        for start in range(0, len(batch), block):
            if budget is not None and measured.seconds >= budget:
                measured.partial = True
                return measured
            part = batch.rows(start, min(start + block, len(batch)))
            began = time.perf_counter()
            predictions = model.test_then_train(part)
            measured.seconds += time.perf_counter() - began
            measured.rows += len(part)
            rows = np.flatnonzero(((part.mode & PREDICT) != 0) & part.labelled)
            if len(rows):
                measured.tallies[""].add(part, predictions, rows)
                for name, alternative in predictions.alternatives.items():
                    measured.tallies.setdefault(name, Tallies()).add(part, alternative, rows)
    return measured
