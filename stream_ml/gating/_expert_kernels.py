"""Compiled loops of the experts of a group of gates, and of their stacking: what they say of a row, and learn of it.

What is done for all children at once, and for each of a row's columns, is in `_lane_kernels`.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.experts._stack_kernels import solve
from stream_ml.gating._lane_kernels import add_block, fetch_block, stack_lanes, teach_block
from stream_ml.gating._layout import (
    BIAS,
    COLUMN_COUNT,
    COUNT,
    EXPERTS,
    FIELDS,
    MASS,
    NONE,
    ODDS,
    PRIOR,
    SHARE,
    SQUARES,
    STEP_BIAS,
    STEP_SQUARES,
    STEP_WEIGHT,
    WEIGHT,
    WIDTH,
)
from stream_ml.gating._table_kernels import find_blocks, make_blocks
from stream_ml.jit import lean_kernel

__all__ = ["cast_votes", "consult", "learn_group", "learn_stack", "move_shared"]

ADAPTIVE_RATE = np.float32(0.3)
STEP_RATE = np.float32(6.0)
GROWTH = np.float32(1.25)
LOWEST = 1e-4
ACTIVE = 0.01
EAGER = 1000
PACE = 4
ONE = np.float32(1.0)
LISTED = 1 << WIDTH
"""Bit of `voted` beside those of the children: the group is among the `voters`."""


@lean_kernel
def cast_votes(tree, slots, weights, sizes, labels, s):
    """Votes of the neighbours for every gate above a label of theirs. Returns the sum of all, and how many groups."""
    total, n = np.float32(0.0), 0
    for i in range(len(slots)):
        if slots[i] < 0:
            break
        total += weights[i]
        n_touched = 0
        for k in range(sizes[slots[i]]):
            label = labels[slots[i], k]
            group, lane = tree.place[label, 0], tree.place[label, 1]
            while group != NONE:
                bit = np.int64(1) << np.int64(lane)
                if s.voted[group] & bit:
                    break
                if s.voted[group] & (LISTED - 1) == 0:
                    s.touched[n_touched] = group
                    n_touched += 1
                if s.voted[group] == 0:
                    s.voters[n] = group
                    n += 1
                s.voted[group] |= bit | LISTED
                s.votes[group, lane] += weights[i]
                group, lane = tree.parent[group], tree.parent_lane[group]
        for k in range(n_touched):
            s.voted[s.touched[k]] = LISTED
    return total, n


@lean_kernel
def _vote(tree, lanes, group, total, pseudo, s, out):
    """Log-odds by the neighbours' votes among those for the group, together with some for the prior."""
    inside = total
    if tree.parent[group] != NONE:
        inside = s.votes[tree.parent[group], tree.parent_lane[group]]
    values = lanes.values[group]
    if inside <= 0.0 or pseudo <= 0.0:
        for lane in range(WIDTH):
            out[lane] = values[PRIOR, lane]
        return
    least = np.float32(math.log(LOWEST / (1.0 - LOWEST)))
    silence = np.float32(math.log(pseudo / (inside + pseudo)))
    for lane in range(WIDTH):
        votes = s.votes[group, lane]
        if votes > 0.0:
            p = (votes + pseudo * values[SHARE, lane]) / (inside + pseudo)
            p = min(1.0 - LOWEST, max(LOWEST, p))
            out[lane] = math.log(np.float32(p / (1.0 - p)))
        else:
            out[lane] = max(least, values[PRIOR, lane] + silence)


@lean_kernel
def _evidence(blocks, numbers, row, lo, hi, centred, logits):
    """Add what the blocks of a row's columns say to the log-odds (EXPERTS, WIDTH) of linear experts and naive Bayes."""
    indices, values, unit, standard = row.indices, row.values, row.unit, row.standard
    for k in range(lo, hi):
        number = numbers[k - lo]
        if number < 0:
            continue
        add_block(logits, 0, blocks, number, WEIGHT, unit[k])
        add_block(logits, 1, blocks, number, STEP_WEIGHT, standard[k])
        if values[k] != 0.0 and not centred[indices[k]]:
            add_block(logits, 2, blocks, number, ODDS, ONE)


