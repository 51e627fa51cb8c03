"""Run `stream-ml evaluate` on every data file of a folder, in file order and shuffled, and print a Markdown table.

    python benchmarks/datasets.py FOLDER [--only NAME ...] [--seeds 1] [--out RUNS]

Every line comes from the `summary.json` of a process of its own, so that memory and rates are those of one run. The
last column tells whether micro F1 is above both baselines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

METRICS = ("subset_accuracy", "hamming_loss", "example_f1", "micro_f1", "macro_f1")


def evaluate(path: Path, seed: int | None, out: Path) -> dict:
    command = [sys.executable, "-m", "stream_ml.cli", "evaluate", "--source", str(path), "--out", str(out), "--quiet"]
    if seed is not None:
        command += ["--shuffle", str(seed)]
    subprocess.run(command, check=True)
    return json.loads((out / "summary.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    print(
        "| set | order | subset acc. | Hamming | example F1 | micro F1 | macro F1 | no-change micro F1 "
        "| majority micro F1 | instances/s | peak MB | above both |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for path in sorted(options.folder.glob("*.arff*")):
        name = path.name.split(".")[0]
        if options.only and name not in options.only:
            continue
        for seed in [None, *options.seeds]:
            order = "file" if seed is None else f"shuffled {seed}"
            s = evaluate(path, seed, out / f"{name}-{order.replace(' ', '')}")
            own, base = s["metrics"], s["baselines"]
            above = all(own["micro_f1"] > b["micro_f1"] for b in base.values())
            cells = [f"{own[m]:.4f}" for m in METRICS] + [f"{b['micro_f1']:.4f}" for b in base.values()]
            cells += [f"{s['instances_per_second']:,.0f}", f"{s['peak_rss_mb']:.0f}", "yes" if above else "NO"]
            print(f"| {name} | {order} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
