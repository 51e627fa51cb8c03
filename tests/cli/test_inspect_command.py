"""`stream-ml inspect`: clusters, trees, drift windows and memory of a model in a file; its graph."""

from __future__ import annotations

import re

import pytest

from stream_ml import IHomerClassifier, default_stream
from stream_ml.cli.main import main
from stream_ml.report.model_text import dot_graph, model_lines


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
