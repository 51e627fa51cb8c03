"""How far each part of `IHomerClassifier` is from what memory and arithmetic allow, stream by stream, beside river.

    python benchmarks/roofline.py [--only NAME ...] [--rows N] [--repeats N] [--peer-seconds S]

The *floor* of a part is the longer of two times: to move the bytes that it must touch, each of its state once a row, at
the bandwidth that this machine has for a working set of that size (in order, or lines at random); and to do the
operations that it must do, at full vectors. Both are counted from the real non-zeros, positives and labels of every
block, with the formulas in `floor/needs.py` and `floor/tree_needs.py`, and bandwidths and operations are measured here,
on the same core. Parts follow one another, so the floor of a row is the sum of theirs. No code reaches a floor:
dependences, vectors that are not full and branches come on top.

What a part takes is timed where it happens: every call of a kernel and every method of a part, on the state that it
finds there, so that the parts add up to the whole; what is left is `Python between parts`. What the clocks take is
measured and taken off; the line `left over` is the difference that remains to a run without them. Times are CPU seconds
of this process, pinned to one core; of some repeats the fastest run counts. `default` is what the classifier does by
default, `fast` leaves out nearest neighbours and joint decisions. River is one `HoeffdingTreeClassifier` a label, fed
without zeros, on as many rows as it manages in a few seconds; ours is timed on the same rows.

Data sets come from ../shared/datasets; what is not there is left out, and said to be.
"""

from __future__ import annotations

import os

os.environ["STREAM_ML_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from floor.machine import LARGEST, SMALLEST, Machine
from floor.meter import ELSEWHERE, Meter
from floor.parts import PARTS, SITES
from floor.work import IN_ORDER, Work
from rich.console import Console
from rich.table import Table
from river.tree import HoeffdingTreeClassifier

from stream_ml import IHomerClassifier, open_stream
from stream_ml.evaluation import warm_up
from stream_ml.simulation import Scenario
from stream_ml.streams import Batch

DATASETS = Path(__file__).parents[2] / "shared" / "datasets"
SIMULATED = "simulated"
GENERATOR = {"kind": "topics", "n_labels": 10_000, "n_features": 50_000, "n_groups": 500, "cardinality": 5.0}
MOST = 30_000
ROWS = {"delicious": 3_000, "imdb": 20_000, "mediamill_small": 10_000, SIMULATED: 3_000}
"""Rows of each stream, where not `MOST`."""
STREAMS = ("yeast", "scene", "mediamill_small", "tmc2007", "ng20", "bibtex", "imdb", "delicious", SIMULATED)
POOLS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"experts": {"neighbours": 0}, "decisions": {"joint": False}},
}
MICRO, GIGA = 1e6, 1e9


class Measured(NamedTuple):
    """Of one pool on one stream: seconds without and with timers, work by part, and how it fares beside river."""

    rows: int
    labels: int
    seconds: float
    meter: Meter
    work: dict[str, Work]
    beside: float

    @property
    def needed(self) -> Work:
        """What all parts need."""
        whole = Work()
        for part in self.work.values():
            whole += part
        return whole

    def floor(self, machine: Machine) -> float:
        """Seconds that all parts need, one after the other."""
        return sum(machine.floor(part) for part in self.work.values())


def seconds_of(batches: Sequence[Batch], parameters: dict[str, Any]) -> float:
    """CPU seconds of predicting and learning all rows."""
    model = IHomerClassifier(**parameters)
    start = time.process_time()
    for batch in batches:
        model.test_then_train(batch)
    return time.process_time() - start


def watched(batches: Sequence[Batch], parameters: dict[str, Any], *, counting: bool = False) -> Meter:
    """The same, part by part."""
    meter, model = Meter(SITES, counting=counting), IHomerClassifier(**parameters)
    with meter.watching():
        for batch in batches:
            model.test_then_train(batch)
    return meter


def prefix_of(batches: Sequence[Batch], rows: int) -> list[Batch]:
    """The first rows, in batches."""
    taken: list[Batch] = []
    for batch in batches:
        if rows > 0:
            taken.append(batch.rows(0, min(rows, len(batch))))
            rows -= len(batch)
    return taken


