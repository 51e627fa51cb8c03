"""How the rate depends on the size of a stream: labels, features, words of a row, cardinality, window of neighbours.

    python benchmarks/scaling.py [--rows 5000] [--only labels ...] [--out docs/scaling.svg] [--delicious]

One thing is varied at a time, on sparse documents (the topic generator) and with the classifier's defaults: it looks at
all labels while their weights are few, else at the likely ones. Each point is a process of its own on one core: CPU
seconds of `test_then_train`, after a first run of a tenth of the rows has compiled the kernels; peak memory of the
process; precision@5 and micro F1 over all rows. `all labels` is the same where gates never open. `--delicious` compares
both on that data set, from ../shared/datasets.
"""

from __future__ import annotations

import os

os.environ["STREAM_ML_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DELICIOUS = ROOT.parent / "shared" / "datasets" / "delicious.arff.gz"
BASE = {"n_labels": 5_000, "n_features": 50_000, "length": 40.0, "cardinality": 5.0}
NEVER = {"routing": {"gated_above": 2**31, "all_labels_mb": 2.0**20}}
SWEEPS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "labels": [
        *[({"n_labels": n}, {}) for n in (30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)],
        *[({"n_labels": n}, NEVER) for n in (30, 100, 300)],
    ],
    "features": [({"n_features": n}, {}) for n in (1_000, 5_000, 20_000, 100_000, 500_000)],
    "words of a row": [({"length": float(n)}, {}) for n in (10, 20, 40, 80, 160)],
    "cardinality": [({"cardinality": float(n)}, {}) for n in (1, 2, 5, 10, 15)],
    "window": [({}, {"experts": {"window": n}}) for n in (128, 512, 2_048, 8_192)],
}
VARIED = {"labels": "n_labels", "features": "n_features", "words of a row": "length", "cardinality": "cardinality"}


def measure(generator: dict[str, Any], parameters: dict[str, Any], rows: int, source: str = "") -> dict[str, Any]:
    """Rate, memory and metrics of one stream."""
    from stream_ml import IHomerClassifier, open_stream, prequential
    from stream_ml.simulation import Scenario

    def batches(n: int) -> list[Any]:
        if source:
            return list(open_stream(source))
        labels = max(1, int(generator["n_labels"]) // 20)
        settings = {"n_instances": n, "generator": {"kind": "topics", "n_groups": labels, **generator}}
        return list(Scenario.load(settings, seed=1).stream())

    spent = [0.0]

    class Timed(IHomerClassifier):
        def test_then_train(self, batch: Any) -> Any:
            start = time.process_time()
            said = super().test_then_train(batch)
            spent[0] += time.process_time() - start
            return said

    for batch in batches(rows)[: max(1, rows // 10_000)]:
        Timed(**parameters).test_then_train(batch)
    stream = batches(rows)
    spent[0] = 0.0
    model = Timed(**parameters)
    metrics = prequential(stream, model, baselines=False).summary["metrics"]
    return {
        "rate": sum(map(len, stream)) / spent[0],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "p5": metrics["precision_at_5"],
        "f1": metrics["micro_f1"],
        "gated": model.gates() is not None,
    }


def apart(*arguments: Any) -> dict[str, Any]:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def line(what: str, value: Any, found: dict[str, Any]) -> str:
    mode = "likely" if found["gated"] else "all"
    metrics = f"{found['p5']:.3f} | {found['f1']:.3f}"
    return f"| {what} | {value:,} | {mode} | {found['rate']:,.0f} | {metrics} | {found['memory']:,.0f} |"


def draw(found: dict[str, list[tuple[float, dict[str, Any], str]]], path: Path) -> None:
    """A panel for each sweep: rate against what is varied, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "stream-ml", "svg.fonttype": "none", "font.size": 9}
    figure, panels = plt.subplots(1, len(found), figsize=(3.0 * len(found), 2.8), sharey=True, layout="constrained")
    for panel, (name, points) in zip(panels if len(found) > 1 else [panels], found.items(), strict=True):
        for mode, style in (("default", "o-"), ("all labels", "s--")):
            mine = [(x, f["rate"]) for x, f, m in points if m == mode]
            if mine:
                panel.plot(*zip(*mine, strict=True), style, markersize=4, label=mode)
        panel.set(xscale="log", yscale="log", xlabel=name)
        panel.grid(alpha=0.3, which="both", linewidth=0.4)
    first = panels[0] if len(found) > 1 else panels
    first.set_ylabel("instances per second, one core")
    first.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000, help="instances of each point (default 5000)")
    parser.add_argument("--only", nargs="+", default=list(SWEEPS), choices=list(SWEEPS), metavar="SWEEP")
    parser.add_argument("--out", type=Path, help="where to draw the plots")
    parser.add_argument("--delicious", action="store_true", help="gates against all labels on that data set")
    options = parser.parse_args()
    print("| varied | value | labels looked at | instances/s | precision@5 | micro F1 | peak MB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    found: dict[str, list[tuple[float, dict[str, Any], str]]] = {}
    for name in options.only:
        for generator, parameters in SWEEPS[name]:
            result = apart(BASE | generator, parameters, options.rows)
            value = generator[VARIED[name]] if name in VARIED else parameters["experts"]["window"]
            mode = "all labels" if parameters is NEVER else "default"
            found.setdefault(name, []).append((value, result, mode))
            print(line(name, value, result), flush=True)
    if options.delicious:
        if not DELICIOUS.exists():
            raise SystemExit(f"{DELICIOUS}: not there; it is one of the shared data sets")
        for parameters in ({"routing": {"gated_above": 0}}, {}):
            result = apart({}, parameters, 1000, str(DELICIOUS))
            print(line("delicious", 983, result), flush=True)
    if options.out:
        draw(found, options.out)


if __name__ == "__main__":
    main()
