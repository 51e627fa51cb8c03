"""Gated routing: a tree of gates that finds the labels of an instance without looking at all of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import aligned_zeros, capacity, grown, tuple_arrays
from stream_ml.experts.design import DesignRows
from stream_ml.experts.neighbours import Nearest
from stream_ml.gating import _layout as lay
from stream_ml.gating._kernels import gates_block
from stream_ml.gating._layout import MOST_SEEN, GateRows, GateScratch
from stream_ml.gating._table_kernels import rehash
from stream_ml.gating.saved import gates_state
from stream_ml.states import Part
from stream_ml.streams.batch import Partial

__all__ = ["Gates"]

FIRST_BLOCKS = 1 << 12
LOAD = 0.5
BLOCK_BYTES = 4 * lay.FIELDS * lay.WIDTH + 8 + int(12 / LOAD)
FIRST_SQUARES = 1e-2
FIRST_STEP_SQUARES = 1.0
FIRST_WEIGHTS = (0.3, 0.2, 0.1, 0.1, 0.3, 0.0)
FIRST_PRIOR = -2.2
BAYES_ROWS = 20.0
WIDEST_KEPT = 4096
"""Entries of a row up to which it is kept where the blocks of each group that it visits are."""
RIDGE = 3
"""Place of the ridge among the options."""


class Gates:
    """Probabilities of the labels that an instance is likely to have, at a cost of the paths that lead to them.

    A probabilistic label tree that grows while it learns (Jasinska-Kobus, Wydmuch, Thiruvenkatachari, Dembczyński,
    AISTATS 2021): a label is positive when all gates above it are, and each gate learns from the instances of the gate
    above. At each gate two linear models, naive Bayes, the fading prior and the votes of the nearest neighbours are
    stacked, with weights shared by all gates, others shared by all labels, and a part of their own.

    Weights lie in blocks of a group's children for one feature, in a table that doubles up to `memory_limit_mb` and
    then lets the least needed blocks go.

    Parameters
    ----------
    prior_fading, own_rate, decay
        As those of the root experts and of `Stacking`.
    reach
        Gates less probable than this are not followed, once the five best labels are found.
    memory_limit_mb
        Bound on the table of weights.
    """

    def __init__(
        self,
        *,
        prior_fading: float = 0.999,
        own_rate: float = 0.01,
        decay: float = 0.999,
        ridge: float = 10.0,
        reach: float = 0.05,
        memory_limit_mb: float = 1024.0,
    ) -> None:
        self.options = np.array([prior_fading, own_rate, decay, ridge, reach])
        self.most_blocks = max(FIRST_BLOCKS, int(memory_limit_mb * 2**20) // BLOCK_BYTES)
        self.n_labels = 0
        n, i4, i8, f4 = lay.EXPERTS + 1, np.int32, np.int64, np.float32
        none = np.zeros((0, lay.WIDTH), dtype=i4)
        self.tree = lay.GateTree(
            np.ones(1, i8), none[:, 0], none, none, none, none[:, 0], none[:, 0], np.zeros((0, 2), i4)
        )
        self.weights = _table(self.most_blocks)
        self.lanes = lay.Lanes(
            np.zeros((0, lay.LANE_FIELDS, lay.WIDTH), f4),
            np.zeros((0, 3)),
            np.zeros((0, n, lay.WIDTH), f4),
            np.zeros((0, n, lay.WIDTH), f4),
        )
        self.stack = lay.LaneStack(
            np.tile(FIRST_WEIGHTS, (2, 1)),
            np.tile(np.eye(n) * ridge, (2, 1, 1)),
            np.zeros((2, n)),
            np.zeros(1, i8),
        )
        self._scratch = _scratch(0)
        self._make_groups(1)

    def _make_groups(self, needed: int) -> None:
        """Room for groups."""
        room = capacity(needed, len(self.tree.used))
        if room == len(self.tree.used):
            return
        wide, known = (room, lay.WIDTH), len(self.tree.used)
        t, lanes = self.tree, self.lanes
        self.tree = t._replace(
            used=grown(t.used, (room,)),
            below=grown(t.below, wide, lay.NONE),
            label=grown(t.label, wide, lay.NONE),
            size=grown(t.size, wide),
            parent=grown(t.parent, (room,), lay.NONE),
            parent_lane=grown(t.parent_lane, (room,)),
        )
        values = grown(lanes.values, (room, *lanes.values.shape[1:]))
        values[known:, lay.SQUARES], values[known:, lay.STEP_SQUARES] = FIRST_SQUARES, FIRST_STEP_SQUARES
        values[known:, lay.PRIOR] = FIRST_PRIOR
        values[known:, lay.SHARE] = 1 / (1 + np.exp(-FIRST_PRIOR))
        shape = (room, *lanes.own.shape[1:])
        self.lanes = lay.Lanes(
            values, grown(lanes.rows, (room, 3)), grown(lanes.own, shape), grown(lanes.own_squares, shape, 1.0)
        )
        self._scratch = _scratch(room)._replace(numbers=self._scratch.numbers, present=self._scratch.present)

    def grow(self, n_labels: int) -> None:
        """Make room for labels; they enter the tree when they are learned."""
        if n_labels <= self.n_labels:
            return
        self.n_labels = n_labels
        place = self.tree.place
        room = capacity(n_labels, len(place))
        if room > len(place):
            self.tree = self.tree._replace(place=grown(place, (room, 2), lay.NONE))

    def process(
        self,
        rows: DesignRows,
        nearest: Nearest,
        y: tuple[NDArray[np.int64], NDArray[np.int32]],
        mode: NDArray[np.uint8],
        partial: Partial,
        centred: NDArray[np.bool_],
        most: int,
    ) -> GateRows:
        """The `most` likeliest labels of each row; then it is learned, as its mode says."""
        n = len(mode)
        new = int(np.count_nonzero(self.tree.place[np.unique(y[1]), 0] == lay.NONE)) if len(y[1]) else 0
        self._make_groups(int(self.tree.counters[0]) + new)
        out = GateRows(
            np.zeros(n, dtype=np.int32),
            np.zeros((n, most), dtype=np.int32),
            np.zeros((n, most), dtype=np.float32),
            np.zeros((n, 2), dtype=np.int32),
        )
        longest = int(np.diff(rows.indptr).max(initial=0))
        if longest > self._scratch.numbers.shape[1]:
            places = MOST_SEEN + 1 if longest <= WIDEST_KEPT else 1
            numbers = np.zeros((places, 2 * longest), dtype=np.int32)
            self._scratch = self._scratch._replace(numbers=numbers, present=np.zeros(2 * longest, dtype=np.float32))
        row = 0
        while row < n:
            room = len(self.weights.keys)
            full = int(LOAD * room) if LOAD * room < self.most_blocks else 2**62
            row = gates_block(
                self.tree, self.weights, self.lanes, self.stack, rows, *nearest, *y, partial.indptr, partial.indices,
                partial.rows, mode, centred, row, full, self.options, self._scratch, out,
            )  # fmt: skip
            if row < n:
                self.weights = _enlarged(self.weights, 2 * room)
        return out

    def said(self, found: GateRows) -> dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """What was said in the groups that the last row's prediction visited; that row is the only one of `found`.

        By group: the experts' log-odds (EXPERTS, WIDTH), and the stacked probabilities of its children (WIDTH,).
        """
        s, n = self._scratch, int(found.visited[0, 0])
        return {group: (s.logits[at].copy(), s.chances[at].copy()) for at, group in enumerate(s.groups[:n].tolist())}

    def path(self, label: int) -> list[tuple[int, int]]:
        """Groups and children on the way to a label in the tree, from the root on; the last one is the label itself."""
        steps = [(int(self.tree.place[label, 0]), int(self.tree.place[label, 1]))]
        while (above := int(self.tree.parent[steps[0][0]])) != lay.NONE:
            steps.insert(0, (above, int(self.tree.parent_lane[steps[0][0]])))
        return steps

    def hurry(self, keep: float) -> None:
        """After a drift: keep the share `keep` of the evidence that makes steps short."""
        n, used, ridge = int(self.weights.tally[0]), int(self.tree.counters[0]), self.options[RIDGE]
        for array, first in (
            (self.weights.blocks[:n, lay.WEIGHT_SQUARES], FIRST_SQUARES),
            (self.lanes.values[:used, lay.SQUARES], FIRST_SQUARES),
            (self.lanes.values[:used, lay.STEP_SQUARES], FIRST_STEP_SQUARES),
            (self.lanes.own_squares[:used], 1.0),
        ):
            np.maximum(array * np.float32(keep), np.float32(first), out=array)
        for information in self.stack.information:
            information[:] = information * keep + np.eye(len(information)) * (ridge * (1.0 - keep))

    def forget(self) -> None:
        """After a large drift, which makes old knowledge worth less than none: one linear expert starts anew.

        The evidence of naive Bayes becomes light. The tree stays: which labels are alike is worth more than nothing.
        """
        n, used = int(self.weights.tally[0]), int(self.tree.counters[0])
        values, light = self.lanes.values[:used], min(1.0, BAYES_ROWS / max(1.0, float(self.lanes.rows[0, 2])))
        self.weights.blocks[:n, lay.STEP_WEIGHT] = values[:, lay.STEP_BIAS] = 0.0
        values[:, lay.STEP_SQUARES] = FIRST_STEP_SQUARES
        for array in (
            self.weights.blocks[:n, lay.COLUMN_COUNT],
            self.weights.rows[:n],
            values[:, lay.MASS],
            self.lanes.rows[:used, 1],
        ):
            array *= np.float32(light)

    def label_weights(self, labels: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Stacking weight of each expert for some labels, or all, the intercept last: (experts + 1, labels)."""
        group, lane = (self.tree.place[: self.n_labels] if labels is None else self.tree.place[labels]).T
        own = self.lanes.own[np.maximum(group, 0), :, np.maximum(lane, 0)].T
        return self.stack.shared[1][:, None] + np.where(group >= 0, own, 0.0)

    def facts(self) -> dict[str, int]:
        """Numbers of `labels` in the tree, `groups`, their `width`, `depth`, `blocks` used and `forgotten`."""
        groups = int(self.tree.counters[0])
        depth = np.ones(groups, dtype=np.int64)
        for group in range(1, groups):  # parents come first
            depth[group] = depth[self.tree.parent[group]] + 1
        return {
            "labels": int(np.count_nonzero(self.tree.place[: self.n_labels, 0] >= 0)),
            "groups": groups,
            "width": lay.WIDTH,
            "depth": int(depth.max()),
            "blocks": int(self.weights.tally[0]),
            "forgotten": int(self.weights.tally[1]),
        }

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part."""
        return {
            "gate_weights": sum(a.nbytes for a in self._used_weights().values()),
            "gates": sum(a.nbytes for part in (self.tree, self.lanes, self.stack, self._scratch) for a in part),
        }

    def state_dict(self) -> dict[str, NDArray]:
        """The whole state as a flat mapping; arrays are views of the live ones."""
        groups = int(self.tree.counters[0])
        used = {"counters": 1, "place": self.n_labels}
        state = {f"tree.{n}": a[: used.get(n, groups)] for n, a in tuple_arrays(self.tree).items()}
        state |= {f"lanes.{n}": a[:groups] for n, a in tuple_arrays(self.lanes).items()}
        state |= {f"stack.{n}": a for n, a in tuple_arrays(self.stack).items()}
        return state | {f"weights.{name}": a for name, a in self._used_weights().items()}

    def _used_weights(self) -> dict[str, NDArray]:
        """The table without the blocks that are not used."""
        used = int(self.weights.tally[0])
        return {n: a[:used] if n in {"blocks", "rows"} else a for n, a in tuple_arrays(self.weights).items()}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        self.tree, self.weights, self.lanes, self.stack = gates_state(Part.of(state), self.most_blocks)
        self.n_labels = len(self.tree.place)
        self._scratch = _scratch(len(self.tree.used))


def _table(n: int) -> lay.GateWeights:
    """An empty table. Its blocks take memory only when they are used: the system gives it page by page."""
    weights = lay.GateWeights(
        np.zeros(0, dtype=np.int64),
        np.zeros(0, dtype=np.int32),
        aligned_zeros((n, lay.FIELDS, lay.WIDTH)),
        np.zeros((n, 2), dtype=np.float32),
        np.zeros(2, dtype=np.int64),
    )
    # made as larger ones are, so that no kernel is new when it grows
    return _enlarged(weights, int(FIRST_BLOCKS / LOAD))


def _enlarged(weights: lay.GateWeights, n: int) -> lay.GateWeights:
    """The same blocks with room for `n` keys."""
    keys, numbers = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int32)
    weights.tally[1] += rehash(weights.keys, weights.numbers, keys, numbers)
    return weights._replace(keys=keys, numbers=numbers)


def _scratch(n: int) -> GateScratch:
    """Room for one row with so many groups."""
    i4, i8, f4, most = np.int32, np.int64, np.float32, MOST_SEEN
    return GateScratch(
        np.full(n, -1, i4),
        np.zeros(n, i8),
        np.zeros(n, i8),
        np.zeros((n, lay.WIDTH), f4),
        np.zeros(n, i4),
        np.zeros(n + 1, i4),
        np.zeros(n + 1, i4),
        np.zeros((most + 1, lay.EXPERTS, lay.WIDTH), f4),
        np.zeros((most + 1, lay.WIDTH), f4),
        np.zeros(most, i4),
        np.zeros(most * lay.WIDTH, i4),
        np.zeros(most * lay.WIDTH),
        np.zeros(most * lay.WIDTH, i4),
        np.zeros(most * lay.WIDTH, f4),
        np.zeros(lay.BEST, f4),
        np.zeros(lay.BINS, i4),
        np.zeros(most * lay.WIDTH, i4),
        np.zeros(most * lay.WIDTH, i4),
        np.zeros((most + 1, 0), i4),
        np.zeros(0, f4),
        np.zeros(3, f4),
        np.zeros((2, lay.WIDTH), f4),
        np.zeros((2, lay.EXPERTS + 1 + lay.CURVATURES, lay.WIDTH), f4),
        np.zeros((lay.EXPERTS + 1, lay.EXPERTS + 1)),
        np.zeros(lay.EXPERTS + 1),
    )
