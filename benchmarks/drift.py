"""How well drift is handled, on scenarios whose drifts are known: by scenario, and beside what is aimed at.

    python benchmarks/drift.py [--scenarios NAME ...] [--seeds 2] [--jobs 1] [--peers river.hoeffding_adaptive_tree]
                               [--rows N] [--set KEY=VALUE ...] [--out runs/drift.jsonl]

Each scenario (a file of simulators/scenarios, `NAME` or `NAME#VARIANT`; by default the classical grid, `stationary`,
`local` and `correlation`) and seed is run in a process of its own: the learner; the same without drift handling
(control); at each drift a fresh one (oracle) and one that was frozen before it; and peers, where they are asked for.
`--rows` shortens the scenarios, their drifts' times and widths with them, for peers that take hours for all rows.
Results are kept in `--out` and not made again while the code and the settings are the same. The same command prints
the same figures, whatever the number of jobs. `docs/drift.md` says what they mean.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "simulators" / "scenarios"
GRID = [f"{b}-{s}" for b in ("tree", "rbf", "hyperplane") for s in ("sudden", "gradual", "incremental", "recurring")]
DEFAULT = [*GRID, "stationary", "local", "correlation"]
SETTLED = 5000
"""Rows after which the partition of a stationary stream should stay."""


def shortened(source: str, overrides: list[str], rows: int) -> list[str]:
    """Overrides under which a scenario has so many rows, and its drifts the same shares of them."""
    from stream_ml.simulation import Scenario

    whole = Scenario.load(source, overrides=overrides)
    times = ("at", "width", "period")
    drifts = [drift.model_dump(exclude_unset=True) for drift in whole.settings.drifts]
    for drift in drifts:
        drift |= {key: max(1, drift[key] * rows // whole.n_instances) for key in times if drift.get(key)}
    return [*overrides, f"n_instances={rows}", f"drifts={json.dumps(drifts)}"]


def run(
    name: str, seed: int, overrides: list[str], of_model: dict[str, Any], peers: list[str], rows: int | None = None
) -> dict[str, Any]:
    """All figures of one scenario and seed."""
    from stream_ml import IHomerClassifier
    from stream_ml.evaluation import (
        DriftTrace,
        PartitionHistory,
        adjusted_rand_index,
        compare_on_drifts,
        prequential,
        score_drifts,
    )
    from stream_ml.ihomer.parameters import without_drift_handling
    from stream_ml.peers import peer_named
    from stream_ml.simulation import Scenario

    path, _, variant = name.partition("#")
    source = str(FOLDER / f"{path}.yaml") + (f"#{variant}" if variant else "")
    if rows:
        overrides = shortened(source, overrides, rows)
    scenario = Scenario.load(source, seed=seed, overrides=overrides)
    n = scenario.n_instances

    def followed(model: Any) -> tuple[DriftTrace, Any]:
        trace = DriftTrace()
        return trace, prequential(scenario.stream(), model, baselines=False, on_predictions=trace.update)

    trace, result = followed(IHomerClassifier(**of_model))
    score = score_drifts(scenario.drifts, trace, result.events, scenario.schema.labels)
    others = {"control": followed(IHomerClassifier(**without_drift_handling(of_model)))}
    others |= {peer: followed(peer_named(peer).build({})) for peer in peers}
    compared = compare_on_drifts(
        lambda first: scenario.stream(start=first),
        scenario.drifts,
        n,
        lambda: IHomerClassifier(**of_model),
        trace.curve(),
        {other: t.curve() for other, (t, _) in others.items()},
    )
    history = PartitionHistory(result.events)
    last = list(history.at(n).values())
    metrics = {"model": result, **{other: r for other, (_, r) in others.items()}}
    return {
        "scenario": name,
        "seed": seed,
        "n": n,
        "metrics": {key: {m: r.summary["metrics"][m] for m in ("micro_f1", "macro_f1")} for key, r in metrics.items()},
        "drift": score,
        "compared": compared,
        "rand_index_last": adjusted_rand_index(last, scenario.groups(n - 1)) if scenario.groups(n - 1) else None,
        "late_changes": sum(e.kind in {"split", "merge", "move"} and e.instance > SETTLED for e in result.events),
    }


# -- tables ---------------------------------------------------------------------------------------------------------


def spread(values: Iterable[float | None], form: str = ".0f") -> str:
    """Median (lowest, highest)."""
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    return f"{median(known):{form}} ({min(known):{form}}, {max(known):{form}})"


def by_scenario(results: list[dict[str, Any]], peers: list[str]) -> str:
    """A table with a line for each scenario; figures are medians over seeds and drifts (lowest, highest)."""
    head = ["scenario", "micro F1", "macro F1", *(f"micro / macro F1 of {p}" for p in peers), "found", "delay"]
    head += ["false alarms", "frozen rise", "back in 1,000", "area", "control's area", "fresh one's"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in dict.fromkeys(r["scenario"] for r in results):
        mine = [r for r in results if r["scenario"] == name]
        drifts = [d for r in mine for d in r["drift"]["drifts"]]
        costs = [c for r in mine for c in r["compared"]]
        cells = [name, *(f"{mean(r['metrics']['model'][m] for r in mine):.3f}" for m in ("micro_f1", "macro_f1"))]
        cells += [
            " / ".join(f"{mean(r['metrics'][p][m] for r in mine):.3f}" for m in ("micro_f1", "macro_f1")) for p in peers
        ]
        cells += [
            f"{sum(d['delay'] is not None for d in drifts)} of {len(drifts)}",
            spread(d["delay"] for d in drifts),
            f"{sum(r['drift']['false_alarms'] for r in mine)} in {sum(r['drift']['quiet_rows'] for r in mine):,}",
            spread((c["frozen_rise"] for c in costs), ".2f"),
            f"{sum((c['recovery'] or 1e9) <= 1000 for c in costs)} of {len(costs)}",
            *(spread(c[who]["area"] for c in costs) for who in ("model", "control", "oracle")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


class Aims:
    """Lines of the table of what is aimed at: what, what is measured, and whether that is enough."""

    def __init__(self) -> None:
        self.lines = ["| aim | measured | |", "|---|---|---|"]

    def add(self, what: str, measured: float | None, holds: Callable[[float], bool], form: str = ".2f") -> None:
        if measured is None:
            self.lines.append(f"| {what} | not measured | |")
        else:
            self.lines.append(f"| {what} | {measured:{form}} | {'yes' if holds(measured) else 'no'} |")

    def share(self, what: str, values: list[bool], least: float) -> None:
        """The share of those for which it holds."""
        self.add(what, sum(values) / len(values) if values else None, lambda v: v >= least, ".0%")


def seen(aims: Aims, results: list[dict[str, Any]]) -> None:
    """Whether drifts were seen, and nothing else."""
    drifts = [d for r in results for d in r["drift"]["drifts"]]
    sudden = [d["delay"] for d in drifts if d["shape"] == "sudden" and d["kind"] == "concept"]
    delays = [delay for delay in sudden if delay is not None]
    aims.share("sudden real drifts found: 95%", [delay is not None for delay in sudden], 0.95)
    aims.add("median delay of these: under 300", median(delays) if delays else None, lambda v: v < 300, ".0f")
    quiet = [r for r in results if r["scenario"].startswith("stationary")]
    rows = sum(r["drift"]["quiet_rows"] for r in quiet)
    alarms = 10_000 * sum(r["drift"]["false_alarms"] for r in quiet) / rows if rows else None
    aims.add("false alarms per 10,000 on stationary streams: under 0.2", alarms, lambda v: v < 0.2)
    local = [d for r in results if r["scenario"].startswith("local") for d in r["drift"]["drifts"]]
    aims.share("local drifts, the right cluster named first: 90%", [d["named_right"] for d in local], 0.9)
    aims.share("local drifts, no other cluster named: (90%)", [d["named_only"] for d in local], 0.9)
    aims.share("local drifts, the other learners untouched: all", [d["others_untouched"] for d in local], 1.0)


def cost(aims: Aims, results: list[dict[str, Any]], peers: list[str]) -> None:
    """What sudden real drifts cost."""
    grid = [r for r in results if r["scenario"].partition("#")[0] in GRID]
    sudden = [c for r in results for c in r["compared"] if c["shape"] == "sudden" and c["kind"] == "concept"]
    on_grid = [c for r in grid for c in r["compared"] if c["shape"] == "sudden" and c["frozen_rise"] is not None]
    least = min((c["frozen_rise"] for c in on_grid), default=None)
    aims.add("grid: rise of a frozen learner's loss, the least: 0.15", least, lambda v: v >= 0.15)
    back = [(c["recovery"] or 1e9) <= 1000 for c in sudden]
    aims.share("within 1,000 back to 95% of what a fresh one reaches in them: all", back, 1.0)
    for who in ["control", *peers]:
        limit = 0.5 if who == "control" else 1.0
        for kind, below in (("area", "the fresh one's level"), ("own_area", "the own level before")):
            lost, other = (sum(c[x][kind] or 0.0 for c in sudden) for x in ("model", who))
            what = f"area below {below}, of {who}'s: {limit:.0%} at most"
            aims.add(what, lost / other if other else None, lambda v, most=limit: v <= most, ".0%")
    for peer in peers:
        won = [all(r["metrics"]["model"][m] > r["metrics"][peer][m] for m in ("micro_f1", "macro_f1")) for r in grid]
        aims.share(f"grid: micro and macro F1 above {peer}'s: all", won, 1.0)


def structure(aims: Aims, results: list[dict[str, Any]]) -> None:
    """Whether the partition is the true one when labels regroup, and stays when nothing drifts."""
    regrouped = [d for r in results for d in r["drift"]["drifts"] if "rand_index_2000" in d]
    for key, when in (("rand_index_before", "before"), ("rand_index_2000", "2,000 after")):
        near = [d[key] > 0.9 for d in regrouped if d[key] is not None]
        aims.share(f"correlation: adjusted Rand index above 0.9 {when}: all", near, 1.0)
    quiet = [r for r in results if r["scenario"].startswith("stationary")]
    least = min((r["rand_index_last"] for r in quiet), default=None)
    aims.add("stationary: adjusted Rand index at the end, the least: 0.9", least, lambda v: v > 0.9)
    changes = float(sum(r["late_changes"] for r in quiet)) if quiet else None
    aims.add(f"stationary: changes of the partition after row {SETTLED:,}: none", changes, lambda v: v == 0, ".0f")


# -- runs ------------------------------------------------------------------------------------------------------------


def code() -> str:
    """A digest of all that figures depend on."""
    digest = hashlib.sha256()
    for path in [*sorted((ROOT / "stream_ml").rglob("*.py")), *sorted(FOLDER.glob("*.yaml")), Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", default=DEFAULT, metavar="NAME", help="files of simulators/scenarios")
    parser.add_argument("--seeds", type=int, default=2, help="1 .. N (default 2)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default 1)")
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME", help="such as river.hoeffding_adaptive_tree")
    parser.add_argument("--rows", type=int, metavar="N", help="shorten scenarios and their drifts to N rows")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="overrides", help="of the scenarios")
    parser.add_argument("--model", default="{}", metavar="JSON", help="parameters of the learner")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/drift.jsonl"), help="finished runs (default runs/drift.jsonl)"
    )
    options = parser.parse_args()
    settings = [options.overrides, json.loads(options.model), options.peers, options.rows]
    digest = code()
    kept: dict[str, dict[str, Any]] = {}
    if options.out.exists():
        kept = {entry["key"]: entry["result"] for entry in map(json.loads, options.out.read_text().splitlines())}
    keys = {
        (name, seed): json.dumps([name, seed, *settings, digest])
        for name in options.scenarios
        for seed in range(1, options.seeds + 1)
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool, options.out.open("a") as file:
        waiting = {pool.submit(run, *task, *settings): key for task, key in keys.items() if key not in kept}
        for number, done in enumerate(as_completed(waiting), 1):
            key = waiting[done]
            kept[key] = done.result()
            file.write(json.dumps({"key": key, "result": kept[key]}) + "\n")
            file.flush()
            print(f"{number} of {len(waiting)}: {kept[key]['scenario']}, seed {kept[key]['seed']}", flush=True)
    results = [kept[key] for key in keys.values()]
    aims = Aims()
    seen(aims, results)
    cost(aims, results, options.peers)
    structure(aims, results)
    table = "\n".join(aims.lines)
    print(f"\n{options.seeds} seeds each\n\n{by_scenario(results, options.peers)}\n\n{table}")


if __name__ == "__main__":
    main()
