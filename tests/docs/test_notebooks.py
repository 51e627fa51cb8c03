"""Notebooks run from top to bottom, and what is kept in them was made by a whole run and tells nothing of a machine."""

from __future__ import annotations

import getpass
import importlib.util
import json
import re
import socket
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from docs.pages import NOTEBOOKS, ROOT

LIMIT = 1500
LARGEST = 400_000
"""Bytes of a notebook."""
PLACES = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|Users|usr|opt|mnt|var|private)/|[A-Z]:\\\\|0x[0-9a-f]{8,}|\.venv"
)
"""Paths, and addresses in memory."""

named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def execute() -> ModuleType:
    """`notebooks/execute.py`, which `make notebooks` runs."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def without_pictures(notebook: dict[str, Any]) -> str:
    """What it shows as text: sources are not looked at, pictures neither."""
    told = []
    for output in outputs_of(notebook):
        data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
        told.append(json.dumps({**output, "data": data}, ensure_ascii=False))
    return "\n".join(told)


def test_all_five_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@named
def test_what_is_kept_was_made_by_a_whole_run(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = outputs_of(notebook)
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < LARGEST


@named
def test_what_is_kept_tells_nothing_of_a_machine(path: Path, execute: ModuleType) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    told = without_pictures(notebook)
    assert not PLACES.search(told), PLACES.search(told)
    for name in (socket.gethostname(), f"/{getpass.getuser()}"):
        assert name not in told
    assert notebook["metadata"] == execute.METADATA
    assert not [cell for cell in notebook["cells"] if cell["metadata"]]


def test_places_are_found() -> None:
    assert PLACES.search("saved to /tmp/x/model")
    assert PLACES.search('"/home/somebody/run"')
    assert PLACES.search("<object at 0x7fd668001fd0>")
    assert not PLACES.search("run/report.html, 3/tmp, http://a/home/b")


@named
def test_runs_from_top_to_bottom(path: Path, execute: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few instances, and no broker. A cell that fails raises, and says which."""
    monkeypatch.setenv("STREAM_ML_NOTEBOOK_LIMIT", str(LIMIT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("STREAM_ML_KAFKA", raising=False)
    notebook = execute.executed(path)
    assert any("image/png" in output.get("data", {}) for output in outputs_of(notebook))
