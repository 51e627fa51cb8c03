"""The rows' way through a tree, one call per block: predict, learn, watch for drift.

What changes the tree's shape is rare, and left to Python: a row that calls for it ends the call, its agenda says what
is to be done, and the next call goes on with the next row. What leaves the shape alone is done here: naive Bayes is
prepared, and split attempts that fail, as most do, are over.
"""

from __future__ import annotations

from stream_ml.jit import lean_kernel
from stream_ml.streams.batch import LEARN, PREDICT
from stream_ml.trees._drift_kernels import watch_path
from stream_ml.trees._layout import (
    ATTEMPT,
    LAST_ATTEMPT,
    LOSS_ROWS,
    LOSS_SUM,
    N_AGENDA,
    N_LEARNED,
    NEXT_REFRESH,
    PREPARE,
    READY,
    ROOT,
    ROWS,
    SLOT,
    TEMPER,
    Leaf,
)
from stream_ml.trees._leaf_kernels import leaf_logits, leaf_loss, leaf_votes, learn_leaf, learn_temper, route
from stream_ml.trees._observer_kernels import binary_scores, naive_bayes_scores, prepare_binary, prepare_naive_bayes
from stream_ml.trees._split_kernels import good_enough, search_splits

__all__ = ["process_rows"]

REFRESH_ROWS = 50.0
"""Naive Bayes of a leaf is prepared after so many rows, then after half as many again as it has seen."""

LOSS_FADING = 0.999
"""Per row, of the tree's own mean loss."""

TEMPER_PERIOD = 4
"""Of so many rows one teaches the factor on naive Bayes' evidence."""


@lean_kernel
def prepare(nodes, slots, table, space, settings, leaf):
    """Prepare a leaf's naive Bayes for prediction."""
    slot = nodes.ints[leaf, SLOT]
    cells, positives, rows = slots.cells[slot], slots.positives[slot], slots.reals[slot, ROWS]
    coefs, center, base = slots.coefs[slot], slots.center[slot], slots.base[slot]
    if settings.binary:
        prepare_binary(cells, positives, rows, space.chosen, space.logs, coefs, base)
    else:
        sparse, missing_cells = settings.sparse, settings.missing_cells
        prepare_naive_bayes(cells, positives, rows, table, sparse, missing_cells, coefs, center, base)
    slots.reals[slot, NEXT_REFRESH] = rows + max(REFRESH_ROWS, float(rows // 2.0))
    slots.reals[slot, READY] = 1.0


@lean_kernel
def fails(nodes, slots, table, space, settings, leaf):
    """Whether a leaf that observes has no split that is good enough; if so, the attempt is noted."""
    slot = nodes.ints[leaf, SLOT]
    rows = slots.reals[slot, ROWS]
    observed = Leaf(slots.cells[slot], slots.positives[slot], slots.low[slot], slots.high[slot], rows, 0.0, 0.0)
    best, second, feature, _, bound, null = search_splits(observed, table, space.chosen, space.scratch, settings)
    if good_enough(best, second, feature, bound, null, settings):
        return False
    nodes.reals[leaf, LAST_ATTEMPT] = rows
    return True


@lean_kernel
def settle(nodes, slots, table, space, settings):
    """Take off the agenda what can be done here, in order: slots change hands in what follows an entry that stays."""
    left = 0
    for k in range(space.counters[N_AGENDA]):
        task, node = space.agenda[k, 0], space.agenda[k, 1]
        if task == PREPARE:
            prepare(nodes, slots, table, space, settings, node)
            continue
        settles = task == ATTEMPT and left == 0 and not settings.river and nodes.ints[node, SLOT] >= 0
        if settles and fails(nodes, slots, table, space, settings, node):
            continue
        space.agenda[left, 0] = task
        space.agenda[left, 1] = node
        left += 1
    space.counters[N_AGENDA] = left


@lean_kernel
def process_rows(
    nodes,
    slots,
    table,
    space,
    bank,
    settings,
    x_indptr,
    x_indices,
    x_values,
    y_indptr,
    y_indices,
    mode,
    start,
    stop,
    out,
    out_row,
):
    """Predict and learn rows from `start` on until one leaves an agenda, or `stop`; returns the row to go on with.

    Logits of row r go to `out[out_row + r - start]`, for rows whose mode has PREDICT.
    """
    root = int(space.counters[ROOT])
    sparse, scores, faded = settings.sparse, space.scores, space.faded
    for row in range(start, stop):
        lo, hi = x_indptr[row], x_indptr[row + 1]
        leaf, missing = route(nodes, table, sparse, x_indices, x_values, lo, hi, root)
        predict, learn = mode[row] & PREDICT, mode[row] & LEARN
        tempers = learn and space.counters[N_LEARNED] % TEMPER_PERIOD == 0
        votes = leaf_votes(nodes, leaf, slots, settings)
        if votes and (predict or tempers):
            slot = nodes.ints[leaf, SLOT]
            coefs, base = slots.coefs[slot], slots.base[slot]
            if settings.binary:
                binary_scores(coefs, base, x_indices, x_values, lo, hi, scores)
            else:
                center, missing_cells = slots.center[slot], settings.missing_cells
                naive_bayes_scores(
                    coefs, center, base, table, sparse, missing_cells, x_indices, x_values, lo, hi, scores
                )
        if predict:
            leaf_logits(nodes, leaf, votes, scores, faded[TEMPER], out[out_row + row - start])
        if learn:
            y_lo, y_hi = y_indptr[row], y_indptr[row + 1]
            if votes and tempers:
                learn_temper(nodes, leaf, scores, faded, y_indices, y_lo, y_hi)
            loss = leaf_loss(nodes, leaf, y_indices, y_lo, y_hi)
            faded[LOSS_SUM] = LOSS_FADING * faded[LOSS_SUM] + loss
            faded[LOSS_ROWS] = LOSS_FADING * faded[LOSS_ROWS] + 1.0
            space.counters[N_LEARNED] += 1
            # river: a row that met a missing value never triggers an attempt
            may_split = not (settings.river and missing)
            learn_leaf(
                nodes,
                leaf,
                slots,
                table,
                space,
                settings,
                may_split,
                x_indices,
                x_values,
                lo,
                hi,
                y_indices,
                y_lo,
                y_hi,
            )
            if settings.drift:
                watch_path(
                    nodes,
                    leaf,
                    slots,
                    table,
                    space,
                    bank,
                    settings,
                    loss,
                    x_indices,
                    x_values,
                    lo,
                    hi,
                    y_indices,
                    y_lo,
                    y_hi,
                )
            if space.counters[N_AGENDA] > 0:
                settle(nodes, slots, table, space, settings)
                if space.counters[N_AGENDA] > 0:
                    return row + 1
    return stop
