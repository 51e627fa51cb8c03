"""A run as its directory tells it: every file that may be there, read and checked."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from stream_ml.errors import ConfigError

__all__ = ["RunData", "named_apart", "read_run"]

Row = dict[str, float | None]
WANTED = {
    "stream", "model", "metrics", "baselines", "events", "n_scored", "instances_per_second", "peak_rss_mb"
}  # fmt: skip
"""What a summary must have."""
CHANGES = {"split": ("before", "after"), "merge": ("before", "after"), "move": ("before", "after"), "join": ("joined",)}
"""What must be told of a change of the clusters: clusters by id."""


@dataclass(frozen=True, slots=True)
class RunData:
    """A finished run.

    Attributes
    ----------
    name
        What it is called beside others: its directory.
    summary, windows, events, reliability, structure, resources, config
        The content of the files of these names; empty where a file is not there.
    missing
        Files that a run of this version would have written.
    """

    name: str
    summary: dict[str, Any]
    windows: list[Row] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    reliability: list[Row] = field(default_factory=list)
    structure: dict[str, Any] = field(default_factory=dict)
    resources: list[Row] = field(default_factory=list)
    config: str = ""
    missing: tuple[str, ...] = ()

    def label_names(self) -> dict[int, str]:
        """Names of labels by position: those of `structure`; of runs without, as clusters and their changes tell."""
        if rows := self.structure.get("labels"):
            return {row["position"]: row["name"] for row in rows}
        return {}


def read_run(path: str | Path) -> RunData:
    """What a run's directory holds.

    Raises
    ------
    ConfigError
        It is no run's, or a file of it cannot be read or is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise ConfigError(f"{path}: is no directory; expected the directory of a run")
    if not (path / "summary.json").is_file():
        raise ConfigError(f"{path}: holds no summary.json; expected the directory of a run that has ended")
    wanted = ("config.yaml", "windows.csv", "events.jsonl", "structure.json", "resources.csv")
    summary = _json(path / "summary.json")
    if not set(summary) >= WANTED:
        raise ConfigError(f"{path / 'summary.json'}: is not that of a run")
    config = path / "config.yaml"
    return RunData(
        name=path.resolve().name,
        summary=summary,
        windows=_table(path / "windows.csv"),
        events=_lines(path / "events.jsonl"),
        reliability=_table(path / "reliability.csv"),
        structure=_json(path / "structure.json"),
        resources=_table(path / "resources.csv"),
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        missing=tuple(name for name in wanted if not (path / name).is_file()),
    )


def named_apart(runs: Sequence[RunData]) -> list[RunData]:
    """The runs, numbered where two have the same name."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({i})") if names.count(run.name) > 1 else run for i, run in enumerate(runs, 1)
    ]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}: is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected an object, found {type(content).__name__}")
    return content


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            event = orjson.loads(line)
            whole = isinstance(event["instance"], int) and isinstance(event["reason"], dict)
            told = all(isinstance(event["changed"][side], dict) for side in CHANGES.get(event["kind"], ()))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            whole = told = False
        if not (whole and told):
            raise ConfigError(f"{path}:{number}: is no event") from None
        found.append(event)
    return found


def _table(path: Path) -> list[Row]:
    """Rows of a CSV file of numbers; an empty cell is None."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = []
        reader = csv.DictReader(file)
        for row in reader:
            try:
                rows.append({name: float(cell) if cell else None for name, cell in row.items()})
            except (TypeError, ValueError):
                raise ConfigError(f"{path}:{reader.line_num}: expected a number in every cell") from None
    return rows
