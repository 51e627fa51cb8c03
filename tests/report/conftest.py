"""Runs that all tests here look at: one of the classifier on a stream that drifts, two of baselines, side by side."""

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
        if not (folder / "both.html").exists():
            make(folder)
    return {name: folder / name for name in ("drifts", "plain", "frequent", "both.html")}


def make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "drifts.yaml").write_text(SCENARIO)
    line = ["evaluate", "--source", str(folder / "drifts.yaml"), "--window", "200", "--out", str(folder / "drifts")]
    assert main([*line, "--quiet", "--report"]) == 0
    for name, model in (("plain", "no_change"), ("frequent", "majority_labelset")):
        line = ["evaluate", "--model", model, "--limit", "900", "--window", "300", "--out", str(folder / name)]
        assert main([*line, "--quiet"]) == 0
    assert main(["report", str(folder / "frequent"), str(folder / "plain"), "--out", str(folder / "both.html")]) == 0
