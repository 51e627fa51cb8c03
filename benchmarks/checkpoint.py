"""How long a checkpoint holds the stream up, and how long it takes to write, by the size of the state.

    python benchmarks/checkpoint.py [FILE ...] [--limit N] [--repeats R]

Fills an engine with each stream (by default simulated ones of growing width, up to a state of about 200 MB), then takes
checkpoints as the service does, some records between any two: `look` is what it takes to find the arrays, `copy` to
copy them, both with the stream held up; `write` happens beside the stream.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from stream_ml import IHomerClassifier, open_stream
from stream_ml.serving.checkpoints import CheckpointFolder, Copies
from stream_ml.serving.engine import Engine
from stream_ml.streams import Batch, Feature, Schema

WIDTHS = ((300, 30), (700, 150), (1000, 300), (1500, 800), (2200, 1000))
"""Features and labels of the simulated streams."""
BETWEEN = 100


def simulated(n_features: int, n_labels: int, rows: int) -> Iterator[Batch]:
    """Sparse rows: thirty features, labels in groups of eight that come with features of their own."""
    rng = np.random.default_rng(1)
    schema = Schema(
        [Feature(f"f{i}") for i in range(n_features)], [f"l{i}" for i in range(n_labels)], sparse=True, name="simulated"
    )
    for _ in range(0, rows, BETWEEN):
        x, y = [], []
        for _ in range(BETWEEN):
            group = int(rng.integers(0, n_labels // 8 + 1))
            labels = [8 * group + j for j in range(8) if 8 * group + j < n_labels and rng.random() < 0.4]
            own = (7 * group + rng.integers(0, 7, 6)) % n_features
            x.append(np.unique(np.concatenate([own, rng.integers(0, n_features, 24)])).astype(np.int32))
            y.append(np.array(sorted(labels), dtype=np.int32))
        indptr, y_indptr = (np.cumsum([0, *map(len, rows_)]) for rows_ in (x, y))
        yield Batch.of_rows(
            schema,
            indptr.astype(np.int64),
            np.concatenate(x),
            np.abs(rng.normal(size=indptr[-1])).astype(np.float32),
            y_indptr.astype(np.int64),
            np.concatenate(y),
            np.ones(BETWEEN, dtype=np.bool_),
        )


def measured(name: str, batches: Iterable[Batch], repeats: int) -> list[str]:
    """One row of the table."""
    stream = iter(batches)
    first = next(stream)
    engine = Engine(IHomerClassifier(), first.schema, closed=True)
    kept = [first, *islice(stream, repeats)]
    for batch in (*kept, *stream):
        engine.model.test_then_train(batch)
    copies, looks, copied, writes = Copies(), [], [], []
    copies.make_room(Copies.size(engine.snapshot()[0]))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            engine.model.test_then_train(kept[i % len(kept)])  # what was copied last is cold by now
            engine.model.drain_events()
            start = time.perf_counter()
            arrays, rest = engine.snapshot()
            if not copies.fits(size := Copies.size(arrays)):
                copies.make_room(size)
            looked = time.perf_counter()
            state = copies.copy(arrays)
            done = time.perf_counter()
            looks.append(looked - start)
            copied.append(done - looked)
            others, facts = rest()
            CheckpointFolder(Path(folder)).write(1, i + 1, state | others, facts)
            writes.append(time.perf_counter() - done)
    pauses = [a + b for a, b in zip(looks, copied, strict=True)]
    columns = [statistics.median(looks), statistics.median(copied), min(pauses), statistics.median(pauses), max(pauses)]
    return [
        name,
        f"{size / 1e6:,.0f}",
        f"{len(arrays):,}",
        *(f"{1e3 * seconds:.1f}" for seconds in columns),
        f"{statistics.median(writes):.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    table = Table(title="pauses in ms: look + copy = pause (medians), and the least and the most of it", box=None)
    for column in ("stream", "state MB", "arrays", "look", "copy", "least", "pause", "most", "write s"):
        table.add_column(column, justify="left" if column == "stream" else "right")
    for file in arguments.files:
        stream = open_stream(file, limit=arguments.limit, batch_size=BETWEEN)
        table.add_row(*measured(stream.name, stream, arguments.repeats))
    for n_features, n_labels in WIDTHS if not arguments.files else ():
        batches = simulated(n_features, n_labels, arguments.limit)
        table.add_row(*measured(f"{n_features:,} features, {n_labels:,} labels", batches, arguments.repeats))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
