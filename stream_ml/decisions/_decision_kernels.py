"""Compiled loops from probabilities and posteriors over label sets to decisions, one kernel for each kind of loss.

Every kernel fills `indptr` (rows + 1,) and as much of `indices` as is needed; rows without PREDICT in their mode are
empty.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.decisions._bit_kernels import bits_in, lowest_bit
from stream_ml.jit import kernel, lean_kernel

__all__ = [
    "balanced_block",
    "balanced_cuts",
    "example_f1_block",
    "expected_f1",
    "hamming_block",
    "mode_block",
    "threshold_block",
]

PREDICT = 1
ONE = np.uint64(1)
UNLIKELY = 1e-3
"""Candidates less probable than this count for nothing in an expectation."""


@lean_kernel
def expected_f1(p, n_labels, inside):
    """The largest expected F1 that a set of labels can have, `max 2 sum(p in set) / (size + sum(p))`.

    The best set holds the labels at half that value or above: raise the value until it no longer rises (Dinkelbach,
    Management Science 1967); labels once below stay so. Exact for independent labels up to the expectation of the
    ratio. `inside` is room for as many numbers.
    """
    total = 0.0
    for label in range(n_labels):
        inside[label] = p[label]
        total += p[label]
    best, size, hits = 0.0, n_labels, total
    while total > 0.0:
        value = 2.0 * hits / (size + total)
        if value <= best:
            break
        best = value
        kept, hits = 0, 0.0
        for i in range(size):
            p_in = inside[i]
            inside[kept] = p_in
            hits += p_in if p_in >= 0.5 * best else 0.0
            kept += p_in >= 0.5 * best
        size = kept
    return best


@lean_kernel
def _write(mask, top, out, indices):
    """The labels of a mask in the order of their positions; returns where the next row starts."""
    first = out
    while mask:
        label = top[lowest_bit(mask)]
        mask &= mask - ONE
        place = out
        while place > first and indices[place - 1] > label:
            indices[place] = indices[place - 1]
            place -= 1
        indices[place] = label
        out += 1
    return out


@lean_kernel
def _at_least(p, n_labels, cuts, fallback):
    """The labels at or above their thresholds, else the most probable one if it is at or above `fallback`; a mask."""
    mask, best = np.uint64(0), 0
    for label in range(n_labels):
        if p[label] > p[best]:
            best = label
        if p[label] >= cuts[label]:
            mask |= ONE << np.uint64(label)
    if not mask and n_labels and p[best] >= fallback:
        mask = ONE << np.uint64(best)
    return mask


@lean_kernel
def mode_block(rows, mode, indptr, indices):
    """The most probable candidate: best for subset accuracy."""
    out = 0
    indptr[0] = 0
    for row in range(len(mode)):
        if mode[row] & PREDICT:
            best = 0
            for i in range(rows.n_sets[row]):
                if rows.posterior[row, i] > rows.posterior[row, best]:
                    best = i
            out = _write(rows.sets[row, best], rows.top[row], out, indices)
        indptr[row + 1] = out


@lean_kernel
def balanced_cuts(q, n, thresholds, frequency, f_share, rarity, most, cuts):
    """Thresholds of a row's `n` likely labels, between those that are best for the usual losses, to `cuts` (LIKELY,).

    One lies `f_share` of the way from 1/2 (best for Hamming loss) to half the row's expected F1 (best for F1). That of
    a rare label lies nearer to the one that is best for its own F1 (`thresholds`): by the share `rarity` over its
    frequency, `most` at most, as macro F1 gains by a hit in that proportion.
    """
    threshold = 0.5 + f_share * (0.5 * expected_f1(q, n, cuts) - 0.5)
    for i in range(n):
        own_share = min(most, rarity / frequency[i])
        cuts[i] = threshold - own_share * max(0.0, threshold - thresholds[i])


@kernel
def balanced_block(rows, mode, thresholds, frequency, f_share, rarity, most, exact_share, fallback, indptr, indices):
    """A compromise of all the usual losses.

    A set is valued by what its labels have above their thresholds (`balanced_cuts`), in units of F1; the chance that
    the set is exactly right counts `exact_share` beside that.
    """
    cuts = np.empty(rows.top.shape[1])
    out = 0
    indptr[0] = 0
    for row in range(len(mode)):
        if mode[row] & PREDICT:
            q, n = rows.marginals[row], rows.n_top[row]
            balanced_cuts(q, n, thresholds[row], frequency[row], f_share, rarity, most, cuts)
            best = _at_least(q, n, cuts, fallback)
            total = 0.0
            for i in range(n):
                total += q[i]
            scale = 2.0 / (max(1, bits_in(best)) + total)
            chosen, highest = best, -1e9
            before, above = np.uint64(0), 0.0
            for s in range(-1, rows.n_sets[row]):
                mask = best if s < 0 else rows.sets[row, s]
                left = mask & ~before
                if mask & before != before or left & (~left + ONE) <= before:  # else it goes on where that one ends
                    left, above = mask, 0.0
                before = mask
                while left:
                    i = lowest_bit(left)
                    left &= left - ONE
                    above += q[i] - cuts[i]
                value = above * ((1.0 - exact_share) * scale)
                if s < 0:
                    for other in range(rows.n_sets[row]):
                        if rows.sets[row, other] == mask:
                            value += exact_share * rows.coverage[row] * rows.posterior[row, other]
                else:
                    value += exact_share * rows.coverage[row] * rows.posterior[row, s]
                if value > highest:
                    highest, chosen = value, mask
            out = _write(chosen, rows.top[row], out, indices)
        indptr[row + 1] = out


@lean_kernel
def _joint_f1(mask, size, sets, posterior, n_sets):
    """Expected F1 of a set under the posterior; two empty sets have F1 1."""
    value = 0.0
    for s in range(n_sets):
        if posterior[s] >= UNLIKELY:
            both = size + bits_in(sets[s])
            value += posterior[s] * (2.0 * bits_in(mask & sets[s]) / both if both else 1.0)
    return value


@kernel
def example_f1_block(rows, mode, indptr, indices):
    """The set of the largest expected F1.

    Expectations are those of the posterior as far as it covers what happens (`coverage`), else those of independent
    labels. An empty set is right when nothing is there; it is always a candidate, so what is not covered is not empty.
    """
    cuts = np.empty(rows.top.shape[1])
    out = 0
    indptr[0] = 0
    for row in range(len(mode)):
        if mode[row] & PREDICT:
            q, n, sure = rows.marginals[row], rows.n_top[row], float(rows.coverage[row])
            total, nothing = 0.0, 0.0
            for i in range(n):
                total += q[i]
                nothing += math.log(1.0 - min(0.999, q[i]))
            cuts[:n] = 0.5 * expected_f1(q, n, cuts)
            chosen, highest = np.uint64(0), -1.0
            for s in range(-1, rows.n_sets[row]):
                mask = rows.sets[row, s] if s >= 0 else _at_least(q, n, cuts, 2.0)
                size, inside = bits_in(mask), 0.0
                left = mask
                while left:
                    inside += q[lowest_bit(left)]
                    left &= left - ONE
                value = 2.0 * inside / (size + total) if size else (0.0 if sure else math.exp(nothing))
                joint = _joint_f1(mask, size, rows.sets[row], rows.posterior[row], rows.n_sets[row])
                value = sure * joint + (1.0 - sure) * value
                if value > highest:
                    highest, chosen = value, mask
            out = _write(chosen, rows.top[row], out, indices)
        indptr[row + 1] = out


@lean_kernel
def hamming_block(probabilities, mode, n_labels, indptr, indices):
    """The labels that are likelier than not: best for Hamming loss."""
    out = 0
    indptr[0] = 0
    for row in range(len(mode)):
        if mode[row] & PREDICT:
            for label in range(n_labels):
                if probabilities[row, label] >= 0.5:
                    indices[out] = label
                    out += 1
        indptr[row + 1] = out


@lean_kernel
def threshold_block(rows, mode, thresholds, indptr, indices):
    """The labels at or above the thresholds (rows, LIKELY), in the order of the rows' likely labels."""
    out = 0
    indptr[0] = 0
    for row in range(len(mode)):
        if mode[row] & PREDICT:
            mask = np.uint64(0)
            for i in range(rows.n_top[row]):
                if rows.marginals[row, i] >= thresholds[row, i]:
                    mask |= ONE << np.uint64(i)
            out = _write(mask, rows.top[row], out, indices)
        indptr[row + 1] = out
