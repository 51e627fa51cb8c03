"""Drift handling scored against what is known: delay, misses, false alarms, the right clusters, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from stream_ml.evaluation.drift_trace import Curve, DriftTrace
from stream_ml.evaluation.partitions import PartitionHistory, adjusted_rand_index
from stream_ml.ihomer.events import Event
from stream_ml.streams.truth import Drift, Groups

__all__ = ["BEFORE", "HORIZON", "REAL", "RESTORED", "SPAN", "WIDTH", "Detection", "detections", "dip", "score_drifts"]

HORIZON = 1000
"""Rows after the end of a drift within which a detection is of that drift."""
WIDTH = 250
"""Rows of a window of F1."""
BEFORE = 1000
"""Rows before a drift from which the level before it is told."""
SPAN = 5000
"""Rows after a drift, unless another comes first, over which what it cost is added up."""
RESTORED = 0.95
ALIKE = 0.9
"""Adjusted Rand index from which a partition counts as the true one."""
REAL = frozenset({"concept", "dependence", "imbalance", "appear", "vanish"})
"""Kinds that a learner has something to gain from seeing; others are listed, but not missed."""
ACTED = frozenset({"drift", "swap", "restart", "restructure"})
"""Events by which a learner changes course."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A drift that a model says it saw.

    Attributes
    ----------
    row
        Rows predicted when it was seen.
    scope
        `cluster` or `global`.
    labels
        Labels of the cluster, as it was then; empty for a global one.
    """

    row: int
    scope: str
    labels: frozenset[int]


def detections(
    events: Sequence[Event], trace: DriftTrace, history: PartitionHistory, kinds: frozenset[str] = frozenset({"drift"})
) -> list[Detection]:
    """Events of some kinds, of clusters and of the whole, as rows and labels."""
    chosen = [e for e in events if e.kind in kinds and e.scope in {"cluster", "global"}]
    rows = trace.rows_seen(np.array([e.instance for e in chosen], dtype=np.int64)).tolist()
    return [
        Detection(row, e.scope, frozenset(history.before(e.instance).get(e.where, ())))
        for e, row in zip(chosen, rows, strict=True)
    ]


def dip(curve: Curve, first: int, last: int) -> dict[str, float | int | None]:
    """What a drift cost, measured by a learner's own level before it.

    Returns
    -------
    dict
        `before`: micro F1 of the rows before. `lowest`: of the worst window after. `area`: F1 below the level before,
        times rows. `recovery`: rows until a window is back to 95% of the level before, None if none is.
    """
    before = curve.f1(max(0, first - BEFORE), first)
    windows = curve.windows(first, min(last, first + SPAN), WIDTH)
    if before is None or not windows:
        return {"before": before, "lowest": None, "area": None, "recovery": None}
    back = next((end - first for end, value in windows if value >= RESTORED * before), None)
    area = sum(max(0.0, before - value) * WIDTH for _, value in windows)
    return {"before": before, "lowest": min(value for _, value in windows), "area": area, "recovery": back}


def score_drifts(
    truth: Sequence[Drift],
    trace: DriftTrace,
    events: Sequence[Event],
    names: Sequence[str],
    *,
    horizon: int = HORIZON,
) -> dict[str, Any]:
    """The `drift` section of a summary.

    A detection is of a drift when it comes after its first row and at most `horizon` rows after its end, and before
    the next one begins; the first one found it, and any other is an alarm: false alarms are counted per 10,000 of the
    rows that are no drift's. Drifts that end behind the last row are scored as far as rows go.
    """
    drifts = sorted((d for d in truth if d.instance < trace.n_rows), key=lambda d: d.instance)
    history, curve = PartitionHistory(events), trace.curve()
    seen = detections(events, trace, history)
    acted = detections(events, trace, history, ACTED)
    starts = [d.instance for d in drifts] + [trace.n_rows]
    scored, taken, covered = [], set[int](), 0
    for number, drift in enumerate(drifts):
        following = next((s for s in starts[number + 1 :] if s > drift.instance), trace.n_rows)
        last = min(drift.end + horizon, following)
        within = [i for i, d in enumerate(seen) if drift.instance < d.row <= last]
        taken |= set(within)
        if number + 1 == len(drifts) or drifts[number + 1].instance > drift.instance:
            covered += last - drift.instance
        record = drift.to_dict(names) if drift.labels else {**drift.to_dict(names), "labels": []}
        record["delay"] = seen[within[0]].row - drift.instance if within else None
        record |= _named(drift, [seen[i] for i in within], [a for a in acted if drift.instance < a.row <= last], names)
        record["dip"] = dip(curve, drift.instance, following)
        if drift.after:
            record |= _reclustered(drift, trace, history, following)
        scored.append(record)
    quiet = trace.n_rows - covered
    false = len(seen) - len(taken)
    delays = [r["delay"] for r in scored if r["delay"] is not None and r["kind"] in REAL]
    real = sum(r["kind"] in REAL for r in scored)
    return {
        "horizon": horizon,
        "n_drifts": real,
        "found": len(delays),
        "missed": real - len(delays),
        "median_delay": median(delays) if delays else None,
        "false_alarms": false,
        "quiet_rows": quiet,
        "false_alarms_per_10000": 10_000 * false / quiet if quiet else None,
        "drifts": scored,
    }


def _named(
    drift: Drift, found: Sequence[Detection], acted: Sequence[Detection], names: Sequence[str]
) -> dict[str, Any]:
    """Of a drift of some labels only: which clusters were named, if those alone, and if others were left alone.

    A cluster is rightly named when it holds a label that drifts: `named_right` is of the first that is named,
    `named_only` of all. Others are touched by a drift, a swap, a restart or a re-opened partition, of the whole or of
    theirs.
    """
    affected = frozenset(drift.labels)
    if not affected or len(affected) >= len(names) or drift.kind == "dependence":
        return {}
    named = [d for d in found if d.scope == "cluster" and d.labels]
    others = [d for d in acted if d.scope == "global" or (d.labels and not d.labels & affected)]
    return {
        "named": sorted({names[label] for d in named for label in d.labels}),
        "named_right": bool(named and named[0].labels & affected),
        "named_only": bool(named) and all(d.labels & affected for d in named),
        "others_untouched": not others,
    }


def _reclustered(drift: Drift, trace: DriftTrace, history: PartitionHistory, following: int) -> dict[str, Any]:
    """How near the partition is to the true one before a drift of dependence, after 2,000 rows and at the end of its
    time, and after how many rows it is near enough."""
    assert drift.after is not None
    seen = trace.rows_seen(np.array(history.instances, dtype=np.int64)).tolist()

    def index(row: int, true: Groups) -> float:
        place = int(np.searchsorted(seen, row, side="right"))
        return adjusted_rand_index(list(history.states[place - 1].values()), true) if place else 0.0

    moments = [drift.end, *(row for row in seen if drift.end < row <= following)]
    reached = next((row - drift.instance for row in moments if index(row, drift.after) > ALIKE), None)
    return {
        "rand_index_before": index(drift.instance, drift.before) if drift.before else None,
        "rand_index_2000": index(min(drift.end + 2000, following), drift.after),
        "rand_index_last": index(following, drift.after),
        "reclustered": reached,
    }
