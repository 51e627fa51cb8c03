"""A run that is stopped, in whatever way, and goes on ends as the run that was never stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest

from stream_ml.cli.main import main
from stream_ml.cli.progress import Silent
from stream_ml.storage import read_artefact

COMMAND = [sys.executable, "-m", "stream_ml.cli"]
CLOCK = ("seconds", "instances_per_second", "peak_rss_mb", "wall_seconds")
FILES = ("windows.csv", "events.jsonl", "structure.json", "reliability.csv", "predictions.jsonl", "config.yaml")
RUNS = {
    "ARFF, shuffled": ["--source", "x.arff", "--shuffle", "3"],
    "late labels": ["--source", "x.arff", "--delay", "130", "--limit", "500"],
    "labels appear, bad lines": ["--source", "grows.jsonl", "--on-error", "skip", "--objectives", "all"],
    "labels appear late, shuffled": ["--source", "grows.jsonl", "--on-error", "skip", "--shuffle", "1", "--delay", "7"],
    "built-in": ["--limit", "700", "--seed", "5"],
}


class KilledError(BaseException):
    """The process is gone, as far as the run can tell."""


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(4)
    lines = ["@relation 'x: -C 3'", *(f"@attribute l{m} {{0,1}}" for m in range(3))]
    lines += ["@attribute a numeric", "@attribute b numeric", "@attribute c {red,green,blue}", "@data"]
    for i in range(600):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        y = [int(a > 0), int(a > 0.4), int(b > 0)] if i < 300 else [int(b > 0), int(a > 0.4), int(a < 0)]
        lines.append(",".join(map(str, [*y, round(a, 3), round(b, 3), rng.choice(["red", "green", "blue", "?"])])))
    (tmp_path / "x.arff").write_text("\n".join(lines))
    rows = []
    for i in range(600):
        x = {f"w{(i * 7 + k * k) % (5 + i // 20)}": 1.0 + k / 4 for k in range(4)}
        record = {"id": f"m{i}", "x": x, "y": [f"topic{j}" for j in {i % 3, (i // 50) % 12} if i % 5]}
        rows.append(orjson.dumps(record) if i % 40 != 7 else b'{"x": {"a": ')
    (tmp_path / "grows.jsonl").write_bytes(b"\n".join(rows))


def command(name, out, *more):
    common = ["evaluate", "--window", "90", "--save-predictions", "--quiet", "--batch-size", "50", *RUNS[name]]
    return [*common, "--set", "model.parameters.period=50", "--out", out, "--save-model", f"{out}.model", *more]


def after_batches(monkeypatch, n, act):
    """Do something after the n-th batch of a run."""
    batches = []

    def update(self, snapshot):
        batches.append(snapshot)
        if len(batches) == n:
            act()

    monkeypatch.setattr(Silent, "update", update)


def outcome(out):
    summary = orjson.loads(Path(out, "summary.json").read_bytes())
    files = {name: Path(out, name).read_bytes() for name in FILES}
    model = read_artefact(Path(f"{out}.model"))
    arrays = {name: (array.dtype, array.shape, array.tobytes()) for name, array in model.arrays.items()}
    return {key: value for key, value in summary.items() if key not in CLOCK}, files, arrays, model.facts


def check_same(first, second):
    for mine, theirs in zip(outcome(first), outcome(second), strict=True):
        assert mine.keys() == theirs.keys()
        assert [key for key in mine if mine[key] != theirs[key]] == []


@pytest.mark.parametrize("name", RUNS)
def test_stopped_by_a_signal_and_killed(name, monkeypatch, tmp_path):
    assert main(command(name, "whole")) == 0
    # a signal, without checkpoints asked for
    after_batches(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(command(name, "stopped")) == 128 + signal.SIGTERM
    assert orjson.loads(Path("stopped/summary.json").read_bytes())["interrupted"] is True

    # going on, and killed some batches behind a checkpoint: predictions are there that the checkpoint does not know
    def killed():
        raise KilledError

    after_batches(monkeypatch, 5, killed)
    with pytest.raises(KilledError):
        main(["evaluate", "--resume", "stopped", "--quiet", "--checkpoint-every", "170"])
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    Path("stopped/.checkpoint.safetensors.4711.part").write_bytes(b"half a checkpoint")
    assert main(["evaluate", "--resume", "stopped/checkpoint.safetensors", "-q", "--batch-size", "33"]) == 0
    # what differs by intention: the batch size, and that checkpoints were asked for
    text = Path("whole/config.yaml").read_text()
    text = text.replace("batch_size: 50", "batch_size: 33").replace("checkpoint_every: null", "checkpoint_every: 170")
    Path("whole/config.yaml").write_text(text)
    check_same("whole", "stopped")
    assert {*os.listdir("whole"), "checkpoint.safetensors"} == set(os.listdir("stopped"))


@pytest.mark.parametrize("model", ["no_change", "majority_labelset"])
def test_baselines_as_models_go_on(model, monkeypatch):
    line = ["evaluate", "--model", model, "--source", "x.arff", "--batch-size", "50", "-q", "--out"]
    assert main([*line, "whole"]) == 0
    after_batches(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main([*line, "stopped"]) == 128 + signal.SIGTERM
    assert main(["evaluate", "--resume", "stopped", "-q"]) == 0
    for name in ("windows.csv", "events.jsonl"):
        assert Path("whole", name).read_bytes() == Path("stopped", name).read_bytes()
    whole, stopped = (orjson.loads(Path(out, "summary.json").read_bytes()) for out in ("whole", "stopped"))
    assert whole["metrics"] == stopped["metrics"]
    assert sorted(os.listdir("whole")) == sorted(os.listdir("stopped"))


@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
def test_a_process_that_is_killed(tmp_path):
    line = ["evaluate", "--limit", "3000", "--save-predictions", "-q", "--window", "500", "--out"]
    assert main([*line, "whole", "--save-model", "whole.model"]) == 0
    more = ["killed", "--batch-size", "40", "--checkpoint-every", "200", "--save-model", "killed.model"]
    process = subprocess.Popen([*COMMAND, *line, *more])
    for _ in range(20_000):  # where two processes compile at a time, one may have to compile again
        if Path("killed/checkpoint.safetensors").exists():
            break
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not Path("killed/summary.json").exists()
    assert main([*line, "killed"]) == 2
    resumed = ["evaluate", "--resume", "killed", "--batch-size", "1000", "-q"]
    assert subprocess.run([*COMMAND, *resumed], check=False).returncode == 0
    for name in FILES[:-1]:
        assert Path("whole", name).read_bytes() == Path("killed", name).read_bytes()
    whole, killed = (read_artefact(Path(f"{out}.model")) for out in ("whole", "killed"))
    assert whole.facts == killed.facts
    assert [n for n, array in whole.arrays.items() if array.tobytes() != killed.arrays[n].tobytes()] == []


def test_a_finished_run_says_so_and_goes_on_with_a_higher_limit(capsys):
    assert main(command("built-in", "whole")) == 0
    assert main(command("built-in", "part", "--limit", "330")) == 0
    before = Path("part/summary.json").read_bytes()
    assert main(["evaluate", "--resume", "part"]) == 0
    assert capsys.readouterr().out == "part: the run is finished (330 instances); --limit above 330 goes on with it\n"
    assert Path("part/summary.json").read_bytes() == before
    assert main(["evaluate", "--resume", "part", "--limit", "200"]) == 2
    assert "--limit 200: the run has read 330 instances already" in capsys.readouterr().err
    # elsewhere: the first run stays as it is
    assert (
        main(["evaluate", "--resume", "part", "--limit", "700", "-q", "--out", "more", "--save-model", "more.model"])
        == 0
    )
    check_same("whole", "more")
    assert Path("part/summary.json").read_bytes() == before
    assert main(["evaluate", "--source", "x.arff", "--model", "no_change", "-q", "--out", "all"]) == 0
    assert not Path("all/checkpoint.safetensors").exists()
    assert main(["evaluate", "--resume", "all"]) == 0
    assert capsys.readouterr().out == "all: the run is finished (600 instances)\n"
    assert main(["evaluate", "--resume", "all", "--limit", "900"]) == 2
    assert "kept no checkpoint to go on from" in capsys.readouterr().err


def test_late_labels_that_were_learned_at_the_end_are_no_prefix(capsys):
    assert main(command("late labels", "out", "--checkpoint-every", "100")) == 0
    assert main(["evaluate", "--resume", "out", "--limit", "600"]) == 2
    assert "labels that --delay held back were learned at its end" in capsys.readouterr().err


def shorter(text):
    return "\n".join(text.split("\n")[:120])


CHANGES = {
    "a value": (lambda text: text.replace(",0.", ",0.0", 1), "its first 200 rows are not those that the run had read"),
    "a name": (lambda text: text.replace("attribute b", "attribute d"), "other features than the run had met"),
    "the labels": (lambda text: text.replace("-C 3", "-C 2"), "another number of features than the run had met"),
    "the length": (shorter, "fewer rows than the run had read; expected at least 200, found 112"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_source_that_changed_is_refused(what, capsys):
    line = ["evaluate", "--source", "x.arff", "--model", "no_change", "-q", "--out", "out", "--limit", "200"]
    assert main(line) == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    change, message = CHANGES[what]
    Path("x.arff").write_text(change(Path("x.arff").read_text()))
    assert main(["evaluate", "--resume", "out", "--limit", "500"]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_what_is_behind_the_checkpoint_may_change_and_the_file_may_move():
    line = ["evaluate", "--source", "x.arff", "--model", "no_change", "-q", "--out", "out", "--limit", "200"]
    assert main(line) == 0
    Path("y.arff").write_text(Path("x.arff").read_text() + "\n1,1,1,0,0,red\n")
    Path("x.arff").unlink()
    assert main(["evaluate", "--resume", "out", "--limit", "9999", "--source", "y.arff", "-q"]) == 0
    assert orjson.loads(Path("out/summary.json").read_bytes())["n_scored"] == 601


def test_what_a_run_that_goes_on_cannot_take(capsys):
    assert main(command("built-in", "out")) == 0
    Path("empty").mkdir()
    cases = {
        ("--resume", "out", "--shuffle", "2"): "--shuffle: a run that goes on keeps its settings",
        ("--resume", "out", "--set", "model.name=x"): "--set: a run that goes on keeps its settings",
        ("x.yaml", "--resume", "out"): "x.yaml: a run that goes on keeps its settings",
        ("--resume", "nowhere"): "nowhere: no such file",
        ("--resume", "empty"): "empty: holds no checkpoint of a run",
        ("--resume", "out.model"): "holds a 'model', not a run; to begin with its model: --model-file",
        ("--resume", "x.arff"): "x.arff: damaged or not a model",
        ("--resume", "out", "--limit", "800", "--checkpoint-every", "0"): "checkpoint-every",
        ("--save-model", "empty"): "--save-model empty: is a directory",
        ("--save-model", "no/where"): "there is no directory",
        ("--model", "no_change", "--save-model", "x"): "a no_change model is not saved",
        ("--model-file", "x.arff"): "x.arff: damaged or not a model",
        ("--model-file", "out.model", "--set", "model.parameters.period=7"): "the model in the file has its own",
        ("--model-file", "out.model", "--objective", "most"): "--objective",
        ("--model-file", "out.model", "--model", "no_change"): "a no_change model is in no file",
    }
    for arguments, message in cases.items():
        assert main(["evaluate", *arguments, "-q"]) == 2, arguments
        told = capsys.readouterr().err
        assert message in told, arguments
        assert told.count("\n") == 1
    damaged = bytearray(Path("out/checkpoint.safetensors").read_bytes())
    damaged[-100] ^= 1
    Path("out/checkpoint.safetensors").write_bytes(damaged)
    assert main(["evaluate", "--resume", "out", "--limit", "800"]) == 2
    assert "damaged: its checksum is wrong" in capsys.readouterr().err
    Path("out/predictions.jsonl").unlink()


def test_predictions_that_are_gone_are_told(capsys):
    assert main(command("built-in", "out")) == 0
    Path("out/predictions.jsonl").write_bytes(b"")
    assert main(["evaluate", "--resume", "out", "--limit", "800"]) == 2
    assert "lacks predictions that the run had written" in capsys.readouterr().err


def test_a_saved_model_goes_on_as_if_the_stream_had(monkeypatch):
    """Two halves of a file, the second with its columns in another order, are the whole."""
    text = Path("x.arff").read_text().split("\n")
    header, rows = text[:8], text[8:]
    order = [4, 1, 5, 0, 2, 3]
    Path("half.arff").write_text("\n".join(header + rows[:300]))
    turned = [header[0].replace("-C 3", "-C 0"), *(header[1:7][i] for i in order), header[7]]
    turned += [",".join(row.split(",")[i] for i in order) for row in rows[300:]]
    Path("rest.arff").write_text("\n".join(turned).replace("{red,green,blue}", "{blue,red,green}"))
    parts = ["--set", "model.parameters.period=50", "-q"]
    assert main(["evaluate", "--source", "x.arff", "--out", "w", "--save-model", "w.model", *parts]) == 0
    assert main(["evaluate", "--source", "half.arff", "--out", "h", "--save-model", "h.model", *parts]) == 0
    more = ["--model-file", "h.model", "--source", "rest.arff", "--labels", "l0,l1,l2", "--batch-size", "40"]
    line = ["evaluate", *more, "--save-predictions", "-q", "--save-model", "r.model", "--out", "r"]
    assert main(line) == 0
    whole, rest = (read_artefact(Path(name)) for name in ("w.model", "r.model"))
    differ = [n for n, array in whole.arrays.items() if array.tobytes() != rest.arrays[n].tobytes()]
    assert differ == []
    # such a run goes on, too
    after_batches(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main([*line[:-3], "s.model", "--out", "s"]) == 128 + signal.SIGTERM
    assert main(["evaluate", "--resume", "s", "-q"]) == 0
    check_same("r", "s")
    assert main(["evaluate", "r/config.yaml", "-q", "--out", "again"]) == 0
    assert Path("again/windows.csv").read_bytes() == Path("r/windows.csv").read_bytes()


def test_checkpoints_are_arrays_and_json():
    assert main(command("ARFF, shuffled", "out", "--checkpoint-every", "100")) == 0
    artefact = read_artefact(Path("out/checkpoint.safetensors"))
    assert artefact.facts["kind"] == "run"
    assert all(isinstance(array, np.ndarray) for array in artefact.arrays.values())
