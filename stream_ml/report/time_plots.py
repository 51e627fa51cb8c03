"""What changes as a run goes on: metrics with the marks of events, expert weights, throughput and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from stream_ml.report.canvas import Canvas, Plot, colour, count_axis, name_places
from stream_ml.report.run_data import Row, RunData
from stream_ml.report.svg import SERIES
from stream_ml.report.words import EXPERT_NAMES, METRIC_NAMES, PART_NAMES, event_line

__all__ = ["compared_plot", "experts_plot", "metrics_plot", "reliability_plot", "resources_plot"]

SHOWN_METRICS = ("subset_accuracy", "example_f1", "micro_f1", "macro_f1", "hamming_loss")
LANES = (
    ("known drift", "ink", lambda e: e["kind"] == "known"),
    ("drift", "c3", lambda e: e["kind"] == "drift"),
    ("restructured", "c6", lambda e: e["kind"] == "restructure"),
    ("split", "c0", lambda e: e["kind"] == "split"),
    ("merge", "c4", lambda e: e["kind"] == "merge"),
    ("labels moved", "c5", lambda e: e["kind"] == "move"),
    ("swap", "c2", lambda e: e["kind"] in ("swap", "tree_swap", "restart")),
)
"""Rows of marks: name, colour, which events."""
MOST_TIPS = 100
"""Marks of a row that have tooltips of their own; more are drawn as one."""
LEFT, RIGHT, PANEL, GAP = 62, 12, 118, 26
BASELINES = {"no_change": ("no change", (0, ())), "majority_labelset": ("majority labelset", (0, (2, 1.5)))}


def known_drifts(run: RunData) -> list[Mapping[str, Any]]:
    """Drifts of which it is known that they are in the stream, as events."""
    drifts = (run.summary.get("drift") or {}).get("drifts", [])
    return [{"kind": "known", "instance": d["first"], "drift": d} for d in drifts]


def lanes_of(run: RunData) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """Rows of marks that have any: name, colour, events."""
    events: list[Mapping[str, Any]] = [*known_drifts(run), *run.events]
    rows = [(name, role, [e for e in events if chosen(e)]) for name, role, chosen in LANES]
    return [row for row in rows if row[2]]


def whole_windows(rows: Sequence[Row]) -> list[Row]:
    """The windows, without a last one that is less than half full: its metrics would be noise."""
    whole = max((row.get("rows") or 0.0 for row in rows), default=0.0)
    return [row for row in rows if (row.get("rows") or whole) * 2 >= whole]


def metrics_plot(run: RunData) -> Plot | None:
    """Windowed metrics beside the baselines, and below them a row of marks per kind of event."""
    shown = [m for m in SHOWN_METRICS if run.windows and m in run.windows[0]]
    if not shown:
        return None
    lanes, windows = lanes_of(run), whole_windows(run.windows)
    last = max(row["instance"] or 0 for row in run.windows)

    def draw(width: float) -> Canvas:
        styles: list[tuple[str, Any]] = [(run.summary["model"]["name"], {"color": colour("c0"), "linewidth": 1.8})]
        given = [b for b in BASELINES if f"{b}_{shown[0]}" in run.windows[0]]
        styles += [(BASELINES[b][0], {"color": colour("c9"), "linestyle": BASELINES[b][1]}) for b in given]
        lane = 17
        panels = len(shown) * (PANEL + GAP)
        canvas = Canvas(width, 26 + (17 if width < 400 else 0) + panels + lane * len(lanes) + 44)
        top = canvas.legend(styles, column=130 if width > 400 else 165)
        left = LEFT if not lanes else LEFT + 22
        inner = width - left - RIGHT
        for metric in shown:
            axes = canvas.axes(left, top + 20, inner, PANEL - 8)
            canvas.text(left, top + 14, METRIC_NAMES[metric], weight="bold", fontsize=10.5)
            for name, style in zip(["", *(f"{b}_" for b in given)], [s for _, s in styles], strict=True):
                _line(axes, windows, name + metric, **style)
            for role, kind in (("ink", "known"), ("c3", "drift")):
                at = sorted({e["instance"] for _, _, found in lanes for e in found if _everywhere(e, kind)})
                axes.vlines(at, 0, 1, transform=axes.get_xaxis_transform(), color=colour(role), lw=0.9, alpha=0.5)
            _unit_axis(axes)
            count_axis(axes, canvas.narrow, last, named=metric == shown[-1] and not lanes)
            top += PANEL + GAP
        if lanes:
            _marks(canvas, lanes, left, top + 4, inner, lane, last)
        canvas.text(left + inner, canvas.height - 6, "instances", ha="right", color=colour("muted"))
        return canvas

    return Plot("metrics", "Metrics over time", draw)


def _everywhere(event: Mapping[str, Any], kind: str) -> bool:
    return event["kind"] == kind and event.get("scope", "global") == "global"


def _marks(canvas: Canvas, lanes: Any, left: float, top: float, width: float, lane: float, last: float) -> None:
    """A row of marks for each kind of event."""
    axes = canvas.axes(left, top, width, lane * len(lanes))
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    name_places(axes.yaxis, range(len(lanes)), [name for name, _, _ in lanes])
    axes.grid(axis="x", visible=False)
    count_axis(axes, canvas.narrow, last)
    for row, (name, role, events) in enumerate(lanes):
        style: dict[str, Any] = {"color": colour(role), "marker": "|", "markersize": 10, "markeredgewidth": 3.0}
        style["linestyle"] = "none"
        if len(events) > MOST_TIPS:
            at = sorted({event["instance"] for event in events})
            (line,) = axes.plot(at, [row] * len(at), clip_on=False, **style)
            canvas.tip(line, f"{name}: {len(events):,} in all")
            continue
        by_instance: dict[int, list[str]] = {}
        for event in events:
            by_instance.setdefault(event["instance"], []).append(event_line(event))
        for instance, lines in by_instance.items():
            (line,) = axes.plot([instance], [row], clip_on=False, **style)
            canvas.tip(line, "\n".join(lines[:6] + ([f"and {len(lines) - 6} more"] if len(lines) > 6 else [])))


def compared_plot(runs: Sequence[RunData]) -> Plot | None:
    """The same metrics of several runs in the same panels."""
    shown = [m for m in SHOWN_METRICS if all(run.windows and m in run.windows[0] for run in runs)]
    if not shown:
        return None
    last = max(row["instance"] or 0 for run in runs for row in run.windows)

    def draw(width: float) -> Canvas:
        styles: list[tuple[str, Any]] = [(run.name, {"color": SERIES[i % len(SERIES)]}) for i, run in enumerate(runs)]
        rows = -(-len(runs) // max(1, int((width - 8) // 220)))
        canvas = Canvas(width, 17 * rows + 6 + len(shown) * (PANEL + GAP) + 24)
        top = canvas.legend(styles, column=220)
        for metric in shown:
            axes = canvas.axes(LEFT, top + 20, width - LEFT - RIGHT, PANEL - 8)
            canvas.text(LEFT, top + 14, METRIC_NAMES[metric], weight="bold", fontsize=10.5)
            for run, (_, style) in zip(runs, styles, strict=True):
                _line(axes, whole_windows(run.windows), metric, **style)
            _unit_axis(axes)
            count_axis(axes, canvas.narrow, last, named=metric == shown[-1])
            top += PANEL + GAP
        canvas.text(width - RIGHT, canvas.height - 4, "instances", ha="right", color=colour("muted"))
        return canvas

    return Plot("compared", "Metrics of all runs over time", draw)


def experts_plot(run: RunData) -> Plot | None:
    """What stacking weighs each expert, the mean over all labels."""
    names = run.structure.get("experts", [])
    looks = [look for look in run.structure.get("looks", []) if "weights" in look]
    if not names or not looks:
        return None
    at = [look["instance"] for look in looks]
    weights = np.array([[np.nan if w is None else w for w in look["weights"]] for look in looks])

    def draw(width: float) -> Canvas:
        styles: list[tuple[str, Any]] = [
            (EXPERT_NAMES.get(name, name), {"color": SERIES[i % 9], "linestyle": "-" if i < 9 else (0, (3, 1.5))})
            for i, name in enumerate(names)
        ]
        column = 165
        rows = -(-len(names) // max(1, int((width - 8) // column)))
        canvas = Canvas(width, 17 * rows + 300)
        top = canvas.legend(styles, column=column)
        axes = canvas.axes(LEFT, top + 8, width - LEFT - RIGHT, 238)
        for i, (name, style) in enumerate(styles):
            (line,) = axes.plot(at, weights[:, i], marker="." if len(at) < 4 else None, **style)
            canvas.tip(line, f"{name}: {_number(weights[-1, i])} at the end")
        axes.axhline(0, color=colour("muted"), lw=0.8)
        count_axis(axes, canvas.narrow, max(at))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        canvas.text(width - RIGHT, canvas.height - 6, "instances", ha="right", color=colour("muted"))
        return canvas

    return Plot("experts", "Weights of the experts over time", draw)


def resources_plot(run: RunData) -> Plot | None:
    """Instances a second, memory of the model by part, memory of the process."""
    rows = run.resources
    if not rows:
        return None
    steps = np.diff([row["instance"] or 0 for row in rows], prepend=0.0)
    if len(rows) > 1 and steps[-1] * 2 < steps[-2]:
        rows = rows[:-1]  # too short to tell a rate
    at = np.array([row["instance"] or 0 for row in rows])
    seconds = np.diff([row["seconds"] or 0.0 for row in rows], prepend=0.0)
    rate = np.diff(at, prepend=0) / np.maximum(seconds, 1e-9)
    parts = memory_parts(rows)

    def draw(width: float) -> Canvas:
        narrow = width < 400
        styles: list[tuple[str, Any]] = [
            (name, {"color": SERIES[i % 9], "linewidth": 6}) for i, (name, _) in enumerate(parts)
        ]
        column = 165 if narrow else 150
        legend = 17 * -(-len(parts) // max(1, int((width - 8) // column))) + 6 if parts else 0
        canvas = Canvas(width, 3 * (PANEL + GAP) + legend + 26)
        inner, top = width - LEFT - RIGHT, 0.0
        for title in ("instances a second", "memory of the model by part, MB", "memory of the process, MB"):
            if "part" in title and not parts:
                continue
            canvas.text(LEFT, top + 14, title, weight="bold", fontsize=10.5)
            if "part" in title:
                top = canvas.legend(styles, top + 18, column) - 20
            axes = canvas.axes(LEFT, top + 20, inner, PANEL - 8)
            if "second" in title:
                axes.step(at, rate, where="pre", color=colour("c0"))
            elif "part" in title:
                colours = [style["color"] for _, style in styles]
                layers = axes.stackplot(at, [values for _, values in parts], colors=colours, alpha=0.85)
                for layer, (name, values) in zip(layers, parts, strict=True):
                    canvas.tip(layer, f"{name}: {values[-1]:,.1f} MB at the end")
            else:
                axes.plot(at, [row["rss_mb"] or 0.0 for row in rows], color=colour("c5"))
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            count_axis(axes, canvas.narrow, at.max(), named="process" in title)
            top += PANEL + GAP
        canvas.text(width - RIGHT, canvas.height - 4, "instances", ha="right", color=colour("muted"))
        return canvas

    return Plot("resources", "Throughput and memory", draw)


def memory_parts(rows: Sequence[Row], most: int = 6) -> list[tuple[str, list[float]]]:
    """Memory of the model's largest parts over time in MB, the largest first, the others added up."""
    names = [name for name in rows[-1] if name not in ("instance", "seconds", "rss_mb")]
    series = {n: [(row.get(n) or 0.0) / 2**20 for row in rows] for n in names}
    ordered = sorted(names, key=lambda n: -max(series[n]))
    parts = [(PART_NAMES.get(n, n.replace("_", " ")), series[n]) for n in ordered[: most - 1]]
    if rest := [series[n] for n in ordered[most - 1 :]]:
        parts.append(("all others", [sum(values) for values in zip(*rest, strict=True)]))
    return parts


