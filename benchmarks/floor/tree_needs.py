"""What the kernels of trees need, counted as in `needs`; c labels of the cluster, d tests on the way to the leaf."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit

from floor.needs import adwin_values
from floor.work import Work, nbytes
from stream_ml.trees._layout import (
    ALTERNATE,
    DEPTH,
    LAST_ATTEMPT,
    NEXT_REFRESH,
    PARENT,
    READY,
    ROOT,
    ROWS,
    SLOT,
    Leaf,
)
from stream_ml.trees._leaf_kernels import leaf_votes, route

__all__ = ["process_rows", "route_labels", "scatter_logits", "search_splits"]

TESTS, ENTRIES, OBSERVED, NUMERIC_OBSERVED, SCORED, NUMERIC_SCORED, VOTES, ALTERNATES, WATCHED, FIELDS = range(10)
LABELSETS = 8


@njit
def _visits(nodes, slots, table, settings, indptr, indices, values, y_indptr, root, start, stop, found):
    """Add up where rows go: tests met, entries, entries and positives that observers take, entries that are scored."""
    for row in range(start, stop):
        lo, hi = indptr[row], indptr[row + 1]
        leaf, _ = route(nodes, table, settings.sparse, indices, values, lo, hi, root)
        found[TESTS] += nodes.ints[leaf, DEPTH]
        found[ENTRIES] += hi - lo
        numeric = 0
        for k in range(lo, hi):
            numeric += table.arities[indices[k]] == 0
        cost = 1.0 + y_indptr[row + 1] - y_indptr[row]
        if leaf_votes(nodes, leaf, slots, settings):
            found[VOTES] += 1.0
            found[SCORED] += hi - lo - numeric
            found[NUMERIC_SCORED] += numeric
        times = 1.0 if nodes.ints[leaf, SLOT] >= 0 else 0.0
        node = leaf if nodes.ints[leaf, PARENT] < 0 else nodes.ints[leaf, PARENT]
        while node >= 0 and settings.drift:
            if nodes.ints[node, ALTERNATE] >= 0:
                times += 1.0
                found[ALTERNATES] += 1.0
            found[WATCHED] += nodes.ints[node, DEPTH] < settings.watch_depth
            node = nodes.ints[node, PARENT]
        found[OBSERVED] += times * cost * (hi - lo - numeric)
        found[NUMERIC_OBSERVED] += times * cost * numeric


def process_rows(a: Any) -> Work:
    """Way: 32 bytes of each test and node above, a search among n entries. Prior: the leaf's counts, 8 c bytes, a
    logarithm and a division a label. Naive Bayes, where the leaf has it: 12 bytes of the feature, 4 c of coefficients,
    of numeric ones thrice, an operation, or 6, for each of n c; every fourth row teaches its factor, c exponentials.
    Labelsets: 8 candidates of 24 bytes. Observers: of each entry, for the row and each positive label, a count read and
    written, of numeric ones count, mean and squares, 8 operations and a division. ADWIN: one value for each test
    watched. Alternate subtrees observe, too. And what falls due at a leaf meanwhile."""
    rows, labels = a.said - a.start, a.nodes.positives.shape[1]
    found, root = np.zeros(FIELDS), int(a.space.counters[ROOT])
    x = a.x_indptr, a.x_indices, a.x_values
    _visits(a.nodes, a.slots, a.table, a.settings, *x, a.y_indptr, root, a.start, a.said, found)
    n = max(2.0, found[ENTRIES] / max(1, rows))
    held, observers, ready = nbytes(a.nodes), nbytes(a.slots.cells), nbytes(a.slots.coefs) + nbytes(a.table)
    scored = found[SCORED] + found[NUMERIC_SCORED]
    work = Work().touch(48 * found[TESTS] + rows * (8 * labels + 24 * LABELSETS + 96), held)
    work.do(step_64=found[TESTS] * math.log2(n) + rows * (found[TESTS] / max(1, rows) + LABELSETS))
    work.do(log_32=rows * labels + rows, root_32=rows * labels + 3 * rows, flop_32=4 * rows * labels)
    work.touch(12 * scored + 4 * labels * (found[SCORED] + 3 * found[NUMERIC_SCORED] + found[VOTES]), ready)
    work.do(flop_32=labels * (found[SCORED] + 6 * found[NUMERIC_SCORED]) + 4 * labels * found[VOTES])
    work.do(exp_32=found[VOTES] / 4 * labels, flop_64=found[VOTES] / 4 * 10 * labels)
    work.touch(16 * (found[OBSERVED] + 3 * found[NUMERIC_OBSERVED]) + 12 * found[ENTRIES], observers + nbytes(a.table))
    work.do(flop_64=found[OBSERVED] + 8 * found[NUMERIC_OBSERVED], root_64=found[NUMERIC_OBSERVED])
    buckets = float(a.bank.sizes[root if a.settings.drift else 0].sum())
    work += adwin_values(found[WATCHED], buckets, nbytes(a.bank))
    seen = np.zeros(len(a.nodes.ints))
    _leaves(a.nodes, a.table, a.settings, *x, a.mode, root, a.start, a.said, seen)
    for leaf in np.flatnonzero(seen).tolist():
        slot = int(a.nodes.ints[leaf, SLOT])
        if slot >= 0:
            work += _due(a, leaf, slot, seen[leaf])
    return work


@njit
def _leaves(nodes, table, settings, indptr, indices, values, mode, root, start, stop, seen):
    """Count the learned rows that come to each leaf."""
    for row in range(start, stop):
        lo, hi = indptr[row], indptr[row + 1]
        seen[route(nodes, table, settings.sparse, indices, values, lo, hi, root)[0]] += 1.0 if mode[row] & 2 else 0.0


def _due(a: Any, leaf: int, slot: int, seen: float) -> Work:
    """Naive Bayes' coefficients and a split attempt that failed, if the last of them came with one of so many rows."""
    work, slots, rows = Work(), a.slots, float(a.slots.reals[slot, ROWS])
    following = float(slots.reals[slot, NEXT_REFRESH])  # at r rows it becomes r + max(50, r // 2)
    last = following - 50.0 if following <= 150.0 else (2.0 * following + 1.0) // 3.0
    if slots.reals[slot, READY] > 0.0 and rows - last < seen:
        work += _prepared(a, slot)
    if rows - float(a.nodes.reals[leaf, LAST_ATTEMPT]) < seen:
        observed = Leaf(slots.cells[slot], slots.positives[slot], slots.low[slot], slots.high[slot], rows, 0.0, 0.0)
        work += search_splits(SimpleNamespace(leaf=observed, table=a.table, settings=a.settings))
    return work


