"""What a report tells of a run: numbers shaped for tables, plots chosen, and what is missing, with how to get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_ml.report.canvas import Plot
from stream_ml.report.label_history import Step, names_by_position, partition_steps
from stream_ml.report.label_plots import cluster_colours, dendrogram_plot, flow_plot, heat_map_plot
from stream_ml.report.run_data import RunData
from stream_ml.report.time_plots import experts_plot, metrics_plot, reliability_plot, resources_plot
from stream_ml.report.words import (
    EXPERT_NAMES,
    LOWER_IS_BETTER,
    METRIC_NAMES,
    event_line,
    listed,
    meanings,
    tells_apart,
)

__all__ = ["Change", "Contents", "contents_of", "label_rows", "metric_rows"]

MOST_LABELS = 500
"""Rows of the table of labels."""
MOST_CHANGES = 8
"""Restructurings that are shown with dendrograms."""
MOST_LEAVES = 24
MOST_EVENTS = 300
TOLD = (
    "drift",
    "restructure",
    "gate",
    "split",
    "merge",
    "move",
    "swap",
    "drop",
    "restart",
    "sleep",
    "wake",
    "tree_swap",
    "tree_drift",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One restructuring: what is said of it, and its dendrograms."""

    title: str
    reasons: list[str]
    before: list[str]
    after: list[str]
    plots: tuple[Plot, Plot] | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a report shows of a run; a plot is None, a list empty, where the run's files do not tell."""

    run: RunData
    metrics: Plot | None
    flow: Plot | None
    changes: list[Change]
    n_changes: int
    heat_map: Plot | None
    labels: list[dict[str, Any]]
    experts: Plot | None
    trees: list[dict[str, Any]]
    resources: Plot | None
    reliability: Plot | None
    events: list[str]
    event_terms: list[tuple[str, str]]
    change_terms: list[tuple[str, str]]
    clusters: list[dict[str, Any]]
    notes: dict[str, str] = field(default_factory=dict)

    def plots(self) -> list[Plot]:
        """All plots there are."""
        own = [self.metrics, self.flow, self.heat_map, self.experts, self.resources, self.reliability]
        return [p for p in own if p is not None] + [p for c in self.changes for p in c.plots or ()]


def contents_of(run: RunData) -> Contents:
    """All that is told of a run."""
    steps = partition_steps(run.events)
    names = run.label_names() or names_by_position(steps, run.summary.get("clusters", []))
    colours = cluster_colours(steps)
    rows = run.structure.get("labels", [])
    heat_map = None
    if together := run.structure.get("cooccurrence"):
        heat_map = heat_map_plot(together, rows, colours)
    changed = [step for step in steps if step.kinds]
    most = sorted(changed, key=lambda step: (-step.moved, step.instance))[:MOST_CHANGES]
    shown = sorted(most, key=lambda step: step.instance)
    events = [event for event in run.events if event["kind"] in TOLD][-MOST_EVENTS:]
    return Contents(
        run=run,
        metrics=metrics_plot(run),
        flow=flow_plot(steps, colours, names),
        changes=[_change(i, step, steps, run, colours, names) for i, step in enumerate(shown)],
        n_changes=len(changed),
        heat_map=heat_map,
        labels=label_rows(run),
        experts=experts_plot(run),
        trees=run.structure.get("trees", []),
        resources=resources_plot(run),
        reliability=reliability_plot(run),
        events=[event_line(event) for event in events],
        event_terms=meanings(event.get("reason", {}) for event in events),
        change_terms=meanings(reason for step in shown for reason in step.reasons),
        clusters=_clusters(run, steps, colours),
        notes=_notes(run, steps),
    )


