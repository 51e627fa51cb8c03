"""The comparison with scikit-multiflow: our side of it everywhere, its learners where their environment was made."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from stream_ml.errors import DataError
from stream_ml.evaluation import Metrics
from stream_ml.streams import Batch, Feature, Predictions, Schema

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
INSTALLED = BENCHMARKS.parent / ".multiflow" / ".installed"


def script(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


against = script(BENCHMARKS / "against_multiflow.py")
environment = script(BENCHMARKS / "multiflow" / "environment.py")


def batch_of(x: list[list[float]], y: list[list[float]]) -> Batch:
    features = [Feature("size"), Feature("colour", ("red", "green", "blue")), Feature("wet", ("no", "yes"))]
    return Batch.from_dense(Schema(features, ["a", "b"], name="toy"), x, y)


def test_rows_go_out_as_numbers(tmp_path: Path) -> None:
    """A nominal column of three values is three, of two values it is one, and all of these are told to be nominal."""
    against.write_rows(batch_of([[1.5, 2, 1], [-2, 0, 0]], [[1, 0], [1, 1]]), tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz") as file:
        assert file["x"].tolist() == [[1.5, 0, 0, 1, 1], [-2, 1, 0, 0, 0]]
        assert file["y"].tolist() == [[1, 0], [1, 1]]
        assert file["nominal"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("x", "y"), [([[np.nan, 0, 0]], [[1, 0]]), ([[1, 0, 0]], [[np.nan, np.nan]])])
def test_missing_values_are_refused(tmp_path: Path, x: list[list[float]], y: list[list[float]]) -> None:
    with pytest.raises(DataError, match="toy: has missing values or labels that are not known"):
        against.write_rows(batch_of(x, y), tmp_path / "rows.npz")
    assert not (tmp_path / "rows.npz").exists()


def test_what_a_learner_said_is_scored_by_our_metrics(tmp_path: Path) -> None:
    """On the rows that it reached, beside ours on the same rows."""
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    batch = batch_of([[0, 0, 0]] * 4, y.tolist())
    said, chances = np.array([[0, 0], [0.2, 0.9], [0.7, 0.4]]), np.array([[np.nan, np.nan], [0.1, 0.9], [0.3, 0.8]])
    np.savez(tmp_path / "said.npz", said=said, probabilities=chances, seconds=0.5, error="")
    theirs = against.read_said(tmp_path / "said.npz")
    ours = against.Said(y == 1, None, 0.001)
    cells = against.line(batch, "theirs", theirs, ours)
    expected, metrics = batch.rows(0, 3), Metrics()
    metrics.update(expected, Predictions(np.array([0, 0, 1, 2]), np.array([1, 0], dtype=np.int32)))
    assert cells[:3] == ["toy", "theirs", "3 of 4"]
    assert cells[3:8] == [f"{metrics.result()[name]:.3f}" for name in against.METRICS]
    assert cells[8:11] == ["1.000", "6", "1.000"]
    assert cells[11].startswith(f"+{1 - metrics.result()['micro_f1']:.3f} ± ")
    assert cells[12] == f"{(4 / 0.001) / (3 / 0.5):,.0f}"
    assert len(cells) == len(against.HEAD)


def test_a_learner_that_cannot_run_says_why(tmp_path: Path) -> None:
    batch = batch_of([[0, 0, 0]] * 2, [[1, 0], [0, 1]])
    nothing = np.zeros((0, 2))
    np.savez(tmp_path / "said.npz", said=nothing, probabilities=nothing, seconds=0.0, error="MemoryError: 528 TiB")
    cells = against.line(batch, "theirs", against.read_said(tmp_path / "said.npz"), None)
    assert cells[2] == "could not run: MemoryError: 528 TiB"
    assert len(cells) == len(against.HEAD)


def test_without_the_environment_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["against_multiflow.py", "--environment", str(tmp_path)])
    assert against.main() == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}: scikit-multiflow's environment is not there")
    assert "make multiflow" in error
    assert error.count("\n") == 1


def test_without_an_old_python_one_line_says_what_to_do(tmp_path: Path) -> None:
    """Nothing on the path, nothing in pyenv; and a Python that is named, but is another."""
    command = [sys.executable, str(BENCHMARKS / "multiflow" / "environment.py"), str(tmp_path / "made")]
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    for given, said in (("", "pyenv install 3.8"), (sys.executable, "expected Python 3.8 or 3.7, found 3.")):
        done = subprocess.run(command, env=bare | {"MULTIFLOW_PYTHON": given}, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_an_old_python_is_found_in_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest 3.8, even if the path has shims of these names that lead nowhere."""
    answers = {"3.8.9": "3.8", "3.8.18": "3.8", "3.7.1": "3.7"}
    for version, answer in answers.items():
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {answer}\n")
        python.chmod(0o755)
    for name in ("python3.8", "python3.7"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.delenv("MULTIFLOW_PYTHON", raising=False)
    assert environment.old_python() == str(tmp_path / "versions" / "3.8.18" / "bin" / "python")


@pytest.mark.skipif(not INSTALLED.is_file(), reason="scikit-multiflow's environment is not there: make multiflow")
def test_its_learners_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them, the same label sets each time, beside ours."""
    out = tmp_path / "table.md"
    options = ["--rows", "60", "--seconds", "20", "--only", "MultiOutputLearner(NaiveBayes)", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["against_multiflow.py", str(example(tmp_path)), *options])
    assert against.main() == 0
    table = out.read_text().splitlines()
    assert capsys.readouterr().out == out.read_text()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [line[1] for line in cells] == [
        "**IHomerClassifier**",
        "no change",
        "majority labelset",
        "MultiOutputLearner(NaiveBayes)",
    ]
    assert [line[2] for line in cells] == ["60"] * 4
    micro_f1 = against.HEAD.index("micro F1")
    assert float(cells[3][micro_f1]) > float(cells[2][micro_f1])  # it has learned
    assert cells[3][-3] == cells[0][micro_f1]


def example(folder: Path) -> Path:
    """A file whose labels are plain to see, for naive Bayes."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2))
    rows = [f"{a:.3f},{b:.3f},{int(a > 0)},{int(b > 0)}" for a, b in x]
    path = folder / "signs.arff"
    names = [
        "@relation 'signs: -C -2'",
        *(f"@attribute {n} numeric" for n in "xy"),
        *("@attribute " + n + " {0,1}" for n in "ab"),
    ]
    path.write_text("\n".join([*names, "@data", *rows, ""]))
    return path
