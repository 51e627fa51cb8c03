"""How a tree changes shape: leaves split, slots change hands, alternate subtrees start, win or are dropped.

All of it is rare, so it is plain Python on the tree's arrays; only the split search is compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.drift._kernels import AdwinBank, adwin_reset, grow_bank
from stream_ml.trees._allocation import grow_nodes, grow_slots
from stream_ml.trees._drift_kernels import verdict
from stream_ml.trees._kernels import REFRESH_ROWS
from stream_ml.trees._layout import (
    ALTERNATE,
    ALTERNATE_LOSS,
    ALTERNATE_ROWS,
    ATTEMPT,
    DEPTH,
    EMPTY,
    EVIDENCE,
    FEATURE,
    JUDGE,
    LAST_ATTEMPT,
    LEFT,
    MAIN_LOSS,
    MAX_SLOTS,
    N_AGENDA,
    N_ALTERNATES,
    N_FREE_NODES,
    N_FREE_SLOTS,
    N_LEARNED,
    N_SPLITS,
    NEGATIVE,
    NEXT_REFRESH,
    OWNER,
    PARENT,
    POSITIVE_SUM,
    RIGHT,
    ROOT,
    ROWS,
    SLOT,
    THRESHOLD,
    WARN,
    WEIGHT,
    Leaf,
    Nodes,
    Settings,
    Slots,
    Space,
    Table,
)
from stream_ml.trees._split_kernels import (
    LEFT_IN,
    LEFT_OUT,
    N_IN,
    N_OUT,
    ZEROS_IN,
    ZEROS_OUT,
    good_enough,
    search_splits,
    split_shares,
)
from stream_ml.trees.parameters import TreeParameters

__all__ = ["Growth"]


class Growth:
    """The part of a tree that changes its shape."""

    _nodes: Nodes
    _slots: Slots
    _space: Space
    _table: Table
    _bank: AdwinBank
    _events: list[dict[str, Any]]
    parameters: TreeParameters

    def _work_off(self, settings: Settings, instance: int) -> None:
        """Do what the row with number `instance` left on the agenda."""
        n = int(self._space.counters[N_AGENDA])
        self._space.counters[N_AGENDA] = 0
        for task, node in self._space.agenda[:n].tolist():
            if task == ATTEMPT:
                self._attempt(node, settings, instance)
            elif task == WARN:
                self._warn(node, instance)
            elif task == JUDGE:
                self._judge(node, settings, instance)

    def _record(self, instance: int, kind: str, node: int, **facts: Any) -> None:
        self._events.append({"instance": instance, "kind": kind, "node": node, **facts})

    # -- nodes and slots

    def _new_node(self, parent: int, depth: int) -> int:
        """An empty leaf without a slot."""
        counters = self._space.counters
        if counters[N_FREE_NODES] == 0:
            capacity = 2 * len(self._nodes.ints)
            self._nodes, self._space = grow_nodes(self._nodes, self._space, capacity)
            if len(self._bank.reals) > 1:
                self._bank = grow_bank(self._bank, capacity)
            counters = self._space.counters
        counters[N_FREE_NODES] -= 1
        node = int(self._space.free_nodes[counters[N_FREE_NODES]])
        nodes = self._nodes
        nodes.ints[node] = -1
        nodes.reals[node] = 0.0
        nodes.positives[node] = 0.0
        nodes.set_counts[node] = 0.0
        nodes.ints[node, PARENT] = parent
        nodes.ints[node, DEPTH] = depth
        return node

    def _clear_slot(self, node: int, slot: int) -> None:
        """Give a slot to a leaf, everything in it forgotten."""
        slots = self._slots
        slots.cells[slot] = 0.0
        slots.positives[slot] = 0.0
        slots.reals[slot] = 0.0
        slots.reals[slot, NEXT_REFRESH] = REFRESH_ROWS
        slots.low[slot] = np.inf
        slots.high[slot] = -np.inf
        slots.owner[slot] = node
        self._nodes.ints[node, SLOT] = slot

    def _promise(self, node: int) -> float:
        """Rows a leaf would have labelled wrongly by its prior, summed over labels: what splits could win at most."""
        evidence = float(self._nodes.reals[node, EVIDENCE])
        if evidence <= 0.0:
            return 0.0
        counts = self._nodes.positives[node]
        wrong = float(np.minimum(counts, evidence - counts).sum())
        return float(self._nodes.reals[node, WEIGHT]) * wrong / evidence

    def _take_slot(self, node: int, wanted: float, spared: int, instance: int) -> bool:
        """Give `node` a slot: a free or new one, else that of the leaf that promises least if less than `wanted`.

        The leaf `spared` keeps its slot. Returns whether there was one.
        """
        counters = self._space.counters
        have = len(self._slots.owner)
        if counters[N_FREE_SLOTS] == 0 and have < counters[MAX_SLOTS]:
            capacity = min(int(counters[MAX_SLOTS]), have + max(1, have // 2))
            self._slots, self._space = grow_slots(
                self._slots, self._space, capacity, naive_bayes=self.parameters.naive_bayes
            )
            counters = self._space.counters
        if counters[N_FREE_SLOTS] > 0:
            counters[N_FREE_SLOTS] -= 1
            self._clear_slot(node, int(self._space.free_slots[counters[N_FREE_SLOTS]]))
            return True
        owners = [owner for owner in self._slots.owner.tolist() if owner >= 0 and owner not in (spared, node)]
        if not owners:
            return False
        lowest, weakest = min((self._promise(owner), owner) for owner in owners)
        if lowest >= wanted:
            return False
        slot = int(self._nodes.ints[weakest, SLOT])
        self._sleep(weakest, instance, lowest)
        self._clear_slot(node, slot)
        return True

    def _fit_slots(self, capacity: int, instance: int) -> None:
        """Shrink the pool to `capacity` slots: the least promising leaves sleep, the others move together."""
        slots = self._slots
        used = np.flatnonzero(slots.owner >= 0)
        surplus = sorted((self._promise(int(slots.owner[slot])), int(slot)) for slot in used)
        surplus = surplus[: max(0, len(surplus) - capacity)]
        for value, slot in surplus:
            self._sleep(int(slots.owner[slot]), instance, value)
            slots.owner[slot] = -1
        kept = np.flatnonzero(slots.owner >= 0)
        pool = np.concatenate([kept, np.flatnonzero(slots.owner < 0)[: capacity - len(kept)]])
        self._slots = Slots(**{name: array[pool] if len(array) else array for name, array in slots._asdict().items()})
        self._nodes.ints[self._slots.owner[: len(kept)], SLOT] = np.arange(len(kept))
        self._space = self._space._replace(free_slots=np.arange(capacity - 1, -1, -1, dtype=np.int32))
        self._space.counters[N_FREE_SLOTS] = capacity - len(kept)

    def _sleep(self, leaf: int, instance: int, value: float) -> None:
        """Leave a leaf without observers."""
        self._nodes.ints[leaf, SLOT] = -1
        self._nodes.reals[leaf, LAST_ATTEMPT] = self._nodes.reals[leaf, WEIGHT]
        if self._space.counters[N_LEARNED]:  # a tree that knows nothing yet has nothing to tell
            self._record(instance, "deactivate", leaf, promise=value)

    def _free_subtree(self, root: int) -> None:
        """Give back the nodes and slots of a subtree, alternates included."""
        counters, ints = self._space.counters, self._nodes.ints
        stack = [root]
        while stack:
            node = stack.pop()
            stack += [child for child in ints[node, [LEFT, RIGHT, ALTERNATE]].tolist() if child >= 0]
            if ints[node, OWNER] >= 0:
                counters[N_ALTERNATES] -= 1
            slot = int(ints[node, SLOT])
            if slot >= 0:
                self._slots.owner[slot] = -1
                self._space.free_slots[counters[N_FREE_SLOTS]] = slot
                counters[N_FREE_SLOTS] += 1
            ints[node] = -1
            self._space.free_nodes[counters[N_FREE_NODES]] = node
            counters[N_FREE_NODES] += 1

    # -- what leaves do

    def _observers(self, leaf: int) -> Leaf:
        slots, slot = self._slots, int(self._nodes.ints[leaf, SLOT])
        return Leaf(
            cells=slots.cells[slot],
            positives=slots.positives[slot],
            low=slots.low[slot],
            high=slots.high[slot],
            rows=float(slots.reals[slot, ROWS]),
            first_in=float(self._nodes.positives[leaf, 0]),
            first_out=float(self._nodes.reals[leaf, NEGATIVE]),
        )

    def _attempt(self, leaf: int, settings: Settings, instance: int) -> None:
        """Search a leaf's splits, and split when the best one is good enough.

        Of those that fail most do so in `process_rows` already. In river mode a leaf whose best split is none starts
        its statistics anew.
        """
        reals, slot = self._nodes.reals[leaf], int(self._nodes.ints[leaf, SLOT])
        if slot < 0:
            self._wake(leaf, instance)
            return
        restart = False
        if settings.river:
            reals[LAST_ATTEMPT] = reals[EVIDENCE]
            count, rest = float(self._nodes.positives[leaf, 0]), float(reals[NEGATIVE])
            if count == 0.0 or rest == 0.0:
                return
            restart = max(count, rest) / (count + rest) > settings.max_share_to_split
        else:
            reals[LAST_ATTEMPT] = self._slots.reals[slot, ROWS]
        weight = float(reals[WEIGHT])
        if not restart:
            chosen, scratch = self._space.chosen, self._space.scratch
            observed = self._observers(leaf)
            best, second, feature, threshold, bound, null = search_splits(
                observed, self._table, chosen, scratch, settings
            )
            if not good_enough(best, second, feature, bound, null, settings):
                return
            if not settings.river:
                second = max(second, 0.0)
            if feature >= 0:
                self._record(
                    instance,
                    "split",
                    leaf,
                    feature=feature,
                    threshold=threshold,
                    merit=best,
                    second_merit=second,
                    bound=bound,
                    weight=weight,
                    depth=int(self._nodes.ints[leaf, DEPTH]),
                )
                split_shares(observed, self._table, chosen, scratch, feature, threshold, settings)
                self._split(leaf, feature, threshold, scratch, settings, instance)
                return
        self._clear_slot(leaf, slot)
        self._record(instance, "restart", leaf, weight=weight)

    def _wake(self, leaf: int, instance: int) -> None:
        """Try to win an inactive leaf a slot, from one that promises clearly less."""
        reals = self._nodes.reals[leaf]
        reals[LAST_ATTEMPT] = reals[WEIGHT]
        value = self._promise(leaf)
        if self._take_slot(leaf, 0.8 * value, leaf, instance):
            self._nodes.reals[leaf, LAST_ATTEMPT] = 0.0
            self._record(instance, "activate", leaf, promise=value)

    def _split(
        self,
        leaf: int,
        feature: int,
        threshold: float,
        scratch: NDArray[np.float64],
        settings: Settings,
        instance: int,
    ) -> None:
        """Turn a leaf into a test with two new leaves: the left one takes over its slot, the right one needs one."""
        slot, depth = int(self._nodes.ints[leaf, SLOT]), int(self._nodes.ints[leaf, DEPTH]) + 1
        left, right = self._new_node(leaf, depth), self._new_node(leaf, depth)
        nodes = self._nodes
        if settings.river:
            self._inherit_as_river(left, scratch[LEFT_IN, 0], scratch[LEFT_OUT, 0])
            self._inherit_as_river(
                right, scratch[N_IN, 0] - scratch[LEFT_IN, 0], scratch[N_OUT, 0] - scratch[LEFT_OUT, 0]
            )
        else:
            known_in = scratch[N_IN] + scratch[ZEROS_IN]
            known = known_in + scratch[N_OUT] + scratch[ZEROS_OUT]
            fraction = float((scratch[LEFT_IN] + scratch[LEFT_OUT]).sum() / known.sum())
            parts = np.full(len(known), fraction)
            np.divide(scratch[LEFT_IN], known_in, out=parts, where=known_in > 0.0)
            self._inherit(leaf, left, fraction, parts, settings)
            self._inherit(leaf, right, 1.0 - fraction, 1.0 - parts, settings)
        nodes.ints[leaf, [LEFT, RIGHT, FEATURE, SLOT]] = left, right, feature, -1
        nodes.reals[leaf, THRESHOLD] = threshold
        self._clear_slot(left, slot)
        self._add_weight(leaf, float(nodes.reals[[left, right], WEIGHT].sum() - nodes.reals[leaf, WEIGHT]))
        self._space.counters[N_SPLITS] += 1
        if settings.drift and leaf != self._space.counters[ROOT]:  # the root was watched before
            adwin_reset(self._bank, leaf)
        value = self._promise(right)
        if not self._take_slot(right, value, left, instance):
            self._sleep(right, instance, value)

    def _inherit_as_river(self, child: int, count: float, rest: float) -> None:
        """Label counts of a new leaf: what the parent's observers expect there."""
        reals = self._nodes.reals[child]
        self._nodes.positives[child, 0], reals[NEGATIVE] = count, rest
        reals[[EVIDENCE, WEIGHT, LAST_ATTEMPT]] = count + rest
        reals[[POSITIVE_SUM, EMPTY]] = count, rest

    def _inherit(self, leaf: int, child: int, fraction: float, parts: NDArray[np.float64], settings: Settings) -> None:
        """Label counts of a new leaf: its parent's, of each label the part that the parent's observers expect there.

        They weigh no more than `inherited_rows` rows, so that the leaf's own rows soon prevail.
        """
        parent, reals = self._nodes.reals[leaf], self._nodes.reals[child]
        evidence = float(parent[EVIDENCE]) * fraction
        scale = min(1.0, settings.inherited_rows / evidence) if evidence > 0.0 else 1.0
        counts = np.minimum(self._nodes.positives[leaf] * parts * scale, evidence * scale)
        self._nodes.positives[child] = counts
        reals[EVIDENCE] = evidence * scale
        reals[WEIGHT] = float(parent[WEIGHT]) * fraction
        reals[POSITIVE_SUM] = counts.sum()
        reals[EMPTY] = float(parent[EMPTY]) * fraction * scale

    def _add_weight(self, node: int, change: float) -> None:
        while node >= 0:
            self._nodes.reals[node, WEIGHT] += change
            node = int(self._nodes.ints[node, PARENT])

    # -- drift

    def _warn(self, node: int, instance: int) -> None:
        """A detector rang: start an alternate subtree, one empty leaf, unless one grows already."""
        nodes = self._nodes
        facts = {"feature": int(nodes.ints[node, FEATURE]), "weight": float(nodes.reals[node, WEIGHT])}
        if nodes.ints[node, ALTERNATE] >= 0:
            self._record(instance, "drift", node, **facts)
            return
        alternate = self._new_node(-1, int(nodes.ints[node, DEPTH]))
        nodes = self._nodes
        nodes.ints[alternate, OWNER] = node
        nodes.ints[node, ALTERNATE] = alternate
        nodes.reals[node, [MAIN_LOSS, ALTERNATE_LOSS, ALTERNATE_ROWS]] = 0.0
        self._space.counters[N_ALTERNATES] += 1
        self._record(instance, "warning", node, **facts, alternate=alternate)
        self._take_slot(alternate, self._promise(node), node, instance)

    def _judge(self, node: int, settings: Settings, instance: int) -> None:
        """Put a significantly better alternate in its node's place; drop a significantly worse one."""
        ints, reals = self._nodes.ints, self._nodes.reals[node]
        alternate, rows = int(ints[node, ALTERNATE]), float(reals[ALTERNATE_ROWS])
        losses = float(reals[MAIN_LOSS]), float(reals[ALTERNATE_LOSS])
        better = verdict(*losses, rows, settings.comparison_rows) > 0
        facts = {"alternate": alternate, "loss": losses[0] / rows, "alternate_loss": losses[1] / rows, "rows": rows}
        self._record(instance, "swap" if better else "drop", node, **facts)
        if not better:
            ints[node, ALTERNATE] = -1
            self._free_subtree(alternate)
            return
        parent = int(ints[node, PARENT])
        ints[node, ALTERNATE] = -1
        ints[alternate, [OWNER, PARENT]] = -1, parent
        self._space.counters[N_ALTERNATES] -= 1
        if parent < 0:
            self._space.counters[ROOT] = alternate
            adwin_reset(self._bank, alternate)
        else:
            ints[parent, LEFT if ints[parent, LEFT] == node else RIGHT] = alternate
            self._add_weight(parent, float(self._nodes.reals[alternate, WEIGHT] - reals[WEIGHT]))
        self._free_subtree(node)
