"""A partition of the labels in the arrays that loops over its clusters go by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Groups", "regrouped"]


@dataclass(frozen=True, slots=True)
class Groups:
    """The clusters in rising order of their ids: a cluster's place among them is its slot.

    Attributes
    ----------
    ids, size
        Of each cluster, int64 (clusters,).
    slot_of
        The slot of each label, int64 (labels,).
    members, starts
        Sorted labels of slot `s` are `members[starts[s]:starts[s + 1]]`, int32 (labels,), int64 (clusters + 1,).
    partition
        The same by id.
    """

    ids: NDArray[np.int64]
    size: NDArray[np.int64]
    slot_of: NDArray[np.int64]
    members: NDArray[np.int32]
    starts: NDArray[np.int64]
    partition: dict[int, NDArray[np.int32]]

    @classmethod
    def of(cls, cluster_of: NDArray[np.int32]) -> Groups:
        """From the cluster's id of each label."""
        ids, slot_of, size = np.unique(cluster_of, return_inverse=True, return_counts=True)
        members = np.argsort(cluster_of, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        parts = (members[a:b] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
        partition = dict(zip(ids.tolist(), parts, strict=True))
        return cls(ids.astype(np.int64), size.astype(np.int64), slot_of.astype(np.int64), members, starts, partition)


def regrouped(
    partition: dict[int, NDArray[np.int32]], slot_of: NDArray[np.int64]
) -> list[tuple[dict[int, NDArray[np.int32]], list[int]]]:
    """Clusters and the new groups that share labels with them, directly or through others; unchanged ones left out."""
    of_slot: dict[int, list[int]] = {}
    slots_of = {cluster: np.unique(slot_of[labels]).tolist() for cluster, labels in partition.items()}
    for cluster, slots in slots_of.items():
        for slot in slots:
            of_slot.setdefault(slot, []).append(cluster)
    found, done = [], set()
    for start in partition:
        if start in done:
            continue
        clusters, slots, todo = [], [], [start]
        done.add(start)
        while todo:
            clusters.append(cluster := todo.pop())
            for slot in slots_of[cluster]:
                if slot not in slots:
                    slots.append(slot)
                    todo += [c for c in of_slot[slot] if c not in done]
                    done.update(of_slot[slot])
        if len(clusters) > 1 or len(slots) > 1:
            found.append(({c: partition[c] for c in sorted(clusters)}, sorted(slots)))
    return found
