"""The hierarchy above the clusters: what it holds, how deep it gets, that it survives saving."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.labels import ClusterTree

quick = settings(deadline=None, derandomize=True, max_examples=60)


def check(tree, alive):
    """A binary tree over exactly the clusters alive, shallow, paths and children telling the same."""
    leaves = tree.clusters()
    assert sorted(leaves) == sorted(alive)
    if not alive:
        assert tree.depth == 0
        return
    assert tree.depth <= math.log(len(alive), 1.5) + 1
    inner = {node for cluster in alive for node in tree.path(cluster)}
    assert len(inner) == len(alive) - 1
    for cluster in alive:
        path = tree.path(cluster)
        below = [*(-1 - node for node in path[1:]), cluster] if path else []
        for above, node in zip(path, below, strict=True):
            assert node in tree.children(above)
    assert len(tree.state_dict()["inner"]) == len(alive) - 1


@quick
@given(st.integers(0, 2**32 - 1), st.integers(5, 60))
def test_any_history_leaves_a_shallow_tree(seed, steps):
    rng = np.random.default_rng(seed)
    tree, alive, next_id = ClusterTree(), [], 0
    lopsided = rng.random() < 0.5  # always split the newest: a chain, were it not rebuilt
    for _ in range(steps):
        n_old = 1 if lopsided else int(rng.integers(0, min(4, len(alive)) + 1))
        old = alive[-1:] if lopsided else rng.permutation(alive)[:n_old].astype(int).tolist()
        new = list(range(next_id, next_id + int(rng.integers(0 if old else 1, 4))))
        kept = old[: int(rng.integers(0, 2))] if not lopsided else []
        next_id += len(new)
        tree.replace(old, [*kept, *new])
        alive = [c for c in alive if c not in old or c in kept] + new
        check(tree, alive)
        other = ClusterTree()
        other.load_state_dict(tree.state_dict())
        assert (other.clusters(), other.depth) == (tree.clusters(), tree.depth)
    other.replace([], [next_id])
    tree.replace([], [next_id])
    assert [other.path(c) for c in other.clusters()] == [tree.path(c) for c in tree.clusters()]


def test_parts_take_the_place_of_the_whole():
    tree = ClusterTree()
    tree.replace([], [0])
    tree.replace([0], [1, 2, 3, 4])
    before = tree.path(1)
    tree.replace([3], [5, 6])
    assert tree.clusters() == [1, 2, 5, 6, 4]
    assert tree.path(1) == before
    tree.replace([5, 1], [7])
    assert tree.clusters() == [2, 7, 6, 4]
    with pytest.raises(KeyError):
        tree.path(5)