@lean_kernel
def consult(tree, weights, lanes, stack, group, lo, hi, row, centred, total, pseudo, s, at):
    """The experts' log-odds of a group's children, and their stacked probabilities, to place `at` of the scratch."""
    values, logits = lanes.values[group], s.logits[at]
    numbers = s.numbers[min(at, len(s.numbers) - 1)]
    for lane in range(WIDTH):
        logits[0, lane], logits[1, lane], logits[2, lane] = values[BIAS, lane], values[STEP_BIAS, lane], 0.0
    find_blocks(weights, group, row.indices, lo, hi, ODDS + 1, numbers)
    _evidence(weights.blocks, numbers, row, lo, hi, centred, logits)
    temper = np.float32(1.0 / math.sqrt(max(1, hi - lo)))
    _vote(tree, lanes, group, total, pseudo, s, logits[EXPERTS - 1])
    stack_lanes(logits, values[PRIOR], temper, stack.shared, lanes.own, group, tree.below, s.chances[at])


@lean_kernel
def _learn_lanes(lanes, group, positive, known, counts, fading, n_present, logits, a, b):
    """Add a row to the children's priors, and the gradients of both linear experts to `a` and `b` (WIDTH,)."""
    values, keep = lanes.values[group], np.float32(fading) if counts else ONE
    if counts:
        lanes.rows[group, 0] = lanes.rows[group, 0] * fading + 1.0
        lanes.rows[group, 1] += n_present
        lanes.rows[group, 2] += 1.0
    for lane in range(WIDTH):
        target = np.float32((positive >> lane) & 1)
        a[lane] = b[lane] = 0.0
        if not (known >> lane) & 1:
            continue
        a[lane] = ONE / (ONE + np.float32(math.exp(-logits[0, lane]))) - target
        b[lane] = ONE / (ONE + np.float32(math.exp(-logits[1, lane]))) - target
        values[SQUARES, lane] += a[lane] * a[lane]
        values[BIAS, lane] -= ADAPTIVE_RATE * a[lane] / np.sqrt(values[SQUARES, lane])
        values[STEP_SQUARES, lane] += b[lane] * b[lane]
        values[COUNT, lane] = values[COUNT, lane] * keep + target
        if counts:  # as the columns are
            values[MASS, lane] += target * n_present
        share = min(0.999, (float(values[COUNT, lane]) + 0.1) / (lanes.rows[group, 0] + 1.0))
        values[SHARE, lane] = share
        values[PRIOR, lane] = max(np.float32(-8.0), math.log(np.float32(share / (1.0 - share))))


@lean_kernel
def _presence_odds(column, count, all_mass, mass):
    """Log-odds of a column's presence: multinomial likelihoods, smoothed towards the column's share in the group."""
    share = 2.0 * (column + 1.0) / (all_mass + 1.0)
    rest = max(0.0, all_mass - mass)  # single precision stops counting one by one
    odds = (count + share) * (rest + 2.0) / ((mass + 2.0) * (column - count + share))
    return math.log(np.float32(odds))


@lean_kernel
def _learn_linear(blocks, numbers, row, lo, hi, a, b, step):
    """Teach the linear experts of a group: gradients `a` by adaptive steps, `b` as they are."""
    unit, standard = row.unit, row.standard
    for k in range(lo, hi):
        number = numbers[k - lo]
        if number >= 0:
            teach_block(blocks, number, a, b, unit[k], standard[k], step)


