"""Compiled loops of the joint posterior: the scores of a row's candidates (`_candidate_kernels`), and what they teach.

A row's posterior is a softmax over at most `MOST` candidates of a linear score of `FEATURES` features, whose weights
are learned online.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.decisions._bit_kernels import lowest_bit
from stream_ml.decisions._candidate_kernels import NOVEL, ONE, UNSOUGHT, collect, mask_of, meet
from stream_ml.decisions._layout import FEATURES, LARGEST, LIKELY, MOST, PART_BITS, SEEN, Scratch
from stream_ml.decisions._set_kernels import MARKS, count_set, find_set, scale_sets, set_hash
from stream_ml.elementary import exp64, log64
from stream_ml.experts._stack_kernels import solve
from stream_ml.jit import kernel, lean_kernel

__all__ = ["MIX_RIDGE", "independent_block", "joint_block", "likely_block", "refresh_priors"]

LEARN = 2
LEAST_P = 0.002
"""Probability below which a label is in no candidate."""
FLOOR = 1e-4
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
FAINT = -690.0
"""Logs of chances below this count as it: their exponentials would be no normal numbers."""
SPREAD = np.uint64(0x9E3779B97F4A7C15)
LARGE = 1e200
"""Weight of a row at which counts are written down anew."""


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
def _by_size(state, largest, s):
    """What a row needs of each cardinality: its smoothed share, and the log of that beyond what Poisson's law gives."""
    mean, unit = state.summary[1], state.unit[0]
    level, rows = math.log(mean + FLOOR), state.rows[0] / unit
    for size in range(largest + 1):
        poisson = exp64(max(FAINT, size * level - mean - s.logs[size]))
        s.share[size] = (state.cardinality[size] / unit + poisson) / (rows + 1.0)
        s.beyond[size] = log64(s.share[size] + 1e-12) - log64(poisson + 1e-12)


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
    share = (count + NOVEL * exp64(max(FAINT, chance))) / (rows + NOVEL)
    return log64(share) - chance - state.silence[cluster, 1]


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
        place = np.int64((part * SPREAD) >> np.uint64(64 - PART_BITS))
        if s.parts[place] != part:
            s.parts[place], s.worths[place] = part, _worth(state, codes, part, cluster, top, s.prior)
        total += s.worths[place]
    return total


@lean_kernel
def _count_of(state, codes, mask, place, top):
    """Faded count of a candidate as a whole set, whose place in the table may be known."""
    if place == UNSOUGHT:
        whole = np.uint64(0)
        while mask:
            whole ^= codes[top[lowest_bit(mask)]]
            mask &= mask - ONE
        place = find_set(state.sets, 0, whole)
    return state.sets.counts[0, place] / state.unit[0] if place >= 0 else 0.0


@lean_kernel
def _features(state, codes, n, last, sets, top, slot_of, n_clusters, s):
    """Features of the candidates: what speaks for each beside the labels' own probabilities."""
    rows, x, largest = state.rows[0] / state.unit[0], s.features, 0
    for i in range(n):
        independent, chance, size = 0.0, 0.0, 0
        left = sets[i]
        while left:
            at = lowest_bit(left)
            left &= left - ONE
            size += 1
            independent += s.odds[at]
            chance += s.prior[at]
        largest = max(largest, size)
        s.counts[i] = _count_of(state, codes, sets[i], s.place_of[i], top)
        s.chance[i] = chance
        x[0, i] = independent
        x[3, i] = _dependence(state, codes, sets[i], top, slot_of, s) if n_clusters > 1 else 0.0
        x[5, i] = 0.0
        x[6, i] = 1.0 if s.counts[i] > 0.01 else 0.0
        x[7, i] = size
    if last >= 0:
        x[5, last] = math.log(state.same[0] / (1.0 - state.same[0])) + 5.0
    _by_size(state, largest, s)
    for i in range(n):
        size = int(x[7, i])
        x[2, i], s.novel[i] = s.beyond[size], s.share[size]
        x[1, i] = s.chance[i] - size * state.summary[0] + s.logs[size]
    for i in range(n):
        novel = s.novel[i] * exp64(min(0.0, max(FAINT, x[1, i])))
        x[1, i] = log64((s.counts[i] + NOVEL * novel) / (rows + NOVEL) + 1e-30) - s.chance[i]
        x[4, i] = log64((s.votes[i] + NEIGHBOUR) / NEIGHBOUR)


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
        gradient = -features[f, truth]
        for i in range(n):
            gradient += posterior[i] * features[f, i]
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
def _mix(state, chances, n_top, marginals, s):
    """Probabilities of the likely labels: their own odds mixed with those of the posterior (`s.joint`)."""
    coverage = state.coverage[0]
    own, joint, first = state.mix[0], state.mix[1], state.mix[2]
    for i in range(n_top):
        # the posterior speaks of rows whose set is among the candidates; of others the labels' own probabilities do
        p = coverage * s.joint[i] + (1.0 - coverage) * chances[i]
        p = min(0.999, max(0.001, p))
        s.joint[i] = log64(p / (1.0 - p))
        z = own * s.odds[i] + joint * s.joint[i] + first
        s.q[i] = 1.0 / (1.0 + exp64(-min(10.0, max(-10.0, z))))
        marginals[i] = s.q[i]


