"""`stream-ml evaluate` in-process: options, files, table, exit codes."""

from __future__ import annotations

import csv

import numpy as np
import orjson
import pytest

from stream_ml import __version__, evaluation
from stream_ml.cli import evaluate as command
from stream_ml.cli.config import load_config
from stream_ml.cli.main import main
from stream_ml.decisions import OBJECTIVES
from stream_ml.errors import DataError
from stream_ml.evaluation import METRICS, RANKED
from stream_ml.streams import Batch, Feature, Schema, Skipped

ROWS = 600


class Made:
    """A small stream with correlated labels, like the ones that files give."""

    n_instances = ROWS
    skipped = Skipped()

    def __init__(self, section):
        rng = np.random.default_rng(section.seed)
        x = rng.normal(size=(ROWS, 4))
        y = np.stack([x[:, 0] > 0, x[:, 0] > 0.3, x[:, 1] > 0], axis=1)
        self.schema = Schema([Feature(f"x{j}") for j in range(4)], ["low", "[high]", "other"])
        self.name, self.size = "made [up]", section.batch_size
        self.whole = Batch.from_dense(self.schema, x, y)

    def __iter__(self):
        for start in range(0, ROWS, self.size):
            yield self.whole.rows(start, min(start + self.size, ROWS))


class Torn(Made):
    """Ends in a malformed line."""

    def __iter__(self):
        yield from list(super().__iter__())[:1]
        raise DataError("wrong number of fields", source="torn.csv", line=301, expected="4", found="2")


class Stopped(Made):
    """Somebody presses Ctrl-C."""

    def __iter__(self):
        yield from list(super().__iter__())[:1]
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def made(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "open_source", Made)


def run(*arguments):
    line = ["evaluate", "--model", "majority_labelset", "--window", "200", "--no-report"]
    return main([*line, *map(str, arguments)])


def summary(path):
    return orjson.loads((path / "summary.json").read_bytes())


