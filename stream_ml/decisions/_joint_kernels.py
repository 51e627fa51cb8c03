"""Compiled loops of the joint posterior: candidates for a row's label set, their scores, and what they teach.

Sets are bit masks over the row's likely labels, the likeliest first: bit i is the label `top[i]`. A row's posterior is
a softmax over at most `MOST` candidates of a linear score of `FEATURES` features, whose weights are learned online.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions._set_kernels import SetTables, count_set, find_set, mark_of, scale_sets, set_hash
from stream_ml.experts._stack_kernels import solve
from stream_ml.jit import kernel, lean_kernel

__all__ = [
    "FEATURES",
    "LIKELY",
    "MOST",
    "JointRows",
    "JointState",
    "independent_block",
    "joint_block",
    "likely_block",
    "refresh_priors",
]

LEARN = 2
LIKELY = 64
"""Labels of a row that its candidates may have: one bit each."""
LEAST_P = 0.002
"""Probability below which a label is in no candidate."""
PREFIXES = 16
PART_BITS = 8
SEEN = 32
MOST = 80
"""Candidates of a row: prefixes, sets seen, sets of neighbours, the last set, the clusters' modes."""
FEATURES = 8
FLOOR = 1e-4
LARGEST = 64
"""Label cardinalities from here on are counted as one."""
NOVEL = 3.0
"""Rows that the smoothing of set frequencies is worth."""
QUICK = 0.5
"""Weight of frequency in the choice of seen sets."""
HOPELESS = 8.0
"""Seen sets whose quick score is this far behind the best are no candidates."""
NEIGHBOUR = 0.02
SAME_FADING = 0.97
COVERAGE_FADING = 0.99
FIRST_ROWS = 10.0
"""Rows that the first guess of the coverage is worth."""
REFRESH = 32
WIDE = 256
"""Of more than so many times `REFRESH` labels each learned row pays for the refresh of this many."""
RATE = 0.05
MIX_DECAY = 0.9995
MIX_RIDGE = 10.0
ONE = np.uint64(1)
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
BIT_AT = np.zeros(64, dtype=np.int64)
for _bit in range(64):
    BIT_AT[((0x03F79D71B4CB0A89 << _bit) & (2**64 - 1)) >> 58] = _bit
LARGE = 1e200
"""Weight of a row at which counts are written down anew."""


class JointState(NamedTuple):
    """What the joint posterior has learned; counts are in units of the first row (see `_set_kernels`)."""

    unit: NDArray[np.float64]  # (1,) weight of the next row
    rows: NDArray[np.float64]  # (1,)
    learned: NDArray[np.int64]  # (1,)
    label_counts: NDArray[np.float64]  # (L,)
    cardinality: NDArray[np.float64]  # (LARGEST + 1,)
    last: NDArray[np.int32]  # (1 + L,) size of the last set, and its labels
    same: NDArray[np.float64]  # (1,) fading share of rows with the set of the row before
    coverage: NDArray[np.float64]  # (1,) fading share of rows whose set was among the candidates
    weights: NDArray[np.float64]  # (FEATURES,)
    squares: NDArray[np.float64]  # (FEATURES,)
    mix: NDArray[np.float64]  # (3,) of the stacked log-odds, the joint log-odds, 1
    mix_information: NDArray[np.float64]  # (3, 3)
    prior_odds: NDArray[np.float64]  # (L,) log-odds of the label's frequency, as of the last refresh
    summary: NDArray[np.float64]  # (3,) log of summed odds, mean cardinality, silence of all clusters; as of then
    silence: NDArray[np.float64]  # (clusters, 2) log chance that none of its labels is there: by priors, by counts
    cluster_mass: NDArray[np.float64]  # (clusters,) rows with a label of the cluster
    sets: SetTables  # one table, whole sets
    cluster_sets: SetTables  # a table per cluster, the non-empty parts


