"""All runs of a benchmark as tables: per stream, against a reference model, and ranks over everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_ml.benchmark.comparison import LOWER_IS_BETTER, METRICS, Comparison, compare, metrics_of
from stream_ml.benchmark.measure import Measured
from stream_ml.benchmark.tallies import Tallies

__all__ = ["Entry", "Ranking", "Summary", "entries_of", "summarize"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model, deciding for one objective, on one stream in one order."""

    stream: str
    order: str
    model: str
    measured: Measured
    tallies: Tallies

    @property
    def place(self) -> tuple[str, str]:
        """Stream and order."""
        return self.stream, self.order

    @property
    def values(self) -> dict[str, float]:
        """The metrics on the rows that it did; {} without any."""
        if not len(self.tallies):
            return {}
        values = metrics_of(self.tallies.sums.sum(0), self.tallies.counts.sum(0))
        return dict(zip(METRICS, values.tolist(), strict=True))

    @property
    def rate(self) -> float | None:
        """Instances per second."""
        return self.measured.rows / self.measured.seconds if self.measured.seconds else None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Average ranks for one metric over all places that every model finished.

    Attributes
    ----------
    ranks
        Average rank by model; 1 is best, of equals the mean.
    places
        How many streams and orders.
    p_value
        Of Friedman's test that all models are alike; None with fewer than three models or two places.
    """

    metric: str
    ranks: dict[str, float]
    places: int
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a benchmark says.

    Attributes
    ----------
    entries
        All runs, by place.
    versus
        For each entry but the reference's own: its comparison with the reference, seen from the reference.
    verdicts
        Per model, the reference's wins, ties and losses over places and metrics.
    rankings
        One per metric.
    """

    reference: str
    entries: list[Entry]
    versus: dict[tuple[str, str, str], dict[str, Comparison]]
    verdicts: dict[str, Counter[str]]
    rankings: list[Ranking]


def entries_of(stream: str, order: str, model: str, measured: Measured) -> list[Entry]:
    """An entry for each objective that a run decided for; one without tallies for a run that failed."""
    if not measured.tallies:
        return [Entry(stream, order, model, measured, Tallies())]
    return [
        Entry(stream, order, f"{model} [{name}]" if name else model, measured, tallies)
        for name, tallies in measured.tallies.items()
    ]


def summarize(entries: Sequence[Entry], reference: str) -> Summary:
    """Compare everything with the model called `reference`."""
    ours = {e.place: e for e in entries if e.model == reference}
    versus: dict[tuple[str, str, str], dict[str, Comparison]] = {}
    verdicts: dict[str, Counter[str]] = {}
    for entry in entries:
        own = ours.get(entry.place)
        if entry.model == reference or own is None or not len(entry.tallies) or not len(own.tallies):
            continue
        found = compare(own.tallies, entry.tallies)
        versus[(*entry.place, entry.model)] = found
        verdicts.setdefault(entry.model, Counter()).update(c.verdict for c in found.values())
    return Summary(reference, list(entries), versus, verdicts, [_ranking(entries, metric) for metric in METRICS])


def _ranking(entries: Sequence[Entry], metric: str) -> Ranking:
    table, models = complete_table(entries, metric)
    if not len(table):
        return Ranking(metric, {}, 0, None)
    from scipy.stats import friedmanchisquare, rankdata

    ranks = rankdata(table if metric in LOWER_IS_BETTER else -table, axis=1).mean(0)
    p_value = None
    if table.shape[1] >= 3 and len(table) >= 2 and (np.ptp(table, axis=1) > 0).any():
        p_value = float(friedmanchisquare(*table.T).pvalue)
    return Ranking(metric, dict(zip(models, ranks.tolist(), strict=True)), len(table), p_value)


def complete_table(entries: Sequence[Entry], metric: str) -> tuple[Any, list[str]]:
    """Values (places, models) of the models that finished every place that anyone finished."""
    done = [e for e in entries if len(e.tallies) and not e.measured.partial]
    places = list(dict.fromkeys(e.place for e in done))
    models = [
        m for m in dict.fromkeys(e.model for e in done) if len({e.place for e in done if e.model == m}) == len(places)
    ]
    value = {(e.place, e.model): e.values[metric] for e in done}
    return np.array([[value[place, model] for model in models] for place in places]), models
