"""Compiled loops that collect a row's candidates: the label sets among which its joint posterior decides.

Sets are bit masks over the row's likely labels, the likeliest first: bit i is the label `top[i]`.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.decisions._bit_kernels import bits_in, lowest_bit
from stream_ml.decisions._layout import MOST, SEEN
from stream_ml.decisions._set_kernels import MARKS, mark_of
from stream_ml.jit import lean_kernel

__all__ = ["NOVEL", "ONE", "UNSOUGHT", "collect", "mask_of", "meet"]

PREFIXES = 16
NOVEL = 3.0
"""Rows that the smoothing of set frequencies is worth."""
QUICK = 0.5
"""Weight of frequency in the choice of seen sets."""
HOPELESS = 8.0
"""Seen sets whose quick score is this far behind the best are no candidates."""
SLACK = 1e-6
"""More than what a bound on a quick score is off by its rounding."""
ONE = np.uint64(1)
UNSOUGHT = -2
"""Place of a candidate that was not looked for in the table of whole sets."""


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
def _quick_gains(n_labels, n_top, s):
    """What each likely label adds to a quick score; and each byte of marks, where labels have marks of their own."""
    for i in range(n_top):
        s.gain[i] = s.odds[i] - QUICK * s.prior[i]
    if n_labels > MARKS:
        return
    for byte in range((n_labels + 7) // 8):
        sums = s.by_byte[byte]
        sums[0] = 0.0
        for bit in range(8):
            label, size = 8 * byte + bit, 1 << bit
            gain = s.gain[s.rank[label]] if label < n_labels and s.rank[label] >= 0 else 0.0
            for i in range(size):
                sums[size + i] = sums[i] + gain


@lean_kernel
def _quick_score(tables, table, place, n_labels, s):
    """What the labels of a set without strange marks add up to, and whether all of them are likely."""
    score = 0.0
    if n_labels <= MARKS:
        marks = tables.marks[table, place]
        for byte in range((n_labels + 7) // 8):
            score += s.by_byte[byte, marks & np.uint64(255)]
            marks >>= np.uint64(8)
        return score, True
    for k in range(tables.sizes[table, place]):
        at = s.rank[tables.labels[table, place, k]]
        if at < 0:
            return score, False
        score += s.gain[at]
    return score, True


@lean_kernel
def _familiar(marks, strange):
    """Which of at most 64 sets have no `strange` marks: a bit for each."""
    word = np.uint64(0)
    for i in range(len(marks)):
        word |= ONE << np.uint64(i) if marks[i] & strange == 0 else np.uint64(0)
    return word


@lean_kernel
def _bounds(scores, n, highest):
    """Bounds `low, high` of the `SEEN` best scores, and how many reach `high`.

    The best are those, and of the others that reach `low` the first; worse ones than `HOPELESS` are not among them.
    """
    low, high, sure = highest - HOPELESS, highest + 1.0, 0
    middle = low
    while True:
        count = 0
        for i in range(n):
            count += scores[i] >= middle
        if count == SEEN or (count < SEEN and middle == low):
            return middle, middle, count
        if count > SEEN:
            low = middle
        else:
            high, sure = middle, count
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return low, high, sure


@lean_kernel
def _best_seen(tables, n_labels, skip, strange, s):
    """The sets that a quick score likes best, at most `SEEN`, to `s.found` in the order of their places; how many.

    `skip` is taken off the log of each count, which is in units of the first row. Sets with `strange` marks have labels
    that are not likely.
    """
    n, highest, used = 0, -np.inf, tables.used[0]
    for start in range(0, used, 64):
        familiar = _familiar(tables.marks[0, start : min(used, start + 64)], strange)
        while familiar:
            place = start + lowest_bit(familiar)
            familiar &= familiar - ONE
            score, likely = _quick_score(tables, 0, place, n_labels, s)
            if likely:
                score += QUICK * (tables.log_counts[0, place] - skip)
                s.places[n], s.scores[n] = place, score
                highest = max(highest, score)
                n += 1
    low, high, sure = _bounds(s.scores, n, highest)
    found, spare = 0, SEEN - sure
    for i in range(n):
        if s.scores[i] < low or (s.scores[i] < high and not spare):
            continue
        spare -= s.scores[i] < high
        s.found[found] = s.places[i]
        found += 1
    return found


@lean_kernel
def _frequent(marks, log_counts, strange, least):
    """Which of at most 64 sets have no `strange` marks and are counted more often than `least`: a bit for each."""
    word = np.uint64(0)
    for i in range(len(marks)):
        word |= ONE << np.uint64(i) if marks[i] & strange == 0 and log_counts[i] > least else np.uint64(0)
    return word


@lean_kernel
def _best_part(tables, table, n_labels, skip, strange, most, best, s):
    """Place of the set of a table that a quick score likes best, the first of equals; -1 where none is above `best`.

    `most` is what the labels of a set can add up to: rare sets need not be looked at.
    """
    found, used = -1, tables.used[table]
    for start in range(0, used, 64):
        stop = min(used, start + 64)
        least = skip + (best - most) / QUICK - SLACK
        left = _frequent(tables.marks[table, start:stop], tables.log_counts[table, start:stop], strange, least)
        while left:
            place = start + lowest_bit(left)
            left &= left - ONE
            score, likely = _quick_score(tables, table, place, n_labels, s)
            score += QUICK * (tables.log_counts[table, place] - skip)
            if likely and score > best:
                found, best = place, score
    return found


@lean_kernel
def meet(n_top, top, slot_of, s):
    """Tell the likely labels which of them share a cluster, and forget what parts were worth to another row."""
    s.parts[:] = 0
    for i in range(n_top):
        if slot_of[top[i]] >= 0:
            s.likely[slot_of[top[i]]] = 0
    for i in range(n_top):
        if slot_of[top[i]] >= 0:
            s.likely[slot_of[top[i]]] |= ONE << np.uint64(i)
    for i in range(n_top):
        s.mates[i] = s.likely[slot_of[top[i]]] if slot_of[top[i]] >= 0 else ONE << np.uint64(i)


@lean_kernel
def _cluster_modes(state, n_labels, n_top, top, slot_of, s):
    """The union of each cluster's best part: one seen before, or nothing, or its labels that are likelier than not."""
    unit, whole = state.unit[0], np.uint64(0)
    rows = math.log(state.rows[0] / unit + NOVEL)
    shift, novel = rows + math.log(unit), math.log(NOVEL) - rows
    done = np.uint64(0)
    for i in range(n_top):
        cluster = slot_of[top[i]]
        if cluster < 0 or (done >> np.uint64(i)) & ONE:
            continue
        mode, left, strange = np.uint64(0), s.mates[i], ~np.uint64(0)
        done |= left
        gain, most = 0.0, 0.0
        while left:
            j = lowest_bit(left)
            left &= left - ONE
            strange &= ~mark_of(top[j])
            most += max(0.0, s.gain[j])
            if s.odds[j] > 0.0:
                mode |= ONE << np.uint64(j)
                gain += s.odds[j]
        chance = state.silence[cluster, 0]
        best = gain + QUICK * (novel + chance)
        silent = QUICK * (state.silence[cluster, 1] + chance)
        if silent > best:
            best, mode = silent, np.uint64(0)
        place = _best_part(state.cluster_sets, cluster, n_labels, shift, strange, most, best, s)
        if place >= 0:
            labels = state.cluster_sets.labels[cluster, place, : state.cluster_sets.sizes[cluster, place]]
            mode, _ = mask_of(labels, s.rank)
        whole |= mode
    return whole


