"""Compiled loops of the experts of a group of gates, and of their stacking: what they say of a row, and learn of it.

What is done for all children at once, and for each of a row's columns, is in `_lane_kernels`.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.elementary import log32
from stream_ml.experts._stack_kernels import solve
from stream_ml.gating._lane_kernels import (
    count_block,
    fetch_block,
    lane_sum,
    learn_lanes,
    learn_own,
    stack_lanes,
    sum_blocks,
    teach_block,
    vote_lanes,
)
from stream_ml.gating._layout import EXPERTS, FIELDS, NONE, ODDS, PRIOR, WIDTH
from stream_ml.gating._table_kernels import find_blocks, make_blocks
from stream_ml.jit import lean_kernel

__all__ = ["cast_votes", "consult", "learn_group", "learn_stack", "look", "move_shared"]

ADAPTIVE_RATE = np.float32(0.3)
STEP_RATE = np.float32(6.0)
GROWTH = np.float32(1.25)
EAGER = 1000
PACE = 4
ONE = np.float32(1.0)


@lean_kernel
def _note(group, neighbour, s, n, n_voters):
    """List a group that a neighbour votes in, unless it is listed; returns how many there are, and of all voters.

    Without branches: which groups neighbours share cannot be foretold.
    """
    s.touched[n] = s.voters[n_voters] = group
    n += s.voted[group] != neighbour
    n_voters += s.voted[group] == 0
    s.voted[group] = neighbour
    return n, n_voters


@lean_kernel
def cast_votes(tree, slots, weights, sizes, labels, s):
    """Votes of the neighbours for their labels and every gate above. Returns the sum of all, and how many groups.

    A neighbour votes once for a gate, that is once in the group above for each group that it votes in.
    """
    total, n_voters = np.float32(0.0), 0
    for i in range(len(slots)):
        if slots[i] < 0:
            break
        total += weights[i]
        n = done = 0
        for k in range(sizes[slots[i]]):
            label = labels[slots[i], k]
            group, lane = tree.place[label, 0], tree.place[label, 1]
            if group != NONE:
                s.votes[group, lane] += weights[i]
                n, n_voters = _note(group, i + 1, s, n, n_voters)
        while done < n:
            group, lane = tree.parent[s.touched[done]], tree.parent_lane[s.touched[done]]
            done += 1
            if group != NONE:
                s.votes[group, lane] += weights[i]
                n, n_voters = _note(group, i + 1, s, n, n_voters)
    return total, n_voters


@lean_kernel
def _vote(tree, lanes, group, total, pseudo, s, logits):
    """Log-odds by the neighbours' votes among those for the group, together with some for the prior."""
    inside = total
    if tree.parent[group] != NONE:
        inside = s.votes[tree.parent[group], tree.parent_lane[group]]
    if inside <= 0.0 or pseudo <= 0.0:
        for lane in range(WIDTH):
            logits[EXPERTS - 1, lane] = lanes.values[group, PRIOR, lane]
        return
    vote_lanes(logits, s.votes, lanes.values, group, inside, pseudo, log32(pseudo / (inside + pseudo)))


@lean_kernel
def look(row, lo, hi, centred, s):
    """Which columns of a row are present to naive Bayes, how many, and how long the row is to the linear experts."""
    s.lengths[:] = 0.0
    for k in range(lo, hi):
        present = row.values[k] != 0.0 and not centred[row.indices[k]]
        s.present[k - lo] = ONE if present else np.float32(0.0)
        s.lengths[0] += row.unit[k] * row.unit[k]
        s.lengths[1] += row.standard[k] * row.standard[k]
        s.lengths[2] += s.present[k - lo]


@lean_kernel
def consult(tree, weights, lanes, stack, group, lo, hi, row, total, pseudo, s, at):
    """The experts' log-odds of a group's children, and their stacked probabilities, to place `at` of the scratch."""
    values, logits = lanes.values, s.logits[at]
    numbers = s.numbers[min(at, len(s.numbers) - 1), : hi - lo]
    find_blocks(weights, group, row.indices, lo, hi, ODDS + 1, numbers)
    sum_blocks(logits, values, group, weights.blocks, numbers, lo, row.unit, row.standard, s.present)
    _vote(tree, lanes, group, total, pseudo, s, logits)
    temper = np.float32(1.0 / math.sqrt(max(1, hi - lo)))
    stack_lanes(logits, values, group, temper, stack.shared, lanes.own, tree.below, s.chances[at])


