"""Compiled loops of gated routing: descent to the likely labels, and one block of rows.

Every gate, and every label below the last one, is a binary classifier that is only asked, and only taught, when the
gate above is positive; so a label's probability is the product along its path, and a row costs the groups on the paths
that are likely or true: about `|Y| log L` of them.
"""

from __future__ import annotations

import numpy as np

from stream_ml.gating._expert_kernels import cast_votes, consult, learn_group, learn_stack, look, move_shared
from stream_ml.gating._lane_kernels import likely_lanes, lowest_lane
from stream_ml.gating._layout import BEST, BINS, MOST_SEEN, NONE
from stream_ml.gating._tree_kernels import enter_label, mark_path
from stream_ml.jit import lean_kernel

__all__ = ["gates_block"]

LEARN, AGAIN = 2, 4
LEAST_P = 0.002
ONE = np.float32(1.0)


@lean_kernel
def _keep_found(label, p, n, s):
    """Add a label, and its probability, to those found."""
    s.found[n], s.found_p[n] = label, p
    if p > s.best[BEST - 1]:
        place = BEST - 1
        while place > 0 and s.best[place - 1] < p:
            s.best[place] = s.best[place - 1]
            place -= 1
        s.best[place] = p


@lean_kernel
def _likeliest(n, s, top, chances):
    """The likeliest of the labels found, in order, of equals the one found first; returns how many.

    Counted into bins of about equal likelihood, of which the last are left out; the others are then nearly sorted.
    """
    most, counts, n_kept = len(top), s.counts, 0
    counts[:] = 0
    for i in range(n):
        s.bins[i] = np.int32((ONE - np.sqrt(s.found_p[i])) * np.float32(BINS - 1))
    for i in range(n):
        counts[s.bins[i]] += 1
    last = 0
    while last < BINS - 1 and n_kept + counts[last] < most:
        count = counts[last]
        counts[last] = n_kept
        n_kept += count
        last += 1
    count = counts[last]
    counts[last] = n_kept
    n_kept += count
    for i in range(n):
        at = s.bins[i]
        if at <= last:
            s.order[counts[at]] = i
            counts[at] += 1
    for k in range(1, n_kept):
        i, place = s.order[k], k
        while place > 0 and s.found_p[s.order[place - 1]] < s.found_p[i]:
            s.order[place] = s.order[place - 1]
            place -= 1
        s.order[place] = i
    n_kept = min(n_kept, most)
    for k in range(n_kept):
        top[k], chances[k] = s.found[s.order[k]], s.found_p[s.order[k]]
    return n_kept