@pytest.mark.parametrize(("gated_above", "gates"), [(1000, False), (2, True)])
def test_gates_that_will_be_needed_are_compiled_before_the_run(gated_above, gates, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(evaluation, "warm_up", lambda model, **how: asked.append(how))
    line = ["evaluate", "--limit", "50", "-q", "--out", str(tmp_path / "out")]
    assert main([*line, "--set", f"model.parameters.routing.gated_above={gated_above}"]) == 0
    assert asked == [{"sparse": False, "gates": gates}]


def test_files_of_a_run(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--out", out, "--save-predictions", "--set", "model.parameters.max_sets=7") == 0
    written = summary(out)
    assert written["model"] == {"name": "majority_labelset", "parameters": {"max_sets": 7}}
    assert written["n_scored"] == ROWS
    assert written["seed"] == 42
    with (out / "windows.csv").open(newline="") as file:
        windows = list(csv.DictReader(file))
    assert [row["instance"] for row in windows] == ["200", "400", "600"]
    assert {p + m for p in ("", "no_change_", "majority_labelset_", "fading_") for m in METRICS} <= set(windows[0])
    assert (out / "events.jsonl").read_bytes() == b""
    rows = [orjson.loads(line) for line in (out / "predictions.jsonl").read_bytes().splitlines()]
    assert [row["row"] for row in rows] == list(range(ROWS))
    exact = sum(row["labels"] == row["predicted"] for row in rows) / ROWS
    assert exact == pytest.approx(written["metrics"]["subset_accuracy"])
    assert load_config(out / "config.yaml").model.parameters == {"max_sets": 7}
    shown = capsys.readouterr()
    assert "made [up]: 600 instances, 4 features, 3 labels" in shown.out
    assert "windows.csv, events.jsonl, structure.json, resources.csv, predictions.jsonl" in shown.out
    assert "no change" in shown.out
    assert f"{written['wall_seconds']:.2f} s with reading and scoring)" in shown.out
    assert shown.err == ""


def test_the_best_of_each_row_has_a_star(tmp_path, capsys):
    assert run("--out", tmp_path / "out") == 0
    written = summary(tmp_path / "out")
    lines = {line[:22].strip(): line for line in capsys.readouterr().out.splitlines()}
    hamming = next(line for name, line in lines.items() if name.startswith("hamming loss"))
    columns = [written["metrics"], written["baselines"]["no_change"], written["baselines"]["majority_labelset"]]
    best = min(round(column["hamming_loss"], 4) for column in columns)
    assert f"{best:.4f} *" in hamming
    assert hamming.count("*") == sum(round(column["hamming_loss"], 4) == best for column in columns)


def test_a_run_is_repeated_by_its_own_configuration(tmp_path):
    assert run("--out", tmp_path / "a", "--seed", 3) == 0
    assert main(["evaluate", str(tmp_path / "a/config.yaml"), "--out", str(tmp_path / "b"), "-q"]) == 0
    first, second = summary(tmp_path / "a"), summary(tmp_path / "b")
    assert first["seed"] == second["seed"] == 3
    assert first["metrics"] == second["metrics"]


def test_without_out_a_new_directory_is_made(tmp_path):
    assert run("-q") == run("-q") == 0
    made = sorted((tmp_path / "runs").iterdir())
    assert len(made) == 2
    assert all((path / "summary.json").exists() for path in made)


def test_an_earlier_run_is_replaced_when_that_is_said(tmp_path, capsys):
    assert run("--out", tmp_path / "out", "--save-predictions", "-q") == 0
    before = (tmp_path / "out/summary.json").read_bytes()
    assert run("--out", tmp_path / "out") == 2
    assert "holds a run already; name another directory, or say --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out/summary.json").read_bytes() == before
    assert run("--out", tmp_path / "out", "--overwrite") == 0
    assert not (tmp_path / "out/predictions.jsonl").exists()


def test_a_run_of_a_file_is_repeated_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    (tmp_path / "there/a.csv").write_text("x,l\n" + "1,1\n2,0\n" * 20)
    line = ["evaluate", "--source", "a.csv", "--labels", "last:1", "--model", "no_change", "-q"]
    assert main([*line, "--out", "first"]) == 0
    monkeypatch.chdir(tmp_path / "here")
    assert main(["evaluate", "../there/first/config.yaml", "-q"]) == 0
    (again,) = (tmp_path / "here/runs").iterdir()
    assert summary(again)["metrics"] == summary(tmp_path / "there/first")["metrics"]


def test_a_stream_without_labels_says_that_nothing_was_scored(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    (tmp_path / "a.jsonl").write_text('{"x": {"a": 1}}\n' * 7 + '{"x": {"a": 1}, "y": ["l"]}\n')
    line = ["evaluate", "--source", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out"), "--limit", "7"]
    assert main([*line, "--model", "no_change", "--no-report"]) == 0
    shown = capsys.readouterr()
    assert "nothing was scored: no instance that was predicted has labels (7 instances read)" in shown.out
    assert "*" not in shown.out
    written = summary(tmp_path / "out")
    assert set(written["metrics"].values()) == {None}
    assert (tmp_path / "out/windows.csv").read_text().split() == ["instance,rows"]


def test_objectives_are_scored_in_one_pass(tmp_path, capsys):
    line = ["evaluate", "--limit", "600", "--objective", "micro_f1", "--objectives", "all", "--no-report", "--out"]
    assert main([*line, str(tmp_path / "a")]) == 0
    shown, written = capsys.readouterr().out, summary(tmp_path / "a")
    assert next(iter(written["objectives"])) == "micro_f1"
    assert set(written["objectives"]) == set(OBJECTIVES)
    assert written["objectives"]["micro_f1"] == {m: written["metrics"][m] for m in METRICS}
    assert "decided for" in shown
    assert "calibration error" in shown
    assert (tmp_path / "a/reliability.csv").read_text().startswith("low,high,pairs,mean_probability,share_positive\n")
    alone = ["evaluate", "--limit", "600", "--objective", "subset_accuracy", "-q", "--out", str(tmp_path / "b")]
    assert main(alone) == 0
    assert {m: summary(tmp_path / "b")["metrics"][m] for m in METRICS} == written["objectives"]["subset_accuracy"]
    assert summary(tmp_path / "b")["objectives"] == {}
    assert main(["evaluate", "--objective", "micro", "-q"]) == 2
    assert "--objective: " in capsys.readouterr().err
    assert main(["evaluate", "--objectives", "micro_f1,nothing", "-q"]) == 2
    assert "--objectives" in capsys.readouterr().err


def test_foreign_files_are_safe(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    assert run("--out", tmp_path / "out") == 2
    assert "holds 'thesis.tex', which no run wrote" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    assert run("--out", tmp_path / "out/thesis.tex") == 2
    assert "is a file" in capsys.readouterr().err


def test_a_failed_run_leaves_an_earlier_one_alone(tmp_path, capsys, monkeypatch):
    assert run("--out", tmp_path / "out", "-q") == 0
    before = (tmp_path / "out/summary.json").read_bytes()
    monkeypatch.setattr(command, "open_source", Torn)
    assert run("--out", tmp_path / "out", "--overwrite") == 2
    assert capsys.readouterr().err == "error: torn.csv, line 301: wrong number of fields; expected 4, found 2\n"
    assert (tmp_path / "out/summary.json").read_bytes() == before


def test_an_interrupted_run_is_written_and_marked(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "open_source", Stopped)
    assert run("--out", tmp_path / "out", "--batch-size", 250) == 130
    written = summary(tmp_path / "out")
    assert written["interrupted"] is True
    assert written["n_scored"] == 250
    assert "interrupted" in capsys.readouterr().out


def test_quiet_says_nothing(tmp_path, capsys):
    assert run("--out", tmp_path / "out", "--quiet") == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_baselines_can_be_left_out(tmp_path, capsys):
    assert run("--out", tmp_path / "out", "--set", "evaluation.baselines=false") == 0
    assert summary(tmp_path / "out")["baselines"] == {}
    assert "*" not in capsys.readouterr().out


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stream-ml {__version__}\n"
    assert main(["evaluate", "--help"]) == 0
    assert "--save-predictions" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--nothing"],
        ["evaluate", "--limit", "many"],
        ["evaluate", "a.yaml", "b.yaml"],
        ["evaluate", "none.yaml"],
        ["evaluate", "--model", "none"],
        ["evaluate", "--limit", "0"],
        *(["evaluate", option, "1" + "0" * 30] for option in ("--limit", "--delay", "--seed", "--shuffle", "--window")),
        ["evaluate", "--batch-size", "1" + "0" * 30],
        ["evaluate", "--set", "model.parameters.period=" + "1" + "0" * 30],
        ["evaluate", "--set", "model.parameters.tree.grace_period=-" + "1" + "0" * 30],
        ["evaluate", "--on-error", "ignore"],
        ["evaluate", "--set", "stream"],
        ["evaluat"],
    ],
)
def test_wrong_command_lines(arguments, capsys, tmp_path):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_classifier_by_name(tmp_path):
    assert main(["evaluate", "--out", str(tmp_path / "out"), "-q", "--set", "model.parameters.period=50"]) == 0
    written = summary(tmp_path / "out")
    assert written["model"]["name"] == "ihomer"
    assert written["model"]["parameters"]["period"] == 50
    assert sorted(label for cluster in written["clusters"] for label in cluster) == ["[high]", "low", "other"]
    assert written["metrics"]["micro_f1"] > written["baselines"]["no_change"]["micro_f1"]
    assert all(0 < written["metrics"][name] <= 1 for name in RANKED)
    assert {written["baselines"]["no_change"][name] for name in RANKED} == {None}
