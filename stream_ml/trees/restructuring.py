"""Trees that follow their label cluster: restricted to some labels, extended by new ones, merged with another's.

A column of label statistics moves with its label; the structure, which belongs to all, stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_ml.drift._kernels import new_bank
from stream_ml.trees._allocation import row_space, words
from stream_ml.trees._layout import (
    ALTERNATE,
    ALTERNATE_LOSS,
    ALTERNATE_ROWS,
    EMPTY,
    EVIDENCE,
    LAST_ATTEMPT,
    LEFT,
    MAIN_LOSS,
    NEXT_REFRESH,
    POSITIVE_SUM,
    ROOT,
    ROWS,
    SET_WEIGHT,
    SLOT,
    WEIGHT,
)
from stream_ml.trees.growth import Growth

__all__ = ["Restructuring"]

KEPT_ROWS = 200.0
"""Rows for which naive Bayes of the own labels is kept after a merge, before it is prepared from new statistics."""


def _columns(array: NDArray[Any], take: NDArray[np.int64]) -> NDArray[Any]:
    """The columns (last axis) `take` of an array, zeros where it says -1."""
    out = np.zeros((*array.shape[:-1], len(take)), dtype=array.dtype)
    old = take >= 0
    out[..., old] = array[..., take[old]]
    return out


def _unpack(masks: NDArray[np.uint64], n_labels: int) -> NDArray[np.bool_]:
    """Labelset masks (..., words) as booleans (..., labels)."""
    bits = np.unpackbits(masks.astype("<u8").view(np.uint8), axis=-1, bitorder="little")
    return bits[..., :n_labels].astype(np.bool_)


def _pack(members: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Booleans (..., labels) as labelset masks (..., words)."""
    n_labels = members.shape[-1]
    padded = np.zeros((*members.shape[:-1], 64 * words(n_labels)), dtype=np.bool_)
    padded[..., :n_labels] = members
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64)


def _merge_equal_sets(masks: NDArray[np.uint64], counts: NDArray[np.float64]) -> None:
    """Add up the counts of labelsets of one leaf that have become the same."""
    seen: dict[bytes, int] = {}
    for k in np.flatnonzero(counts[:, 0] > 0.0).tolist():
        first = seen.setdefault(masks[k].tobytes(), k)
        if first != k:
            counts[first] += counts[k]
            counts[k] = 0.0