@lean_kernel
def _collect_seen(state, n_labels, n_top, top, n, sets, s):
    """Add sets seen before to the prefixes, of which `n` are there; returns how many candidates there are."""
    prefixes, strange = n, ~np.uint64(0)
    for i in range(n_top):
        strange &= ~mark_of(top[i])
    for i in range(_best_seen(state.sets, n_labels, math.log(state.unit[0]), strange, s)):
        place = s.found[i]
        mask, _ = mask_of(state.sets.labels[0, place, : state.sets.sizes[0, place]], s.rank)
        if mask & (mask + ONE) == 0 and bits_in(mask) < prefixes:
            s.place_of[bits_in(mask)] = place
        else:
            sets[n], s.place_of[n] = mask, place
            n += 1
    return n


@lean_kernel
def collect(
    state, n_labels, n_top, top, slot_of, n_clusters, near, near_weights, near_sizes, near_labels, sets, s
):  # fmt: skip
    """Candidates of one row, with the neighbours' votes for each; returns how many, and the place of the last set."""
    n = 0
    rank, votes = s.rank, s.votes
    votes[:] = 0.0
    s.place_of[:] = UNSOUGHT
    prefix = np.uint64(0)
    for i in range(min(n_top, PREFIXES) + 1):
        sets[n] = prefix
        n += 1
        if i == n_top or s.odds[i] < -4.0:
            break
        prefix |= ONE << np.uint64(i)
    _quick_gains(n_labels, n_top, s)
    n = _collect_seen(state, n_labels, n_top, top, n, sets, s)
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
        _, n = _add_candidate(sets, n, _cluster_modes(state, n_labels, n_top, top, slot_of, s))
    return n, last
