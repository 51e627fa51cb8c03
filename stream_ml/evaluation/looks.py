"""Looks at a run under way: at every window's end, what the model has become and what it has cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from stream_ml.ihomer.state import json_array

__all__ = ["LABELS_SHOWN", "LABELS_TOGETHER", "Looks", "frequent", "structure_of"]

MOST = 128
"""Looks that are kept: when there are more, every other one goes, and the next ones come half as often."""
LABELS_TOGETHER = 40
"""Labels whose similarities are kept."""
LABELS_SHOWN = 1000
"""Labels of which all is told."""


class Looks:
    """What is noted of a run at even distances, however long it becomes.

    Which looks there are depends on the number of scored instances alone.

    Parameters
    ----------
    every
        Scored instances from one look to the next; doubled whenever there are more than 128 looks.

    Attributes
    ----------
    records
        Per look `instance` (rows scored), and what the model's `glance` gives.
    resources
        Per look what depends on the machine: `instance`, `seconds` (in the model), `rss_mb`, and the bytes of the
        model's parts.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.records: list[dict[str, Any]] = []
        self.resources: list[dict[str, float | None]] = []

    def left(self, n_scored: int) -> int:
        """Scored instances until the next look."""
        return self.every - n_scored % self.every

    def take(self, model: Any, n_scored: int, seconds: float, labels: NDArray[np.int64]) -> None:
        """Note how things stand; `labels` are the most frequent ones."""
        glance = model.glance(labels) if hasattr(model, "glance") else {}
        self.records.append({"instance": n_scored, **glance})
        self.resources.append(resources_of(model, n_scored, seconds))
        if len(self.records) > MOST:
            self.every *= 2
            kept = [i for i, record in enumerate(self.records) if record["instance"] % self.every == 0]
            self.records = [self.records[i] for i in kept]
            self.resources = [self.resources[i] for i in kept]

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"looks": json_array({"every": self.every, "records": self.records, "resources": self.resources})}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave; runs of older versions have none."""
        if "looks" in state:
            held = json.loads(state["looks"].tobytes())
            self.every, self.records, self.resources = int(held["every"]), held["records"], held["resources"]


def resources_of(model: Any, n_scored: int, seconds: float) -> dict[str, float | None]:
    """What a run has cost so far."""
    parts = model.memory_usage() if hasattr(model, "memory_usage") else {}
    rss = psutil.Process().memory_info().rss / 2**20
    return {"instance": n_scored, "seconds": round(seconds, 6), "rss_mb": round(rss, 2), **parts}


def frequent(counts: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Positions of the `n` labels that were positive most often; `counts` as `Metrics.label_counts` gives them."""
    return np.argsort(-(counts[0] + counts[2]), kind="stable")[:n]


def structure_of(looks: Looks, model: Any, counts: NDArray[np.float64], names: list[str]) -> dict[str, Any]:
    """The content of `structure.json`; `counts` are those of the whole run.

    `n_labels`; `labels`, the most frequent first: `name`, true and false positives, false negatives (`tp`, `fp`, `fn`),
    and what the model's `structure` tells of each; the rest of that; `looks`.
    """
    chosen = frequent(counts, LABELS_SHOWN)
    told = model.structure(chosen, LABELS_TOGETHER) if hasattr(model, "structure") else {}
    by_position = {row["position"]: row for row in told.pop("labels", [])}
    rows = []
    for label in chosen.tolist():
        tp, fp, fn = counts[:, label].round().astype(int).tolist()
        row = {"position": label, "name": names[label], "tp": tp, "fp": fp, "fn": fn}
        rows.append(row | by_position.get(label, {}))
    return {"n_labels": counts.shape[1], "labels": rows, **told, "looks": looks.records}