class JointRows(NamedTuple):
    """The posterior of each row of a block."""

    n_top: NDArray[np.int32]  # (rows,)
    top: NDArray[np.int32]  # (rows, LIKELY) labels, likeliest first
    chances: NDArray[np.float32]  # (rows, LIKELY) their stacked probabilities
    marginals: NDArray[np.float32]  # (rows, LIKELY) probabilities, the posterior's mixed with the stacked ones
    n_sets: NDArray[np.int32]  # (rows,)
    sets: NDArray[np.uint64]  # (rows, MOST) candidates
    posterior: NDArray[np.float32]  # (rows, MOST)
    coverage: NDArray[np.float32]  # (rows,)


class _Scratch(NamedTuple):
    """Memory for one row's work, made once a block."""

    rank: NDArray[np.int32]  # (L,) place among the likely labels, -1 of the others; so before and after every row
    odds: NDArray[np.float64]  # (LIKELY,)
    prior: NDArray[np.float64]  # (LIKELY,)
    joint: NDArray[np.float64]  # (LIKELY,)
    q: NDArray[np.float64]  # (LIKELY,)
    features: NDArray[np.float64]  # (MOST, FEATURES)
    votes: NDArray[np.float64]  # (MOST,)
    posterior: NDArray[np.float64]  # (MOST,)
    masks: NDArray[np.uint64]  # (SEEN,)
    scores: NDArray[np.float64]  # (SEEN,)
    logs: NDArray[np.float64]  # (LARGEST + 1,) log factorials
    by_size: NDArray[np.float64]  # (LARGEST + 1, 2)
    factor: NDArray[np.float64]  # (3, 3)
    step: NDArray[np.float64]  # (3,)
    gradient: NDArray[np.float64]  # (3,)
    inputs: NDArray[np.float64]  # (3,)
    done: NDArray[np.bool_]  # (L,)
    part: NDArray[np.int32]  # (L,)
    strange: NDArray[np.uint64]  # (1,) marks that no likely label has
    likely: NDArray[np.uint64]  # (clusters,) the likely labels of a cluster, as a mask; of those that have any
    mates: NDArray[np.uint64]  # (LIKELY,) the same of each likely label's cluster
    parts: NDArray[np.uint64]  # (2**PART_BITS,) parts of candidates, as masks, whose worth is known; 0: none
    worths: NDArray[np.float64]  # (2**PART_BITS,)


@lean_kernel
def lowest_bit(mask):
    """Position of the lowest bit that is set (by a de Bruijn sequence: Leiserson, Prokop, Randall, MIT 1998)."""
    return BIT_AT[((mask & (~mask + ONE)) * DE_BRUIJN) >> np.uint64(58)]


@lean_kernel
def refresh_priors(state, n_labels, slot_of, n_clusters):
    """Renew what is derived from label frequencies; done at fixed numbers of learned rows, as they change slowly."""
    rows = state.rows[0] / state.unit[0]
    odds, mean = 0.0, 0.0
    state.silence[:n_clusters] = 0.0
    for label in range(n_labels):
        if state.label_counts[label] == 0.0 and slot_of[label] < 0:  # it comes in a later row
            continue
        q = min(0.999, max(FLOOR, state.label_counts[label] / state.unit[0] / (rows + 1.0)))
        state.prior_odds[label] = math.log(q / (1.0 - q))
        odds += q / (1.0 - q)
        mean += q
        if slot_of[label] >= 0:
            state.silence[slot_of[label], 0] += math.log(1.0 - q)
    total = 0.0
    for cluster in range(n_clusters):
        none = max(0.0, rows - state.cluster_mass[cluster] / state.unit[0])
        chance = state.silence[cluster, 0]
        state.silence[cluster, 1] = math.log((none + NOVEL * math.exp(chance)) / (rows + NOVEL)) - chance
        total += state.silence[cluster, 1]
    state.summary[0], state.summary[1], state.summary[2] = math.log(max(odds, FLOOR)), mean, total


