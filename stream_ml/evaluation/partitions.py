"""Partitions of the labels over time, as events tell them, and how alike two of them are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from stream_ml.ihomer.events import Event

__all__ = ["PartitionHistory", "adjusted_rand_index"]

CHANGES = {"split", "merge", "move"}


def adjusted_rand_index(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """How alike two partitions are over the items that both hold: 1 for the same, about 0 for chance.

    Hubert and Arabie: Comparing partitions, Journal of Classification 1985. Two trivial partitions of the same kind,
    and partitions of fewer than two items, are the same: 1.

    >>> adjusted_rand_index([[0, 1], [2, 3]], [[2, 3], [0, 1]])
    1.0
    >>> round(adjusted_rand_index([[0, 1], [2, 3]], [[0, 2], [1, 3]]), 6)
    -0.5
    """
    place = {item: group for group, items in enumerate(other) for item in items}
    table = np.zeros((len(one), len(other)))
    for group, items in enumerate(one):
        for item in items:
            if item in place:
                table[group, place[item]] += 1

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    rows, columns, total = pairs(table.sum(axis=1)), pairs(table.sum(axis=0)), pairs(table.sum(keepdims=True))
    if total == 0:
        return 1.0
    expected = rows * columns / total
    highest = (rows + columns) / 2
    return 1.0 if highest == expected else (pairs(table) - expected) / (highest - expected)


class PartitionHistory:
    """Which labels each cluster held at any time, from a model's events.

    Attributes
    ----------
    instances
        Instances learned when the partition changed, rising.
    states
        The clusters from then on: id -> labels.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.instances: list[int] = []
        self.states: list[dict[str, tuple[int, ...]]] = []
        current: dict[str, tuple[int, ...]] = {}
        for event in events:
            if event.kind in CHANGES:
                for cluster in event.changed["before"]:
                    current.pop(cluster, None)
                current |= {cluster: tuple(labels) for cluster, labels in event.changed["after"].items()}
            elif event.kind == "join":
                for cluster, labels in event.changed["joined"].items():
                    current[cluster] = tuple(sorted({*current.get(cluster, ()), *labels}))
            else:
                continue
            self.instances.append(event.instance)
            self.states.append(dict(current))

    def at(self, instance: int) -> dict[str, tuple[int, ...]]:
        """The clusters when so many instances had been learned, changes decided then included; {} before the first."""
        place = bisect_right(self.instances, instance)
        return self.states[place - 1] if place else {}

    def before(self, instance: int) -> dict[str, tuple[int, ...]]:
        """The clusters just before changes decided at `instance`."""
        return self.at(instance - 1)
