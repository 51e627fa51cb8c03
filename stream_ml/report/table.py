"""The table that ends a run: the model beside the baselines, and where the files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["metrics_table", "print_outcome"]

LOWER_IS_BETTER = {"hamming_loss"}


def metrics_table(summary: dict[str, Any]) -> Table:
    """Metrics as rows, the model and the baselines as columns; the best of each row has a star."""
    columns = [(summary["model"]["name"], summary["metrics"]), *summary["baselines"].items()]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("metric")
    for name, _ in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for metric in summary["metrics"]:
        values = [column[metric] for _, column in columns]
        best = (min if metric in LOWER_IS_BETTER else max)(round(value, 4) for value in values)
        cells = []
        for value in values:
            won = round(value, 4) == best and len(values) > 1
            cells.append(Text(f"{value:.4f} {'*' if won else ' '}", style="bold green" if won else ""))
        table.add_row(metric.replace("_", " "), *cells)
    for metric, value in summary.get("ranking", {}).items():
        table.add_row(metric.replace("_", " "), f"{value:.4f}  ", *["-  "] * len(summary["baselines"]))
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
    if not summary["n_scored"]:
        console.print(Text("nothing was scored: no instance to predict has labels", style="bold yellow"))
    console.print()
    console.print(metrics_table(summary))
    if summary["baselines"]:
        console.print(Text("* best of the row", style="dim"))
    console.print()
    _say(
        console,
        f"{summary['instances_per_second']:,.0f} instances/s ({summary['seconds']:.2f} s predicting and learning, "
        f"{summary['wall_seconds']:.2f} s in all), peak memory {summary['peak_rss_mb']:,.0f} MB",
    )
    happened = [f"{kind.replace('_', ' ')} {count:,}" for kind, count in summary["events"].items() if count]
    clusters = f"; label clusters at the end: {len(summary['clusters']):,}" if summary["clusters"] else ""
    _say(console, f"events: {', '.join(happened) or 'none'}{clusters}")
    if files:
        _say(console, f"files: {files[0].parent}: {', '.join(file.name for file in files)}")


def _say(console: Console, line: str) -> None:
    """Plain text: no markup in names, no colours in numbers, no broken lines."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
