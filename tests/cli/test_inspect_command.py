"""`stream-ml inspect`: clusters, trees, drift windows and memory of a model in a file; its graph."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from stream_ml import IHomerClassifier, default_stream
from stream_ml.cli.main import main
from stream_ml.report.model_text import dot_graph, model_lines
from stream_ml.simulation import Scenario
from stream_ml.streams.batch import PREDICT


@pytest.fixture(scope="module")
def model():
    model = IHomerClassifier(period=50)
    for batch in default_stream(n_instances=4000, seed=3):
        model.test_then_train(batch)
    return model


def test_a_model_in_a_file_is_shown(model, tmp_path, capsys):
    file, graph = tmp_path / "m.safetensors", tmp_path / "m.dot"
    model.save(file)
    assert main(["inspect", str(file), "--trees", "--dot", str(graph)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{file}:\n4,000 instances learned, 30 features, 12 labels, decides for balanced\n")
    assert f"clusters: {len(model.clusters)}, hierarchy " in shown
    for cluster, view in model.trees().items():
        assert f"  cluster {cluster}: {len(view['labels'])} labels, tree of {view['nodes']} nodes" in shown
        assert f"tree of cluster {cluster}\n  {view['text'].splitlines()[0]}" in shown
    total = float(re.search(r"memory: ([\d.]+) MB", shown)[1])
    assert total == pytest.approx(sum(model.memory_usage().values()) / 2**20, rel=0.5)  # a file has no spare room
    assert graph.read_text() == dot_graph(IHomerClassifier.load(file))


def test_windows_of_the_detectors_are_those_that_learn(model):
    windows = model.drift_windows()
    assert set(windows) == {"loss", "dependence", *map(str, model.trees())}
    assert 0 < windows["loss"]["width"] <= 4000
    assert 0 < windows["loss"]["mean"] < 1


def test_the_graph_has_every_node_once(model):
    graph = dot_graph(model)
    nodes = re.findall(r"^  (\w+) \[label=\"", graph, re.MULTILINE)
    edges = re.findall(r"^  (\w+) -> (\w+)", graph, re.MULTILINE)
    assert len(nodes) == len(set(nodes))
    assert {name for edge in edges for name in edge} <= set(nodes)
    assert sum(name.startswith("t") for name in nodes) >= model.n_tree_nodes
    assert len(edges) == len(nodes) - 1  # one tree: the hierarchy, the clusters, their trees
    assert graph.count("{") == graph.count("}")


def test_what_cannot_be_shown_is_told(tmp_path, capsys):
    assert list(model_lines(IHomerClassifier(), trees=True)) == ["a fresh model: no instance was learned"]
    assert dot_graph(IHomerClassifier()).startswith("digraph model {")
    assert main(["inspect", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    IHomerClassifier().save(tmp_path / "fresh")
    assert main(["inspect", str(tmp_path / "fresh"), "--dot", str(tmp_path / "no" / "where.dot")]) == 2
    assert "where.dot: cannot be written: no such file or directory" in capsys.readouterr().err


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    model.save(folder / "m.safetensors")
    pairs = [pair for batch in default_stream(n_instances=4005, seed=3) for pair in batch.iter_dicts()][4000:]
    head = ",".join([*pairs[0][0], *pairs[0][1]])
    rows = [",".join(map(str, [*x.values(), *map(int, y.values())])) for x, y in pairs]
    (folder / "rows.csv").write_text("\n".join([head, *rows]))
    (folder / "one.json").write_text(json.dumps(pairs[2][0], indent=1))
    (folder / "record.json").write_text(json.dumps({"x": pairs[2][0], "y": []}))
    # what is compiled, and told, the first time
    for options in (["--explain", str(folder / "one.json")], ["--source", str(folder / "rows.csv"), "--row", "2"]):
        assert main(["inspect", str(folder / "m.safetensors"), *options]) == 0
    return folder, pairs


def test_an_instance_is_explained(model, saved, capsys):
    folder, pairs = saved
    told = model.explain(pairs[2][0])
    where = ["--explain", str(folder / "one.json")], ["--explain", str(folder / "record.json")]
    for options in (*where, ["--source", str(folder / "rows.csv"), "--row", "2"]):
        assert main(["inspect", str(folder / "m.safetensors"), *options]) == 0
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == (f"{told}\n", "")
        assert main(["inspect", str(folder / "m.safetensors"), *options, "--json", "--top", "3"]) == 0
        assert json.loads(capsys.readouterr().out) == model.explain(pairs[2][0], most=3).to_dict()


def test_features_that_are_left_out_are_told(saved, capsys):
    folder, pairs = saved
    (folder / "more.json").write_text(json.dumps(pairs[2][0] | {"more": 1.0}))
    assert main(["inspect", str(folder / "m.safetensors"), "--explain", str(folder / "more.json")]) == 0
    assert capsys.readouterr().err == "warning: features of the instance that are not the model's: 1 (left out)\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2]", "no instance; expected an object {feature: value}, found list"),
        ("{", "no JSON: unexpected end of data"),
        ('{"other": 1}', "no feature is one of the model's; expected {feature: value}, features such as"),
        ('{"number_1": [1]}', "field 'number_1': not a value; expected a number, text, true, false or None, found [1]"),
    ],
)
def test_an_instance_that_is_none_is_told(saved, capsys, text, problem):
    folder, _ = saved
    (folder / "bad.json").write_text(text)
    assert main(["inspect", str(folder / "m.safetensors"), "--explain", str(folder / "bad.json")]) == 2
    said = capsys.readouterr().err
    assert str(folder / "bad.json") in said
    assert problem in said
    assert said.count("\n") == 1


def test_options_that_tell_no_instance_are_told(saved, tmp_path, capsys):
    folder, _ = saved
    file, rows, one = (str(folder / name) for name in ("m.safetensors", "rows.csv", "one.json"))
    IHomerClassifier().save(tmp_path / "fresh")
    for model_file, options, problem in (
        (file, ["--source", rows], "--row: expected which row"),
        (file, ["--source", rows, "--row", "-1"], "from 0; found -1"),
        (file, ["--source", rows, "--row", "5"], "no such row; expected 0 to 4, found 5"),
        (file, ["--row", "5"], "expected one instance: --explain FILE, or --source FILE --row N"),
        (file, ["--explain", one, "--source", rows], "expected one instance"),
        (file, ["--explain", one, "--row", "1"], "--row 1: is one of --source"),
        (file, ["--explain", one, "--top", "-1"], "--top -1: expected 0 or more"),
        (file, ["--explain", one, "--trees"], "one at a time"),
        (file, ["--explain", str(tmp_path / "none")], "cannot be read: no such file or directory"),
        (str(tmp_path / "fresh"), ["--explain", one], "has learned no label yet"),
    ):
        assert main(["inspect", model_file, *options]) == 2, options
        said = capsys.readouterr().err
        assert problem in said
        assert said.count("\n") == 1


def test_a_row_of_a_scenario_is_explained(tmp_path, capsys):
    """What `evaluate --source` takes: a scenario's variant; that labels come late makes no row come twice here."""
    scenario = tmp_path / "small.yaml"
    scenario.write_text(
        "n_instances: 600\ngenerator: {kind: multilabel, base: tree, n_features: 6, n_labels: 3}\n"
        "feedback: {delay: 20}\nvariants:\n  wide: {generator.n_features: 9}\n"
    )
    source, file = f"{scenario}#wide", tmp_path / "m.safetensors"
    model, rows = IHomerClassifier(), []
    for batch in Scenario.load(source, seed=5).stream():
        model.learn(batch)
        rows += [batch.rows(i, i + 1) for i in np.flatnonzero(batch.mode & PREDICT)]
    model.save(file)
    for row in (0, 599):
        assert main(["inspect", str(file), "--source", source, "--row", str(row), "--seed", "5", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(model.explain(rows[row], 0).to_dict()))
    assert main(["inspect", str(file), "--source", source, "--row", "600"]) == 2
    assert "no such row; expected 0 to 599" in capsys.readouterr().err
    assert main(["predict", str(file), "--source", source, "--limit", "30", "--quiet"]) == 0
    assert capsys.readouterr().out.count("\n") == 30
    for name, seed in ((f"{scenario}#narrow", "5"), (source, "-1")):
        assert main(["inspect", str(file), "--source", name, "--row", "0", "--seed", seed]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_needs_more_said_is_explained(saved, tmp_path, capsys):
    """Its format, where the name tells none."""
    folder, _ = saved
    (tmp_path / "rows").write_bytes((folder / "rows.csv").read_bytes())
    file = str(folder / "m.safetensors")
    assert main(["inspect", file, "--source", str(tmp_path / "rows"), "--row", "2", "--format", "csv", "--json"]) == 0
    given = capsys.readouterr().out
    assert main(["inspect", file, "--source", str(folder / "rows.csv"), "--row", "2", "--json"]) == 0
    assert given == capsys.readouterr().out
    assert main(["inspect", file, "--explain", str(folder / "one.json"), "--format", "csv"]) == 2
    assert "--format: is of --source" in capsys.readouterr().err
