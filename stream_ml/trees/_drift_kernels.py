"""Drift inside a tree: a detector per test, and alternate subtrees that see the same rows beside the old ones."""

from __future__ import annotations

import math

from stream_ml.drift._kernels import adwin_update
from stream_ml.jit import lean_kernel
from stream_ml.trees._layout import (
    ALTERNATE,
    ALTERNATE_LOSS,
    ALTERNATE_ROWS,
    DEPTH,
    JUDGE,
    MAIN_LOSS,
    N_ALTERNATES,
    PARENT,
    WARN,
)
from stream_ml.trees._leaf_kernels import add_to_agenda, leaf_loss, learn_leaf, route

__all__ = ["judge_path", "verdict", "watch_path"]

PATIENCE = 20.0
ADWIN_CLOCK, ADWIN_BUCKETS, ADWIN_WINDOW, ADWIN_GRACE = 32, 5, 5, 10


@lean_kernel
def verdict(main_loss, alternate_loss, rows, comparison_rows):
    """Whether an alternate subtree is significantly better (1), worse (-1) or neither (0): MLHAT's rule.

    Losses are sums over `rows` rows that both have seen, more than `comparison_rows`; their means must differ by more
    than sqrt(2 e (1 - e) ln(2 / 0.05) (1 / n + 1 / n)), e being that of the main subtree (Esteban et al. 2024). One
    that is undecided after PATIENCE times as many rows counts as worse: it would double the work for ever.
    """
    if rows <= comparison_rows:
        return 0
    loss = main_loss / rows
    gap = loss - alternate_loss / rows
    margin = math.sqrt(2.0 * max(loss * (1.0 - loss), 0.0) * math.log(2.0 / 0.05) * 2.0 / rows)
    if gap > margin:
        return 1
    if gap < -margin or rows > PATIENCE * comparison_rows:
        return -1
    return 0


@lean_kernel
def watch_path(nodes, leaf, slots, table, space, bank, settings, loss, indices, values, lo, hi, labels, y_lo, y_hi):
    """Feed a row's loss to the detectors of the tests above `leaf` and of the root; let alternates learn the row."""
    node = leaf if nodes.ints[leaf, PARENT] < 0 else int(nodes.ints[leaf, PARENT])
    while node >= 0:
        alternate = int(nodes.ints[node, ALTERNATE])
        if alternate >= 0:
            other, _ = route(nodes, table, settings.sparse, indices, values, lo, hi, alternate)
            nodes.reals[node, MAIN_LOSS] += loss
            nodes.reals[node, ALTERNATE_LOSS] += leaf_loss(nodes, other, labels, y_lo, y_hi)
            nodes.reals[node, ALTERNATE_ROWS] += 1.0
            learn_leaf(nodes, other, slots, table, space, settings, True, indices, values, lo, hi, labels, y_lo, y_hi)
        if nodes.ints[node, DEPTH] < settings.watch_depth:
            change = adwin_update(
                bank, node, loss, settings.warning_delta, ADWIN_CLOCK, ADWIN_BUCKETS, ADWIN_WINDOW, ADWIN_GRACE
            )
            if change > 0:
                add_to_agenda(space, WARN, node)
        node = int(nodes.ints[node, PARENT])
    if space.counters[N_ALTERNATES] > 0:
        judge_path(nodes, leaf, space, settings)


@lean_kernel
def judge_path(nodes, leaf, space, settings):
    """Put the nodes above `leaf` whose alternates have won or lost on the agenda, lowest first."""
    node = leaf
    while node >= 0:
        reals = nodes.reals[node]
        if nodes.ints[node, ALTERNATE] >= 0 and verdict(
            reals[MAIN_LOSS], reals[ALTERNATE_LOSS], reals[ALTERNATE_ROWS], settings.comparison_rows
        ):
            add_to_agenda(space, JUDGE, node)
        node = int(nodes.ints[node, PARENT])