@lean_kernel
def _open_gate(s, n, group, likely):
    """Put a group on the heap of those that may be visited, the likeliest on top."""
    at = n
    while at > 0 and s.likely[(at - 1) // 2] < likely:
        s.frontier[at], s.likely[at] = s.frontier[(at - 1) // 2], s.likely[(at - 1) // 2]
        at = (at - 1) // 2
    s.frontier[at], s.likely[at] = group, likely


@lean_kernel
def _close_gate(s, n):
    """Take the top off a heap of `n`."""
    group, likely, at = s.frontier[n - 1], s.likely[n - 1], 0
    while 2 * at + 1 < n - 1:
        child = 2 * at + 1
        if child + 1 < n - 1 and s.likely[child + 1] > s.likely[child]:
            child += 1
        if s.likely[child] <= likely:
            break
        s.frontier[at], s.likely[at] = s.frontier[child], s.likely[child]
        at = child
    s.frontier[at], s.likely[at] = group, likely


@lean_kernel
def _descend(tree, weights, lanes, stack, lo, hi, row, total, pseudo, reach, s, top, chances):
    """Visit groups, the likeliest first, while they are as likely as `reach`, and until the best labels are certain.

    Returns how many labels and groups were found.
    """
    n_found, n_seen, n_open = 0, 0, 1
    s.best[:] = 0.0
    s.frontier[0], s.likely[0] = 0, 1.0
    while n_open and n_seen < MOST_SEEN:
        group, likely = s.frontier[0], s.likely[0]
        if likely < reach and s.best[BEST - 1] >= likely:
            break
        _close_gate(s, n_open)
        n_open -= 1
        consult(tree, weights, lanes, stack, group, lo, hi, row, total, pseudo, s, n_seen)
        s.seen[group], s.groups[n_seen] = n_seen, group
        hot = likely_lanes(s.chances[n_seen], likely) & ((np.int64(1) << np.int64(tree.used[group])) - 1)
        while hot:
            lane = lowest_lane(hot)
            hot &= hot - 1
            p, below = likely * s.chances[n_seen, lane], tree.below[group, lane]
            if below == NONE:
                if np.float32(p) >= LEAST_P:
                    _keep_found(tree.label[group, lane], np.float32(p), n_found, s)
                    n_found += 1
            elif p >= LEAST_P:
                _open_gate(s, n_open, below, p)
                n_open += 1
        n_seen += 1
    return _likeliest(n_found, s, top, chances), n_seen


@lean_kernel
def _paths(tree, lanes, labels, absent, s):
    """Mark the paths of a row's labels, new ones entered, and what is known to be absent; returns how many groups."""
    n = 0
    for k in range(len(labels)):
        if tree.place[labels[k], 0] != NONE:
            n = mark_path(tree, labels[k], s.positive, s.touched, n)
    for k in range(len(labels)):
        if tree.place[labels[k], 0] == NONE:
            enter_label(tree, lanes, labels[k], s.positive, s.seen, s.chances)
            n = mark_path(tree, labels[k], s.positive, s.touched, n)
    for k in range(len(labels)):  # a label below which another entered has moved
        n = mark_path(tree, labels[k], s.positive, s.touched, n)
    for k in range(len(absent)):
        group, lane = tree.place[absent[k], 0], tree.place[absent[k], 1]
        if group != NONE:
            s.asked[group] |= np.int64(1) << np.int64(lane)
    if n == 0:
        s.touched[0] = 0
        n = 1
    return n


@lean_kernel
def _learn_row(
    tree, weights, lanes, stack, labels, absent, in_part, counts, lo, hi, row, total, pseudo, options, s
):  # fmt: skip
    """Teach the groups on the paths of a row's labels; returns how many."""
    fading, own_rate, decay, ridge = options[0], options[1], options[2], options[3]
    forgotten = weights.tally[1]
    n = _paths(tree, lanes, labels, absent, s)
    for i in range(n):
        group = s.touched[i]
        at = s.seen[group]
        if at < 0:
            at = MOST_SEEN
            consult(tree, weights, lanes, stack, group, lo, hi, row, total, pseudo, s, at)
        known = (np.int64(1) << np.int64(tree.used[group])) - 1
        if in_part:
            known = s.positive[group] | s.asked[group]
        learn_stack(tree, lanes, group, known, own_rate, s, at)
        learn_group(tree, weights, lanes, group, known, counts, lo, hi, row, fading, forgotten, s, at)
    move_shared(stack, decay, ridge, s)
    for i in range(n):
        s.positive[s.touched[i]] = 0
    for k in range(len(absent)):
        if tree.place[absent[k], 0] != NONE:
            s.asked[tree.place[absent[k], 0]] = 0
    return n


@lean_kernel
def gates_block(
    tree, weights, lanes, stack, row, near, near_weights, near_sizes, near_labels, y_indptr, y_indices, part_indptr,
    part_indices, in_part, mode, centred, first, full, options, s, out
):  # fmt: skip
    """Predict, then learn rows from `first` on; stops before a row when more than `full` blocks are in use.

    `row` has the design columns of all rows (CSR: indptr, indices, values, standard, unit), `near` each row's nearest
    neighbours (rows, k). `options` are the fading of priors, the step of own stacking weights, the decay and ridge of
    the shared ones, and `reach`. Of rows `in_part` only positive labels and those in `part_indices` are known: gates
    learn on the paths of the positive ones, and labels known to be absent beside them. Returns the row to go on with.
    """
    for at in range(first, len(mode)):
        lo, hi = row.indptr[at], row.indptr[at + 1]
        if weights.tally[0] > full:
            return at
        total, voters = cast_votes(tree, near[at], near_weights[at], near_sizes, near_labels, s)
        look(row, lo, hi, centred, s)
        pseudo = near_weights[at, 0] if near.shape[1] else np.float32(0.0)
        out.n_top[at], n_seen = _descend(
            tree, weights, lanes, stack, lo, hi, row, total, pseudo, options[4], s, out.top[at], out.chances[at],
        )  # fmt: skip
        out.visited[at, 0], out.visited[at, 1] = n_seen, 0
        if mode[at] & LEARN:
            out.visited[at, 1] = _learn_row(
                tree, weights, lanes, stack, y_indices[y_indptr[at] : y_indptr[at + 1]],
                part_indices[part_indptr[at] : part_indptr[at + 1]], in_part[at], not mode[at] & AGAIN, lo, hi, row,
                total, pseudo, options, s,
            )  # fmt: skip
        for i in range(n_seen):
            s.seen[s.groups[i]] = -1
        for i in range(voters):
            s.votes[s.voters[i]] = 0.0
            s.voted[s.voters[i]] = 0
    return len(mode)
