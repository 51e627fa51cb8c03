"""Each adapter loads its library alone, and says what to install where it is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("stream_ml.ihomer.one", ["river", "sklearn", "skmultiflow", "pandas"]),
        ("stream_ml.adapters.multiflow", ["river", "sklearn", "skmultiflow", "pandas"]),
        ("stream_ml.adapters.river", ["sklearn", "skmultiflow"]),
        ("stream_ml.adapters.sklearn", ["river", "skmultiflow", "polars"]),
    ],
)
def test_nothing_else_is_loaded(module, others):
    out = run(f"import sys, {module}; print([m for m in {others} if m in sys.modules])")
    assert out.stdout.strip() == "[]", out.stderr


@pytest.mark.parametrize("library", ["river", "sklearn"])
def test_a_missing_library_is_named(library):
    out = run(f"import sys; sys.modules[{library!r}] = None; import stream_ml.adapters.{library}")
    last = out.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: stream_ml.adapters.{library} needs ")
    assert f"pip install 'stream-ml[{library}]'" in last
