"""The table that ends a run: the model beside the baselines, and where the files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_ml.report.drift_table import print_drift
from stream_ml.report.words import tells_apart

__all__ = ["metrics_table", "objectives_table", "print_outcome"]

LOWER_IS_BETTER = {"hamming_loss"}
OBJECTIVE_METRICS = ("subset_accuracy", "hamming_loss", "example_f1", "micro_f1", "macro_f1")


def metrics_table(summary: dict[str, Any]) -> Table:
    """Metrics as rows, the model and the baselines as columns; the best of each row has a star.

    Those that cannot tell models apart are left out: precision at 5 of three labels.
    """
    columns = [(summary["model"]["name"], summary["metrics"]), *summary["baselines"].items()]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("metric")
    for name, _ in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for metric in summary["metrics"]:
        values = [column[metric] for _, column in columns]
        given = [round(value, 4) for value in values if value is not None]
        best = (min if metric in LOWER_IS_BETTER else max)(given, default=None)
        cells = []
        for value in values:
            won = value is not None and round(value, 4) == best and len(given) > 1
            text = "- " if value is None else f"{value:.4f} {'*' if won else ' '}"
            cells.append(Text(text, style="bold green" if won else ""))
        if given and tells_apart(metric, summary["stream"]["n_labels"]):
            table.add_row(metric.replace("_", " "), *cells)
    return table


def print_outcome(console: Console, summary: dict[str, Any], files: Sequence[Path]) -> None:
    """Print what a run was, how it went, and where its files are."""
    stream = summary["stream"]
    rows = f"{stream['n_instances']:,} instances"
    if summary["n_scored"] != stream["n_instances"]:
        rows += f" ({summary['n_scored']:,} scored)"
    if stream["skipped"]:
        rows += f", {stream['skipped']:,} malformed lines skipped"
    _say(
        console,
        f"{stream['name']}: {rows}, {stream['n_features']:,} features, {stream['n_labels']:,} labels, "
        f"{stream['cardinality']:.2f} labels an instance",
    )
    if summary["interrupted"]:
        console.print(Text("interrupted: what follows is of the instances so far", style="bold yellow"))
    if summary["n_scored"]:
        console.print()
        console.print(metrics_table(summary))
        if summary["baselines"]:
            console.print(Text("* best of the row", style="dim"))
        if summary["objectives"]:
            console.print()
            console.print(objectives_table(summary))
        console.print()
    else:
        read = f"{stream['n_instances']:,} instances read"
        console.print(
            Text(f"nothing was scored: no instance that was predicted has labels ({read})", style="bold yellow")
        )
    if drift := summary.get("drift"):
        print_drift(console, drift)
    if calibration := summary["calibration"]:
        _say(console, _calibration(calibration))
    _say(
        console,
        f"{summary['instances_per_second']:,.0f} instances/s ({summary['seconds']:.2f} s predicting and learning, "
        f"{summary['wall_seconds']:.2f} s with reading and scoring), peak memory {summary['peak_rss_mb']:,.0f} MB",
    )
    happened = [f"{kind.replace('_', ' ')} {count:,}" for kind, count in summary["events"].items() if count]
    clusters = f"; label clusters at the end: {len(summary['clusters']):,}" if summary["clusters"] else ""
    _say(console, f"events: {', '.join(happened) or 'none'}{clusters}")
    if files:
        _say(console, f"files: {files[0].parent}: {', '.join(file.name for file in files)}")


def objectives_table(summary: dict[str, Any]) -> Table:
    """Objectives as rows, the metrics that they are about as columns; each one's own metric is bold."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("decided for")
    for metric in OBJECTIVE_METRICS:
        table.add_column(metric.replace("_", " "), justify="right")
    for name, metrics in summary["objectives"].items():
        cells = [Text(f"{metrics[m]:.4f}", style="bold" if m == name else "") for m in OBJECTIVE_METRICS]
        table.add_row(name.replace("_", " "), *cells)
    return table


def _calibration(calibration: dict[str, Any]) -> str:
    """Whether probabilities mean what they say, in a line."""
    error = calibration["expected_calibration_error"]
    loss, prior = calibration["log_loss"], calibration["prior_log_loss"]
    line = f"probabilities: log-loss {loss:.4f} (fading frequencies: {prior:.4f})"
    if error is None:
        return line
    return f"{line}, calibration error {error:.4f} over {calibration['pairs']:,} above .05"


def _say(console: Console, line: str) -> None:
    """Plain text: no markup in names, no colours in numbers, no broken lines."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
