"""Compiled loops that collect a row's candidates: the label sets among which its joint posterior decides.

Sets are bit masks over the row's likely labels, the likeliest first: bit i is the label `top[i]`.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.decisions._layout import MOST, SEEN
from stream_ml.decisions._set_kernels import mark_of
from stream_ml.jit import lean_kernel

__all__ = ["DE_BRUIJN", "NOVEL", "ONE", "collect", "lowest_bit", "mask_of", "meet"]

PREFIXES = 16
NOVEL = 3.0
"""Rows that the smoothing of set frequencies is worth."""
QUICK = 0.5
"""Weight of frequency in the choice of seen sets."""
HOPELESS = 8.0
"""Seen sets whose quick score is this far behind the best are no candidates."""
ONE = np.uint64(1)
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
BIT_AT = np.zeros(64, dtype=np.int64)
for _bit in range(64):
    BIT_AT[((0x03F79D71B4CB0A89 << _bit) & (2**64 - 1)) >> 58] = _bit


@lean_kernel
def lowest_bit(mask):
    """Position of the lowest bit that is set (by a de Bruijn sequence: Leiserson, Prokop, Randall, MIT 1998)."""
    return BIT_AT[((mask & (~mask + ONE)) * DE_BRUIJN) >> np.uint64(58)]


@lean_kernel
def mask_of(labels, rank):
    """The set as a mask over the likely labels, and whether it is one."""
    mask = np.uint64(0)
    for k in range(len(labels)):
        if rank[labels[k]] < 0:
            return mask, False
        mask |= ONE << np.uint64(rank[labels[k]])
    return mask, True


@lean_kernel
def _add_candidate(sets, n, mask):
    """Add a candidate unless it is there; returns its place and how many there are."""
    for i in range(n):
        if sets[i] == mask:
            return i, n
    sets[n] = mask
    return n, n + 1


@lean_kernel
def _best_seen(tables, table, rank, odds, prior, skip, strange, most, masks, scores):
    """The sets of a table that a quick score likes best, in order; returns how many (at most `most`).

    `skip` is taken off the log of each count, which is in units of the first row. Sets with `strange` marks have labels
    that are not likely.
    """
    found = 0
    for place in range(tables.used[table]):
        if tables.marks[table, place] & strange:
            continue
        score, likely = 0.0, True
        mask = np.uint64(0)
        for k in range(tables.sizes[table, place]):
            at = rank[tables.labels[table, place, k]]
            if at < 0:
                likely = False
                break
            mask |= ONE << np.uint64(at)
            score += odds[at] - QUICK * prior[at]
        if not likely:
            continue
        score += QUICK * (tables.log_counts[table, place] - skip)
        if found and (score < scores[0] - HOPELESS or (found == most and score <= scores[most - 1])):
            continue
        at = min(found, most - 1)
        while at > 0 and scores[at - 1] < score:
            masks[at], scores[at] = masks[at - 1], scores[at - 1]
            at -= 1
        masks[at], scores[at] = mask, score
        found = min(most, found + 1)
    while found and scores[found - 1] < scores[0] - HOPELESS:
        found -= 1
    return found


@lean_kernel
def meet(n_top, top, slot_of, s):
    """Tell the likely labels which of them share a cluster, and forget what parts were worth to another row."""
    s.parts[:] = 0
    s.strange[0] = ~np.uint64(0)
    for i in range(n_top):
        s.strange[0] &= ~mark_of(top[i])
    for i in range(n_top):
        if slot_of[top[i]] >= 0:
            s.likely[slot_of[top[i]]] = 0
    for i in range(n_top):
        if slot_of[top[i]] >= 0:
            s.likely[slot_of[top[i]]] |= ONE << np.uint64(i)
    for i in range(n_top):
        s.mates[i] = s.likely[slot_of[top[i]]] if slot_of[top[i]] >= 0 else ONE << np.uint64(i)


@lean_kernel
def _cluster_modes(state, n_top, top, slot_of, s):
    """The union of each cluster's best part: one seen before, or nothing, or its labels that are likelier than not."""
    unit, whole = state.unit[0], np.uint64(0)
    rows = math.log(state.rows[0] / unit + NOVEL)
    shift = rows + math.log(unit)
    done = np.uint64(0)
    rank, odds, prior, masks, scores = s.rank, s.odds, s.prior, s.masks, s.scores
    for i in range(n_top):
        cluster = slot_of[top[i]]
        if cluster < 0 or (done >> np.uint64(i)) & ONE:
            continue
        independent, left = np.uint64(0), s.mates[i]
        done |= left
        gain = 0.0
        while left:
            j = lowest_bit(left)
            left &= left - ONE
            if odds[j] > 0.0:
                independent |= ONE << np.uint64(j)
                gain += odds[j]
        chance = state.silence[cluster, 0]
        best = gain + QUICK * (math.log(NOVEL) - rows + chance)
        silent = QUICK * (state.silence[cluster, 1] + chance)
        if silent > best:
            best, independent = silent, np.uint64(0)
        if (
            _best_seen(state.cluster_sets, cluster, rank, odds, prior, shift, s.strange[0], 1, masks, scores)
            and scores[0] > best
        ):
            independent = masks[0]
        whole |= independent
    return whole


@lean_kernel
def collect(
    state, n_top, top, slot_of, n_clusters, near, near_weights, near_sizes, near_labels, sets, s
):  # fmt: skip
    """Candidates of one row, with the neighbours' votes for each; returns how many, and the place of the last set."""
    n = 0
    rank, odds, votes, masks = s.rank, s.odds, s.votes, s.masks
    votes[:] = 0.0
    prefix = np.uint64(0)
    for i in range(min(n_top, PREFIXES) + 1):
        sets[n] = prefix
        n += 1
        if i == n_top or odds[i] < -4.0:
            break
        prefix |= ONE << np.uint64(i)
    found = _best_seen(state.sets, 0, rank, odds, s.prior, math.log(state.unit[0]), s.strange[0], SEEN, masks, s.scores)
    for i in range(found):
        _, n = _add_candidate(sets, n, masks[i])
    total = 1e-9
    for i in range(len(near)):
        if near[i] < 0:
            break
        total += near_weights[i]
        mask, likely = mask_of(near_labels[near[i], : near_sizes[near[i]]], rank)
        if likely and n < MOST - 2:
            place, n = _add_candidate(sets, n, mask)
            votes[place] += near_weights[i]
    for i in range(n):
        votes[i] /= total
    last = -1
    if state.learned[0] > 0:
        mask, likely = mask_of(state.last[1 : 1 + state.last[0]], rank)
        if likely:
            last, n = _add_candidate(sets, n, mask)
    if n_clusters > 1:
        _, n = _add_candidate(sets, n, _cluster_modes(state, n_top, top, slot_of, s))
    return n, last
