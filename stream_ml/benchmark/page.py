"""What a benchmark writes: results.csv, benchmark.md and a page that needs nothing but a browser."""

from __future__ import annotations

import csv
import io
from importlib.resources import files
from pathlib import Path
from typing import Any

from stream_ml.benchmark.comparison import CONFIDENCE, LOWER_IS_BETTER, METRICS
from stream_ml.benchmark.summary import Entry, Summary, complete_table

__all__ = ["write_all"]

COLUMNS = (
    "stream",
    "order",
    "model",
    "metric",
    "value",
    "rows",
    "partial",
    "instances_per_second",
    "advantage_of_reference",
    "standard_error",
    "compared_rows",
    "error",
)
HEADINGS = {m: m.replace("_", " ").replace(" f1", " F1") for m in METRICS}


def write_all(summary: Summary, out: Path, about: dict[str, Any]) -> list[Path]:
    """Write the three files; `about` is shown as it is (what was run, with which settings)."""
    out.mkdir(parents=True, exist_ok=True)
    view = _view(summary, about)
    written = {
        "results.csv": _csv(summary),
        "benchmark.md": _render("page.md.j2", view, html=False),
        "benchmark.html": _render("page.html.j2", view | {"diagrams": _diagrams(summary)}, html=True),
    }
    for name, text in written.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in written]


def _csv(summary: Summary) -> str:
    """One line per model, stream, order and metric."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for e in summary.entries:
        facts = (e.tallies.rows, e.measured.partial, e.rate, e.measured.error or "")
        versus = summary.versus.get((*e.place, e.model), {})
        for metric in METRICS:
            c = versus.get(metric)
            compared = (c.advantage, c.error, c.rows) if c is not None else ("", "", "")
            writer.writerow((*e.place, e.model, metric, e.values.get(metric, ""), *facts[:3], *compared, facts[3]))
    return buffer.getvalue()


def _view(summary: Summary, about: dict[str, Any]) -> dict[str, Any]:
    """What the templates need, as text."""
    models = list(dict.fromkeys(e.model for e in summary.entries))
    return {
        "about": about,
        "reference": summary.reference,
        "headings": [HEADINGS[m] for m in METRICS],
        "places": [_place(summary, place) for place in dict.fromkeys(e.place for e in summary.entries)],
        "verdicts": [(m, *(summary.verdicts[m][v] for v in ("win", "tie", "loss"))) for m in summary.verdicts],
        "rankings": [
            {
                "metric": HEADINGS[r.metric],
                "places": r.places,
                "p": "" if r.p_value is None else f"{r.p_value:.2g}",
                "ranks": [(m, f"{r.ranks[m]:.2f}") for m in sorted(r.ranks, key=r.ranks.__getitem__)],
            }
            for r in summary.rankings
        ],
        "models": models,
    }


def _place(summary: Summary, place: tuple[str, str]) -> dict[str, Any]:
    entries = [e for e in summary.entries if e.place == place]
    best = {}
    for metric in METRICS:
        values = [round(e.values[metric], 4) for e in entries if e.values and not e.measured.partial]
        best[metric] = (min if metric in LOWER_IS_BETTER else max)(values, default=None)
    return {"stream": place[0], "order": place[1], "rows": [_line(summary, e, best) for e in entries]}


def _line(summary: Summary, entry: Entry, best: dict[str, float | None]) -> dict[str, Any]:
    """One model at one place: values, and beside them how far the reference is ahead on the rows that both did."""
    versus = summary.versus.get((*entry.place, entry.model), {})
    cells = []
    for metric in METRICS:
        value = entry.values.get(metric)
        text = "" if value is None else f"{value:.4f}"
        won = value is not None and not entry.measured.partial and round(value, 4) == best[metric]
        note, verdict = "", ""
        if (c := versus.get(metric)) is not None:
            note, verdict = f"{c.advantage:+.4f} ± {CONFIDENCE * c.error:.4f}", c.verdict
        cells.append({"text": text, "best": won, "note": note, "verdict": verdict})
    rate = "" if entry.rate is None else f"{entry.rate:,.0f}" if entry.rate >= 10 else f"{entry.rate:.2g}"
    rows = f"{entry.tallies.rows:,}" + (" (out of time)" if entry.measured.partial else "")
    return {"model": entry.model, "cells": cells, "rate": rate, "rows": rows, "error": entry.measured.error or ""}


def _render(name: str, view: dict[str, Any], *, html: bool) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("stream_ml.benchmark").joinpath(name).read_text(encoding="utf-8")
    return environment.from_string(source).render(view)


def _diagrams(summary: Summary) -> list[tuple[str, str]]:
    """Critical-difference diagrams as SVG, where there is enough to compare (Demšar, JMLR 2006)."""
    found = []
    for ranking in summary.rankings:
        if len(ranking.ranks) >= 3 and ranking.places >= 3:
            found.append((HEADINGS[ranking.metric], _diagram(summary, ranking.metric, ranking.ranks)))
    return found


def _diagram(summary: Summary, metric: str, ranks: dict[str, float]) -> str:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    import pandas
    import scikit_posthocs

    table, models = complete_table(summary.entries, metric)
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(pandas.DataFrame(table, columns=models))
    with plt.rc_context({"svg.hashsalt": metric, "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(9, 0.6 + 0.22 * len(ranks)))
        scikit_posthocs.critical_difference_diagram(ranks, p_values.fillna(1.0), ax=axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
