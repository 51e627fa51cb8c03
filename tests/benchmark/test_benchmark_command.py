"""`stream-ml benchmark`: runs are kept, failures told, results written."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_ml.benchmark import run_all
from stream_ml.benchmark.measure import Measured
from stream_ml.cli.main import main

ROOT = Path(__file__).parents[2]
CONFIG = """
models:
  - {name: majority_labelset, label: sets}
  - {name: river.gaussian_nb}
  - {name: river.classifier_chain}
streams:
  - {source: "*.csv", labels: last:2}
orders: [file, 3]
budget: 30
block: 20
jobs: 2
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        rows = "".join(f"{i % 7},{(i * i) % 5},{i % 2},{int(i % 3 == 0)}\n" for i in range(150))
        (tmp_path / f"{name}.csv").write_text("a,b,p,q\n" + rows)
    (tmp_path / "b.yaml").write_text(CONFIG)


def results(path):
    with (path / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_benchmark_and_its_continuation(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["benchmark", "b.yaml", "--out", str(out), "--jobs", "1"]) == 0
    rows = results(out)
    # three models and the baseline that was left out, two streams, two orders, five metrics
    assert len(rows) == 4 * 2 * 2 * 5
    assert {row["rows"] for row in rows} == {"150"}
    assert {row["order"] for row in rows} == {"file order", "shuffled 3"}
    own = [row for row in rows if row["model"] == "sets"]
    assert all(row["advantage_of_reference"] == "" for row in own)
    page = (out / "benchmark.html").read_text()
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!#)', page)
    assert "<svg" in page
    assert "river.gaussian_nb" in (out / "benchmark.md").read_text()
    first, shown = (out / "results.csv").read_bytes(), capsys.readouterr()
    assert "river.classifier_chain on two (shuffled 3): 150 rows" in shown.err
    assert main(["benchmark", "b.yaml", "--out", str(out)]) == 0
    assert "rows in" not in capsys.readouterr().err  # nothing was run again
    assert (out / "results.csv").read_bytes() == first
    (tmp_path / "b.yaml").write_text(CONFIG.replace("block: 20", "block: 30"))
    assert main(["benchmark", "b.yaml", "--out", str(out), "--quiet"]) == 0
    assert (out / "results.csv").read_bytes() != first


@pytest.mark.parametrize("name", ["benchmark", "ablation"])
def test_configurations_of_the_project(name, tmp_path, capsys):
    """As they are, but for a few rows of one stream."""
    text = re.sub(r"\n  - {seed: (7|1),.*", "", (ROOT / f"configs/{name}.yaml").read_text())
    (tmp_path / "b.yaml").write_text(
        re.sub(r"limit: \d+", "limit: 20", text).replace("orders: [file, 1]", "orders: [file]")
    )
    assert main(["benchmark", "b.yaml", "--out", "out", "--jobs", "2", "-q"]) == 0
    rows = results(tmp_path / "out")
    own = "full" if name == "ablation" else "ihomer"
    assert {own, f"{own} [micro_f1]", "no_change"} <= {row["model"] for row in rows}
    assert not [row for row in rows if row["error"]]


def test_a_run_that_fails_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "two.csv").write_text("a,b,p,q\n1,2,0,0\n1,2,0\n")
    assert main(["benchmark", "b.yaml", "--out", "out"]) == 1
    rows = results(tmp_path / "out")
    assert {row["error"] == "" for row in rows if row["stream"] == "one"} == {True}
    assert all("wrong number of values" in row["error"] for row in rows if row["stream"] == "two")
    assert "wrong number of values" in (tmp_path / "out/benchmark.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("river.gaussian_nb", "river.gausian_nb"), "did you mean 'river.gaussian_nb'"),
        (("label: sets", "label: river.gaussian_nb"), "two are called 'river.gaussian_nb'"),
        (("*.csv", "*.arff"), "no file fits '*.arff'"),
        (("block: 20", "blok: 20"), "did you mean 'block'"),
        (("{name: river.gaussian_nb}", "{name: river.gaussian_nb, parameters: {zero: true}}"), "river.gaussian_nb: "),
        (("budget: 30", "reference: nobody"), "no model is called 'nobody'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(change, message, tmp_path, capsys):
    (tmp_path / "b.yaml").write_text(CONFIG.replace(*change))
    assert main(["benchmark", "b.yaml", "--out", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def dies(task):
    if task == "dies":
        os._exit(9)
    if task == "raises":
        raise KeyError("nothing")
    time.sleep(0.1)
    return Measured(rows=int(task))


def test_a_process_that_dies_takes_no_other_along():
    done = dict(run_all(["1", "dies", "2", "raises", "3"], dies, 2))
    assert [done[task].rows for task in ("1", "2", "3")] == [1, 2, 3]
    assert done["dies"].error == "the process died (out of memory?)"
    assert done["raises"].error == "KeyError: 'nothing'"


@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
def test_a_signal_ends_all_processes_and_keeps_what_is_done(tmp_path):
    text = CONFIG.replace("budget: 30", "budget: null") + "\n"
    (tmp_path / "b.yaml").write_text(text.replace('- {source: "*.csv", labels: last:2}', "- {seed: 1}"))
    command = [sys.executable, "-m", "stream_ml.cli", "benchmark", "b.yaml", "--out", "out"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(1200):
        if list((tmp_path / "out").glob("done/*.npz")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    with process.stderr:
        assert "Traceback" not in process.stderr.read()
    assert results(tmp_path / "out")
    for _ in range(100):  # every process of its group is gone, or goes
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("processes are left")