@lean_kernel
def _learn_bayes(blocks, rows, numbers, group, used, positive, row, lo, hi, centred, values, group_rows, hits):
    """Count the columns of a row for naive Bayes of a group, and renew the log-odds that are due."""
    indices, present, all_mass, n_hits = row.indices, row.values, group_rows[group, 1], 0
    for lane in range(used):
        if (positive >> lane) & 1:
            hits[n_hits] = lane
            n_hits += 1
    for k in range(lo, hi):
        number = numbers[k - lo]
        if number < 0:
            continue
        rows[number, 0] += ONE
        if present[k] == 0.0 or centred[indices[k]]:
            continue
        column = float(rows[number, 0])
        due = rows[number, 0] >= rows[number, 1]
        if due:
            rows[number, 1] = rows[number, 0] * GROWTH + ONE
        for i in range(n_hits):
            blocks[number, COLUMN_COUNT, hits[i]] += ONE
        for i in range(used if due else n_hits):
            lane = i if due else hits[i]
            count, mass = float(blocks[number, COLUMN_COUNT, lane]), float(values[group, MASS, lane])
            blocks[number, ODDS, lane] = _presence_odds(column, count, all_mass, mass)


@lean_kernel
def learn_group(
    tree, weights, lanes, group, known, counts, lo, hi, row, centred, fading, forgotten, s, at
):  # fmt: skip
    """Teach the experts of a group's children one row, of which place `at` of the scratch has what they said.

    Its blocks are where they were then, unless one was let go since: there were `forgotten` of them. Of very wide rows
    it is not kept where they were.
    """
    numbers, logits = s.numbers[min(at, len(s.numbers) - 1)], s.logits[at]
    positive, a, b = s.positive[group], s.gradients[0], s.gradients[1]
    n_present = 0
    for k in range(lo, hi):
        n_present += row.values[k] != 0.0 and not centred[row.indices[k]]
    _learn_lanes(lanes, group, positive, known, counts, fading, n_present, logits, a, b)
    values = lanes.values[group]
    step = ADAPTIVE_RATE / max(ONE, np.float32(math.sqrt(s.lengths[0])))
    for lane in range(WIDTH):
        b[lane] *= STEP_RATE / (ONE + s.lengths[1]) / np.sqrt(values[STEP_SQUARES, lane])
        values[STEP_BIAS, lane] -= b[lane]
    if weights.tally[1] != forgotten or len(s.numbers) == 1:
        find_blocks(weights, group, row.indices, lo, hi, 0, numbers)
    make_blocks(weights, group, row.indices, lo, hi, numbers)
    for k in range(hi - lo):
        if numbers[k] >= 0:
            fetch_block(weights.blocks, numbers[k], FIELDS)
    _learn_linear(weights.blocks, numbers, row, lo, hi, a, b, step)
    if counts:
        _learn_bayes(
            weights.blocks, weights.rows, numbers, group, tree.used[group], positive, row, lo, hi, centred,
            lanes.values, lanes.rows, s.hits,
        )  # fmt: skip


@lean_kernel
def learn_stack(tree, lanes, stack, group, known, positive, own_rate, logits, chances):
    """Gradients and curvature of the stacking weights that gates, and labels, share; steps on a child's own."""
    for lane in range(tree.used[group]):
        if not (known >> lane) & 1:
            continue
        error = float(chances[lane]) - ((positive >> lane) & 1)
        kind = 1 if tree.below[group, lane] == NONE else 0
        curvature = abs(error) * (1.0 - abs(error))
        for i in range(EXPERTS + 1):
            x = float(logits[i, lane]) if i < EXPERTS else 1.0
            gradient = error * x
            stack.gradient[kind, i] += gradient
            if abs(error) >= ACTIVE:
                lanes.own_squares[group, i, lane] += gradient * gradient
                lanes.own[group, i, lane] -= own_rate * gradient / math.sqrt(lanes.own_squares[group, i, lane])
            if curvature >= ACTIVE:
                for j in range(i + 1):
                    y = float(logits[j, lane]) if j < EXPERTS else 1.0
                    stack.information[kind, i, j] += curvature * x * y


@lean_kernel
def move_shared(stack, decay, ridge, s):
    """The shared stacking weights take Newton's step on the fading log-loss, and old curvature fades."""
    stack.learned[0] += 1
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