def metric_rows(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """A row per metric: `name`, and a cell for each run's model and each of its baselines: `text`, `best`.

    The best of a row is the best of all cells when all runs are of one stream, else of the run's own.
    """
    columns = [
        values for run in runs for values in (run.summary["metrics"], *run.summary.get("baselines", {}).values())
    ]
    of_run = [i for i, run in enumerate(runs) for _ in range(1 + len(run.summary.get("baselines", {})))]
    if len({(run.summary["stream"]["name"], run.summary["n_scored"]) for run in runs}) == 1:
        of_run = [0] * len(of_run)
    rows = []
    for metric in dict.fromkeys(name for values in columns for name in values):
        values = [column.get(metric) for column in columns]
        rounded = [None if value is None else round(value, 4) for value in values]
        choose = min if metric in LOWER_IS_BETTER else max
        cells = []
        for value, own in zip(rounded, of_run, strict=True):
            rivals = [v for v, other in zip(rounded, of_run, strict=True) if other == own and v is not None]
            best = value is not None and len(rivals) > 1 and value == choose(rivals)
            cells.append({"text": "–" if value is None else f"{value:.4f}", "best": best})
        known = any(value is not None for value in values)
        if known and any(tells_apart(metric, run.summary["stream"].get("n_labels", 0)) for run in runs):
            name = METRIC_NAMES.get(metric, metric.replace("_", " ")).replace(" (lower is better)", " ↓")
            rows.append({"metric": metric, "name": name, "cells": cells})
    return rows


def label_rows(run: RunData) -> list[dict[str, Any]]:
    """A row per label, the most frequent first: counts, and what the model keeps for it where it keeps anything."""
    experts = run.structure.get("experts", [])
    rows = []
    for label in run.structure.get("labels", [])[:MOST_LABELS]:
        tp, fp, fn = label["tp"], label["fp"], label["fn"]
        weights = label.get("weights")
        main = None
        if weights and experts:
            name = experts[max(range(len(weights)), key=lambda i: weights[i])]
            main = EXPERT_NAMES.get(name, name)
        rows.append(
            {
                "name": label["name"],
                "cluster": label.get("cluster"),
                "support": tp + fn,
                "precision": _share(tp, tp + fp),
                "recall": _share(tp, tp + fn),
                "f1": _share(2 * tp, 2 * tp + fp + fn),
                "threshold": label.get("threshold"),
                "expert": main,
            }
        )
    return rows


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _change(
    number: int,
    step: Step,
    steps: Sequence[Step],
    run: RunData,
    colours: Mapping[str, str],
    names: Mapping[int, str],
) -> Change:
    """One restructuring, with dendrograms where there were looks."""
    looks = [look for look in run.structure.get("looks", []) if look.get("labels")]
    earlier = [look for look in looks if look["learned"] < step.instance]
    later = [look for look in looks if look["learned"] > step.instance]
    before, after = (earlier or later or [None])[-1 if earlier else 0], (later or earlier or [None])[0 if later else -1]
    plots = None
    old = steps[steps.index(step) - 1].partition
    home = {label for labels in old.values() for label in labels}
    touched = {label for labels in step.after.values() for label in labels} & home
    if before is not None and after is not None:
        both = set(before["labels"]) & set(after["labels"]) & touched
        labels = [label for label in after["labels"] if label in both][:MOST_LEAVES]
        if len(labels) >= 3:
            plots = (
                dendrogram_plot(
                    f"change{number}-before",
                    f"before (similarities at {before['learned']:,})",
                    before,
                    old,
                    labels,
                    colours,
                    names,
                ),
                dendrogram_plot(
                    f"change{number}-after",
                    f"after (similarities at {after['learned']:,})",
                    after,
                    step.partition,
                    labels,
                    colours,
                    names,
                ),
            )
    sides = [
        [
            f"cluster {cluster} ({len(labels):,}): {listed((names.get(x, f'#{x}') for x in labels), 10)}"
            for cluster, labels in side.items()
        ]
        for side in (step.before, step.after)
    ]
    n = len(touched)
    title = f"{' and '.join(step.kinds)} at {step.instance:,}: {n:,} label{'s' if n != 1 else ''}"
    return Change(title, [_reason(r) for r in step.reasons], sides[0], sides[1], plots)


def _reason(reason: Mapping[str, Any]) -> str:
    """The statistics of a change in words."""
    rest = {k: v for k, v in reason.items() if k not in ("kind", "kept_before", "kept_after")}
    text = ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in rest.items() if isinstance(v, int | float))
    kept = ""
    if "kept_before" in reason:
        kept = f"similarity kept in clusters {reason['kept_before']:.3f} → {reason['kept_after']:.3f}"
    return f"{reason['kind']}: " + "; ".join(part for part in (kept, text) if part)


def _clusters(run: RunData, steps: Sequence[Step], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """The clusters at the end: names of labels, and the colour that plots give them."""
    named = run.summary.get("clusters", [])
    ids = sorted(steps[-1].partition, key=int) if steps else []
    if len(ids) != len(named):
        ids = [str(i) for i in range(len(named))]
    rows = [
        {"id": c, "n": len(labels), "labels": listed(labels, 24), "colour": colours.get(c)}
        for c, labels in zip(ids, named, strict=True)
    ]
    return sorted(rows, key=lambda row: -row["n"])


def _notes(run: RunData, steps: Sequence[Step]) -> dict[str, str]:
    """For each part that is not there, why, and how to get it."""
    again = "To have it: run it again, stream-ml evaluate config.yaml, with the config.yaml of the run's directory."

    def lacking(file: str) -> str:
        return f"Not shown: the run's directory has no {file}, which older versions did not write. {again}"

    name = run.summary["model"]["name"]
    notes = {}
    if not run.structure:
        for part in ("labels", "heat_map", "experts", "trees"):
            notes[part] = lacking("structure.json")
    elif not run.structure.get("experts"):
        for part in ("heat_map", "experts", "trees"):
            notes[part] = f"The model {name} has none."
    elif not any("weights" in look for look in run.structure.get("looks", [])):
        notes["experts"] = (
            "The run was shorter than a window, so nothing was noted on the way: give a smaller --window."
        )
    if not run.resources:
        notes["resources"] = lacking("resources.csv")
    if not run.windows:
        notes["metrics"] = lacking("windows.csv") if "windows.csv" in run.missing else "No instance was scored."
    if len(steps) < 2:
        fixed = "The label clusters never changed." if steps else f"The model {name} has no label clusters."
        notes["flow"] = lacking("events.jsonl") if "events.jsonl" in run.missing else fixed
    return notes