def river_on(batches: Sequence[Batch], seconds: float) -> tuple[int, float]:
    """Rows that one tree a label manages in about so many CPU seconds, and how many that makes a second."""
    trees: dict[str, HoeffdingTreeClassifier] = {}
    rows, spent = 0, 0.0
    for batch in batches:
        for row in range(len(batch)):
            ((x, y),) = batch.rows(row, row + 1).iter_dicts(zeros=False)
            start = time.process_time()
            for label, there in y.items():
                tree = trees.setdefault(label, HoeffdingTreeClassifier())
                tree.predict_one(x)
                tree.learn_one(x, there)
            spent += time.process_time() - start
            rows += 1
            if spent >= seconds:
                return rows, rows / spent
    return rows, rows / spent


def measure(batches: Sequence[Batch], parameters: dict[str, Any], repeats: int, peer: tuple[int, float]) -> Measured:
    """Runs without and with timers take turns; the fastest of each counts. Work is counted in a run of its own."""
    plain, meters = [], []
    for _ in range(repeats):
        plain.append(seconds_of(batches, parameters))
        meters.append(watched(batches, parameters))
    rows, labels = sum(map(len, batches)), max(batch.n_labels for batch in batches)
    beside = 0.0
    if peer[0]:
        start = prefix_of(batches, peer[0])
        beside = peer[0] / min(seconds_of(start, parameters) for _ in range(repeats)) / peer[1]
    work = watched(batches, parameters, counting=True).work
    return Measured(rows, labels, min(plain), min(meters, key=lambda meter: meter.total), dict(work), beside)


def streams(names: Sequence[str], rows: int | None, console: Console) -> Iterator[tuple[str, bool, list[Batch]]]:
    """Name, sparseness and batches of each stream that there is."""
    for name in names:
        most = rows or ROWS.get(name, MOST)
        if name == SIMULATED:
            yield name, True, list(Scenario.load({"n_instances": most, "generator": GENERATOR}, seed=1).stream())
            continue
        path = DATASETS / f"{name}.arff.gz"
        if not path.exists():
            console.print(f"{name}: left out, {path.name} is not in {DATASETS.parent.name}/{DATASETS.name}")
            continue
        stream = open_stream(path)
        yield name, stream.schema.sparse, prefix_of(list(stream), most)


def machine_table(machine: Machine) -> Table:
    """Bandwidths, and the cost of operations."""
    table = Table(title="this core", box=None)
    table.add_column("working set")
    lines = (64, 256, 1024)
    for title in ("in order, GB/s", *(f"lines of {line} bytes, GB/s" for line in lines)):
        table.add_column(title, justify="right")
    for held in (SMALLEST, 1 << 18, 1 << 20, 1 << 22, 1 << 24, LARGEST):
        size = f"{held >> 20} MB" if held >> 20 else f"{held >> 10} kB"
        cells = [machine.bandwidth(held, line) / GIGA for line in (IN_ORDER, *lines)]
        table.add_row(size, *(f"{cell:.3g}" for cell in cells))
    return table


def operation_table(machine: Machine) -> Table:
    """Nanoseconds of each operation, in vectors and not."""
    table = Table(title="nanoseconds an operation", box=None)
    table.add_column("operation")
    for title in ("single precision, vectors", "double, vectors", "double, one after the other"):
        table.add_column(title, justify="right")
    for what, scalar in (
        ("flop", "chained"),
        ("root", ""),
        ("exp", "scalarexp"),
        ("log", "scalarlog"),
        ("step", "step"),
    ):
        vectors = [f"{what}_32", f"{what}_64"] if what != "step" else ["", ""]
        cells = [*vectors, f"{scalar}_64" if scalar else ""]
        name = {"flop": "addition, product", "root": "division, root", "step": "load, compare, branch"}.get(what, what)
        table.add_row(name, *(f"{machine.nanoseconds(cell):.3g}" if cell else "" for cell in cells))
    return table


def summary_table() -> Table:
    """End to end."""
    table = Table(title="end to end, one core", box=None)
    table.add_column("stream")
    table.add_column("pool")
    heads = (
        "rows",
        "labels",
        "instances/s",
        "µs",
        "memory µs",
        "compute µs",
        "floor/s",
        "ratio",
        "river/s",
        "over river",
    )
    for title in heads:
        table.add_column(title, justify="right")
    return table


