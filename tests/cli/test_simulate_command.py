"""`stream-ml simulate`: the same instances in a file and through a model; options, truth, mistakes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from stream_ml.cli.main import main
from stream_ml.simulation import Scenario
from stream_ml.streams import open_stream

SCENARIO = """
description: Small.
n_instances: 1500
generator: {kind: multilabel, base: tree, n_features: 10, n_nominal: 2, n_labels: 4, n_groups: 2, cardinality: 1.2}
drifts:
  - {kind: concept, at: 900, groups: [0]}
feedback: {missing: 0.1}
variants:
  short: {n_instances: 700}
"""


@pytest.fixture(autouse=True)
def scenario(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def canonical(stream):
    """Label sets of rows by name, and their features: nominal ones as a name with its value, no zeros."""
    rows = []
    for batch in stream:
        for (x, y), labelled in zip(batch.iter_dicts(), batch.labelled.tolist(), strict=True):
            cells = {
                (f"{n}={v}" if isinstance(v, str) else n): (1.0 if isinstance(v, str) else v) for n, v in x.items()
            }
            positive = {label for label, on in y.items() if on}
            rows.append(({n: v for n, v in cells.items() if v}, positive if labelled else None))
    return rows


@pytest.mark.parametrize("name", ["a.arff", "a.jsonl.gz", "a.csv"])
def test_a_file_has_the_instances_of_the_api(name, capsys):
    assert main(["simulate", "small.yaml", "--to", name, "--seed", "7"]) == 0
    assert f"1,500 instances to {name} and a.truth.jsonl" in capsys.readouterr().out
    expected = canonical(Scenario.load("small.yaml", seed=7).rows())
    assert canonical(open_stream(name, labels="last:4" if name == "a.csv" else None)) == expected
    truth = [orjson.loads(line) for line in Path("a.truth.jsonl").read_bytes().splitlines()]
    assert truth == [{"first": 900, "last": 900, "kind": "concept", "shape": "sudden", "labels": ["y0", "y1"]}]


def run_of(arguments, out):
    assert main([*arguments, "--out", out, "--quiet", "--set", "evaluation.save_predictions=true"]) == 0
    summary = orjson.loads(Path(out, "summary.json").read_bytes())
    rows = [orjson.loads(line) for line in Path(out, "predictions.jsonl").read_bytes().splitlines()]
    return summary, [None if row["labels"] is None else set(row["labels"]) for row in rows]


def test_a_run_meets_the_same_instances_whether_made_or_read():
    model = ["--model", "majority_labelset"]
    made, made_labels = run_of(["simulate", "small.yaml", "--run", "--seed", "7", *model], "made")
    evaluated, _ = run_of(["evaluate", "--source", "small.yaml", "--seed", "7", *model], "evaluated")
    assert main(["simulate", "small.yaml", "--to", "a.arff", "--seed", "7"]) == 0
    read, read_labels = run_of(["evaluate", "--source", "a.arff", *model], "read")
    assert made_labels == read_labels == [y for _, y in canonical(Scenario.load("small.yaml", seed=7).rows())]
    assert made["metrics"] == evaluated["metrics"] == read["metrics"]
    assert made["drift"] == evaluated["drift"] == read["drift"]  # the truth beside the file is read, too
    assert made["seed"] == 7
    assert (made["drift"]["n_drifts"], made["drift"]["missed"]) == (1, 1)
    assert main(["evaluate", "made/config.yaml", "--out", "again", "--quiet"]) == 0
    assert orjson.loads(Path("again/summary.json").read_bytes())["metrics"] == made["metrics"]


def test_overrides_and_variants_reach_the_scenario_and_the_run():
    options = ["--set", "n_instances=800", "--set", "model.name=no_change", "--set", "drifts=[]"]
    summary, labels = run_of(["simulate", "small.yaml#short", "--run", *options], "out")
    assert summary["model"]["name"] == "no_change"
    assert len(labels) == 800
    assert summary["drift"]["n_drifts"] == 0
    assert main(["evaluate", "out/config.yaml", "--out", "again", "--quiet"]) == 0
    assert orjson.loads(Path("again/summary.json").read_bytes())["metrics"] == summary["metrics"]
    _, labels = run_of(["simulate", "small.yaml#short", "--run", "--model", "no_change"], "short")
    assert len(labels) == 700


def test_the_table_tells_of_drifts(capsys):
    assert main(["simulate", "small.yaml", "--run", "--model", "majority_labelset", "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert "drifts: 0 of 1 seen; 0 false alarms" in shown
    assert "sudden concept" in shown


def test_what_drifts_cost_is_the_same_whatever_the_batch_size():
    options = ["simulate", "small.yaml", "--run", "--compare", "--set", "n_instances=4500", "--set", "feedback={}"]
    options += ["--set", "drifts=[{kind: concept, at: 2500}, {kind: dependence, at: 4400}]"]
    found = [run_of([*options, "--set", f"stream.batch_size={size}"], f"of {size}")[0]["drift"] for size in (1000, 333)]
    assert found[0] == found[1]
    (cost,) = found[0]["compared"]  # after the other drift there are too few rows to tell
    assert (cost["first"], cost["kind"]) == (2500, "concept")
    assert cost["frozen_rise"] > 0.15
    assert cost["control"]["own_area"] > cost["model"]["own_area"] > 0
    regrouped = found[0]["drifts"][1]
    assert {"rand_index_before", "rand_index_2000", "reclustered"} < set(regrouped)


def test_truth_beside_a_file_may_name_labels_that_do_not_come_and_is_checked_first(capsys):
    assert (
        main(["simulate", "small.yaml", "--to", "a.jsonl", "--set", "drifts=[{kind: appear, at: 1, labels: [3]}]"]) == 0
    )
    options = ["evaluate", "--source", "a.jsonl", "--limit", "2", "--model", "no_change", "--quiet"]
    assert main([*options, "--out", "short"]) == 0
    Path("a.truth.jsonl").write_text('{"first": 3}\n')
    assert main([*options, "--out", "none"]) == 2
    assert "a.truth.jsonl, line 1: not a drift; expected" in capsys.readouterr().err
    assert not Path("none").exists()


def test_a_limit_cuts_the_truth():
    assert main(["simulate", "small.yaml", "--to", "a.jsonl", "--limit", "500"]) == 0
    assert len(Path("a.jsonl").read_bytes().splitlines()) == 500
    assert Path("a.truth.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.yaml", "--to", "a.txt"], "expected a name that ends in .arff"),
        (["small.yaml", "--to", "there.arff"], "there.arff: is there already; name another file, or say --overwrite"),
        (["small.yaml", "--source", "b.arff"], "a scenario and --source are given"),
        (["small.yaml", "--to", "a.arff", "--set", "model.name=no_change"], "is a key of a run; expected --run"),
        (["small.yaml", "--to", "a.arff", "--set", "n_instance=5"], "did you mean 'n_instances'?"),
        (["small.yaml#tiny", "--to", "a.arff"], "no variant is called 'tiny'; known: short"),
        (["zzz.yaml", "--to", "a.arff"], "zzz.yaml: no such scenario; ready-made ones in "),
        (["nothing-like-it", "--to", "a.arff"], "scenarios: correlation, hyperplane-gradual, "),
        (["locl", "--to", "a.arff"], "simulators/scenarios/local.yaml?"),
        (["smal.yaml#short", "--to", "a.arff"], "smal.yaml#short: no such scenario; did you mean small.yaml?"),
        (["hyperplane_gradual", "--run"], "simulators/scenarios/hyperplane-gradual.yaml?"),
        (["small.yaml", "--labels", "last:2", "--to", "a.arff"], "a scenario, which has its own"),
        (["--set", "n_instances=5", "--to", "a.arff"], "stream.source is no scenario"),
        (["--run", "--compare"], "needs a scenario"),
        (["small.yaml", "--rate", "0"], "must be above 0"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, message, capsys):
    Path("there.arff").write_text("")
    assert main(["simulate", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_the_built_in_stream_goes_to_a_file_with_its_truth():
    assert main(["simulate", "--to", "a.jsonl", "--limit", "40000"]) == 0
    kinds = [orjson.loads(line)["kind"] for line in Path("a.truth.jsonl").read_bytes().splitlines()]
    assert kinds == ["concept", "dependence"]