@lean_kernel
def likely_block(probabilities, n_labels, n_top, tops, chances):
    """The most probable labels of each row, at most `LIKELY`, in order, ties by position; and their probabilities."""
    for row in range(len(n_top)):
        p, top, n = probabilities[row], tops[row], 0
        for label in range(n_labels):
            if p[label] < LEAST_P or (n == LIKELY and p[label] <= p[top[n - 1]]):
                continue
            place = min(n, LIKELY - 1)
            while place > 0 and p[top[place - 1]] < p[label]:
                top[place] = top[place - 1]
                place -= 1
            top[place] = label
            n = min(LIKELY, n + 1)
        n_top[row] = n
        for i in range(n):
            chances[row, i] = p[top[i]]


@lean_kernel
def _mask_of(labels, rank):
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
def _meet(n_top, top, slot_of, s):
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
def _of_size(state, size, logs, out):
    """What a row needs of a cardinality: its smoothed share, and the log of that beyond what Poisson's law gives."""
    mean = state.summary[1]
    poisson = math.exp(size * math.log(mean + FLOOR) - mean - logs[size])
    out[0] = (state.cardinality[size] / state.unit[0] + poisson) / (state.rows[0] / state.unit[0] + 1.0)
    out[1] = math.log(out[0] + 1e-12) - math.log(poisson + 1e-12)


@lean_kernel
def _worth(state, codes, part, cluster, top, prior):
    """How much more often a part of a cluster was seen than independent labels would have it, beside silence; a log."""
    unit = state.unit[0]
    rows = state.rows[0] / unit
    code, chance, left = np.uint64(0), state.silence[cluster, 0], part
    while left:
        i = lowest_bit(left)
        left &= left - ONE
        code ^= codes[top[i]]
        chance += prior[i]
    place = find_set(state.cluster_sets, cluster, code)
    count = state.cluster_sets.counts[cluster, place] / unit if place >= 0 else 0.0
    return math.log((count + NOVEL * math.exp(chance)) / (rows + NOVEL)) - chance - state.silence[cluster, 1]


@lean_kernel
def _dependence(state, codes, mask, top, slot_of, s):
    """Summed over the clusters: what a set's parts are worth. Candidates share parts, so each is weighed once a row."""
    total = state.summary[2]
    while mask:
        i = lowest_bit(mask)
        cluster = slot_of[top[i]]
        part = s.mates[i] & mask
        mask &= ~part
        if cluster < 0:
            continue
        place = np.int64((part * DE_BRUIJN) >> np.uint64(64 - PART_BITS))
        if s.parts[place] != part:
            s.parts[place], s.worths[place] = part, _worth(state, codes, part, cluster, top, s.prior)
        total += s.worths[place]
    return total


@lean_kernel
def _features(state, codes, mask, votes, recency, top, slot_of, n_clusters, s, out):
    """Features of one candidate: what speaks for it beside the labels' own probabilities."""
    rows, odds, prior, by_size = state.rows[0] / state.unit[0], s.odds, s.prior, s.by_size
    independent, chance, size = 0.0, 0.0, 0
    whole, left = np.uint64(0), mask
    while left:
        i = lowest_bit(left)
        left &= left - ONE
        size += 1
        independent += odds[i]
        chance += prior[i]
        whole ^= codes[top[i]]
    if by_size[size, 0] < 0.0:
        _of_size(state, size, s.logs, by_size[size])
    novel = by_size[size, 0] * math.exp(min(0.0, chance - size * state.summary[0] + s.logs[size]))
    place = find_set(state.sets, 0, whole)
    count = state.sets.counts[0, place] / state.unit[0] if place >= 0 else 0.0
    out[0] = independent
    out[1] = math.log((count + NOVEL * novel) / (rows + NOVEL) + 1e-30) - chance
    out[2] = by_size[size, 1]
    out[3] = _dependence(state, codes, mask, top, slot_of, s) if n_clusters > 1 else 0.0
    out[4] = math.log((votes + NEIGHBOUR) / NEIGHBOUR) if votes > 0.0 else 0.0
    out[5] = recency
    out[6] = 1.0 if count > 0.01 else 0.0
    out[7] = size