@lean_kernel
def _learn_bayes(weights, number, lanes, group, used, positive):
    """Count a column for naive Bayes of a group, and renew the log-odds that are due."""
    column = weights.rows[number, 0]
    due = column >= weights.rows[number, 1]
    if due:
        weights.rows[number, 1] = column * GROWTH + ONE
    renewed = used if due else positive
    if renewed:
        count_block(weights.blocks, number, lanes.values, group, positive, renewed, column, lanes.rows[group, 1])


@lean_kernel
def learn_group(tree, weights, lanes, group, known, counts, lo, hi, row, fading, forgotten, s, at):
    """Teach the experts of a group's children one row, of which place `at` of the scratch has what they said.

    Its blocks are where they were then, unless one was let go since: there were `forgotten` of them. Of very wide rows
    it is not kept where they were.
    """
    numbers, positive, a, b = s.numbers[min(at, len(s.numbers) - 1)], s.positive[group], s.gradients[0], s.gradients[1]
    keep, n_present = ONE, np.float32(0.0)
    if counts:
        keep, n_present = np.float32(fading), s.lengths[2]
        lanes.rows[group, 0] = lanes.rows[group, 0] * fading + 1.0
        lanes.rows[group, 1] += n_present
        lanes.rows[group, 2] += 1.0
    rate = STEP_RATE / (ONE + s.lengths[1])
    learn_lanes(lanes.values, group, positive, known, keep, n_present, lanes.rows[group, 0], s.logits[at], a, b, rate)
    if weights.tally[1] != forgotten or len(s.numbers) == 1:
        find_blocks(weights, group, row.indices, lo, hi, 0, numbers)
    make_blocks(weights, group, row.indices, lo, hi, numbers)
    for k in range(hi - lo):
        if numbers[k] >= 0:
            fetch_block(weights.blocks, numbers[k], FIELDS)
    step = ADAPTIVE_RATE / max(ONE, np.float32(math.sqrt(s.lengths[0])))
    used = (np.int64(1) << np.int64(tree.used[group])) - 1
    for k in range(hi - lo):
        number = numbers[k]
        if number < 0:
            continue
        teach_block(weights.blocks, number, a, b, row.unit[lo + k], row.standard[lo + k], step)
        if counts:
            weights.rows[number, 0] += ONE
            if s.present[k]:
                _learn_bayes(weights, number, lanes, group, used, positive)


@lean_kernel
def learn_stack(tree, lanes, group, known, own_rate, s, at):
    """Gradients and curvature of the stacking weights that gates, and labels, share; steps on a child's own."""
    learn_own(
        lanes.own, lanes.own_squares, tree.below, group, s.positive[group], known, own_rate, s.logits[at],
        s.chances[at], s.sums,
    )  # fmt: skip


@lean_kernel
def move_shared(stack, decay, ridge, s):
    """The shared stacking weights take Newton's step on the fading log-loss, and old curvature fades."""
    stack.learned[0] += 1
    for kind in range(2):
        at = EXPERTS + 1
        for i in range(EXPERTS + 1):
            stack.gradient[kind, i] += lane_sum(s.sums, kind, i)
            for j in range(i + 1):
                stack.information[kind, i, j] += lane_sum(s.sums, kind, at)
                at += 1
    moves = stack.learned[0] <= EAGER or stack.learned[0] % PACE == 0
    for kind in range(2):
        if moves:
            solve(stack.information[kind], stack.gradient[kind], s.factor, s.step)
            for i in range(EXPERTS + 1):
                stack.shared[kind, i] -= s.step[i]
                stack.gradient[kind, i] = 0.0
        for i in range(EXPERTS + 1):
            for j in range(i + 1):
                stack.information[kind, i, j] *= decay
            stack.information[kind, i, i] += ridge * (1.0 - decay)
