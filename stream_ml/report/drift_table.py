"""How a run dealt with drifts that are known, as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["cost_table", "drift_table", "print_drift"]

SHOWN = 20
"""Drifts in the table; `summary.json` has all."""


def print_drift(console: Console, drift: dict[str, Any]) -> None:
    """A line about all drifts, and a table of each."""
    console.print(_line(drift), markup=False, highlight=False, soft_wrap=True)
    if drift["drifts"]:
        console.print(drift_table(drift))
        if drift.get("compared"):
            console.print()
            console.print(cost_table(drift["compared"]))
        if len(drift["drifts"]) > SHOWN:
            console.print(Text(f"the first {SHOWN} of {len(drift['drifts'])} drifts", style="dim"))
        console.print()


def drift_table(drift: dict[str, Any]) -> Table:
    """Drifts as rows: what they were, when they were seen, how far F1 fell."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ["row", "drift", "labels", "seen after", "cluster named", "F1 before", "lowest", "back after"]:
        table.add_column(name, justify="left" if name == "drift" else "right", no_wrap=name == "drift")
    for record in drift["drifts"][:SHOWN]:
        cost = record["dip"]
        cells = [
            f"{record['first']:,}",
            f"{record['shape']} {record['kind']}",
            f"{len(record['labels']):,}",
            _rows(record["delay"]),
            {True: "right", False: "wrong", None: "-"}[record.get("named_right") if record.get("named") else None],
            _share(cost["before"]),
            _share(cost["lowest"]),
            _rows(cost["recovery"]),
        ]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def cost_table(compared: list[dict[str, Any]]) -> Table:
    """Drifts as rows: F1 that a fresh learner reaches, and how much lies below it, added up over rows, by learner."""
    names = [name for name in compared[0] if isinstance(compared[0][name], dict)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ["row", "fresh learner's F1", "back after", *(f"area: {name}" for name in names)]:
        table.add_column(name, justify="right")
    for record in compared[:SHOWN]:
        cells = [f"{record['first']:,}", _share(record["oracle_level"]), _rows(record["recovery_level"])]
        table.add_row(*(Text(cell) for cell in [*cells, *(_rows(record[name]["area"]) for name in names)]))
    return table


def _line(drift: dict[str, Any]) -> str:
    """Everything in a line."""
    delay = drift["median_delay"]
    rate = drift["false_alarms_per_10000"]
    found = f"drifts: {drift['found']} of {drift['n_drifts']} seen" if drift["n_drifts"] else "drifts: none to be seen"
    found += f", median delay {delay:,.0f} instances" if delay is not None else ""
    alarms = f"{drift['false_alarms']} false alarms"
    return f"{found}; {alarms}" + (f" ({rate:.2f} per 10,000 instances without drift)" if rate is not None else "")


def _rows(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
