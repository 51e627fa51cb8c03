"""Whether memory and rate stay what they are on a stream that does not end.

    python benchmarks/forever.py [--rows 5000000] [--scenario FILE]

The built-in stream (or a scenario) again and again, each time with a new seed, so that every 50,000 rows bring new
concepts, and drifts besides. After each tenth: resident memory of the process, and instances per CPU second of
`test_then_train` in that tenth, on one core. Exit code 1 when, after the first tenth, memory was ever more than 5%
above what it was then, or the last tenth was more than 10% slower than the first.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("STREAM_ML_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from rich.progress import track

from stream_ml import Batch, IHomerClassifier
from stream_ml.evaluation import warm_up
from stream_ml.simulation import Scenario, default_stream

MORE_MEMORY, LESS_RATE = 1.05, 0.9


def resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def endless(scenario: str | None) -> Iterator[Batch]:
    """Rows without end, numbered on."""
    for seed in count(1):
        yield from default_stream(seed=seed) if scenario is None else Scenario.load(scenario, seed=seed).stream()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--scenario", metavar="FILE", help="instead of the built-in stream")
    options = parser.parse_args()
    batches = endless(options.scenario)
    first = next(batches)
    warm_up(IHomerClassifier(), sparse=first.schema.sparse)
    model, tenth = IHomerClassifier(), max(1, options.rows // 10)
    memory: list[float] = []
    rates: list[float] = []
    print("| rows | resident MB | instances/s |\n|---|---|---|")
    for part in track(range(10), description="tenths", disable=not sys.stderr.isatty()):
        rows, spent, highest = 0, 0.0, 0.0
        while rows < tenth:
            batch = next(batches)
            start = time.process_time()
            model.test_then_train(batch)
            spent += time.process_time() - start
            model.drain_events()
            rows += len(batch)
            highest = max(highest, resident())
        memory.append(highest if part else resident())
        rates.append(rows / spent)
        print(f"| {model.n_learned:,} | {memory[-1]:.1f} | {rates[-1]:,.0f} |", flush=True)
    grown, slowed = max(memory) / memory[0], rates[-1] / rates[0]
    print(f"\nmemory at most {grown:.3f} times that of the first tenth; rate at the end {slowed:.3f} times")
    sys.exit(int(grown > MORE_MEMORY or slowed < LESS_RATE))


if __name__ == "__main__":
    main()
