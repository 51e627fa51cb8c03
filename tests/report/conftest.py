"""Two runs that all tests here look at: one of the classifier on a stream that drifts, one of a baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_ml.cli.main import main

SCENARIO = """\
n_instances: 3000
generator: {kind: multilabel, base: tree, depth: 3, n_features: 12, n_labels: 12, cardinality: 3.0, n_groups: 3}
drifts: [{kind: concept, at: 2000}]
"""


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "drifts.yaml").write_text(SCENARIO)
    line = ["evaluate", "--source", str(folder / "drifts.yaml"), "--window", "200", "--out", str(folder / "drifts")]
    assert main([*line, "--quiet", "--report"]) == 0
    line = ["evaluate", "--model", "no_change", "--limit", "900", "--window", "300", "--out", str(folder / "plain")]
    assert main([*line, "--quiet"]) == 0
    return {name: folder / name for name in ("drifts", "plain")}
