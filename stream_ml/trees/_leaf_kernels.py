"""A row and its leaf: how it gets there, what the leaf says of it, what the leaf learns from it."""

from __future__ import annotations

import math

import numpy as np

from stream_ml.elementary import log64
from stream_ml.jit import lean_kernel
from stream_ml.trees._layout import (
    ATTEMPT,
    CURVATURE,
    DEPTH,
    EMPTY,
    EVIDENCE,
    FEATURE,
    LAST_ATTEMPT,
    LEFT,
    N_AGENDA,
    NEGATIVE,
    NEXT_REFRESH,
    PARENT,
    POSITIVE_SUM,
    PREPARE,
    READY,
    RIGHT,
    ROWS,
    SET_WEIGHT,
    SLOT,
    TEMPER,
    THRESHOLD,
    WEIGHT,
)
from stream_ml.trees._observer_kernels import observe_binary, observe_row

__all__ = [
    "add_labelset",
    "add_to_agenda",
    "attempt_due",
    "clip",
    "find_feature",
    "leaf_logits",
    "leaf_loss",
    "leaf_votes",
    "learn_leaf",
    "learn_temper",
    "route",
]

CLIP = 8.0
"""Log-odds are kept within +-CLIP."""

COUNTED = 64
"""Of so few entries those before a feature are counted, which vectors do; halving foresees no branch."""

TEMPER_FADING, TEMPER_CURVATURE = 0.999, 100.0
"""How the factor on naive Bayes' evidence forgets, and what damps its first steps."""


@lean_kernel
def find_feature(indices, lo, hi, feature):
    """Position of `feature` among the sorted `indices[lo:hi]`, or -1."""
    at, last = lo + feature, hi
    if at < hi and indices[at] == feature:  # a full row has each feature in its own place
        return at
    while hi - lo > COUNTED:
        middle = (lo + hi) >> 1
        if indices[middle] < feature:
            lo = middle + 1
        else:
            hi = middle
    before = 0
    for at in range(lo, hi):
        before += indices[at] < feature
    lo += before
    return lo if lo < last and indices[lo] == feature else -1


@lean_kernel
def route(nodes, table, sparse, indices, values, lo, hi, node):
    """(leaf, whether a tested value was missing) of a row, starting at `node`.

    A numeric test sends `value <= threshold` left, a nominal one the value equal to it; a missing value goes the way
    of more weight, left on a tie.
    """
    missing = False
    while nodes.ints[node, LEFT] >= 0:
        feature = nodes.ints[node, FEATURE]
        arity = table.arities[feature]
        at = find_feature(indices, lo, hi, feature)
        known = at >= 0
        value = np.float32(0.0)
        if known:
            value = values[at]
            known = math.isfinite(value) and (arity == 0 or 0 <= value < arity)
        elif sparse:
            known = True
        left, right = int(nodes.ints[node, LEFT]), int(nodes.ints[node, RIGHT])
        if not known:
            missing = True
            node = left if nodes.reals[left, WEIGHT] >= nodes.reals[right, WEIGHT] else right
        elif arity > 0:
            node = left if value == nodes.reals[node, THRESHOLD] else right
        else:
            node = left if value <= nodes.reals[node, THRESHOLD] else right
    return node, missing


@lean_kernel
def clip(value):
    """Keep log-odds within +-CLIP."""
    return min(max(value, -CLIP), CLIP)


@lean_kernel
def leaf_votes(nodes, leaf, slots, settings):
    """Whether a leaf's naive Bayes is prepared and wanted."""
    slot = nodes.ints[leaf, SLOT]
    wanted = settings.naive_bayes and (settings.naive_bayes_at_root or nodes.ints[leaf, PARENT] >= 0)
    return wanted and slot >= 0 and slots.reals[slot, READY] > 0.0


@lean_kernel
def leaf_logits(nodes, leaf, votes, scores, temper, out):
    """Write `out` (3, labels): what a leaf's experts say of a row, as log-odds; 0 is no opinion.

    [0] the leaf's prior; [1] the prior plus `temper` times the row's naive Bayes `scores`, if the leaf `votes`; [2] the
    leaf's most frequent labelset, whose share of the rows s says 2 artanh(s) for its labels and against the others.
    """
    n_labels = nodes.positives.shape[1]
    evidence = nodes.reals[leaf, EVIDENCE]
    for label in range(n_labels):
        count = nodes.positives[leaf, label]
        prior = clip(log64((count + 0.5) / (evidence - count + 0.5)))
        out[0, label] = prior
        out[1, label] = clip(prior + temper * scores[label]) if votes else 0.0
    best, top = -1, 0.0
    for k in range(nodes.set_counts.shape[1]):
        sure = nodes.set_counts[leaf, k, 0] - nodes.set_counts[leaf, k, 1]
        if sure > top:
            best, top = k, sure
    if best < 0:
        for label in range(n_labels):
            out[2, label] = 0.0
        return
    share = top / (nodes.reals[leaf, SET_WEIGHT] + 2.0)
    vote = clip(math.log((1.0 + share) / (1.0 - share)))
    for label in range(n_labels):
        word = nodes.set_masks[leaf, best, label >> 6]
        out[2, label] = vote if (word >> np.uint64(label & 63)) & np.uint64(1) else -vote


