"""The hierarchy above the clusters: a binary tree that stays shallow while clusters come and go."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.states import LARGEST, Part, Spec

__all__ = ["ClusterTree"]

MOST_DEEP = 100
"""Nodes on a path: beyond what any number of clusters needs."""
LEAN = 1.5
"""A subtree is at most `log(size) / log(LEAN)` deep: its heavier side holds at most two thirds of it, about."""


class ClusterTree:
    """A binary tree whose leaves are the clusters, at most `1.71 log2(clusters) + 1` inner nodes above each.

    A cluster that splits becomes the root of its parts; one that merges takes the other's place away. What leans too
    far is rebuilt from its leaves in order, as in a scapegoat tree (Galperin, Rivest, SODA 1993), so neighbours stay
    neighbours. Inner nodes have ids that are never used twice.

    Examples
    --------
    >>> tree = ClusterTree()
    >>> tree.replace([], [0])
    >>> tree.replace([0], [1, 2, 3])
    >>> tree.replace([2], [4, 5])
    >>> tree.clusters(), tree.depth, [len(tree.path(c)) for c in tree.clusters()]
    ([1, 4, 5, 3], 3, [2, 3, 3, 1])
    """

    def __init__(self) -> None:
        # a node is ("leaf", cluster) or ("inner", id), written as cluster or -1 - id
        self._parent: dict[int, int] = {}
        self._children: dict[int, list[int]] = {}
        self._root: int | None = None
        self._next_inner = 0

    @property
    def depth(self) -> int:
        """Inner nodes on the longest path."""
        return max((len(self.path(c)) for c in self.clusters()), default=0)

    def clusters(self) -> list[int]:
        """Cluster ids in the order of the leaves: similar ones tend to be neighbours."""
        return [] if self._root is None else self._leaves(self._root)

    def path(self, cluster: int) -> list[int]:
        """Ids of the inner nodes from the root to a cluster.

        Raises
        ------
        KeyError
            There is no such cluster.
        """
        if cluster not in self._parent and cluster != self._root:
            raise KeyError(cluster)
        return [-1 - node for node in self._ancestors(cluster)[::-1]]

    def children(self, inner: int) -> list[int]:
        """The two nodes below the inner node `inner`: clusters as they are, an inner node `k` as `-1 - k`."""
        return list(self._children[-1 - inner])

    def nested(self) -> Any:
        """The hierarchy as nested pairs of cluster ids; None when there is no cluster.

        >>> tree = ClusterTree()
        >>> tree.replace([], [0])
        >>> tree.replace([0], [1, 2, 3])
        >>> tree.nested()
        [[1, 2], 3]
        """

        def below(node: int) -> Any:
            return node if node >= 0 else [below(child) for child in self._children[node]]

        return None if self._root is None else below(self._root)

    def replace(self, before: Iterable[int], after: Sequence[int]) -> None:
        """Clusters `before` became `after`, listed so that similar ones are neighbours."""
        old = [c for c in before if c in self._parent or c == self._root]
        kept = set(old) & set(after)
        new = [c for c in after if c not in kept]
        gone = [c for c in old if c not in kept]
        if new:
            place = gone[0] if gone else old[0] if old else self._root
            top = self._balanced(new)
            if place is None:
                self._root = top
            elif gone:
                self._put(place, top)
            else:
                self._put(place, inner := self._inner())
                self._hang(inner, [place, top])
        for cluster in gone[1:] if new else gone:
            self._remove(cluster)
        self._rebalance()

    def _ancestors(self, node: int) -> list[int]:
        found = []
        while node in self._parent:
            node = self._parent[node]
            found.append(node)
        return found

    def _leaves(self, top: int) -> list[int]:
        found, todo = [], [top]
        while todo:
            node = todo.pop()
            if node >= 0:
                found.append(node)
            else:
                todo += reversed(self._children[node])
        return found

    def _inner(self) -> int:
        self._next_inner += 1
        return -self._next_inner

    def _hang(self, node: int, children: list[int]) -> None:
        self._children[node] = children
        for child in children:
            self._parent[child] = node

    def _put(self, old: int, new: int) -> None:
        """`new` where `old` was; `old` is outside then."""
        above = self._parent.pop(old, None)
        if above is None:
            self._root = new
            self._parent.pop(new, None)
        else:
            self._hang(above, [new if child == old else child for child in self._children[above]])

    def _remove(self, cluster: int) -> None:
        above = self._parent.pop(cluster, None)
        if above is None:
            self._root = None
            return
        (other,) = (child for child in self._children.pop(above) if child != cluster)
        self._put(above, other)

    def _balanced(self, leaves: list[int]) -> int:
        if len(leaves) == 1:
            return leaves[0]
        node, middle = self._inner(), (len(leaves) + 1) // 2
        self._hang(node, [self._balanced(leaves[:middle]), self._balanced(leaves[middle:])])
        return node

    def _rebalance(self) -> None:
        """Rebuild what leans until no leaf is too deep."""
        while self._root is not None:
            leaves = self.clusters()
            paths = [self._ancestors(c) for c in leaves]
            deepest = max(paths, key=len)
            if len(deepest) <= math.log(len(leaves), LEAN) + 1:
                return
            for height, node in enumerate(deepest, start=1):
                below = self._leaves(node)
                if height > math.log(len(below), LEAN):
                    self._forget(node)
                    self._put(node, self._balanced(below))
                    break

    def _forget(self, node: int) -> None:
        """Drop `node` and the inner nodes below it; what is above still names `node`."""
        inner = [child for child in self._children.pop(node) if child < 0]
        for child in inner:
            self._parent.pop(child)
            self._forget(child)

    def state_dict(self) -> dict[str, NDArray[np.int64]]:
        """Arrays by name: every inner node with its two children, the root last seen, the next inner id."""
        rows = [(node, *pair) for node, pair in sorted(self._children.items())]
        root = [] if self._root is None else [self._root]
        return {
            "inner": np.array(rows, dtype=np.int64).reshape(-1, 3),
            "root": np.array(root, dtype=np.int64),
            "next_inner": np.array([self._next_inner], dtype=np.int64),
        }

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        next_inner, n, some = part.whole("next_inner", 0), part.length("inner"), part.length("root")
        rows = part.array("inner", Spec(np.int64, (n, 3), -next_inner, LARGEST)).tolist()
        root = part.array("root", Spec(np.int64, (min(1, some),), -next_inner, LARGEST)).tolist()
        below = {node: pair for node, *pair in rows}
        seen, todo = set(), [(node, 0) for node in root]
        while todo:  # every node below the root once, and nothing else
            node, depth = todo.pop()
            seen.add(node)
            part.check((node >= 0) != (node in below) and depth <= MOST_DEEP, "inner", "no tree")
            todo += [(child, depth + 1) for child in below.get(node, ())]
            part.check(len(seen) + len(todo) <= 2 * n + 1, "inner", "a node twice")
        part.check(len(seen) == (2 * n + 1 if root else 0) and len(below) == n, "inner", "no tree")
        self._parent, self._children, self._root = {}, {}, root[0] if root else None
        for node, pair in below.items():
            self._hang(node, pair)
        self._next_inner = next_inner
