"""A partition of the labels in the arrays that loops over its clusters go by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Groups"]


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