@lean_kernel
def learn_temper(nodes, leaf, scores, faded, labels, y_lo, y_hi):
    """A Newton step on the factor that naive Bayes' evidence takes, for the log-loss of one row.

    Features are not independent, so their evidence adds up to too much; by how much differs between streams.
    """
    evidence = nodes.reals[leaf, EVIDENCE]
    slope, curvature = 0.0, 0.0
    for label in range(nodes.positives.shape[1]):
        count = nodes.positives[leaf, label]
        score = float(scores[label])
        odds = (count + 0.5) / (evidence - count + 0.5) * math.exp(clip(faded[TEMPER] * score))
        p = odds / (1.0 + odds)
        slope += p * score
        curvature += p * (1.0 - p) * score * score
    for k in range(y_lo, y_hi):
        slope -= scores[labels[k]]
    faded[CURVATURE] = TEMPER_FADING * faded[CURVATURE] + curvature
    faded[TEMPER] = min(max(faded[TEMPER] - slope / (faded[CURVATURE] + TEMPER_CURVATURE), 0.0), 1.0)


@lean_kernel
def leaf_loss(nodes, leaf, labels, y_lo, y_hi):
    """Loss in [0, 1] of a leaf's prior: soft (Ruzicka) Jaccard distance of its label rates and the row's labels.

    "No label" counts as one label more, so that empty rows have a loss like the others.
    """
    evidence = nodes.reals[leaf, EVIDENCE]
    if evidence <= 0.0:
        return 1.0
    together = 0.0
    for k in range(y_lo, y_hi):
        together += nodes.positives[leaf, labels[k]]
    rows = float(y_hi - y_lo)
    if y_hi == y_lo:
        together, rows = nodes.reals[leaf, EMPTY], 1.0
    together /= evidence
    either = rows + (nodes.reals[leaf, POSITIVE_SUM] + nodes.reals[leaf, EMPTY]) / evidence - together
    return min(max(1.0 - together / either, 0.0), 1.0)


@lean_kernel
def add_labelset(masks, counts, mask):
    """Count a labelset in one leaf's table (space-saving, Metwally et al. 2005).

    `masks` (candidates, words) uint64; `counts` (candidates, 2): count and how much of it may belong to others.
    """
    weakest = 0
    for k in range(len(counts)):
        if counts[k, 0] > 0.0:
            same = True
            for word in range(len(mask)):
                if masks[k, word] != mask[word]:
                    same = False
            if same:
                counts[k, 0] += 1.0
                return
        if counts[k, 0] < counts[weakest, 0]:
            weakest = k
    counts[weakest, 1] = counts[weakest, 0]
    counts[weakest, 0] += 1.0
    for word in range(len(mask)):
        masks[weakest, word] = mask[word]


@lean_kernel
def add_to_agenda(space, task, node):
    """Note something to be done after this row."""
    at = space.counters[N_AGENDA]
    space.agenda[at, 0] = task
    space.agenda[at, 1] = node
    space.counters[N_AGENDA] = at + 1


@lean_kernel
def attempt_due(nodes, leaf, slots, settings):
    """Whether a grace period has passed at a leaf: of rows observed, or of rows seen while it has no slot."""
    reals = nodes.reals[leaf]
    slot = nodes.ints[leaf, SLOT]
    if slot < 0:
        return reals[WEIGHT] - reals[LAST_ATTEMPT] >= settings.grace_period
    if nodes.ints[leaf, DEPTH] >= settings.max_depth:
        return False
    seen = reals[EVIDENCE] if settings.river else slots.reals[slot, ROWS]
    return seen - reals[LAST_ATTEMPT] >= settings.grace_period


@lean_kernel
def learn_leaf(nodes, leaf, slots, table, space, settings, may_split, indices, values, lo, hi, labels, y_lo, y_hi):
    """Add a row to a leaf (label counts, labelsets, observers) and to the weight of the nodes above it.

    What the row makes due at the leaf goes on the agenda.
    """
    above = leaf
    while above >= 0:
        nodes.reals[above, WEIGHT] += 1.0
        above = int(nodes.ints[above, PARENT])
    reals, mask = nodes.reals[leaf], space.mask
    reals[EVIDENCE] += 1.0
    reals[POSITIVE_SUM] += y_hi - y_lo
    if y_hi == y_lo:
        reals[EMPTY] += 1.0
    for word in range(len(mask)):
        mask[word] = np.uint64(0)
    first = False
    for k in range(y_lo, y_hi):
        label = labels[k]
        nodes.positives[leaf, label] += 1.0
        mask[label >> 6] |= np.uint64(1) << np.uint64(label & 63)
        first = first or label == 0
    if settings.river:
        if not first:
            reals[NEGATIVE] += 1.0
        # summed as river sums it: the grace period is measured on this sum
        reals[EVIDENCE] = nodes.positives[leaf, 0] + reals[NEGATIVE]
    reals[SET_WEIGHT] += 1.0
    add_labelset(nodes.set_masks[leaf], nodes.set_counts[leaf], mask)
    slot = nodes.ints[leaf, SLOT]
    if slot >= 0:
        slots.reals[slot, ROWS] += 1.0
        for k in range(y_lo, y_hi):
            slots.positives[slot, labels[k]] += 1.0
        cells = slots.cells[slot]
        if settings.binary:
            observe_binary(cells, indices, values, lo, hi, labels, y_lo, y_hi)
        else:
            low, high = slots.low[slot], slots.high[slot]
            sparse, missing_cells = settings.sparse, settings.missing_cells
            observe_row(cells, low, high, table, sparse, missing_cells, indices, values, lo, hi, labels, y_lo, y_hi)
        wanted = settings.naive_bayes and (settings.naive_bayes_at_root or nodes.ints[leaf, PARENT] >= 0)
        if wanted and slots.reals[slot, ROWS] >= slots.reals[slot, NEXT_REFRESH]:
            add_to_agenda(space, PREPARE, leaf)
    if may_split and attempt_due(nodes, leaf, slots, settings):
        add_to_agenda(space, ATTEMPT, leaf)
