"""The rows' way through a tree, one call per block: predict, learn, watch for drift.

What changes the tree's shape is rare, and left to Python: a row that calls for it ends the call, its agenda says what
is to be done, and the next call goes on with the next row.
"""

from __future__ import annotations

from stream_ml.jit import lean_kernel
from stream_ml.streams.batch import LEARN, PREDICT
from stream_ml.trees._drift_kernels import watch_path
from stream_ml.trees._layout import LOSS_ROWS, LOSS_SUM, N_AGENDA, N_LEARNED, ROOT, SLOT, TEMPER
from stream_ml.trees._leaf_kernels import leaf_logits, leaf_loss, leaf_votes, learn_leaf, learn_temper, route
from stream_ml.trees._observer_kernels import naive_bayes_scores

__all__ = ["process_rows"]

LOSS_FADING = 0.999
"""Per row, of the tree's own mean loss."""

TEMPER_PERIOD = 4
"""Of so many rows one teaches the factor on naive Bayes' evidence."""


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
            naive_bayes_scores(
                slots.coefs[slot],
                slots.center[slot],
                slots.base[slot],
                table,
                sparse,
                settings.missing_cells,
                x_indices,
                x_values,
                lo,
                hi,
                scores,
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
                return row + 1
    return stop