def summary_row(name: str, pool: str, machine: Machine, m: Measured, river: tuple[int, float]) -> list[str]:
    needed, each = m.needed, MICRO / m.rows
    memory, compute, floor = machine.memory(needed) * each, machine.compute(needed) * each, m.floor(machine) * each
    cells = [name, pool, f"{m.rows:,}", f"{m.labels:,}", f"{m.rows / m.seconds:,.0f}", f"{m.seconds * each:.1f}"]
    cells += [f"{memory:.2f}", f"{compute:.2f}", f"{MICRO / floor:,.0f}", f"{m.seconds * each / floor:.1f}"]
    return cells + ([f"{river[1]:,.3g}", f"{m.beside:,.0f}"] if river[0] else ["", ""])


def parts_table(name: str, machine: Machine, found: dict[str, Measured]) -> Table:
    """Where the time goes: a line for each part that did anything."""
    table = Table(title=f"{name}: µs an instance", box=None)
    table.add_column("part")
    for pool in found:
        for title in (f"{pool}: all", "kernels", "calls", "memory", "compute", "exp, log", "floor", "ratio"):
            table.add_column(title, justify="right")
    for part in (*PARTS, ELSEWHERE):
        cells = [part_cells(part, machine, m) for m in found.values()]
        if any(cell for pool in cells for cell in pool):
            table.add_row(part, *(cell for pool in cells for cell in pool))
    wholes, timers = [], []
    for m in found.values():
        each, needed = MICRO / m.rows, m.needed
        memory, compute, floor = machine.memory(needed) * each, machine.compute(needed) * each, m.floor(machine) * each
        kernels = sum(seconds for (_, kernel), seconds in m.meter.spent.items() if kernel) * each
        calls = 1000 * sum(m.meter.calls.values()) / m.rows
        wholes += [f"{m.meter.total * each:.2f}", f"{kernels:.2f}", f"{calls:.0f}", f"{memory:.3f}", f"{compute:.3f}"]
        wholes += [f"{needed.count('exp', 'log') / m.rows:.0f}", f"{floor:.3f}", f"{m.meter.total * each / floor:.1f}"]
        timers += [f"{(m.seconds - m.meter.total) * each:+.2f}", *[""] * 7]
    table.add_section()
    table.add_row("all", *wholes)
    table.add_row("left over", *timers)
    return table


def part_cells(part: str, machine: Machine, m: Measured) -> list[str]:
    """What one part takes and needs; nothing of one that did nothing."""
    each = MICRO / m.rows
    kernels = m.meter.spent.get((part, True), 0.0) * each
    whole = kernels + m.meter.spent.get((part, False), 0.0) * each
    if part != ELSEWHERE and not whole:
        return [""] * 8
    needed = m.work.get(part, Work())
    memory, compute, floor = (f(needed) * each for f in (machine.memory, machine.compute, machine.floor))
    cells = [f"{whole:.2f}", f"{kernels:.2f}", f"{1000 * m.meter.calls.get(part, 0) / m.rows:.0f}"]
    if not floor:
        return [*cells, *[""] * 5]
    cells += [f"{memory:.3f}", f"{compute:.3f}", f"{needed.count('exp', 'log') / m.rows:.0f}", f"{floor:.3f}"]
    return [*cells, f"{whole / floor:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=STREAMS, choices=STREAMS, metavar="NAME", help=", ".join(STREAMS))
    parser.add_argument("--rows", type=int, help="at most so many rows of each stream")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the best counts (default 3)")
    parser.add_argument("--peer-seconds", type=float, default=3.0, help="CPU seconds that river gets; 0: no river")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    console, machine, summary = Console(width=170), Machine(options.repeats), summary_table()
    console.print(machine_table(machine), operation_table(machine))
    for name, sparse, batches in streams(options.only, options.rows, console):
        peer = river_on(batches, options.peer_seconds) if options.peer_seconds else (0, 0.0)
        found: dict[str, Measured] = {}
        for pool, parameters in POOLS.items():
            warm_up(IHomerClassifier(**parameters), sparse=sparse, gates=name in (SIMULATED, "delicious"))
            seconds_of(prefix_of(batches, 300), parameters)
            found[pool] = measure(batches, parameters, options.repeats, peer)
            summary.add_row(*summary_row(name, pool, machine, found[pool], peer))
        console.print(parts_table(name, machine, found))
    console.print(summary)


if __name__ == "__main__":
    main()
