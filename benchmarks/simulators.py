"""Instances a second that scenarios are made at, as a Markdown table; kernels are compiled before.

    python benchmarks/simulators.py [NAME ...] [--instances 20000]

A NAME is a file of simulators/scenarios, or `NAME#VARIANT`; by default all but `replay`. Best of three passes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from stream_ml.simulation import Scenario

FOLDER = Path(__file__).parent.parent / "simulators" / "scenarios"


def rate(scenario: Scenario) -> float:
    def seconds() -> float:
        started = time.perf_counter()
        for _ in scenario.stream():
            pass
        return time.perf_counter() - started

    seconds()
    return scenario.n_instances / min(seconds() for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--instances", type=int, default=20_000, help="rows of each (default 20000)")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "replay")
    print("| scenario | features | labels | instances/s |\n|---|---|---|---|")
    for name in names:
        file, _, variant = name.partition("#")
        source = f"{FOLDER / file}.yaml" + (f"#{variant}" if variant else "")
        scenario = Scenario.load(source, overrides=[f"n_instances={options.instances}"])
        columns = scenario.schema
        print(f"| {name} | {columns.n_features:,} | {columns.n_labels:,} | {rate(scenario):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