@lean_kernel
def _softmax(n, n_top, sets, weights, features, posterior, joint):
    """The posterior over candidates, and what of it each likely label has (`joint`)."""
    highest, total = -np.inf, 0.0
    for i in range(n):
        score = 0.0
        for f in range(FEATURES):
            score += weights[f] * features[f, i]
        posterior[i] = score
    for i in range(n):
        highest = max(highest, posterior[i])
    for i in range(n):
        posterior[i] = exp64(max(FAINT, posterior[i] - highest))
    for i in range(n):
        total += posterior[i]
    joint[:n_top] = 0.0
    for i in range(n):
        posterior[i] /= total
        for at in range(n_top):
            joint[at] += posterior[i] if (sets[i] >> np.uint64(at)) & ONE else 0.0


@lean_kernel
def _weigh(state, codes, row, near, near_weights, near_sizes, near_labels, n_labels, slot_of, n_clusters, rows, s):
    """Posterior over label sets of a row; returns how many candidates there are."""
    top, sets, n_top, chances = rows.top[row], rows.sets[row], rows.n_top[row], rows.chances[row]
    for i in range(n_top):
        s.rank[top[i]] = i
        s.prior[i] = state.prior_odds[top[i]]
    for i in range(n_top):
        p = min(1.0 - FLOOR, max(FLOOR, chances[i]))
        s.odds[i] = log64(p / (1.0 - p))
    meet(n_top, top, slot_of, s)
    n, last = collect(
        state, n_labels, n_top, top, slot_of, n_clusters, near[row], near_weights[row], near_sizes, near_labels, sets, s
    )
    _features(state, codes, n, last, sets, top, slot_of, n_clusters, s)
    _softmax(n, n_top, sets, state.weights, s.features, s.posterior, s.joint)
    for i in range(n):
        rows.posterior[row, i] = s.posterior[i]
    _mix(state, chances, n_top, rows.marginals[row], s)
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
        mask, likely = mask_of(labels, rank)
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
        n = _weigh(
            state, codes, row, near, near_weights, near_sizes, near_labels, n_labels, slot_of, n_clusters, rows, s
        )
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
    seen = state.sets.counts.shape[1]
    scratch = Scratch(
        np.full(n_labels, -1, dtype=np.int32), np.empty(LIKELY), np.empty(LIKELY), np.empty(LIKELY), np.empty(LIKELY),
        np.empty(LIKELY), np.empty((MARKS // 8, 256)), np.empty(seen, dtype=np.int64), np.empty(seen),
        np.empty(SEEN, dtype=np.int64), np.empty(MOST, dtype=np.int64), np.empty(MOST), np.empty(MOST), np.empty(MOST),
        np.empty(MOST), np.empty((FEATURES, MOST)), np.empty(MOST), logs, np.empty(LARGEST + 1), np.empty(LARGEST + 1),
        np.empty((3, 3)), np.empty(3), np.empty(3), np.empty(3),
        np.empty(n_labels, dtype=np.bool_), np.empty(n_labels, dtype=np.int32),
        np.empty(len(state.silence), dtype=np.uint64), np.empty(LIKELY, dtype=np.uint64),
        np.empty(2**PART_BITS, dtype=np.uint64), np.empty(2**PART_BITS),
    )  # fmt: skip
    _joint_rows(
        state, codes, near, near_weights, near_sizes, near_labels, y_indptr, y_indices, mode, unknown,
        n_labels, slot_of, n_clusters, fading, rows, scratch,
    )  # fmt: skip


@kernel
def independent_block(probabilities, n_labels, rows):
    """The same of labels taken to be independent: candidates are the sets of the most probable labels alone.

    Without `probabilities` (rows, labels) the rows' likely labels are there.
    """
    odds, scores = np.empty(LIKELY), np.empty(LIKELY + 1)
    if len(probabilities):
        likely_block(probabilities, n_labels, rows.n_top, rows.top, rows.chances)
    for row in range(len(rows.n_top)):
        n, chances, marginals = rows.n_top[row], rows.chances[row], rows.marginals[row]
        for i in range(n):
            p = min(1.0 - FLOOR, max(FLOOR, chances[i]))
            odds[i] = log64(p / (1.0 - p))
        scores[0], highest, total = 0.0, 0.0, 0.0
        for i in range(n):  # scores rise up to the labels that are likelier than not
            marginals[i] = chances[i]
            scores[i + 1] = scores[i] + odds[i]
            highest += max(0.0, odds[i])
        for i in range(n + 1):
            scores[i] = exp64(max(FAINT, scores[i] - highest))
        mask = np.uint64(0)
        for i in range(n + 1):
            total += scores[i]
            rows.sets[row, i] = mask
            mask |= ONE << np.uint64(i)
        for i in range(n + 1):
            rows.posterior[row, i] = scores[i] / total
        rows.n_sets[row] = n + 1
