"""The labels: how they flowed between clusters, dendrograms of a change, and who occurs with whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from stream_ml.report.canvas import Canvas, Plot, colour, name_places
from stream_ml.report.label_history import OTHERS, Partition, Step, flows, gathered, selected
from stream_ml.report.svg import SERIES
from stream_ml.report.words import listed

__all__ = ["cluster_colours", "dendrogram_plot", "flow_plot", "heat_map_plot", "similarity_matrix"]

STEPS_WIDE, STEPS_NARROW = 10, 4
"""Partitions that a flow shows."""
MOST_CLUSTERS = 64
"""Clusters of a partition that it shows; the smallest go together."""
APART = 1.06
"""Height from which on a dendrogram joins clusters."""
STRETCH = 0.22
SHORT = 16
"""Letters of a label beside a plot."""


def cluster_colours(steps: Sequence[Step]) -> dict[str, str]:
    """A colour for every cluster there was; the largest part of a cluster keeps its colour.

    >>> first = Step(0, (), {}, {}, {"0": [0, 1, 2]}, ())
    >>> second = Step(9, ("split",), {}, {}, {"1": [0], "2": [1, 2]}, ())
    >>> colours = cluster_colours([first, second])
    >>> colours["0"] == colours["2"], colours["0"] == colours["1"]
    (True, False)
    """
    colours: dict[str, str] = {OTHERS: colour("c9")}
    before: Partition = {}
    turn = 0
    for step in steps:
        heirs = sorted(flows(before, step.partition), key=lambda flow: -len(flow.labels))
        taken = {colours[c] for c in step.partition if c in colours}
        for flow in heirs:
            if flow.target not in colours and colours[flow.source] not in taken:
                colours[flow.target] = colours[flow.source]
                taken.add(colours[flow.source])
        for cluster in step.partition:
            if cluster not in colours:
                free = [c for c in SERIES if c not in taken]
                colours[cluster] = free[0] if free else SERIES[turn % len(SERIES)]
                turn += not free
                taken.add(colours[cluster])
        before = step.partition
    return colours


def flow_plot(steps: Sequence[Step], colours: Mapping[str, str], names: Mapping[int, str]) -> Plot | None:
    """Partitions side by side, with bands for the labels that went from cluster to cluster."""
    if len(steps) < 2:
        return None

    def draw(width: float) -> Canvas:
        shown = [
            replace(step, partition=gathered(step.partition, MOST_CLUSTERS))
            for step in selected(steps, STEPS_NARROW if width < 400 else STEPS_WIDE)
        ]
        n_labels = max(sum(map(len, step.partition.values())) for step in shown)
        n_clusters = max(len(step.partition) for step in shown)
        height = float(np.clip(14 * n_clusters + 120, 180, 420))
        canvas = Canvas(width, height + 44)
        axes = canvas.axes(8, 6, width - 16, height)
        axes.axis("off")
        gap = n_labels * 0.25 / max(n_clusters, 4)
        axes.set_xlim(-0.06, len(shown) - 1 + 0.06)
        axes.set_ylim(n_labels + gap * n_clusters, 0)
        block = 10 / (width - 16) * (len(shown) - 1 + 0.12)
        tops: list[dict[str, float]] = []
        order: Partition = {}
        for x, step in enumerate(shown):
            order = _in_order(step.partition, order)
            tops.append(_blocks(canvas, axes, x, block, order, gap, colours, names, step.instance))
            if x:
                _bands(canvas, axes, x, block, shown[x - 1].partition, order, tops, colours, names)
            side = "left" if x == 0 else "right" if x == len(shown) - 1 else "center"
            where = 8 + (width - 16) * (x + 0.06) / (len(shown) - 1 + 0.12)
            where += {"left": -5, "right": 5, "center": 0}[side]
            canvas.text(where, height + 22, f"{step.instance:,}", ha=side, color=colour("muted"))
            what = "" if not step.kinds else step.kinds[0] if len(step.kinds) == 1 else f"{step.kinds[0]} …"
            canvas.text(where, height + 36, what or "at first", ha=side, color=colour("muted"), fontsize=9)
        return canvas

    return Plot("flow", "Flow of labels between clusters", draw)


def _in_order(partition: Partition, before: Partition) -> Partition:
    """Clusters from top to bottom: where most of their labels were before; at first the largest first."""
    place = {label: i for i, labels in enumerate(before.values()) for label in labels}

    def rank(item: tuple[str, list[int]]) -> tuple[float, int, int]:
        known = [place[label] for label in item[1] if label in place]
        return (
            float(np.mean(known)) if known else float(len(before)),
            -len(item[1]),
            -1 if item[0] == OTHERS else int(item[0]),
        )

    return dict(sorted(partition.items(), key=rank))


def _blocks(
    canvas: Canvas,
    axes: Any,
    x: float,
    block: float,
    order: Partition,
    gap: float,
    colours: Mapping[str, str],
    names: Mapping[int, str],
    instance: int,
) -> dict[str, float]:
    """A bar for each cluster of a partition; gives their tops."""
    top, tops = gap / 2, {}
    for cluster, labels in order.items():
        patch = Rectangle((x - block / 2, top), block, len(labels), color=colours[cluster], linewidth=0)
        axes.add_artist(patch)
        told = listed((names.get(label, f"#{label}") for label in labels), 12)
        canvas.tip(patch, f"cluster {cluster} at {instance:,}: {len(labels)} labels\n{told}")
        tops[cluster] = top
        top += len(labels) + gap
    return tops


def _bands(
    canvas: Canvas,
    axes: Any,
    x: float,
    block: float,
    before: Partition,
    order: Partition,
    tops: Sequence[dict[str, float]],
    colours: Mapping[str, str],
    names: Mapping[int, str],
) -> None:
    """A band for the labels that went from each cluster at `x - 1` to each at `x`."""
    left, right = dict(tops[-2]), dict(tops[-1])
    found = flows(before, order)
    above = {cluster: i for i, cluster in enumerate(order)}
    for flow in sorted(found, key=lambda f: (left[f.source], above[f.target])):
        n = len(flow.labels)
        a, b = left[flow.source], right[flow.target]
        left[flow.source] += n
        right[flow.target] += n
        x0, x1 = x - 1 + block / 2, x - block / 2
        middle = (x0 + x1) / 2
        points = [
            (x0, a),
            (middle, a),
            (middle, b),
            (x1, b),
            (x1, b + n),
            (middle, b + n),
            (middle, a + n),
            (x0, a + n),
        ]
        codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3]
        path = Outline([*points, points[0]], [*codes, Outline.CLOSEPOLY])
        patch = PathPatch(path, facecolor=colours[flow.source], alpha=0.32, linewidth=0)
        axes.add_artist(patch)
        told = listed((names.get(label, f"#{label}") for label in flow.labels), 12)
        canvas.tip(patch, f"cluster {flow.source} → {flow.target}: {n} labels\n{told}")


def similarity_matrix(look: Mapping[str, Any]) -> NDArray[np.float64]:
    """Jaccard similarities of a look's labels, symmetric with ones on the diagonal.

    >>> similarity_matrix({"labels": [4, 7], "similarity": [[0, 1, 250]]}).tolist()
    [[1.0, 0.25], [0.25, 1.0]]
    """
    matrix = np.eye(len(look["labels"]))
    for i, j, thousandths in look["similarity"]:
        matrix[i, j] = matrix[j, i] = thousandths / 1000
    return matrix


def clustered_linkage(similarity: NDArray[np.float64], cluster: Sequence[str]) -> NDArray[np.float64]:
    """Average linkage that joins the labels of a cluster before it joins clusters: those at heights above 1."""
    apart = np.array([[a != b for a in cluster] for b in cluster])
    distance = 1.0 - similarity + apart
    np.fill_diagonal(distance, 0.0)
    return linkage(squareform(distance, checks=False), method="average")


def dendrogram_plot(
    name: str,
    title: str,
    look: Mapping[str, Any],
    partition: Partition,
    labels: Sequence[int],
    colours: Mapping[str, str],
    names: Mapping[int, str],
) -> Plot:
    """Average linkage of some labels on their Jaccard similarity, within the clusters of a partition and then of these.

    `labels` are positions that the look has.
    """
    place = {label: i for i, label in enumerate(look["labels"])}
    home = {label: cluster for cluster, members in partition.items() for label in members}
    chosen = [place[label] for label in labels]
    cluster = [home[label] for label in labels]
    links = clustered_linkage(similarity_matrix(look)[np.ix_(chosen, chosen)], cluster)
    order = leaves_list(links).tolist()

    def draw(width: float) -> Canvas:
        longest = min(SHORT, max(len(names.get(label, f"#{label}")) for label in labels))
        side, row = 14 + 6.5 * longest, 16
        canvas = Canvas(min(width, 380.0), row * len(labels) + 44)
        axes = canvas.axes(side, 8, canvas.width - side - 12, row * len(labels))
        axes.set_xlim(-0.01, APART + STRETCH + 0.03)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        name_places(axes.xaxis, [0, 0.25, 0.5, 0.75, 1], ["1", ".75", ".5", ".25", "0"])
        axes.yaxis.set_visible(False)
        axes.axvspan(APART - 0.03, APART + STRETCH + 0.03, color=colour("grid"), alpha=0.35, linewidth=0)
        for position, i in enumerate(order):
            text = names.get(labels[i], f"#{labels[i]}")
            shown = text if len(text) <= SHORT else text[: SHORT - 1] + "…"
            label = canvas.text(side - 8, 8 + row * (position + 0.5), shown, ha="right", va="center")
            label.set_color(colours[cluster[i]])
            canvas.tip(label, f"{text}: cluster {cluster[i]}")
        _links(axes, links, order, cluster, colours)
        middle = side + (canvas.width - side - 12) * 0.5 / (APART + STRETCH + 0.04)
        canvas.text(middle, canvas.height - 5, "Jaccard similarity", ha="center", color=colour("muted"), fontsize=9)
        return canvas

    return Plot(name, title, draw)


def _links(axes: Any, links: NDArray[np.float64], order: list[int], cluster: Any, colours: Mapping[str, str]) -> None:
    """The tree of a linkage, leaves at the left edge; what joins clusters is grey and drawn shorter."""
    n = len(order)
    height, middle = np.zeros(2 * n - 1), np.zeros(2 * n - 1)
    middle[order] = np.arange(n)
    home = [*cluster, *[""] * (n - 1)]
    for i, (a, b, distance, _) in enumerate(links.tolist(), start=n):
        a, b = int(a), int(b)
        same = home[a] == home[b] and home[a] != ""
        home[i] = home[a] if same else ""
        height[i] = distance if same else APART + STRETCH * min(1.0, max(0.0, distance - 1.0)) ** 4
        middle[i] = (middle[a] + middle[b]) / 2
        style = {"color": colours[home[i]], "linewidth": 1.8} if same else {"color": colour("c9"), "linewidth": 1.2}
        # the tree grows away from the labels, where similarity is 1
        axes.plot([height[a], height[i], height[i], height[b]], [middle[a], middle[a], middle[b], middle[b]], **style)


def heat_map_plot(
    cooccurrence: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]
) -> Plot | None:
    """Which of the most frequent labels occur together: Jaccard similarity, ordered by cluster."""
    counts = np.array(cooccurrence["counts"], dtype=np.float64)
    together = np.zeros((len(counts), len(counts)))
    for i, j, number in cooccurrence["pairs"]:
        together[i, j] = together[j, i] = number
    either = counts[:, None] + counts[None, :] - together
    jaccard = np.divide(together, either, out=np.zeros_like(together), where=either > 0)
    if len(counts) < 2:
        return None

    def draw(width: float) -> Canvas:
        n = min(len(counts), 18 if width < 400 else 40)
        clusters = [str(row["cluster"]) for row in rows[:n]]
        sizes = {c: clusters.count(c) for c in clusters}
        links = clustered_linkage(jaccard[:n, :n], clusters)
        order = sorted(leaves_list(links).tolist(), key=lambda i: (-sizes[clusters[i]], clusters[i]))
        longest = min(SHORT, max(len(row["name"]) for row in rows[:n]))
        side = 14 + 6.5 * longest
        cell = min((width - side - 8) / n, max(17.0, min(28.0, 400 / n)))
        canvas = Canvas(side + cell * n + 8, cell * n + side + 4)
        axes = canvas.axes(side, 4, cell * n, cell * n)
        axes.set_xlim(0, n)
        axes.set_ylim(n, 0)
        axes.xaxis.set_visible(False)
        axes.yaxis.set_visible(False)
        for y, i in enumerate(order):
            for x, j in enumerate(order):
                if i != j and jaccard[i, j] >= 0.005:
                    _cell(canvas, axes, x, y, float(jaccard[i, j]), rows[i], rows[j], together[i, j])
            text = rows[i]["name"]
            shown = text if len(text) <= SHORT else text[: SHORT - 1] + "…"
            style = {"color": colours.get(clusters[i], colour("ink")), "fontsize": min(10.0, cell * 0.85)}
            canvas.text(side - 6, 4 + cell * (y + 0.5), shown, ha="right", va="center", **style)
            below = {"rotation": 90, "ha": "center", "va": "top"}
            canvas.text(side + cell * (y + 0.5), 10 + cell * n, shown, **below, **style)
        edges = [k for k in range(1, n) if clusters[order[k]] != clusters[order[k - 1]]]
        axes.vlines(edges, 0, n, color=colour("muted"), linewidth=0.6)
        axes.hlines(edges, 0, n, color=colour("muted"), linewidth=0.6)
        return canvas

    return Plot("cooccurrence", "Which labels occur together", draw)


def _cell(
    canvas: Canvas, axes: Any, x: int, y: int, share: float, a: Mapping[str, Any], b: Mapping[str, Any], n: float
) -> None:
    patch = Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, color=colour("c0"), alpha=round(share**0.6, 2), linewidth=0)
    axes.add_artist(patch)
    canvas.tip(patch, f"{a['name']} and {b['name']}: Jaccard {share:.3f}, {n:,.0f} instances (older ones count less)")
