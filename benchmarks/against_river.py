"""Instances per second of `IHomerClassifier` beside one river `HoeffdingTreeClassifier` per label, on one core.

    python benchmarks/against_river.py [FILE ...] [--prefix N] [--repeats N]

River's trees predict, then learn, each instance for each label; they are fed every feature, zeros included, as in the
published comparisons, and once more with zeros left out. River is slow, so it sees a prefix of the file whose length
the table tells. Ours is timed on the same prefix and on the whole file, after its kernels were compiled (once per
install) on another stream. Reading the file and making river's dicts are not part of any time. Times are CPU seconds of
this process, which on one idle core are those of the clock; each is the best of some repeats, ours and river's alike.

Ours is timed with its default settings, and `fast`: without nearest neighbours and joint decisions, which river's trees
have nothing to set against.

Without FILE: yeast and tmc2007 from ../shared/datasets where they are, else the built-in stream.
"""

from __future__ import annotations

import os

os.environ["STREAM_ML_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from river.tree import HoeffdingTreeClassifier

from stream_ml import IHomerClassifier, default_stream, open_stream
from stream_ml.evaluation import warm_up
from stream_ml.streams import Batch, Stream

DATASETS = Path(__file__).parents[2] / "shared" / "datasets"
PREFIX = {"yeast": 1000, "tmc2007": 300}
OTHER_PREFIX = 300
POOLS: dict[str, dict] = {"default": {}, "fast": {"experts": {"neighbours": 0}, "decisions": {"joint": False}}}


def ours(batches: Iterable[Batch], parameters: dict) -> float:
    """Instances per second, each predicted before it is learned."""
    model = IHomerClassifier(**parameters)
    rows, start = 0, time.process_time()
    for batch in batches:
        model.test_then_train(batch)
        rows += len(batch)
    return rows / (time.process_time() - start)


def river(pairs: Sequence[tuple[dict, dict]]) -> float:
    """Instances per second of one tree per label."""
    trees = {label: HoeffdingTreeClassifier() for label in pairs[0][1]}
    start = time.process_time()
    for x, y in pairs:
        for label, tree in trees.items():
            tree.predict_one(x)
            tree.learn_one(x, y[label])
    return len(pairs) / (time.process_time() - start)


def prefix_of(batches: Iterable[Batch], rows: int) -> list[Batch]:
    """The first rows, in batches."""
    taken: list[Batch] = []
    for batch in batches:
        taken.append(batch.rows(0, min(rows, len(batch))))
        rows -= len(taken[-1])
        if not rows:
            break
    return taken


def compare(stream: Stream, rows: int, repeats: int, table: Table) -> None:
    """A line of the table for each pool."""

    def best(run: Callable[[], float]) -> float:
        return max(run() for _ in range(repeats))

    batches = list(stream)
    start = prefix_of(batches, rows)
    full, sparse = ([pair for batch in start for pair in batch.iter_dicts(zeros=zeros)] for zeros in (True, False))
    with_zeros, without = best(lambda: river(full)), best(lambda: river(sparse))
    for pool, parameters in POOLS.items():
        warm_up(IHomerClassifier(**parameters), sparse=stream.schema.sparse)
        on_prefix = best(lambda: ours(start, parameters))  # noqa: B023 (called at once)
        on_all = best(lambda: ours(batches, parameters))  # noqa: B023
        table.add_row(
            stream.name,
            pool,
            f"{sum(map(len, batches)):,}",
            f"{sum(map(len, start)):,}",
            *(f"{rate:,.0f}" for rate in (on_all, on_prefix)),
            *(f"{rate:,.1f}" for rate in (with_zeros, without)),
            *(f"{ratio:,.0f}" for ratio in (on_prefix / with_zeros, on_all / with_zeros, on_prefix / without)),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--prefix", type=int, help="rows that river sees; default: 1000 of yeast, 300 of others")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the best counts (default 3)")
    arguments = parser.parse_args()
    files = arguments.files or [p for p in (DATASETS / f"{name}.arff.gz" for name in PREFIX) if p.exists()]
    streams: list[Stream] = [open_stream(file) for file in files] or [default_stream()]
    table = Table(title="instances per second, one core", box=None)
    table.add_column("stream")
    table.add_column("pool")
    for title in ("rows", "prefix", "ours, all", "ours, prefix", "river", "river, no zeros"):
        table.add_column(title, justify="right")
    for title in ("ratio, prefix", "ratio, ours on all", "ratio, no zeros"):
        table.add_column(title, justify="right")
    console = Console(width=140)
    for stream in streams:
        rows = arguments.prefix or PREFIX.get(stream.name, OTHER_PREFIX)
        console.print(f"{stream.name}: river on {rows} rows x {stream.schema.n_labels} labels ...")
        compare(stream, rows, arguments.repeats, table)
    console.print(table)


if __name__ == "__main__":
    main()