def reliability_plot(run: RunData) -> Plot | None:
    """How often labels were positive, by the probability that they were given."""
    rows = [row for row in run.reliability if row.get("pairs")]
    if not rows:
        return None

    def draw(width: float) -> Canvas:
        side = 380.0 - LEFT - RIGHT
        canvas = Canvas(380.0, side + 50)
        axes = canvas.axes(LEFT, 8, side, side)
        axes.plot([0, 1], [0, 1], color=colour("c9"), linestyle=(0, (2, 1.5)))
        given, found = ([row[name] or 0.0 for row in rows] for name in ("mean_probability", "share_positive"))
        axes.plot(given, found, color=colour("c0"))
        for row, x, y in zip(rows, given, found, strict=True):
            (point,) = axes.plot([x], [y], "o", color=colour("c0"), markersize=5)
            canvas.tip(point, f"given {x:.3f}, found {y:.3f} ({row['pairs']:,.0f} labels of instances)")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_locator(FixedLocator([0.2, 0.4, 0.6, 0.8, 1]))
        aside = {"ha": "center", "color": colour("muted")}
        canvas.text(LEFT + side / 2, side + 33, "probability given", **aside)
        place = {"rotation": 90, "rotation_mode": "anchor"}
        canvas.text(LEFT - 26, 8 + side / 2, "share that was positive", **place, **aside)
        return canvas

    return Plot("reliability", "Do probabilities mean what they say?", draw)


def _line(axes: Axes, rows: Sequence[Row], name: str, **style: Any) -> None:
    points = [(row["instance"], row[name]) for row in rows if row.get(name) is not None]
    if points:
        at, values = zip(*points, strict=True)
        axes.plot(at, values, marker="." if len(points) < 4 else None, **style)


def _unit_axis(axes: Axes) -> None:
    """A metric's axis: from 0 on, up to 1 where values come near."""
    top = max((float(np.max(line.get_ydata())) for line in axes.get_lines()), default=1.0)
    axes.set_ylim(0, min(1.0, top * 1.08) if top > 0 else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _number(value: float) -> str:
    return "asleep" if np.isnan(value) else f"{value:+.3f}"
