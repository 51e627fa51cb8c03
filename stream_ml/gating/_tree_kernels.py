"""Compiled loops over the tree of gates: the paths of labels, and where a new one enters."""

from __future__ import annotations

import math

import numpy as np

from stream_ml.gating._layout import COUNT, NONE, PRIOR, SHARE, WIDTH
from stream_ml.jit import lean_kernel

__all__ = ["enter_label", "mark_path"]

BALANCE = 2.0
"""A child takes no further label when it has more than this many times the mean of its siblings'."""
ROOM = WIDTH
"""Where the groups below a group have more room than this, no further one is made: half-empty groups cost as much."""
FIRST_COUNT = 0.1
SURE = 0.999
SURE_ODDS = np.float32(6.906755)


@lean_kernel
def mark_path(tree, label, positive, touched, n_touched):
    """Add the gates above a label to the masks of the groups `positive` (G,); groups that were empty get listed."""
    group, lane = tree.place[label, 0], tree.place[label, 1]
    while group != NONE:
        bit = np.int64(1) << np.int64(lane)
        if positive[group] & bit:
            break
        if positive[group] == 0:
            touched[n_touched] = group
            n_touched += 1
        positive[group] |= bit
        group, lane = tree.parent[group], tree.parent_lane[group]
    return n_touched


@lean_kernel
def _put(tree, lanes, group, label):
    """A label as the next child of a group that has room."""
    lane = tree.used[group]
    tree.used[group] += 1
    tree.label[group, lane] = label
    tree.size[group, lane] = 1
    tree.place[label, 0], tree.place[label, 1] = group, lane
    share = FIRST_COUNT / (lanes.rows[group, 0] + 1.0)
    lanes.values[group, SHARE, lane] = share
    lanes.values[group, PRIOR, lane] = max(-8.0, math.log(share / (1.0 - share)))


@lean_kernel
def _choose(tree, lanes, group, positive, chances, known):
    """The child that a new label of this row goes to: the likeliest of those that do not hold too much already."""
    most, room = 0.0, 0
    for lane in range(WIDTH):
        most += tree.size[group, lane]
        if tree.below[group, lane] != NONE:
            room += WIDTH - tree.used[tree.below[group, lane]]
    most = max(most * BALANCE / WIDTH, WIDTH - 1.0)
    best, highest = -1, -1.0
    for lane in range(WIDTH):
        if tree.size[group, lane] > most or (room > ROOM and tree.below[group, lane] == NONE):
            continue
        chance = float(chances[lane]) if known else float(lanes.values[group, SHARE, lane])
        if (positive >> lane) & 1:
            chance = 1.0
        ahead = best >= 0 and tree.size[group, lane] < tree.size[group, best] and chance == highest
        if chance > highest or ahead:
            best, highest = lane, chance
    if best < 0:
        best = 0
        for lane in range(1, WIDTH):
            if tree.size[group, lane] < tree.size[group, best]:
                best = lane
    return best


@lean_kernel
def _deepen(tree, lanes, group, lane):
    """A label becomes a gate above itself; the gate keeps all that was learned of the label. Returns the new group."""
    new, label = np.int32(tree.counters[0]), tree.label[group, lane]
    tree.counters[0] += 1
    tree.parent[new], tree.parent_lane[new] = group, lane
    tree.below[group, lane], tree.label[group, lane] = new, NONE
    _put(tree, lanes, new, label)
    count = lanes.values[group, COUNT, lane]
    lanes.rows[new, 0], lanes.rows[new, 1], lanes.rows[new, 2] = count, 0.0, count
    lanes.values[new, COUNT, 0] = count
    lanes.values[new, SHARE, 0], lanes.values[new, PRIOR, 0] = SURE, SURE_ODDS
    return new


@lean_kernel
def enter_label(tree, lanes, label, positive, seen, chances):
    """Let a label enter that is learned for the first time, near labels that the row has or that look like it.

    From the root down it follows the child that holds a label of the row (`positive` (G,) masks), else the likeliest
    for the row (`chances` (n, WIDTH), of group g at `seen[g]`, else the prior), to the first group with room. Below a
    label a group is made: the label and the new one, under a gate that keeps what was learned of the label (online
    probabilistic label trees: Jasinska-Kobus, Wydmuch, Thiruvenkatachari, Dembczyński, AISTATS 2021).
    """
    group = np.int32(0)
    while tree.used[group] == WIDTH:
        known = seen[group] >= 0
        lane = _choose(tree, lanes, group, positive[group], chances[max(0, seen[group])], known)
        tree.size[group, lane] += 1
        if tree.below[group, lane] == NONE:
            group = _deepen(tree, lanes, group, lane)
        else:
            group = tree.below[group, lane]
    _put(tree, lanes, group, label)
