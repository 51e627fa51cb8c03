"""scikit-multiflow's multi-label learners beside `IHomerClassifier`, on the same rows: how good, how fast.

    make multiflow
    python benchmarks/against_multiflow.py [FILE ...] [--rows 1000] [--seconds 10] [--only NAME ...] [--out TABLE.md]

The learners run in an environment of their own (`benchmarks/multiflow/environment.py` makes it): Python 3.7 or 3.8, the
last release, row by row, each predicted before it is learned, as their evaluators do. Of the stream they get the first
`--rows` rows as an array, nominal columns of more than two values as a column for each value; ours reads the
stream itself. Each learner has `--seconds` of CPU time for a stream, and is scored, by our metrics, on the rows that it
reached in them; ours beside it on the same rows. What is compared is micro F1, with a 95 % interval (paired, jackknife
over blocks). Times are CPU seconds of predicting and learning on one core; ours after its kernels were compiled.

Without FILE: the built-in stream, and yeast, scene, emotions and enron from ../shared/datasets where they are. Files
are shuffled (`--shuffle SEED`), since some are sorted by label.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # one core for all, before numba and NumPy are loaded
    os.environ |= dict.fromkeys(
        ("STREAM_ML_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_ml import IHomerClassifier, default_stream, open_stream
from stream_ml.benchmark.comparison import CONFIDENCE, compare
from stream_ml.benchmark.tallies import Tallies
from stream_ml.errors import DataError, StreamMLError
from stream_ml.evaluation import MajorityLabelset, Metrics, Model, NoChange, PrecisionAtK, warm_up
from stream_ml.streams import Batch, Limited, Predictions, Shuffled, Stream
from stream_ml.streams.source import concatenate

ROOT = Path(__file__).parents[1]
RUNNER = ROOT / "benchmarks" / "multiflow" / "runner.py"
ENVIRONMENT = ROOT / ".multiflow"
DATASETS = ROOT.parent / "shared" / "datasets"
FILES = ("yeast", "scene", "emotions", "enron")
METRICS = ("subset_accuracy", "hamming_loss", "example_f1", "micro_f1", "macro_f1")
BLOCKS = 20
HEAD = ("stream", "learner", "rows", "subset acc.", "Hamming", "example F1", "micro F1", "macro F1", "precision@1")
HEAD += ("instances/s", "ours there: micro F1", "ours better by", "ours faster, times")


@dataclass(frozen=True, slots=True)
class Said:
    """What a learner said of the first rows: `decided` (rows, labels), `probabilities` or None, and what it took."""

    decided: NDArray[np.bool_]
    probabilities: NDArray[np.float64] | None
    seconds: float
    error: str = ""

    def __len__(self) -> int:
        return len(self.decided)

    @property
    def rate(self) -> float:
        """Instances per second."""
        return len(self) / max(self.seconds, 1e-9)

    def predictions(self, rows: int) -> Predictions:
        """Of the first so many rows."""
        decided = self.decided[:rows]
        chances = None if self.probabilities is None else self.probabilities[:rows].astype(np.float32)
        ends = np.concatenate([[0], np.cumsum(decided.sum(1))]).astype(np.int64)
        return Predictions(ends, np.nonzero(decided)[1].astype(np.int32), chances)


# -- to and from the other environment ---------------------------------------------------------------------------------


def write_rows(batch: Batch, path: Path) -> None:
    """The rows for `runner.py`: `x`, `y`, and which columns of x are nominal.

    Raises
    ------
    DataError
        A value is missing or a label not known: their learners have no way to be told.
    """
    x = batch.x_dense().astype(np.float64)
    if np.isnan(x).any() or not batch.labelled.all() or batch.partial is not None:
        problem = "has missing values or labels that are not known, which scikit-multiflow's learners do not take"
        raise DataError(problem, source=batch.schema.name)
    columns: list[NDArray[np.float64]] = []
    nominal: list[int] = []
    for at, feature in enumerate(batch.schema.features[: batch.n_features]):
        if feature.values is not None and len(feature.values) > 2:
            made = [(x[:, at] == code).astype(np.float64) for code in range(len(feature.values))]
        else:
            made = [x[:, at]]
        if feature.nominal:
            nominal += range(len(columns), len(columns) + len(made))
        columns += made
    y = batch.y_dense().astype(np.int8)
    np.savez_compressed(path, x=np.stack(columns, axis=1), y=y, nominal=np.array(nominal, dtype=np.int64))


def read_said(path: Path) -> Said:
    """What `runner.py` wrote."""
    with np.load(path) as file:
        said, chances = file["said"], file["probabilities"]
        none = chances[1:].size == 0 or np.isnan(chances).all()
        return Said(said > 0.5, None if none else chances, float(file["seconds"]), str(file["error"]))


def python_of(environment: Path) -> Path:
    """Its interpreter.

    Raises
    ------
    DataError
        It was not made.
    """
    if not (environment / ".installed").is_file():
        raise DataError(
            "scikit-multiflow's environment is not there",
            source=str(environment),
            hint="make multiflow sets it up and runs this (it takes a Python 3.8 or 3.7)",
        )
    return environment / "bin" / "python"


def learners(python: Path) -> list[str]:
    """The names that `runner.py` knows."""
    done = subprocess.run([python, RUNNER, "--list"], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def theirs(python: Path, rows: Path, name: str, seconds: float) -> Said:
    """A learner in its own process; one that hangs in a row is ended."""
    out, limit = rows.with_name("said.npz"), 3 * seconds + 20
    out.unlink(missing_ok=True)
    try:
        command = [str(python), str(RUNNER), str(rows), name, str(out), "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return Said(np.zeros((0, 0), dtype=np.bool_), None, limit, f"was ended in a row after {limit:.0f} s")
    if not out.exists():
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Said(np.zeros((0, 0), dtype=np.bool_), None, 0.0, last)
    return read_said(out)


# -- ours and the baselines --------------------------------------------------------------------------------------------


def said_by(model: Model, batches: list[Batch]) -> Said:
    """What a model of ours says, each row before it is learned."""
    spent, decided, chances = 0.0, [], []
    for batch in batches:
        began = time.process_time()
        predictions = model.test_then_train(batch)
        spent += time.process_time() - began
        rows = np.zeros((len(batch), batch.n_labels), dtype=np.bool_)
        rows[np.repeat(np.arange(len(batch)), np.diff(predictions.label_indptr)), predictions.label_indices] = True
        decided.append(rows)
        if predictions.probabilities is not None:
            chances.append(predictions.probabilities.astype(np.float64))
    return Said(np.concatenate(decided), np.concatenate(chances) if chances else None, spent)


# -- the table ---------------------------------------------------------------------------------------------------------


def tallies(batch: Batch, said: Said) -> Tallies:
    """Of the rows of the batch, in blocks."""
    out, predictions = Tallies(), said.predictions(len(batch))
    for block in np.array_split(np.arange(len(batch)), min(BLOCKS, len(batch))):
        out.add(batch, predictions, block)
    return out


def scores(batch: Batch, said: Said) -> list[str]:
    """Cells of the metrics on the rows of the batch."""
    metrics, ranked, predictions = Metrics(), PrecisionAtK(), said.predictions(len(batch))
    metrics.update(batch, predictions)
    cells = [f"{metrics.result()[name]:.3f}" for name in METRICS]
    if said.probabilities is None:
        return [*cells, "-"]
    told = np.flatnonzero(~np.isnan(said.probabilities[: len(batch)]).any(axis=1))
    ranked.update(batch, predictions, told)
    return [*cells, f"{ranked.result()['precision_at_1']:.3f}"]


def line(batch: Batch, name: str, said: Said, ours: Said | None) -> list[str]:
    """A line of the table; `ours` beside another library's learner."""
    stream, n = batch.schema.name, len(said)
    rows = f"{n:,}" + (" of " + f"{len(batch):,}" if n < len(batch) else "")
    if n < 2:
        return [stream, name, f"could not run: {said.error}" if said.error else rows, *["-"] * (len(HEAD) - 3)]
    same = batch.rows(0, n)
    cells = [stream, name, rows + (f" (then {said.error})" if said.error else ""), *scores(same, said)]
    rate = f"{said.rate:,.0f}" if said.rate >= 10 else f"{said.rate:.2g}"
    if ours is None:
        return [*cells, rate, "-", "-", "-"]
    compared = compare(tallies(same, ours), tallies(same, said))["micro_f1"]
    gain = f"{compared.advantage:+.3f} ± {CONFIDENCE * compared.error:.3f}"
    return [*cells, rate, f"{compared.ours:.3f}", gain, f"{ours.rate / said.rate:,.0f}"]


