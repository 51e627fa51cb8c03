"""A run in numbers: the content of `summary.json`."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from typing import Any

import numba
import numpy as np

import stream_ml
from stream_ml.evaluation.metrics import METRICS, Metrics
from stream_ml.evaluation.ranking import RANKED

__all__ = ["summary_of"]

COUNTED_EVENTS = ("drift", "warning", "split", "merge", "swap", "restructure")


def summary_of(run: Any, stream: Any, model: Any, name: str) -> dict[str, Any]:
    """The content of `summary.json`; `run` has the counts and tallies."""
    overall = run.scored["model"].overall
    seconds = run.scored["model"].seconds
    labels = run.schema.labels if run.schema is not None else []
    cardinality = overall.cardinality()
    kinds = Counter(event.kind for event in run.result.events)
    skipped = getattr(stream, "skipped", None)
    return {
        "stream": {
            "name": getattr(stream, "name", run.schema.name if run.schema is not None else "stream"),
            "n_instances": run.n_instances,
            "n_features": run.n_features,
            "n_labels": run.n_labels,
            "cardinality": cardinality,
            "density": cardinality / run.n_labels if run.n_labels else 0.0,
            "skipped": int(getattr(skipped, "count", skipped or 0)),
        },
        "model": {"name": name, "parameters": model.parameters},
        "n_scored": run.n_scored,
        "n_learned": run.n_learned,
        "seconds": seconds,
        "instances_per_second": run.n_instances / seconds if seconds else 0.0,
        "peak_rss_mb": _peak_rss_mb(),
        "metrics": _of(overall) | dict.fromkeys(RANKED) | run.scored["model"].ranked.result(),
        "objectives": _objectives(run.scored["model"]),
        "calibration": run.scored["model"].calibration.result(),
        "fading_metrics": _of(run.scored["model"].faded),
        # a label set ranks nothing
        "baselines": {key: _of(s.overall) | dict.fromkeys(RANKED) for key, s in run.scored.items() if key != "model"},
        "events": {kind: kinds[kind] for kind in (*COUNTED_EVENTS, *sorted(set(kinds) - set(COUNTED_EVENTS)))},
        "clusters": [[labels[label] for label in cluster] for cluster in getattr(model, "clusters", [])],
        "versions": {
            "stream_ml": stream_ml.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
    }


def _objectives(scored: Any) -> dict[str, dict[str, float | None]]:
    """Metrics by objective, the model's own first; {} when no others were asked for."""
    if not scored.alternatives:
        return {}
    own = getattr(scored.model, "objectives", ("own",))[0]
    return {own: _of(scored.overall)} | {name: _of(metrics) for name, metrics in scored.alternatives.items()}


def _of(metrics: Metrics) -> dict[str, float | None]:
    """Metrics by name; None of all when nothing was scored."""
    return {**metrics.result()} if metrics.n_rows else dict.fromkeys(METRICS)


def _peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
