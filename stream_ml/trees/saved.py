"""What of a saved tree must be true before compiled loops may follow its nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.drift._kernels import AdwinBank
from stream_ml.drift.saved import checked_bank
from stream_ml.states import LARGEST, Part, Spec
from stream_ml.trees._allocation import new_space, new_table, words
from stream_ml.trees._layout import (
    ALTERNATE,
    DEPTH,
    FEATURE,
    LABELSETS,
    LEFT,
    MAX_SLOTS,
    N_AGENDA,
    N_ALTERNATES,
    N_COUNTERS,
    N_FADED,
    N_FREE_NODES,
    N_FREE_SLOTS,
    N_INTS,
    N_REALS,
    N_SLOT_REALS,
    OWNER,
    PARENT,
    RIGHT,
    ROOT,
    SLOT,
    Nodes,
    Slots,
    Space,
    Table,
)
from stream_ml.trees.parameters import TreeParameters

__all__ = ["KEPT_OF_SPACE", "SavedTree", "agenda_room", "saved_tree"]

KEPT_OF_SPACE = ("free_nodes", "free_slots", "counters", "faded")
EVENTS = {"split", "deactivate", "activate", "restart", "warning", "drift", "swap", "drop"}


class SavedTree(NamedTuple):
    """The parts of a tree that was saved, checked."""

    missing_cells: int
    table: Table
    nodes: Nodes
    slots: Slots
    space: Space
    bank: AdwinBank
    events: list[dict[str, Any]]


def agenda_room(parameters: TreeParameters) -> int:
    """Things that one row may leave to be done, at most."""
    return 4 * (parameters.max_depth + 4)


def saved_tree(part: Part, parameters: TreeParameters, *, sparse: bool, detector_rows: int) -> SavedTree:
    """A tree whose sizes agree, whose nodes make one tree, and whose free lists hold the rest.

    Raises
    ------
    StateError
        It is not one.
    """
    missing_cells = int(part.array("missing_cells", Spec(np.int64, (), 0, int(sparse))))
    arities = part.array("table.arities", Spec(np.int32, (part.length("table.arities"),), 0))
    table = new_table(arities, sparse=sparse, missing_cells=missing_cells)
    nodes, slots = _nodes(part.part("nodes."), len(arities)), _slots(part.part("slots."), table, parameters)
    n_nodes, n_slots, n_labels = len(nodes.ints), len(slots.owner), nodes.positives.shape[1]
    part.check(slots.positives.shape[1] == n_labels, "slots.positives", f"expected {n_labels} labels")
    bank = checked_bank(part.part("bank."), n_nodes if parameters.drift else 1, detector_rows, 6)
    spec_of = {
        "free_nodes": Spec(np.int32, (n_nodes,), 0, n_nodes - 1),
        "free_slots": Spec(np.int32, (n_slots,), 0, n_slots - 1),
        "counters": Spec(np.int64, (N_COUNTERS,), 0, LARGEST),
        "faded": Spec(np.float64, (N_FADED,)),
    }
    kept = {name: part.array(f"space.{name}", spec_of[name]) for name in KEPT_OF_SPACE}
    space = new_space(n_nodes, n_slots, n_labels, agenda_room(parameters))._replace(**kept)
    _check_structure(part, nodes, slots, space, parameters.max_depth)
    return SavedTree(missing_cells, table, nodes, slots, space, bank, _events(part))


def _nodes(part: Part, n_features: int) -> Nodes:
    n, f8 = part.length("ints"), np.float64
    part.check(n and part["positives"].ndim == 2 and part["positives"].shape[1], "positives", "no nodes or no labels")
    n_labels = part["positives"].shape[1]
    return part.load(
        Nodes,
        {
            "ints": Spec(np.int32, (n, N_INTS), -1, max(n, n_features, 1 << 30)),
            "reals": Spec(f8, (n, N_REALS)),
            "positives": Spec(f8, (n, n_labels)),
            "set_masks": Spec(np.uint64, (n, LABELSETS, words(n_labels))),
            "set_counts": Spec(f8, (n, LABELSETS, 2)),
        },
    )


def _slots(part: Part, table: Table, parameters: TreeParameters) -> Slots:
    f4, f8 = np.float32, np.float64
    n, n_cells, n_features = part.length("owner"), int(table.offsets[-1]), len(table.arities)
    part.check(part["positives"].ndim == 2, "positives", "no labels")
    n_labels = part["positives"].shape[1]
    prepared, sides = n if parameters.naive_bayes else 0, 2 if parameters.river else 1
    return part.load(
        Slots,
        {
            "cells": Spec(f8, (n, n_cells, n_labels + 1)),
            "positives": Spec(f8, (n, n_labels)),
            "reals": Spec(f8, (n, N_SLOT_REALS)),
            "owner": Spec(np.int32, (n,), -1),
            "low": Spec(f4, (n, n_features, sides), finite=False),
            "high": Spec(f4, (n, n_features, sides), finite=False),
            "coefs": Spec(f4, (prepared, n_cells, n_labels), finite=False),
            "center": Spec(f4, (prepared, n_features), finite=False),
            "base": Spec(f4, (prepared, n_labels), finite=False),
        },
    )


def _check_structure(part: Part, nodes: Nodes, slots: Slots, space: Space, max_depth: int) -> None:
    """Fail unless every node and every slot is in the tree once, or free once."""
    counters, n_nodes, n_slots = space.counters.tolist(), len(nodes.ints), len(slots.owner)
    root, free_nodes, free_slots = counters[ROOT], counters[N_FREE_NODES], counters[N_FREE_SLOTS]
    part.check(root < n_nodes and free_nodes < n_nodes and free_slots <= n_slots, "space.counters", "out of bounds")
    part.check(n_slots <= counters[MAX_SLOTS] and not counters[N_AGENDA], "space.counters", "work left undone")
    reached, alternates = _reached(part, nodes.ints, root, max_depth, slots.low.shape[1])
    part.check(alternates == counters[N_ALTERNATES], "space.counters", "not the number of alternates")
    free = space.free_nodes[:free_nodes]
    whole = len(reached) + free_nodes == n_nodes and len(np.unique(np.concatenate([free, reached]))) == n_nodes
    part.check(whole, "space.free_nodes", "nodes that are neither in the tree nor free, or both")
    at = nodes.ints[reached, SLOT]
    holders, held = np.array(reached, dtype=np.int32)[at >= 0], at[at >= 0]
    part.check(len(holders) == 0 or held.max() < n_slots, "nodes.ints", "a slot that is not there")
    owner = np.full(n_slots, -1, dtype=np.int32)
    owner[held] = holders
    part.check(np.array_equal(owner, slots.owner), "slots.owner", "not the leaves that have the slots")
    spare = np.sort(space.free_slots[:free_slots])
    part.check(
        np.array_equal(spare, np.flatnonzero(slots.owner < 0)), "space.free_slots", "not the slots that are free"
    )


def _reached(part: Part, ints: NDArray[np.int32], root: int, max_depth: int, n_features: int) -> tuple[list[int], int]:
    """The nodes below the root, and how many of them have an alternate subtree; fails where there is no tree."""
    rows, seen = ints.tolist(), set()
    todo, alternates = [(root, -1, 0, -1)], 0  # node, and its parent, depth and owner
    while todo:
        node, *facts = todo.pop()
        part.check(node < len(rows) and node not in seen, "nodes.ints", "a node twice, or one that is not there")
        seen.add(node)
        row = rows[node]
        left, right, depth = row[LEFT], row[RIGHT], row[DEPTH]
        part.check(facts == [row[PARENT], depth, row[OWNER]] and depth <= max_depth, "nodes.ints", "no tree")
        part.check((left < 0) == (right < 0), "nodes.ints", "a single child")
        if left >= 0:
            part.check(0 <= row[FEATURE] < n_features and row[SLOT] < 0, "nodes.ints", "no test")
            todo += [(left, node, depth + 1, -1), (right, node, depth + 1, -1)]
        if row[ALTERNATE] >= 0:
            alternates += 1
            todo.append((row[ALTERNATE], -1, depth, node))
    return sorted(seen), alternates


def _events(part: Part) -> list[dict[str, Any]]:
    """What happened and was not asked for yet."""
    events = part.plain("events")
    part.check(isinstance(events, list), "events", "expected a list")
    for event in events:
        good = isinstance(event, dict) and event.get("kind") in EVENTS
        good = good and all(type(event.get(key)) is int for key in ("instance", "node"))
        part.check(good and (event["kind"] != "swap" or type(event.get("alternate")) is int), "events", "no event")
    return list(events)