@lean_kernel
def _collect(
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
        mask, likely = _mask_of(near_labels[near[i], : near_sizes[near[i]]], rank)
        if likely and n < MOST - 2:
            place, n = _add_candidate(sets, n, mask)
            votes[place] += near_weights[i]
    for i in range(n):
        votes[i] /= total
    last = -1
    if state.learned[0] > 0:
        mask, likely = _mask_of(state.last[1 : 1 + state.last[0]], rank)
        if likely:
            last, n = _add_candidate(sets, n, mask)
    if n_clusters > 1:
        _, n = _add_candidate(sets, n, _cluster_modes(state, n_top, top, slot_of, s))
    return n, last


@lean_kernel
def _scale(counts, factor):
    """Multiply all counts."""
    for i in range(len(counts)):
        counts[i] *= factor


@lean_kernel
def _teach(state, codes, slot_of, labels, fading, done, part):
    """Add a learned row's label set to all counts."""
    unit = state.unit[0]
    same = set_hash(codes, labels) == set_hash(codes, state.last[1 : 1 + state.last[0]]) and state.learned[0] > 0
    for k in range(len(labels)):
        state.last[1 + k] = labels[k]
        state.label_counts[labels[k]] += unit
    state.last[0] = len(labels)
    state.same[0] = min(0.99, max(0.01, SAME_FADING * state.same[0] + (1.0 - SAME_FADING) * same))
    state.cardinality[min(LARGEST, len(labels))] += unit
    state.rows[0] += unit
    count_set(state.sets, 0, set_hash(codes, labels), labels, unit)
    done[: len(labels)] = False
    for i in range(len(labels)):
        cluster = slot_of[labels[i]]
        if cluster < 0 or done[i]:
            continue
        n = 0
        for j in range(i, len(labels)):
            if slot_of[labels[j]] == cluster:
                done[j] = True
                part[n] = labels[j]
                n += 1
        count_set(state.cluster_sets, cluster, set_hash(codes, part[:n]), part[:n], unit)
        state.cluster_mass[cluster] += unit
    state.learned[0] += 1
    state.unit[0] = unit / fading
    if state.unit[0] > LARGE:
        scale = 1.0 / state.unit[0]
        state.unit[0] = 1.0
        state.rows[0] *= scale
        _scale(state.label_counts, scale)
        _scale(state.cardinality, scale)
        _scale(state.cluster_mass, scale)
        scale_sets(state.sets, scale)
        scale_sets(state.cluster_sets, scale)


@lean_kernel
def _teach_weights(state, features, posterior, n, truth):
    """One AdaGrad step of the features' weights on the log-loss of the posterior."""
    for f in range(FEATURES):
        gradient = -features[truth, f]
        for i in range(n):
            gradient += posterior[i] * features[i, f]
        state.squares[f] += gradient * gradient
        state.weights[f] -= RATE * gradient / math.sqrt(state.squares[f])


@lean_kernel
def _teach_mix(state, n_top, truth, known, s):
    """One Newton step of the mix of stacked and joint log-odds on those of the row's likely labels that are known."""
    odds, joint, q, gradient, inputs = s.odds, s.joint, s.q, s.gradient, s.inputs
    for i in range(3):
        for j in range(i + 1):
            state.mix_information[i, j] *= MIX_DECAY
        state.mix_information[i, i] += MIX_RIDGE * (1.0 - MIX_DECAY)
    gradient[:] = 0.0
    inputs[2] = 1.0
    for i in range(n_top):
        if not (known >> np.uint64(i)) & ONE:
            continue
        error = q[i] - (1.0 if (truth >> np.uint64(i)) & ONE else 0.0)
        inputs[0], inputs[1] = odds[i], joint[i]
        for a in range(3):
            gradient[a] += error * inputs[a]
            for b in range(a + 1):
                state.mix_information[a, b] += q[i] * (1.0 - q[i]) * inputs[a] * inputs[b]
    solve(state.mix_information, gradient, s.factor, s.step)
    for i in range(3):
        state.mix[i] -= s.step[i]


@lean_kernel
def _weigh(state, codes, row, near, near_weights, near_sizes, near_labels, slot_of, n_clusters, rows, s):
    """Posterior over label sets of a row; returns how many candidates there are."""
    top, sets, n_top = rows.top[row], rows.sets[row], rows.n_top[row]
    odds, joint, posterior = s.odds, s.joint, s.posterior
    for i in range(n_top):
        s.rank[top[i]] = i
        p = min(1.0 - FLOOR, max(FLOOR, rows.chances[row, i]))
        odds[i] = math.log(p / (1.0 - p))
        s.prior[i] = state.prior_odds[top[i]]
    _meet(n_top, top, slot_of, s)
    n, last = _collect(
        state, n_top, top, slot_of, n_clusters, near[row], near_weights[row], near_sizes, near_labels, sets, s
    )
    highest = -np.inf
    s.by_size[:, 0] = -1.0
    recency = math.log(state.same[0] / (1.0 - state.same[0])) + 5.0
    for i in range(n):
        _features(
            state, codes, sets[i], s.votes[i], recency if i == last else 0.0, top, slot_of, n_clusters, s, s.features[i]
        )
        posterior[i] = 0.0
        for f in range(FEATURES):
            posterior[i] += state.weights[f] * s.features[i, f]
        highest = max(highest, posterior[i])
    total = 0.0
    for i in range(n):
        posterior[i] = math.exp(posterior[i] - highest)
        total += posterior[i]
    joint[:n_top] = 0.0
    for i in range(n):
        posterior[i] /= total
        rows.posterior[row, i] = posterior[i]
        mask = sets[i]
        while mask:
            joint[lowest_bit(mask)] += posterior[i]
            mask &= mask - ONE
    for i in range(n_top):
        # the posterior speaks of rows whose set is among the candidates; of others the labels' own probabilities do
        p = state.coverage[0] * joint[i] + (1.0 - state.coverage[0]) * rows.chances[row, i]
        p = min(0.999, max(0.001, p))
        joint[i] = math.log(p / (1.0 - p))
        z = state.mix[0] * odds[i] + state.mix[1] * joint[i] + state.mix[2]
        s.q[i] = 1.0 / (1.0 + math.exp(-min(10.0, max(-10.0, z))))
        rows.marginals[row, i] = s.q[i]
    rows.n_sets[row], rows.coverage[row] = n, state.coverage[0]
    return n


@lean_kernel
def _learn_row(state, codes, row, n, labels, unknown, n_labels, slot_of, n_clusters, fading, rows, s):
    """Learn the label set of a row of which `_weigh` has just told the posterior."""
    sets, rank = rows.sets[row], s.rank
    whole, known = True, ~np.uint64(0)
    if len(unknown):
        for label in range(n_labels):
            if unknown[row, label]:
                whole = False
                if rank[label] >= 0:
                    known &= ~(ONE << np.uint64(rank[label]))
    if whole:
        mask, likely = _mask_of(labels, rank)
        truth = -1
        if likely:
            for i in range(n):
                if sets[i] == mask:
                    truth = i
        share = max(1.0 - COVERAGE_FADING, 1.0 / (state.learned[0] + FIRST_ROWS))
        state.coverage[0] += share * ((1.0 if truth >= 0 else 0.0) - state.coverage[0])
        if truth >= 0:
            _teach_weights(state, s.features, s.posterior, n, truth)
    mask = np.uint64(0)
    for k in range(len(labels)):
        if rank[labels[k]] >= 0:
            mask |= ONE << np.uint64(rank[labels[k]])
    _teach_mix(state, rows.n_top[row], mask, known, s)
    if whole:
        _teach(state, codes, slot_of, labels, fading, s.done, s.part)
        if state.learned[0] < REFRESH or state.learned[0] % max(REFRESH, n_labels // WIDE) == 0:
            refresh_priors(state, n_labels, slot_of, n_clusters)


@lean_kernel
def _joint_rows(
    state, codes, near, near_weights, near_sizes, near_labels, y_indptr, y_indices, mode, unknown,
    n_labels, slot_of, n_clusters, fading, rows, s,
):  # fmt: skip
    """`joint_block` with memory to work in."""
    for row in range(len(mode)):
        n = _weigh(state, codes, row, near, near_weights, near_sizes, near_labels, slot_of, n_clusters, rows, s)
        if mode[row] & LEARN:
            labels = y_indices[y_indptr[row] : y_indptr[row + 1]]
            _learn_row(state, codes, row, n, labels, unknown, n_labels, slot_of, n_clusters, fading, rows, s)
        for i in range(rows.n_top[row]):
            s.rank[rows.top[row, i]] = -1


@kernel
def joint_block(
    state, codes, near, near_weights, near_sizes, near_labels, y_indptr, y_indices, mode, unknown,
    n_labels, slot_of, n_clusters, fading, rows,
):  # fmt: skip
    """Posterior over label sets of each row, out of its likely labels (`rows`), which then is learned as its mode says.

    Rows with labels that are `unknown` (rows, L; no rows: all are known) have no label set: their labels that are known
    teach the mix, and nothing else.
    """
    logs = np.zeros(LARGEST + 1)
    for i in range(LARGEST):
        logs[i + 1] = logs[i] + math.log(i + 1.0)
    scratch = _Scratch(
        np.full(n_labels, -1, dtype=np.int32), np.empty(LIKELY), np.empty(LIKELY), np.empty(LIKELY), np.empty(LIKELY),
        np.empty((MOST, FEATURES)), np.empty(MOST), np.empty(MOST), np.empty(SEEN, dtype=np.uint64), np.empty(SEEN),
        logs, np.empty((LARGEST + 1, 2)), np.empty((3, 3)), np.empty(3), np.empty(3), np.empty(3),
        np.empty(n_labels, dtype=np.bool_), np.empty(n_labels, dtype=np.int32),
        np.empty(1, dtype=np.uint64), np.empty(len(state.silence), dtype=np.uint64), np.empty(LIKELY, dtype=np.uint64),
        np.empty(2**PART_BITS, dtype=np.uint64), np.empty(2**PART_BITS),
    )  # fmt: skip
    _joint_rows(
        state, codes, near, near_weights, near_sizes, near_labels, y_indptr, y_indices, mode, unknown,
        n_labels, slot_of, n_clusters, fading, rows, scratch,
    )  # fmt: skip


@kernel
def independent_block(rows):
    """The same of labels taken to be independent: candidates are the sets of the most probable labels alone."""
    odds = np.empty(LIKELY)
    for row in range(len(rows.n_top)):
        n_top = rows.n_top[row]
        for i in range(n_top):
            p = rows.chances[row, i]
            rows.marginals[row, i] = p
            p = min(1.0 - FLOOR, max(FLOOR, p))
            odds[i] = math.log(p / (1.0 - p))
        n, mask, score, total, highest = 0, np.uint64(0), 0.0, 0.0, 0.0
        for i in range(n_top):  # scores rise up to the labels that are likelier than not
            highest += max(0.0, odds[i])
        for i in range(n_top + 1):
            rows.sets[row, n], rows.posterior[row, n] = mask, math.exp(score - highest)
            total += math.exp(score - highest)
            n += 1
            if i < n_top:
                mask |= ONE << np.uint64(i)
                score += odds[i]
        for i in range(n):
            rows.posterior[row, i] /= total
        rows.n_sets[row] = n