def _prepared(a: Any, slot: int) -> Work:
    """The statistics of all features met, 8 (c + 1) bytes a cell; coefficients written, 4 c. For each cell and label
    that has rows with and without it a logarithm, two divisions, 8 operations; in sparse data one more for its absence;
    of numeric features whose values differ one more, 20 and 6 divisions."""
    cells, positives, rows = a.slots.cells[slot], a.slots.positives[slot], a.slots.reals[slot, ROWS]
    sparse, missing_cells = a.settings.sparse, a.settings.missing_cells
    stored, width = _stored(cells, a.table, missing_cells)
    met, nominal = stored > 0.0, a.table.arities > 0
    labels, c = int(((positives > 0.0) & (positives < rows)).sum()), len(positives)
    read = float(width[met].sum())
    numeric, absent = float((met & ~nominal).sum()), float(met.sum()) * sparse
    spread = a.table.offsets[:-1][met & ~nominal] + missing_cells + 2
    varied = float((cells[spread, -1] > 0.0).sum())
    ratios = labels * (float(width[met & nominal].sum()) + absent + numeric * sparse)
    work = Work().touch(8 * (c + 1) * read + 8 * len(met), nbytes(cells)).touch(4 * c * read, nbytes(a.slots.coefs))
    work.do(log_32=ratios + labels * varied, root_64=2 * ratios + 6 * labels * varied)
    return work.do(flop_64=8 * ratios + 20 * labels * varied)


def _stored(cells: Any, table: Any, missing_cells: int) -> Any:
    """Of each feature: rows that have it, and its cells."""
    first, last = table.offsets[:-1] + missing_cells, table.offsets[1:]
    counts = np.concatenate([[0.0], np.cumsum(cells[:, -1])])
    nominal = table.arities > 0
    stored = np.where(nominal, counts[last] - counts[first], 0.0)
    stored[~nominal] = cells[first[~nominal], -1]
    return stored, last - first


def search_splits(a: Any) -> Work:
    """Of each feature that enough rows have its statistics, 8 (c + 1) bytes a cell, of the others one. For each test
    and each label seen five times with and without, the entropies left and right. Nominal: counts are whole, so 6
    entries of a table of n log n for as many n as the leaf has rows, and 9 operations; the same where all values but
    zeros are equal. Else 10 tests, each with two Gaussians from a table, 4 logarithms, 8 divisions, 30 operations."""
    cells, positives, rows = a.leaf.cells, a.leaf.positives, a.leaf.rows
    labels = int(((positives >= 5.0) & (positives <= rows - 5.0)).sum())
    work = Work().touch(8 * len(positives), nbytes(cells))
    if not labels:
        return work
    stored, width = _stored(cells, a.table, a.settings.missing_cells)
    least = a.settings.min_branch_fraction * rows if a.settings.sparse else 0.0
    low, high = a.leaf.low[:, 0], a.leaf.high[:, 0]
    present = a.settings.sparse & (low == high) & (low != 0.0)
    enough, nominal = stored > least, (a.table.arities > 0) | present
    tests = float(np.where(a.table.arities > 2, a.table.arities, 1)[enough & nominal].sum()) * labels
    numeric = 10.0 * float((enough & ~nominal).sum()) * labels
    work.touch(8 * (labels + 1) * float(width[enough].sum()) + 8 * len(stored), nbytes(cells))
    work.touch(48 * tests, 8 * int(rows)).do(flop_64=9 * tests + 30 * numeric, root_64=8 * numeric)
    return work.do(log_64=4 * numeric, step_64=len(stored))


def route_labels(a: Any) -> Work:
    """The cluster of each positive label and its place there, 16 p bytes, a step each."""
    return Work().touch(16 * len(a.y_indices), nbytes((a.slot_of, a.position_of))).do(step_64=2 * len(a.y_indices))


def scatter_logits(a: Any) -> Work:
    """Nothing: a tree could write to the places of its labels."""
    return Work()
