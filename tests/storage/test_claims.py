"""What no model can have saved is refused, and told with file and part, though its checksum is right."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from storage.attacks import OPTIONS, make

from stream_ml.errors import ArtefactError
from stream_ml.serving.engine import Engine
from stream_ml.storage import Artefact, read_artefact


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genuine")
    make(folder, ("sparse", "dense"))
    return {kind: read_artefact(folder / f"{kind}.safetensors") for kind in ("sparse", "dense")}


def put(value: float, *at: int) -> Callable[[np.ndarray], np.ndarray]:
    """One value changed; negative places count from the end."""

    def change(array):
        array = array.copy()
        array[at or (0,) * array.ndim] = value
        return array

    return change


def used(value: int) -> Callable[[np.ndarray], np.ndarray]:
    """The first entry that is in use changed."""

    def change(array):
        array = array.copy()
        array.reshape(-1)[np.flatnonzero(array >= 0)[0]] = value
        return array

    return change


CLAIMS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "fewer labels than weights": ("model.pool.n_labels", put(3)),
    "weights without a column": ("model.pool.linear.0.weights", lambda a: a[:-1]),
    "weights of another type": ("model.pool.linear.0.weights", lambda a: a.astype(np.float64)),
    "arities that would fill memory": ("model.pool.design.arities", put(2**31 - 1)),
    "truth values of 2": ("model.pool.recency.last", lambda a: np.full(a.shape, 2, np.uint8).view(np.bool_)),
    "a neighbour's label that is not there": ("model.pool.neighbours.labels", put(99)),
    "a neighbour of more labels than there is room": ("model.pool.neighbours.sizes", put(99)),
    "a window of no length": ("model.pool.neighbours.norms", lambda a: a[:0]),
    "posting lists that fall": ("model.pool.neighbours.column_ptr", put(2**31 - 1, 0, 1)),
    "posting lists beyond the segment": ("model.pool.neighbours.post_rows", put(200)),
    "an open row beyond its entries": ("model.pool.neighbours.open_indptr", put(2**40, 1)),
    "an open column that is not there": ("model.pool.neighbours.open_indices", put(-1)),
    "rows learned below zero": ("model.pool.neighbours.learned", put(-1)),
    "a stacking weight that is no number": ("model.stacking.shared", put(np.nan)),
    "no curvature": ("model.stacking.information", lambda a: np.ones_like(a)),
    "a last set that is too large": ("model.joint.last", put(1000)),
    "a chain that never ends": ("model.joint.sets.chain", lambda a: np.zeros_like(a)),
    "a chain to nowhere": ("model.joint.sets.heads", used(2**31 - 1)),
    "a set of labels that are not there": ("model.joint.sets.labels", put(10_000)),
    "a table without buckets": ("model.joint.sets.heads", lambda a: a[:, :3]),
    "a cluster that is not there": ("model.joint.slot_of", put(77)),
    "thresholds of other labels": ("model.deciders.own", lambda a: a[:-1]),
    "a detector that is not there": ("model.watch.detectors", put(500, 0, 1)),
    "a histogram that is too full": ("model.watch.drift.sizes", put(6)),
    "a window that is wider than its buckets": ("model.watch.drift.reals", put(1e9)),
    "a full table of pairs": ("model.partition.clusters.statistics.keys", lambda a: np.arange(len(a)) + 1),
    "a pair twice": ("model.partition.clusters.statistics.keys", lambda a: np.where(a >= 0, a[a >= 0][0], -1)),
    "a pair that is not found": ("model.partition.clusters.statistics.keys", lambda a: a[::-1].copy()),
    "pairs that were never counted": ("model.partition.clusters.statistics.tally", put(3, 1)),
    "a cluster that was never made": ("model.partition.clusters.cluster_of", put(2**30)),
    "a hierarchy that is a circle": ("model.partition.clusters.tree.inner", lambda a: np.full_like(a, -1)),
    "learners of other clusters": ("model.partition.ids", put(12345)),
    "sleep before the beginning": ("model.sleep.since", put(-5)),
    "a label's metrics below zero": ("overall.counts", put(-1.0)),
    "a waiting feature that is not there": ("waiting.x_indices", put(10_000)),
    "a waiting row of no order": ("waiting.x_indices", lambda a: a[::-1].copy()),
    "waiting rows beyond the end": ("waiting.x_indptr", put(10**6, 1)),
    "a waiting prediction that is not there": ("waiting.p_indices", put(-1)),
}
TREE: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "a node that is its own child": (
        "nodes.ints",
        lambda a: np.where(np.arange(8) < 2, np.maximum(a, 0), a).astype("i4"),
    ),
    "nodes without parents": ("nodes.ints", put(5, 0, 2)),
    "a root that is not there": ("space.counters", put(10**6, 0)),
    "free nodes that are in use": ("space.free_nodes", lambda a: np.zeros_like(a)),
    "more free nodes than nodes": ("space.counters", put(10**6, 1)),
    "a slot of another": ("slots.owner", lambda a: a[::-1] + 1),
    "more slots than there may be": ("space.counters", put(0, 6)),
    "work left undone": ("space.counters", put(3, 7)),
    "cells of other features": ("slots.cells", lambda a: a[:, :-1].copy()),
    "arities of other features": ("table.arities", put(3)),
    "masks of other labels": ("nodes.set_masks", lambda a: np.repeat(a, 2, axis=2)),
    "detectors of other nodes": ("bank.sizes", lambda a: a[:-1]),
    "an event that never happens": ("events", lambda a: np.frombuffer(b'[{"kind": "x"}]', np.uint8)),
    "events without end": ("events", lambda a: np.frombuffer(b"[" * 100_000, np.uint8)),
}


def refused(found: Artefact, name: str, change: Callable[[np.ndarray], np.ndarray]) -> str:
    """What is told of a genuine checkpoint once the array of that name is changed."""
    genuine = found.arrays[name]
    changed = change(genuine)
    assert changed.shape != genuine.shape or changed.tobytes() != genuine.tobytes()
    with pytest.raises(ArtefactError) as told:
        Engine.restored({**found.arrays, name: changed}, found.facts, OPTIONS, source="made")
    return str(told.value)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_is_refused(genuine, claim):
    name, change = CLAIMS[claim]
    kind = "sparse" if name in genuine["sparse"].arrays and genuine["sparse"].arrays[name].size else "dense"
    text = refused(genuine[kind], name, change)
    assert re.fullmatch(r"made: its parts do not fit together: [^\n]{1,300}", text)
    assert ".".join(name.split(".")[:2]) in text, text


@pytest.mark.parametrize("claim", TREE)
def test_a_tree_that_is_none_is_refused(genuine, claim):
    name, change = TREE[claim]
    arrays = genuine["sparse"].arrays
    largest = max((n for n in arrays if n.endswith("tree.nodes.ints")), key=lambda n: int((arrays[n][:, 0] >= 0).sum()))
    tree = largest.removesuffix("nodes.ints")
    assert tree in refused(genuine["sparse"], tree + name, change)