class Restructuring(Growth, ABC):
    """The part of a tree that follows its labels. Every method returns a new tree and leaves this one alone."""

    @abstractmethod
    def copy(self) -> Self:
        """An independent tree in the same state."""

    @abstractmethod
    def _fit_memory(self) -> None:
        """Keep to the memory limit after the size of a slot has changed."""

    def restrict(self, keep: ArrayLike) -> Self:
        """The tree restricted to the labels at the positions `keep` (int), in that order.

        Structure and statistics stay. Where labels are dropped, labelsets that become equal are merged, the count of
        rows without any label is estimated from them, and detectors and running comparisons of alternates start anew,
        as losses before and after would not compare.

        Raises
        ------
        ValueError
            A position twice, none at all, or one that is not there.
        """
        take = np.asarray(keep, dtype=np.int64).reshape(-1)
        n_labels = self._nodes.positives.shape[1]
        if not len(take) or len(np.unique(take)) != len(take) or take.min() < 0 or take.max() >= n_labels:
            raise ValueError(f"positions to keep must be distinct, at least one, and below {n_labels}: {take.tolist()}")
        tree = self._with_columns(take)
        if len(take) < n_labels:
            tree._forget_dropped()
        return tree

    def reorder(self, order: ArrayLike) -> Self:
        """The tree with its labels in another order: new position i is old position `order[i]`."""
        if len(np.asarray(order)) != self._nodes.positives.shape[1]:
            raise ValueError("an order names every label once")
        return self.restrict(order)

    def extend(self, n_labels: int) -> Self:
        """The tree with `n_labels` more labels, appended, that have never been positive."""
        have = self._nodes.positives.shape[1]
        return self._with_columns(np.concatenate([np.arange(have), np.full(n_labels, -1)]))

    def graft_labels(self, other: Restructuring) -> Self:
        """The tree with the labels of `other` appended; the structure is this one's.

        A leaf knows of the new labels the rate they have in all of `other`. Observers and labelset tables start anew,
        as they never saw the two label sets together; naive Bayes of the own labels is kept for the next 200 rows of
        a leaf. Two trees of one leaf that observed the same rows keep their observers: their statistics are simply put
        side by side. Alternate subtrees are dropped, detectors start anew.
        """
        rates, empty = other._overall_rates()
        have = self._nodes.positives.shape[1]
        tree = self._with_columns(np.concatenate([np.arange(have), np.full(len(rates), -1)]))
        tree._drop_alternates()
        tree._nodes.positives[:, have:] = tree._nodes.reals[:, EVIDENCE, None] * rates
        tree._nodes.reals[:, EMPTY] *= empty
        tree._nodes.reals[:, POSITIVE_SUM] = tree._nodes.positives.sum(axis=1)
        tree._nodes.reals[:, SET_WEIGHT] = 0.0
        tree._nodes.set_counts[:] = 0.0
        if not tree._side_by_side(self, other):
            tree._restart_observers()
        tree._new_detectors()
        return tree

    # -- parts

    def _with_columns(self, take: NDArray[np.int64]) -> Self:
        """A copy with the label columns `take`; -1 is a new label."""
        tree = self.copy()
        nodes, slots = tree._nodes, tree._slots
        n_labels = nodes.positives.shape[1]
        members = _columns(_unpack(nodes.set_masks, n_labels), take)
        tree._nodes = nodes._replace(positives=_columns(nodes.positives, take), set_masks=_pack(members))
        tree._slots = slots._replace(
            cells=_columns(slots.cells, np.append(take, n_labels)),
            positives=_columns(slots.positives, take),
            coefs=_columns(slots.coefs, take),
            base=_columns(slots.base, take),
        )
        tree._space = tree._space._replace(**row_space(len(take)))
        tree._fit_memory()
        return tree

    def _new_detectors(self) -> None:
        """Empty every detector's window."""
        self._bank = new_bank(len(self._bank.reals), max_rows=self._bank.sizes.shape[1])

    def _forget_dropped(self) -> None:
        """Make the counts consistent after labels were dropped."""
        nodes, reals = self._nodes, self._nodes.reals
        positive_sum = nodes.positives.sum(axis=1)
        for node in np.flatnonzero(reals[:, SET_WEIGHT] > 0.0).tolist():
            counts = nodes.set_counts[node]
            _merge_equal_sets(nodes.set_masks[node], counts)
            without = float(counts[~nodes.set_masks[node].any(axis=1), 0].sum() / counts[:, 0].sum())
            room = reals[node, EVIDENCE] - nodes.positives[node].max()
            reals[node, EMPTY] = max(reals[node, EMPTY], min(reals[node, EVIDENCE] * without, room))
        reals[:, POSITIVE_SUM] = positive_sum
        reals[:, [MAIN_LOSS, ALTERNATE_LOSS, ALTERNATE_ROWS]] = 0.0
        self._new_detectors()

    def _overall_rates(self) -> tuple[NDArray[np.float64], float]:
        """Share of rows with each label, and without any, over all leaves."""
        nodes = self._nodes
        stack, leaves = [int(self._space.counters[ROOT])], []
        while stack:
            node = stack.pop()
            left, right = nodes.ints[node, [LEFT, LEFT + 1]].tolist()
            if left >= 0:
                stack += [right, left]
            elif nodes.reals[node, EVIDENCE] > 0.0:
                leaves.append(node)
        weight = nodes.reals[leaves, WEIGHT]
        if not len(leaves) or weight.sum() <= 0.0:
            return np.zeros(nodes.positives.shape[1]), 1.0
        share = weight / weight.sum() / nodes.reals[leaves, EVIDENCE]
        return share @ nodes.positives[leaves], float(share @ nodes.reals[leaves, EMPTY])

    def _drop_alternates(self) -> None:
        ints = self._nodes.ints
        for node in np.flatnonzero(ints[:, ALTERNATE] >= 0).tolist():
            alternate = int(ints[node, ALTERNATE])
            ints[node, ALTERNATE] = -1
            self._free_subtree(alternate)

    def _side_by_side(self, own: Restructuring, other: Restructuring) -> bool:
        """Put the statistics of two single leaves side by side if they saw the same rows; returns whether they did."""
        roots = [int(tree._space.counters[ROOT]) for tree in (own, other)]
        slots = []
        for tree, root in zip((own, other), roots, strict=True):
            if tree._nodes.ints[root, LEFT] >= 0 or tree._nodes.ints[root, SLOT] < 0:
                return False
            slots.append(int(tree._nodes.ints[root, SLOT]))
        (a, b), (mine, theirs) = slots, (own._slots, other._slots)
        if mine.cells.shape[1] != theirs.cells.shape[1] or mine.reals[a, ROWS] != theirs.reals[b, ROWS]:
            return False
        if not np.array_equal(mine.cells[a, :, -1], theirs.cells[b, :, -1]):
            return False
        have = mine.positives.shape[1]
        here = int(self._nodes.ints[roots[0], SLOT])  # may have moved, or gone, where memory is short
        if here < 0:
            return False
        self._slots.cells[here, :, have:-1] = theirs.cells[b, :, :-1]
        self._slots.positives[here, have:] = theirs.positives[b]
        self._nodes.positives[roots[0], have:] = other._nodes.positives[roots[1]]
        self._nodes.reals[roots[0], POSITIVE_SUM] = self._nodes.positives[roots[0]].sum()
        if len(self._slots.coefs):
            self._slots.coefs[here, :, have:] = theirs.coefs[b]
            self._slots.base[here, have:] = theirs.base[b]
        return True

    def _restart_observers(self) -> None:
        slots = self._slots
        slots.cells[:] = 0.0
        slots.positives[:] = 0.0
        slots.low[:] = np.inf
        slots.high[:] = -np.inf
        slots.reals[:, ROWS] = 0.0
        slots.reals[:, NEXT_REFRESH] = KEPT_ROWS
        self._nodes.reals[self._nodes.ints[:, SLOT] >= 0, LAST_ATTEMPT] = 0.0
