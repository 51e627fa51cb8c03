"""What the adapters cost: `SklearnIHomerClassifier` on arrays beside `IHomerClassifier` on the same rows as batches.

    python benchmarks/adapters.py [FILE ...] [--rows N] [--repeats N]

Both predict a batch of 1,000 rows, then learn it: `predict_proba` and `partial_fit` of the one, `predict` and `learn`
of the other, which is given batches that were made before. Times are CPU seconds of this process, the best of some
repeats that take turns. On a busy machine the ratio of two runs says little; so there is also what the adapter adds to
the calls of the model behind it, within its own run: the median of the repeats. Default settings, and `fast`: without
nearest neighbours and joint decisions, where there is less work to hide an adapter's cost behind. Beside these,
microseconds per row of `test_then_train` in such batches, and of river's calls one row at a time.

Without FILE: yeast and tmc2007 from ../shared/datasets where they are, and the built-in stream.
"""

from __future__ import annotations

import os

os.environ["STREAM_ML_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from stream_ml import Feature, IHomerClassifier, Schema, default_stream, open_stream
from stream_ml.adapters.river import RiverIHomerClassifier
from stream_ml.adapters.sklearn import SklearnIHomerClassifier
from stream_ml.streams import Batch, Predictions, Stream

DATASETS = Path(__file__).parents[2] / "shared" / "datasets"
POOLS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"experts": {"neighbours": 0}, "decisions": {"joint": False}},
}
ONE_BY_ONE = 300


def seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def numeric(batches: list[Batch]) -> list[Batch]:
    """The same rows with nominal values as numbers, as they are in an array."""
    old = batches[0].schema
    schema = Schema([Feature(f.name) for f in old.features], old.labels, sparse=old.sparse)
    return [Batch.from_dense(schema, batch.x_dense(), batch.y_dense()) for batch in batches]


def compare(batches: list[Batch], parameters: dict[str, Any], repeats: int) -> list[float]:
    """Seconds of ours, of the adapter, of one pass in batches; what the adapter adds, as a share."""
    sparse = batches[0].schema.sparse
    arrays = []
    for batch in batches:
        x, y = batch.x_dense().astype(np.float64), batch.y_dense().astype(np.int64)
        arrays.append((csr_array(x), csr_array(y)) if sparse else (x, y))

    # scikit-learn predicts nothing before it has learned: both learn the first batch without a prediction
    def native() -> None:
        model = IHomerClassifier(**parameters)
        for number, batch in enumerate(batches):
            if number:
                model.predict(batch)
            model.learn(batch)

    shares = []

    def adapter() -> None:
        model = SklearnIHomerClassifier(**parameters)
        start, within = time.process_time(), [0.0]
        for number, (x, y) in enumerate(arrays):
            if number:
                model.predict_proba(x)
            model.partial_fit(x, y)
            if not number:  # there is a model now; its first batch does not count
                watch(model.model_, within)
                start = time.process_time()
        shares.append((time.process_time() - start - within[0]) / within[0])

    def one_pass() -> None:
        model = IHomerClassifier(**parameters)
        for batch in batches:
            model.test_then_train(batch)

    runs = [native, adapter, one_pass]
    for run in runs:
        run()
    best = [min(times) for times in zip(*([seconds(run) for run in runs] for _ in range(repeats)), strict=True)]
    return [*best, statistics.median(shares)]


def watch(model: IHomerClassifier, spent: list[float]) -> None:
    """Add up the seconds of the model's calls."""
    call = model.test_then_train

    def timed(batch: Batch) -> Predictions:
        start = time.process_time()
        try:
            return call(batch)
        finally:
            spent[0] += time.process_time() - start

    model.test_then_train = timed  # type: ignore[method-assign]


def one_by_one(batches: list[Batch], parameters: dict[str, Any]) -> list[float]:
    """Microseconds of `learn_one`, and of `predict_one`, once some rows are learned."""
    model = RiverIHomerClassifier(sparse=batches[0].schema.sparse, **parameters)
    model.model.learn(batches[0])
    pairs = list(islice(batches[-1].iter_dicts(zeros=not batches[0].schema.sparse), ONE_BY_ONE))
    for x, y in pairs[:10]:
        model.learn_one(x, y)
    predict = seconds(lambda: [model.predict_one(x) for x, _ in pairs] and None)
    learn = seconds(lambda: [model.learn_one(x, y) for x, y in pairs] and None)
    return [1e6 * t / len(pairs) for t in (predict, learn)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--rows", type=int, default=5000, help="rows of each (default 5000)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, of which the best counts (default 5)")
    arguments = parser.parse_args()
    files = arguments.files or [p for n in ("yeast", "tmc2007") if (p := DATASETS / f"{n}.arff.gz").exists()]
    streams: list[Stream] = [open_stream(file) for file in files]
    streams += [] if arguments.files else [default_stream(n_instances=arguments.rows)]
    table = Table(title="adapters, one core", box=None)
    for title in ("stream", "pool"):
        table.add_column(title)
    for title in (
        "rows",
        "ours s",
        "sklearn s",
        "ratio",
        "adapter adds",
        "batch µs/row",
        "predict_one µs",
        "learn_one µs",
    ):
        table.add_column(title, justify="right")
    for stream in streams:
        batches = numeric(list(islice(stream, max(1, arguments.rows // 1000))))
        rows = sum(map(len, batches))
        for pool, parameters in POOLS.items():
            ours, adapter, one_pass, share = compare(batches, parameters, arguments.repeats)
            per_row = [1e6 * one_pass / rows, *one_by_one(batches, parameters)]
            table.add_row(
                stream.name,
                pool,
                f"{rows:,}",
                f"{ours:.3f}",
                f"{adapter:.3f}",
                f"{adapter / ours:.2f}",
                f"{share:.1%}",
                *(f"{value:,.0f}" for value in per_row),
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