def lines_of(stream: Stream, rows: int, seconds: float, python: Path, only: list[str]) -> Iterator[list[str]]:
    """The lines of a stream, ours first."""
    batches = list(Limited(stream, rows))
    whole = concatenate(batches)
    warm_up(IHomerClassifier(), sparse=stream.schema.sparse)
    ours = said_by(IHomerClassifier(), batches)
    yield line(whole, "**IHomerClassifier**", ours, None)
    for name, baseline in (("no change", NoChange()), ("majority labelset", MajorityLabelset())):
        yield [*line(whole, name, said_by(baseline, batches), None)[:-4], "-", "-", "-", "-"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        write_rows(whole, path)
        for name in only:
            yield line(whole, name, theirs(python, path, name, seconds), ours)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--rows", type=int, default=1000, help="the first rows of each stream (default 1000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each learner and stream (default 10)")
    parser.add_argument("--shuffle", type=int, default=1, metavar="SEED", help="order of files (default 1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="learners whose names hold one of these texts")
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="default: .multiflow of this checkout")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there, too")
    options = parser.parse_args()
    try:
        python = python_of(options.environment)
        names = [n for n in learners(python) if not options.only or any(text in n for text in options.only)]
        files = options.files or [p for p in (DATASETS / f"{name}.arff.gz" for name in FILES) if p.exists()]
        streams: list[Stream] = [] if options.files else [default_stream(n_instances=options.rows)]
        streams += [Shuffled(open_stream(file), options.shuffle) for file in files]
        table = ["| " + " | ".join(HEAD) + " |", "|---|---|" + "---:|" * (len(HEAD) - 2)]
        print("\n".join(table), flush=True)
        for stream in streams:
            for cells in lines_of(stream, options.rows, options.seconds, python, names):
                table.append("| " + " | ".join(cells) + " |")
                print(table[-1], flush=True)
    except StreamMLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.out is not None:
        options.out.write_text("\n".join(table) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
