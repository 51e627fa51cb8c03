"""The command line as a program: start-up, signals, pipes, and what it leaves in the directory it runs in."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

COMMAND = [sys.executable, "-m", "stream_ml.cli"]


def loaded_after(line: str, tmp_path) -> set[str]:
    """Modules in memory after a command line has run."""
    code = f"import sys; from stream_ml.cli.main import main; main({line.split()!r}); print('@', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    return set(done.stdout.rpartition("@")[2].split())


def test_help_loads_next_to_nothing(tmp_path):
    assert not loaded_after("--help", tmp_path) & {"numpy", "numba", "pydantic", "yaml", "orjson"}


def test_a_wrong_configuration_is_told_before_numba_is_loaded(tmp_path):
    assert not loaded_after("evaluate --model no_change --set stream.limt=3", tmp_path) & {"numba", "numpy"}


def test_a_run_loads_no_package_that_it_does_not_need(tmp_path):
    loaded = loaded_after("evaluate --limit 300 --no-report", tmp_path)
    assert "numba" in loaded
    # numba looks for the version of scipy
    others = {"river", "sklearn", "pandas", "hypothesis", "pytest", "scipy.linalg", "matplotlib", "jinja2"}
    assert not loaded & others


def test_without_arguments_the_built_in_stream_goes_to_runs(tmp_path):
    done = subprocess.run(
        [*COMMAND, "evaluate", "--limit", "2000"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    (run,) = (tmp_path / "runs").iterdir()
    summary = orjson.loads((run / "summary.json").read_bytes())
    assert summary["model"]["name"] == "ihomer"
    assert summary["n_scored"] == 2000
    assert f"report: runs/{run.name}/report.html" in done.stdout
    assert (run / "report.html").is_file()
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_keeps_what_was_done(name, tmp_path):
    line = ["evaluate", "--model", "no_change", "--batch-size", "1", "--save-predictions", "--out", "out"]
    process = subprocess.Popen(
        [*COMMAND, *line],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(getattr(signal, name), signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        for _ in range(600):
            if (tmp_path / "out/predictions.jsonl").exists():
                break
            time.sleep(0.1)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + getattr(signal, name)
    assert "Traceback" not in err
    assert "interrupted" in out
    summary = orjson.loads((tmp_path / "out/summary.json").read_bytes())
    assert summary["interrupted"] is True
    assert 0 < summary["n_scored"] < 50_000
    assert len((tmp_path / "out/predictions.jsonl").read_bytes().splitlines()) == summary["n_scored"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_disk_behind_stdout_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "evaluate", "--model", "no_change", "--limit", "100", "--no-report", "--out", "out"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written: no space left on device\n"
    assert (tmp_path / "out/summary.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_a_closed_pipe_is_no_noise(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "evaluate", "--model", "no_change", "--limit", "100", "--no-report", "--out", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert err == ""
    assert (tmp_path / "out/summary.json").exists()


def test_labels_known_in_part(tmp_path):
    """Objects in JSON Lines: learned, scored on what is known, and told in the predictions as they were read."""
    y = [["a"], {"a": True, "b": False}, {"b": True}, None, {"a": None}, []]
    rows = [{"x": {"f": i % 6, "g": i % 4}, "y": y[i % 6]} for i in range(600)]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    line = ["evaluate", "--source", "x.jsonl", "--save-predictions", "--out", "out", "--quiet"]
    subprocess.run([*COMMAND, *line], check=True, cwd=tmp_path)
    summary = orjson.loads((tmp_path / "out/summary.json").read_bytes())
    assert summary["n_scored"] == summary["n_learned"] == 400
    assert summary["stream"]["n_labels"] == 2
    assert summary["metrics"]["micro_f1"] > 0.8
    told = [orjson.loads(row)["labels"] for row in (tmp_path / "out/predictions.jsonl").read_bytes().splitlines()]
    assert told == [None if labels == {"a": None} else labels for labels in (row["y"] for row in rows)]


def test_labels_that_come_late_are_late_for_the_frequencies_beside_the_model_too(tmp_path):
    line = ["evaluate", "--limit", "2000", "--delay", "500", "--batch-size"]
    for size in ("1000", "300"):
        subprocess.run([*COMMAND, *line, size, "--out", size, "--quiet"], check=True, cwd=tmp_path)
    one, other = (orjson.loads((tmp_path / size / "summary.json").read_bytes()) for size in ("1000", "300"))
    assert one["calibration"] == other["calibration"]
    # no label is known of the first 500 rows: what is said of them costs both the same
    assert 1 < one["calibration"]["log_loss"] < one["calibration"]["prior_log_loss"]
