"""The same seed gives the same run; batch size changes nothing; a run in another process is the same run."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from stream_ml.cli.main import main

MODELS = ["no_change", "majority_labelset", "ihomer"]
SETTINGS = {"ihomer": ["--set", "model.parameters.period=50"]}
STREAMS = {
    "built-in": ["--limit", "1200"],
    "late labels": ["--limit", "600", "--delay", "37"],
    "sparse, labels appear": ["--source", "grows.jsonl"],
}
STABLE = (
    "stream",
    "model",
    "n_scored",
    "n_learned",
    "metrics",
    "fading_metrics",
    "calibration",
    "objectives",
    "baselines",
    "events",
    "clusters",
)


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """A directory of its own with a sparse file whose labels and features keep coming."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for i in range(600):
        x = {f"w{(i * 7 + k * k) % (5 + i // 20)}": 1.0 + k / 4 for k in range(4)}
        rows.append(orjson.dumps({"x": x, "y": [f"topic{j}" for j in {i % 3, (i // 50) % 12} if i % 5]}))
    (tmp_path / "grows.jsonl").write_bytes(b"\n".join(rows))


def command(model, stream, out, *more):
    common = ["evaluate", "--model", model, "--window", "200", "--save-predictions", "--quiet", "--overwrite"]
    return [*common, "--out", str(out), *SETTINGS.get(model, []), *STREAMS[stream], *more]


def outcome(path):
    """All of a run that must not depend on the clock."""
    summary = orjson.loads((path / "summary.json").read_bytes())
    files = [
        (path / name).read_bytes() for name in ("windows.csv", "events.jsonl", "predictions.jsonl", "structure.json")
    ]
    return {name: summary[name] for name in STABLE}, files


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("model", MODELS)
def test_batch_size_changes_nothing(model, stream, tmp_path):
    outcomes = []
    for size in (1000, 7, 1):
        assert main(command(model, stream, tmp_path / "out", "--batch-size", str(size))) == 0
        outcomes.append(outcome(tmp_path / "out"))
    assert outcomes[0][1][2].count(b"\n") > 500
    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_is_the_same_run(model, tmp_path):
    def run(seed, shuffle):
        more = ["--seed", str(seed), "--shuffle", str(shuffle)]
        assert main(command(model, "built-in", tmp_path / "out", *more)) == 0
        return outcome(tmp_path / "out")

    first = run(1, 2)
    assert run(1, 2) == first
    assert run(1, 3) != first
    assert run(2, 2) != first


def test_another_process_is_the_same_run(tmp_path):
    line = command("ihomer", "built-in", tmp_path / "a")
    subprocess.run([sys.executable, "-m", "stream_ml.cli", *line], check=True)
    assert main(command("ihomer", "built-in", tmp_path / "b")) == 0
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
