"""Compiled loops of the nearest-neighbour expert: a window of recent rows in segments, scanned column by column.

A segment holds `SEGMENT` learned rows. Sparse rows lie in an inverted index per segment (posting lists by column, built
when the segment is full; the open one is compared row by row), dense rows in a tile `[column, row]`. Either way the
products of the query with all rows of a segment are summed in contiguous loops over rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.jit import kernel, lean_kernel

__all__ = ["SEGMENT", "NeighbourState", "neighbours_block"]

LEARN = 2
SEGMENT = 128
"""Rows of a segment; segments are opened and closed at multiples of it, counted in learned rows."""
LOWEST = 1e-3
"""Bound on probabilities: a few neighbours never prove that a label is impossible."""
TINY = np.float32(1e-12)


class NeighbourState(NamedTuple):
    """A window of rows in storages of `SEGMENT` slots each; the one opened next is never part of the window."""

    learned: NDArray[np.int64]  # (1,) rows so far
    frequency: NDArray[np.int64]  # (D,) rows that had the column
    norms: NDArray[np.float32]  # (slots,) one over the length of a sparse row, the squared length of a dense one
    sizes: NDArray[np.int32]  # (slots,) labels of the row
    labels: NDArray[np.int32]  # (slots, most labels of a row)
    open_indptr: NDArray[np.int64]  # (SEGMENT + 1,) rows of the open segment, sparse only
    open_indices: NDArray[np.int32]
    open_values: NDArray[np.float32]
    column_ptr: NDArray[np.int32]  # (storages, D + 1) posting lists of the closed ones, sparse only
    post_rows: NDArray[np.uint8]  # (storages, entries)
    post_values: NDArray[np.float32]  # (storages, entries)
    tiles: NDArray[np.float32]  # (storages, D, SEGMENT), dense only
    since: NDArray[np.int64]  # (1,) row before which rows are not looked at: all that they say is outdated
    valid: NDArray[np.int64]  # (L,) row before which what rows say of the label is outdated


@lean_kernel
def _close_segment(state, storage):
    """Turn the open segment's rows into posting lists (a counting sort by column)."""
    pointer = state.column_ptr[storage]
    pointer[:] = 0
    total = state.open_indptr[SEGMENT]
    for k in range(total):
        pointer[state.open_indices[k] + 1] += 1
    for column in range(len(pointer) - 1):
        pointer[column + 1] += pointer[column]
    for row in range(SEGMENT):
        for k in range(state.open_indptr[row], state.open_indptr[row + 1]):
            column = state.open_indices[k]
            state.post_rows[storage, pointer[column]] = row
            state.post_values[storage, pointer[column]] = state.open_values[k]
            pointer[column] += 1
    # each pointer now stands at its list's end, which is the next one's start
    for column in range(len(pointer) - 1, 0, -1):
        pointer[column] = pointer[column - 1]
    pointer[0] = 0


