"""Two runs that all tests here look at: one of the classifier on a stream that drifts, one of a baseline."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from stream_ml.cli.main import main

SCENARIO = """\
n_instances: 3000
generator: {kind: multilabel, base: tree, depth: 3, n_features: 12, n_labels: 12, cardinality: 3.0, n_groups: 3}
drifts: [{kind: concept, at: 2000}]
"""


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Made once, whichever of several test processes comes first."""
    here = tmp_path_factory.getbasetemp()
    folder = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "reported"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "plain" / "summary.json").exists():
            make(folder)
    return {name: folder / name for name in ("drifts", "plain")}


def make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "drifts.yaml").write_text(SCENARIO)
    line = ["evaluate", "--source", str(folder / "drifts.yaml"), "--window", "200", "--out", str(folder / "drifts")]
    assert main([*line, "--quiet", "--report"]) == 0
    line = ["evaluate", "--model", "no_change", "--limit", "900", "--window", "300", "--out", str(folder / "plain")]
    assert main([*line, "--quiet"]) == 0
