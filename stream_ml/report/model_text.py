"""A model as text, and its clusters and trees as a graph for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stream_ml.report.words import PART_NAMES, listed

if TYPE_CHECKING:
    from stream_ml.ihomer import IHomerClassifier

__all__ = ["dot_graph", "model_lines"]

MOST_RATES = 4
"""Labels that a leaf of the graph names."""


def model_lines(model: IHomerClassifier, *, trees: bool) -> Iterator[str]:
    """What a model is made of, line by line: clusters, what watches for drift, memory; the trees, if so told."""
    schema = model.schema
    if schema is None:
        yield "a fresh model: no instance was learned"
        return
    names = schema.labels
    yield (
        f"{model.n_learned:,} instances learned, {schema.n_features:,} features, {model.n_labels:,} labels, "
        f"decides for {model.objectives[0]}"
    )
    views, gates = model.trees(), model.gates()
    yield ""
    if gates is not None:
        yield (
            f"gates: {gates['groups']:,} groups of up to {gates['width']} children, {gates['depth']} deep, to "
            f"{gates['labels']:,} labels that were met; {gates['blocks']:,} blocks of weights, "
            f"{gates['forgotten']:,} given up for others"
        )
        yield f"clusters: {len(model.clusters):,}, for the joint posterior"
    else:
        yield f"clusters: {len(views):,}, hierarchy {_nested(model.hierarchy())}"
    for cluster, view in views.items():
        members = listed((names[label] for label in view["labels"]), 10)
        size = f"{view['nodes']:,} nodes, depth {view['depth']}"
        n = len(view["labels"])
        yield f"  cluster {cluster}: {n:,} label{'s' * (n != 1)}, tree of {size}: {members}"
    yield ""
    yield "drift: what is watched, instances in the window since the last drift, mean loss in it"
    for name, window in model.drift_windows().items():
        place = name if name in ("loss", "dependence") else f"cluster {name}"
        yield f"  {place}: {window['width']:,.0f}, {window['mean']:.4f}"
    if extra := model.extra_experts:
        weights = model.expert_weights()
        told = (f"{name} (mean weight {weights[name].mean():.3f})" for name in extra) if model.n_labels else extra
        yield ""
        yield f"extra experts: {', '.join(told)}"
    yield ""
    usage = model.memory_usage()
    yield f"memory: {sum(usage.values()) / 2**20:,.2f} MB"
    for part, held in sorted(usage.items(), key=lambda item: -item[1]):
        yield f"  {PART_NAMES.get(part, part.replace('_', ' '))}: {held / 2**20:,.2f} MB"
    if trees:
        for cluster, view in views.items():
            yield ""
            yield f"tree of cluster {cluster}"
            yield from (f"  {line}" for line in view["text"].splitlines())


def dot_graph(model: IHomerClassifier) -> str:
    """The hierarchy of the clusters, and below each cluster its tree, in Graphviz's language."""
    lines = ["digraph model {", '  node [shape=box, fontname="sans-serif"]; edge [fontname="sans-serif"];']
    if model.schema is not None:
        names = model.schema.labels
        for cluster, view in model.trees().items():
            told = listed((names[label] for label in view["labels"]), 6)
            lines.append(f"  c{cluster} [label={_quoted(f'cluster {cluster}: {told}')}, shape=folder];")
            lines += _branch(view["root"], f"t{cluster}_")
            lines.append(f"  c{cluster} -> t{cluster}_{view['root']['node']};")
        lines += _above(model.hierarchy(), "h")
    return "\n".join([*lines, "}", ""])


def _branch(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """A described tree: its nodes, and edges to what is below."""
    name = f"{prefix}{node['node']}"
    if "rates" in node:
        top = sorted(node["rates"].items(), key=lambda item: (-item[1], item[0]))[:MOST_RATES]
        told = "\n".join(f"{label} {rate:.2f}" for label, rate in top) or "no label"
        yield f"  {name} [label={_quoted(told)}, style=rounded];"
        return
    threshold = node["threshold"]
    text = f"{threshold:.6g}" if isinstance(threshold, float) else str(threshold)
    test = _quoted(f"{node['feature']} {node['test']} {text}")
    yield f"  {name} [label={test}];"
    for side, label, style in (("left", "yes", ""), ("right", "no", ""), ("alternate", "alternate", ", style=dashed")):
        if side in node:
            yield f"  {name} -> {prefix}{node[side]['node']} [label={label}{style}];"
            yield from _branch(node[side], prefix)


def _above(tree: Any, name: str) -> list[str]:
    """The hierarchy as edges from inner nodes to what is below; a single cluster has none."""
    if not isinstance(tree, list):
        return []
    lines = [f"  {name} [label={_quoted('')}, shape=point];"]
    for i, child in enumerate(tree):
        lines.append(f"  {name} -> {f'{name}{i}' if isinstance(child, list) else f'c{child}'};")
        lines += _above(child, f"{name}{i}")
    return lines


def _quoted(text: str) -> str:
    """A string of Graphviz.

    >>> print(_quoted('a "b"'))
    "a \\"b\\""
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _nested(tree: Any) -> str:
    return f"({' '.join(map(_nested, tree))})" if isinstance(tree, list) else str(tree)
