"""Arrays of a tree: made, grown, laid out anew for other features or labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.trees._layout import (
    LABELSETS,
    N_COUNTERS,
    N_FADED,
    N_FREE_NODES,
    N_FREE_SLOTS,
    N_INTS,
    N_REALS,
    N_SLOT_REALS,
    TEMPER,
    Nodes,
    Slots,
    Space,
    Table,
)
from stream_ml.trees._split_kernels import N_SCRATCH

__all__ = [
    "bytes_per_slot",
    "grow_nodes",
    "grow_slots",
    "is_binary",
    "new_nodes",
    "new_slots",
    "new_space",
    "new_table",
    "row_space",
    "with_rows",
]

LOGS = 64
"""Logarithms that are taken together."""

FIRST_TEMPER = 0.1
"""Factor on naive Bayes' evidence before any is learned."""


def new_table(arities: NDArray[np.int32], *, sparse: bool, missing_cells: int) -> Table:
    """Cells of each feature: 3 for a numeric one, a count per value for a nominal one, less value 0 in sparse data."""
    per_feature = np.where(arities == 0, 3, arities - int(sparse)).astype(np.int64) + missing_cells
    offsets = np.zeros(len(arities) + 1, dtype=np.int64)
    np.cumsum(per_feature, out=offsets[1:])
    return Table(offsets=offsets, arities=np.ascontiguousarray(arities, dtype=np.int32))


def new_nodes(capacity: int, n_labels: int) -> Nodes:
    """Room for `capacity` nodes over `n_labels` labels."""
    return Nodes(
        ints=np.full((capacity, N_INTS), -1, dtype=np.int32),
        reals=np.zeros((capacity, N_REALS)),
        positives=np.zeros((capacity, n_labels)),
        set_masks=np.zeros((capacity, LABELSETS, words(n_labels)), dtype=np.uint64),
        set_counts=np.zeros((capacity, LABELSETS, 2)),
    )


def words(n_labels: int) -> int:
    """64-bit words of a labelset mask."""
    return (n_labels + 63) // 64


def new_slots(capacity: int, n_labels: int, table: Table, *, naive_bayes: bool, river: bool) -> Slots:
    """Room for `capacity` active leaves."""
    n_cells, n_features = int(table.offsets[-1]), len(table.arities)
    prepared = capacity if naive_bayes else 0
    sides = 2 if river else 1
    return Slots(
        cells=np.zeros((capacity, n_cells, n_labels + 1)),
        positives=np.zeros((capacity, n_labels)),
        reals=np.zeros((capacity, N_SLOT_REALS)),
        owner=np.full(capacity, -1, dtype=np.int32),
        low=np.zeros((capacity, n_features, sides), dtype=np.float32),
        high=np.zeros((capacity, n_features, sides), dtype=np.float32),
        coefs=np.zeros((prepared, n_cells, n_labels), dtype=np.float32),
        center=np.zeros((prepared, n_features), dtype=np.float32),
        base=np.zeros((prepared, n_labels), dtype=np.float32),
    )


def bytes_per_slot(n_labels: int, table: Table, *, naive_bayes: bool, river: bool) -> int:
    """Memory of one active leaf's observers."""
    one = new_slots(1, n_labels, table, naive_bayes=naive_bayes, river=river)
    return sum(int(array.nbytes) for array in one)


def new_space(n_nodes: int, n_slots: int, n_labels: int, n_agenda: int) -> Space:
    """Free lists (everything free), counters, and memory for one row's work."""
    faded = np.zeros(N_FADED)
    faded[TEMPER] = FIRST_TEMPER
    return Space(
        free_nodes=np.arange(n_nodes - 1, -1, -1, dtype=np.int32),
        free_slots=np.arange(n_slots - 1, -1, -1, dtype=np.int32),
        counters=np.zeros(N_COUNTERS, dtype=np.int64),
        faded=faded,
        agenda=np.zeros((n_agenda, 2), dtype=np.int32),
        **row_space(n_labels),
    )


def row_space(n_labels: int) -> dict[str, NDArray[Any]]:
    """The arrays of `Space` whose sizes depend on the labels."""
    return {
        "mask": np.zeros(words(n_labels), dtype=np.uint64),
        "scores": np.zeros(n_labels, dtype=np.float32),
        "chosen": np.zeros(n_labels, dtype=np.int32),
        "scratch": np.zeros((N_SCRATCH, n_labels)),
        "logs": np.zeros((2, max(LOGS, n_labels))),
    }


def is_binary(table: Table, *, sparse: bool) -> bool:
    """Whether each feature has one cell, which counts its value 1."""
    return sparse and bool((table.arities == 2).all()) and int(table.offsets[-1]) == len(table.arities)


def with_rows(array: NDArray, rows: int, fill: float = 0) -> NDArray:
    """A copy of `array` with its first axis lengthened to `rows`."""
    out = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    if fill:
        out[len(array) :] = fill
    out[: len(array)] = array
    return out


def _grown_free_list(free: NDArray[np.int32], n_free: int, old: int, new: int) -> NDArray[np.int32]:
    """A free list of length `new` with the ids old .. new on top, lowest last so that it is taken first."""
    out = np.zeros(new, dtype=np.int32)
    out[:n_free] = free[:n_free]
    out[n_free : n_free + new - old] = np.arange(new - 1, old - 1, -1, dtype=np.int32)
    return out


def grow_nodes(nodes: Nodes, space: Space, capacity: int) -> tuple[Nodes, Space]:
    """Room for more nodes."""
    old = len(nodes.ints)
    n_free = int(space.counters[N_FREE_NODES])
    space = space._replace(free_nodes=_grown_free_list(space.free_nodes, n_free, old, capacity))
    space.counters[N_FREE_NODES] += capacity - old
    nodes = Nodes(
        ints=with_rows(nodes.ints, capacity, -1),
        reals=with_rows(nodes.reals, capacity),
        positives=with_rows(nodes.positives, capacity),
        set_masks=with_rows(nodes.set_masks, capacity),
        set_counts=with_rows(nodes.set_counts, capacity),
    )
    return nodes, space


def grow_slots(slots: Slots, space: Space, capacity: int, *, naive_bayes: bool) -> tuple[Slots, Space]:
    """Room for more active leaves."""
    old = len(slots.owner)
    n_free = int(space.counters[N_FREE_SLOTS])
    space = space._replace(free_slots=_grown_free_list(space.free_slots, n_free, old, capacity))
    space.counters[N_FREE_SLOTS] += capacity - old
    prepared = capacity if naive_bayes else 0
    grown = {name: with_rows(getattr(slots, name), capacity) for name in ("cells", "positives", "reals", "low", "high")}
    grown |= {name: with_rows(getattr(slots, name), prepared) for name in ("coefs", "center", "base")}
    return Slots(owner=with_rows(slots.owner, capacity, -1), **grown), space