@lean_kernel
def _products(state, storage, filled, sparse, closed, indices, weights, scattered, out):
    """Inner products of the query (`indices`, `weights`; `scattered` by column) with the rows of one segment."""
    stop = min(SEGMENT, -(-filled // 16) * 16)
    out[:stop] = 0.0
    if not sparse:
        tile = state.tiles[storage]
        n = len(indices)
        whole = n - n % 4
        for k in range(0, whole, 4):  # four columns at once: `out` is loaded and stored a quarter as often
            w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            c0, c1, c2, c3 = tile[indices[k]], tile[indices[k + 1]], tile[indices[k + 2]], tile[indices[k + 3]]
            for j in range(stop):
                out[j] += w0 * c0[j] + w1 * c1[j] + w2 * c2[j] + w3 * c3[j]
        for k in range(whole, n):
            weight, column = weights[k], tile[indices[k]]
            for j in range(stop):
                out[j] += weight * column[j]
    elif closed:
        pointer, rows, values = state.column_ptr[storage], state.post_rows[storage], state.post_values[storage]
        for k in range(len(indices)):
            weight = weights[k]
            for e in range(pointer[indices[k]], pointer[indices[k] + 1]):
                out[rows[e]] += weight * values[e]
    else:
        for j in range(filled):
            total = np.float32(0.0)
            for e in range(state.open_indptr[j], state.open_indptr[j + 1]):
                total += scattered[state.open_indices[e]] * state.open_values[e]
            out[j] = total


@lean_kernel
def _nearest(state, first, begin, filled, sparse, products, length, slots, scores):
    """Merge rows of a segment, from `begin` on, into the nearest so far: cosine, or less the squared distance."""
    k = len(slots)
    norms = state.norms[first : first + filled]
    inverse, squared = np.float32(1.0) / max(TINY, length), length * length
    # until there are k, what is better than nothing counts
    worst = scores[k - 1] if slots[k - 1] >= 0 else (np.float32(0.0) if sparse else np.float32(-np.inf))
    for j in range(begin, filled):
        if sparse:
            score = products[j] * inverse * norms[j]
        else:
            score = np.float32(2.0) * products[j] - squared - norms[j]
        if score <= worst:
            continue
        place = k - 1
        while place > 0 and (slots[place - 1] < 0 or scores[place - 1] < score):
            slots[place], scores[place] = slots[place - 1], scores[place - 1]
            place -= 1
        slots[place], scores[place] = first + j, score
        if slots[k - 1] >= 0:
            worst = scores[k - 1]


@lean_kernel
def _weigh(sparse, slots, scores, weights):
    """Votes of the nearest: the cube of the similarity, or of the nearest distance over the distance."""
    nearest = math.sqrt(max(1e-12, -scores[0]))
    for i in range(len(slots)):
        weights[i] = 0.0
        if slots[i] < 0:
            continue
        if sparse:
            weights[i] = scores[i] * scores[i] * scores[i]
        else:
            ratio = math.sqrt(max(0.0, -scores[i])) / nearest + 1e-3
            weights[i] = 1.0 / (ratio * ratio * ratio)


@lean_kernel
def _odds(prior, votes, total, pseudo):
    """Log-odds of a label with so many votes of `total`, together with `pseudo` votes for its prior."""
    if votes > 0.0:
        share = 1.0 / (1.0 + math.exp(-prior))
        p = min(1.0 - LOWEST, max(LOWEST, (votes + pseudo * share) / (total + pseudo)))
        return math.log(p / (1.0 - p))
    return max(math.log(LOWEST / (1.0 - LOWEST)), prior + math.log(pseudo / (total + pseudo)))


@lean_kernel
def _vote(state, slots, weights, n_labels, prior, votes, out):
    """Log-odds of every label: votes for it among all, together with one vote for its prior."""
    total = 0.0
    for label in range(n_labels):
        votes[label] = 0.0
    for i in range(len(slots)):
        if slots[i] < 0:
            break
        total += weights[i]
        for k in range(state.sizes[slots[i]]):
            votes[state.labels[slots[i], k]] += weights[i]
    pseudo = float(weights[0])
    if total <= 0.0 or pseudo <= 0.0:
        for label in range(n_labels):
            out[label] = prior[label]
        return
    least = math.log(LOWEST / (1.0 - LOWEST))
    silence = np.float32(math.log(pseudo / (total + pseudo)))
    for label in range(n_labels):
        if votes[label] > 0.0:
            out[label] = _odds(float(prior[label]), votes[label], total, pseudo)
        else:
            out[label] = max(least, prior[label] + silence)


@lean_kernel
def _vote_anew(state, slots, weights, outdated, storages, prior, votes, totals, out):
    """The same for labels of which some rows are `outdated`: these do not vote on them."""
    n, pseudo = state.learned[0], float(weights[0])
    if pseudo <= 0.0:
        return
    totals[:] = 0.0
    for i in range(len(slots)):
        if slots[i] < 0:
            break
        back = (n // SEGMENT - slots[i] // SEGMENT) % storages
        number = (n // SEGMENT - back) * SEGMENT + slots[i] % SEGMENT
        for at in range(len(outdated)):
            if number >= state.valid[outdated[at]]:
                totals[at] += weights[i]
        for k in range(state.sizes[slots[i]]):
            label = state.labels[slots[i], k]
            if number < state.valid[label]:
                votes[label] -= weights[i]
    first = max(state.since[0], (n // SEGMENT - min(n // SEGMENT, storages - 2)) * SEGMENT)
    for at in range(len(outdated)):
        label = outdated[at]
        if state.valid[label] <= first:  # at this row no longer: all rows have voted already
            continue
        held = votes[label] if votes[label] > 1e-9 * pseudo else 0.0  # what is left of a sum that cancelled
        out[label] = _odds(float(prior[label]), held, totals[at], pseudo) if totals[at] > 0.0 else prior[label]


@lean_kernel
def _remember(state, sparse, storage, place, indices, values, length, y_indices):
    """Put a row into the open segment."""
    slot = storage * SEGMENT + place
    state.norms[slot] = np.float32(1.0) / max(TINY, length) if sparse else length * length
    state.sizes[slot] = len(y_indices)
    for k in range(len(y_indices)):
        state.labels[slot, k] = y_indices[k]
    for k in range(len(indices)):
        state.frequency[indices[k]] += 1
    if sparse:
        first = state.open_indptr[place]
        for k in range(len(indices)):
            state.open_indices[first + k] = indices[k]
            state.open_values[first + k] = values[k]
        state.open_indptr[place + 1] = first + len(indices)
        if place == SEGMENT - 1:
            _close_segment(state, storage)
    else:
        if place == 0:
            state.tiles[storage] = 0.0
        for k in range(len(indices)):
            state.tiles[storage, indices[k], place] = values[k]
    state.learned[0] += 1


@lean_kernel
def _neighbour_rows(
    state, indptr, indices, values, y_indptr, y_indices, mode, sparse, n_labels, prior, outdated, query, scattered,
    products, votes, scores, totals, slots, weights, out,
):  # fmt: skip
    """`neighbours_block` with all the memory that it needs."""
    storages = len(state.norms) // SEGMENT
    for row in range(len(indptr) - 1):
        lo, hi = indptr[row], indptr[row + 1]
        n = state.learned[0]
        storage, place = (n // SEGMENT) % storages, n % SEGMENT
        columns = indices[lo:hi]
        length = np.float32(0.0)
        for k in range(hi - lo):
            value = values[lo + k]
            if sparse:
                idf = np.float32(math.log((n + 2.0) / (state.frequency[columns[k]] + 1.0)))
                length += value * idf * value * idf
                query[k] = value * idf * idf
                scattered[columns[k]] = query[k]
            else:
                length += value * value
                query[k] = value
        length = np.float32(math.sqrt(length))
        slots[row] = -1
        scores[:] = 0.0
        for back in range(min(n // SEGMENT, storages - 2), -1, -1):
            where = (storage - back) % storages
            filled = SEGMENT if back else place
            begin = max(0, state.since[0] - (n // SEGMENT - back) * SEGMENT)
            if begin < filled:
                _products(state, where, filled, sparse, back > 0, columns, query, scattered, products)
                _nearest(state, where * SEGMENT, begin, filled, sparse, products, length, slots[row], scores)
        _weigh(sparse, slots[row], scores, weights[row])
        if n_labels:
            _vote(state, slots[row], weights[row], n_labels, prior[row], votes, out[row])
        if len(outdated):
            _vote_anew(state, slots[row], weights[row], outdated, storages, prior[row], votes, totals, out[row])
        if sparse:
            for k in range(hi - lo):
                scattered[columns[k]] = 0.0
        if mode[row] & LEARN:
            _remember(
                state,
                sparse,
                storage,
                place,
                columns,
                values[lo:hi],
                length,
                y_indices[y_indptr[row] : y_indptr[row + 1]],
            )


@kernel
def neighbours_block(
    state,
    indptr,
    indices,
    values,
    y_indptr,
    y_indices,
    mode,
    sparse,
    n_labels,
    prior,
    outdated,
    query,
    scattered,
    products,
    votes,
    slots,
    weights,
    out,
):
    """Log-odds by the weighted vote of the nearest rows of the window; their slots and votes, nearest first.

    Sparse rows by cosine similarity with inverse document frequencies, dense (standardised) ones by Euclidean
    distance. Rows before `since` are not looked at; on the labels `outdated`, rows before `valid` have no vote.
    `slots` (rows, k) is -1 where there are fewer; `query`, `scattered`, `products`, `votes` are scratch.
    """
    scores, totals = np.empty(slots.shape[1], dtype=np.float32), np.empty(len(outdated))
    _neighbour_rows(
        state, indptr, indices, values, y_indptr, y_indices, mode, sparse, n_labels, prior, outdated, query, scattered,
        products, votes, scores, totals, slots, weights, out,
    )  # fmt: skip
