"""What a drift cost a learner, beside one that starts afresh, one that takes no notice, and one that is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stream_ml.evaluation.drift_score import BEFORE, HORIZON, RESTORED, SPAN, WIDTH, dip
from stream_ml.evaluation.drift_trace import Curve, DriftTrace
from stream_ml.evaluation.prequential import Model
from stream_ml.streams.batch import PREDICT, Batch
from stream_ml.streams.truth import Drift

__all__ = ["compare_on_drifts", "traced"]

LEARNED = 10_000
"""Rows that the frozen learner has seen."""
FROZEN = 1000
"""Rows before and after the drift on which its loss is told."""


def traced(batches: Iterable[Batch], model: Model) -> Curve:
    """How a model does, row by row."""
    trace = DriftTrace()
    for batch in batches:
        trace.update(batch, model.test_then_train(batch))
    return trace.curve()


def compare_on_drifts(
    rows_from: Callable[[int], Iterable[Batch]],
    drifts: Sequence[Drift],
    n_rows: int,
    build: Callable[[], Model],
    curve: Curve,
    others: Mapping[str, Curve],
) -> list[dict[str, Any]]:
    """Each drift that some rows lie before and after, with what it cost the learner of `curve`, and others.

    Parameters
    ----------
    rows_from
        Gives the stream from a row on.
    drifts, n_rows
        What is known about the stream, and its length.
    build
        Makes a fresh learner: the oracle that starts at the drift's end, and the one that is frozen before it.
    curve, others
        How the learner and others did over the whole stream.

    Returns
    -------
    list of dict
        `first`, `kind`, `shape`; `frozen_rise`: by how much the loss (1 less micro F1) of a frozen learner rises;
        `oracle_at_horizon`, `oracle_level`: micro F1 that a fresh learner reaches within HORIZON rows, and at last;
        `recovery`, `recovery_level`: rows until the learner is back to 95% of those; and for the learner (`model`), the
        oracle and the others `area`: micro F1 below the oracle's level, times rows, over the SPAN rows after the drift,
        and `own_area`: below the learner's own level before it.
    """
    found = []
    ordered = sorted(drifts, key=lambda d: d.instance)
    for number, drift in enumerate(ordered):
        first = drift.instance
        begins = max([d.end for d in ordered[:number] if d.end <= first], default=0)
        ends = min([d.instance for d in ordered[number + 1 :] if d.instance > first], default=n_rows)
        if first - begins < 2 * FROZEN or ends - drift.end < FROZEN:
            continue
        last = min(ends, drift.end + SPAN)
        fresh = traced(_rows(rows_from, drift.end, last), build())
        oracle = _shifted(fresh, drift.end)
        reached = max((v for _, v in oracle.windows(drift.end, drift.end + HORIZON, WIDTH)), default=0.0)
        level = oracle.f1(max(drift.end, last - BEFORE), last) or 0.0
        record: dict[str, Any] = {"first": first, "kind": drift.kind, "shape": drift.shape}
        record["frozen_rise"] = _frozen_rise(rows_from, build(), max(begins, first - LEARNED), first, drift.end)
        record |= {"oracle_at_horizon": reached, "oracle_level": level}
        record["recovery"] = _recovery(curve, first, last, reached)
        record["recovery_level"] = _recovery(curve, first, last, level)
        record["oracle"] = {"area": _area(oracle, drift.end, last, level)}
        for name, other in {"model": curve, **others}.items():
            own = dip(other, first, last)["area"]
            record[name] = {"area": _area(other, first, last, level), "own_area": own}
        found.append(record)
    return found


def _rows(rows_from: Callable[[int], Iterable[Batch]], first: int, last: int) -> Iterator[Batch]:
    """The batches of the rows from `first` to `last` (rows that are only learned not counted)."""
    left = last - first
    for batch in rows_from(first):
        asked = (batch.mode & PREDICT).astype(bool).cumsum()
        if asked[-1] >= left:
            yield batch.rows(0, int(asked.searchsorted(left)) + 1)
            return
        left -= int(asked[-1])
        yield batch


def _shifted(curve: Curve, first: int) -> Curve:
    """The curve of rows that are numbered from `first`."""
    curve.rows = curve.rows + first
    return curve


def _frozen_rise(
    rows_from: Callable[[int], Iterable[Batch]], model: Model, begin: int, first: int, end: int
) -> float | None:
    """Rise of the loss of a learner that saw the rows before a drift, and stops learning 1,000 rows before it."""
    stop = first - FROZEN
    for batch in _rows(rows_from, begin, stop):
        model.test_then_train(batch)
    before = traced(_asked(_rows(rows_from, stop, first)), model)
    after = traced(_asked(_rows(rows_from, end, end + FROZEN)), model)
    one, other = before.f1(0, FROZEN), after.f1(0, FROZEN)
    return None if one is None or other is None else one - other


def _asked(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The rows that are to be predicted, and only that."""
    for batch in batches:
        yield batch.take(np.flatnonzero(batch.mode & PREDICT)).with_mode(PREDICT)


def _recovery(curve: Curve, first: int, last: int, level: float) -> int | None:
    """Rows from the drift to the end of the first window that is back to 95% of a level."""
    return next((end - first for end, f1 in curve.windows(first, last, WIDTH) if f1 >= RESTORED * level), None)


def _area(curve: Curve, first: int, last: int, level: float) -> float:
    """F1 below a level, times rows."""
    return sum(max(0.0, level - f1) * WIDTH for _, f1 in curve.windows(first, last, WIDTH))
