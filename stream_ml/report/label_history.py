"""How the partition of the labels came about, replayed from a run's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["OTHERS", "Flow", "Step", "flows", "gathered", "names_by_position", "partition_steps", "selected"]

STRUCTURAL = ("split", "merge", "move")
OTHERS = "others"
"""What many small clusters are called together."""
Partition = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of the partition at one instant.

    Attributes
    ----------
    instance
        Instances learned then.
    kinds
        What happened, in order: `split`, `merge`, `move`, and `restructure` when a drift had opened the partition.
    before, after
        Clusters (id to sorted positions of labels) that it was about.
    partition
        All clusters after it.
    reasons
        The statistics of each change.
    """

    instance: int
    kinds: tuple[str, ...]
    before: Partition
    after: Partition
    partition: Partition
    reasons: tuple[Mapping[str, Any], ...]

    @property
    def moved(self) -> int:
        """Labels that are in another cluster now, the largest part of each new cluster not counted."""
        largest = dict.fromkeys(self.after, 0)
        for flow in flows(self.before, self.after):
            largest[flow.target] = max(largest[flow.target], len(flow.labels))
        return sum(map(len, self.after.values())) - sum(largest.values())


@dataclass(frozen=True, slots=True)
class Flow:
    """Labels that went from a cluster of one partition to a cluster of the next."""

    source: str
    target: str
    labels: tuple[int, ...]


def partition_steps(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The first partition, then one step for each instant at which clusters split, merged, or labels moved.

    Labels that join are in the partition of the next step.

    >>> events = [
    ...     {"kind": "join", "instance": 0, "reason": {}, "changed": {"joined": {"0": [0, 1, 2]}}},
    ...     {"kind": "split", "instance": 200, "reason": {}, "changed": {"before": {"0": [0, 1, 2]},
    ...      "after": {"1": [0, 2], "2": [1]}}},
    ... ]
    >>> [(step.instance, step.partition) for step in partition_steps(events)]
    [(0, {'0': [0, 1, 2]}), (200, {'1': [0, 2], '2': [1]})]
    """
    now: Partition = {}
    steps: list[Step] = []
    pending: list[Mapping[str, Any]] = []

    def close() -> None:
        changes = [event for event in pending if event["kind"] in STRUCTURAL]
        if not changes:
            return
        was = dict(now)
        if not steps:
            steps.append(Step(0, (), {}, was, was, ()))
        for event in changes:
            for cluster in event["changed"]["before"]:
                now.pop(cluster, None)
            now.update({cluster: list(labels) for cluster, labels in event["changed"]["after"].items()})
        kinds = tuple(dict.fromkeys(event["kind"] for event in pending))
        before = {c: labels for c, labels in was.items() if now.get(c) != labels}
        after = {c: labels for c, labels in now.items() if was.get(c) != labels}
        reasons = tuple({"kind": event["kind"], **event["reason"]} for event in changes)
        steps.append(Step(int(changes[0]["instance"]), kinds, before, after, dict(now), reasons))

    for event in events:
        if event["kind"] not in (*STRUCTURAL, "join", "restructure"):
            continue
        if pending and pending[0]["instance"] != event["instance"]:
            close()
            pending = []
        if event["kind"] == "join":
            close()
            pending = []
            for cluster, labels in event["changed"]["joined"].items():
                now[cluster] = sorted([*now.get(cluster, []), *labels])
        else:
            pending.append(event)
    close()
    if not steps and now:
        steps.append(Step(0, (), {}, now, now, ()))
    return steps


def selected(steps: Sequence[Step], most: int) -> list[Step]:
    """At most so many steps in order: the first, the last, and between them those that moved most labels."""
    if len(steps) <= most:
        return list(steps)
    inner = sorted(range(1, len(steps) - 1), key=lambda i: (-steps[i].moved, i))[: max(0, most - 2)]
    return [steps[i] for i in sorted({0, *inner, len(steps) - 1})]


def flows(first: Partition, second: Partition) -> list[Flow]:
    """Which labels went where, by cluster of origin and destination; labels that are in one alone do not flow.

    >>> flows({"0": [0, 1, 2]}, {"1": [0, 2], "2": [1, 3]})
    [Flow(source='0', target='1', labels=(0, 2)), Flow(source='0', target='2', labels=(1,))]
    """
    home = {label: cluster for cluster, labels in first.items() for label in labels}
    found: dict[tuple[str, str], list[int]] = {}
    for cluster, labels in second.items():
        for label in labels:
            if label in home:
                found.setdefault((home[label], cluster), []).append(label)
    order = {cluster: i for i, cluster in enumerate(first)}
    return [Flow(*pair, tuple(labels)) for pair, labels in sorted(found.items(), key=lambda item: order[item[0][0]])]


def gathered(partition: Partition, most: int) -> Partition:
    """The partition with its largest clusters alone, and all others as one.

    >>> gathered({"0": [0], "1": [1, 2], "2": [3], "3": [4, 5]}, 3)
    {'1': [1, 2], '3': [4, 5], 'others': [0, 3]}
    """
    if len(partition) <= most:
        return partition
    order = sorted(partition, key=lambda cluster: (-len(partition[cluster]), int(cluster)))
    rest = sorted(label for cluster in order[most - 1 :] for label in partition[cluster])
    return {cluster: partition[cluster] for cluster in order[: most - 1]} | {OTHERS: rest}


def names_by_position(steps: Sequence[Step], clusters: Sequence[Sequence[str]]) -> dict[int, str]:
    """Names of labels by position, where the last partition and the clusters of the summary are the same."""
    if not steps:
        return {}
    last = [labels for _, labels in sorted(steps[-1].partition.items(), key=lambda item: int(item[0]))]
    if [len(labels) for labels in last] != [len(names) for names in clusters]:
        return {}
    return {
        i: name for labels, names in zip(last, clusters, strict=True) for i, name in zip(labels, names, strict=True)
    }
