"""The house plan holds: imports point one way, kernels have twins, importing is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "stream_ml"
# what each room may import from; every room may import jit, errors and arrays
ALLOWED = {
    "streams": set(),
    "drift": set(),
    "experts": {"streams"},
    "decisions": {"streams", "experts"},
    "labels": {"streams"},
    "trees": {"streams", "drift", "experts"},
    "gating": {"streams", "experts"},
    "storage": set(),
    "ihomer": {"streams", "drift", "experts", "decisions", "labels", "trees", "gating", "storage"},
    "configuration": set(),
    "simulation": {"streams", "configuration"},
    "evaluation": {"streams", "ihomer"},
    "report": {"streams", "evaluation", "ihomer", "storage"},
    "adapters": {"streams", "ihomer"},
    "peers": {"streams"},
    "benchmark": {"streams", "evaluation"},
    "serving": {"streams", "evaluation", "ihomer", "storage"},
    "cli": {
        "streams",
        "configuration",
        "simulation",
        "decisions",
        "evaluation",
        "report",
        "ihomer",
        "peers",
        "benchmark",
        "serving",
        "storage",
    },
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Rooms of stream_ml that a module imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("stream_ml.")}
    return found


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != PACKAGE], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    rooms = {name for name in imports(path) if (PACKAGE / name).is_dir()}
    assert rooms <= ALLOWED[room] | {room}


def test_every_kernel_has_a_twin() -> None:
    twins = "".join(p.read_text() for p in (ROOT / "tests" / "reference").glob("*.py"))
    missing = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            decorators = [ast.unparse(d) for d in node.decorator_list] if isinstance(node, ast.FunctionDef) else []
            if {"kernel", "lean_kernel"} & set(decorators) and not re.search(rf"\b{node.name}\b", twins):
                missing.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not missing


def test_kernels_live_beside_their_owner() -> None:
    for path in MODULES:
        if re.search(r"^@(lean_)?kernel\b", path.read_text(), re.MULTILINE):
            assert path.stem.endswith("_kernels")


def test_no_room_without_a_name() -> None:
    assert not [p for p in MODULES if p.stem in {"utils", "helpers", "misc", "common"}]


def test_importing_loads_no_heavy_library() -> None:
    heavy = ("numba", "river", "sklearn", "pydantic", "rich", "scipy", "matplotlib", "jinja2")
    code = f"import sys, stream_ml; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
