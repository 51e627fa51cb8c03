"""Compiled loops of the nearest-neighbour expert: a window of recent rows in segments, scanned column by column.

A segment holds `SEGMENT` learned rows. Sparse rows lie in an inverted index per segment (posting lists by column, built
when the segment is full), dense rows in a tile `[column, row]`. Beside the lists are sets of rows, also of the open
segment: where all entries of a list have the same value, which is usual, they are all that is read. Either way the
products of the query with all rows of a segment are summed in order of the columns.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.elementary import exp64, log64
from stream_ml.experts._lane_kernels import SEGMENT, add_lists, extremes, first_row, n_above, rows_above
from stream_ml.jit import kernel, lean_kernel

__all__ = ["SEGMENT", "WORD", "NeighbourState", "RowSets", "fill_sets", "neighbours_block"]

LEARN = 2
WORD = 64
"""Rows in a word of a list's set."""
HALVINGS = 10
"""Of the range of scores, to find what the nearest are above."""
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


class RowSets(NamedTuple):
    """The rows of posting lists as bits, sparse only; made of the rows, not saved."""

    rows: NDArray[np.int64]  # (D, storages, SEGMENT / WORD)
    values: NDArray[np.float32]  # (D, storages) of all entries of a list, NaN where they differ


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
def _add_to_set(sets, storage, row, column, value):
    """A row of a storage has the column."""
    if sets.rows[column, storage, 0] == 0 and sets.rows[column, storage, 1] == 0:
        sets.values[column, storage] = value
    elif sets.values[column, storage] != value:
        sets.values[column, storage] = np.nan
    sets.rows[column, storage, row // WORD] |= 1 << (row % WORD)


@lean_kernel
def _open_segment(state, sets, storage):
    """Empty the sets of the rows that were in a storage."""
    pointer = state.column_ptr[storage]
    for column in range(len(pointer) - 1):
        if pointer[column] < pointer[column + 1]:
            for word in range(SEGMENT // WORD):
                sets.rows[column, storage, word] = 0


@kernel
def fill_sets(state, sets):
    """Make the sets of all storages anew, which are empty."""
    n = state.learned[0]
    storages = len(state.column_ptr)
    place, opened = n % SEGMENT, n // SEGMENT % max(1, storages)
    for storage in range(storages):
        pointer = state.column_ptr[storage]
        if storage == opened and place:
            for row in range(place):
                for k in range(state.open_indptr[row], state.open_indptr[row + 1]):
                    _add_to_set(sets, storage, row, state.open_indices[k], state.open_values[k])
            continue
        for column in range(len(pointer) - 1):
            for k in range(pointer[column], pointer[column + 1]):
                _add_to_set(sets, storage, state.post_rows[storage, k], column, state.post_values[storage, k])


@lean_kernel
def _products(state, sets, storage, filled, sparse, closed, indices, weights, scattered, out):
    """Inner products of the query (`indices`, `weights`; `scattered` by column) with the rows of one segment."""
    out[:] = 0.0
    if not sparse:
        stop = min(SEGMENT, -(-filled // 16) * 16)
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
        return
    at = add_lists(indices, weights, 0, storage, sets.rows, sets.values, out)
    if at < len(indices) and not closed:
        for j in range(filled):
            total = np.float32(0.0)
            for e in range(state.open_indptr[j], state.open_indptr[j + 1]):
                total += scattered[state.open_indices[e]] * state.open_values[e]
            out[j] = total
        return
    while at < len(indices):
        pointer, rows, values = state.column_ptr[storage], state.post_rows[storage], state.post_values[storage]
        for e in range(pointer[indices[at]], pointer[indices[at] + 1]):
            out[rows[e]] += weights[at] * values[e]
        at = add_lists(indices, weights, at + 1, storage, sets.rows, sets.values, out)


@lean_kernel
def _score(state, first, begin, filled, sparse, length, scores, best):
    """Make products with the rows of a segment their scores: cosine, or less the squared distance.

    Of rows before `begin`, and after those that are `filled`, they are the lowest. `best` (SEGMENT,) are the highest so
    far by a row's place.
    """
    inverse, squared = np.float32(1.0) / max(TINY, length), length * length
    norms = state.norms[first : first + SEGMENT]
    if sparse:
        for j in range(SEGMENT):
            scores[j] = scores[j] * inverse * norms[j]
    else:
        for j in range(SEGMENT):
            scores[j] = np.float32(2.0) * scores[j] - squared - norms[j]
    if begin > 0:
        scores[:begin] = -np.inf
    if filled < SEGMENT:
        scores[filled:] = -np.inf
    for j in range(SEGMENT):
        best[j] = max(best[j], scores[j])


@lean_kernel
def _bound(best, k, least):
    """A number that the `k` highest scores are above, and few others: k of the `best`, one of each group, are."""
    low, high = extremes(best)
    low = max(low, least)
    if not low > -np.inf or n_above(best, low) < k:
        return least
    for _ in range(HALVINGS):
        middle = np.float32(0.5) * (low + high)
        count = n_above(best, middle)
        if count < k:
            high = middle
        else:
            low = middle
        if count == k:
            break
    return low


@lean_kernel
def _nearest(scores, bound, first, slots, nearest):
    """Merge rows of a segment into the nearest so far, those that are above a bound."""
    k = len(slots)
    worst = nearest[k - 1] if slots[k - 1] >= 0 else bound
    for half in range(0, SEGMENT, WORD):
        better = rows_above(scores, half, worst)
        while better:
            j = half + first_row(better)
            better &= better - 1
            score = scores[j]
            if score <= worst:
                continue
            place = k - 1
            while place > 0 and (slots[place - 1] < 0 or nearest[place - 1] < score):
                slots[place], nearest[place] = slots[place - 1], nearest[place - 1]
                place -= 1
            slots[place], nearest[place] = first + j, score
            if slots[k - 1] >= 0:
                worst = nearest[k - 1]


@lean_kernel
def _look(state, sets, sparse, n, columns, query, scattered, length, products, best, slots, nearest):
    """The nearest rows of the window after `n` learned rows."""
    storages = len(state.norms) // SEGMENT
    latest, since = n // SEGMENT, state.since[0]
    oldest = max(latest - min(latest, storages - 2), since // SEGMENT)
    best[:] = -np.inf
    for number in range(oldest, latest + 1):
        storage, filled = number % storages, min(SEGMENT, n - number * SEGMENT)
        scores = products[(number - oldest) * SEGMENT : (number - oldest + 1) * SEGMENT]
        _products(state, sets, storage, filled, sparse, number < latest, columns, query, scattered, scores)
        begin, half = max(0, since - number * SEGMENT), number % 2 * SEGMENT
        _score(state, storage * SEGMENT, begin, filled, sparse, length, scores, best[half : half + SEGMENT])
    bound = _bound(best, len(slots), np.float32(0.0) if sparse else np.float32(-np.inf))
    for number in range(oldest, latest + 1):
        scores = products[(number - oldest) * SEGMENT : (number - oldest + 1) * SEGMENT]
        _nearest(scores, bound, number % storages * SEGMENT, slots, nearest)


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
    """Log-odds of a label that was voted for, with so many of `total` votes, and `pseudo` votes for its prior."""
    share = 1.0 / (1.0 + exp64(-prior))
    p = min(1.0 - LOWEST, max(LOWEST, (votes + pseudo * share) / (total + pseudo)))
    return log64(p / (1.0 - p))


@lean_kernel
def _silence(prior, total, pseudo):
    """Log-odds of one that was not."""
    return max(math.log(LOWEST / (1.0 - LOWEST)), prior + math.log(pseudo / (total + pseudo)))


@lean_kernel
def _vote(state, slots, weights, n_labels, prior, votes, named, held, odds, out):
    """Log-odds of every label: votes for it among all, together with one vote for its prior."""
    total, n_named = 0.0, 0
    votes[:n_labels] = 0.0
    for i in range(len(slots)):
        if slots[i] < 0:
            break
        total += weights[i]
        for k in range(state.sizes[slots[i]]):
            label = state.labels[slots[i], k]
            if votes[label] == 0.0 and weights[i] > 0.0:
                named[n_named] = label
                n_named += 1
            votes[label] += weights[i]
    pseudo = float(weights[0])
    if total <= 0.0 or pseudo <= 0.0:
        for label in range(n_labels):
            out[label] = prior[label]
        return
    least = np.float32(math.log(LOWEST / (1.0 - LOWEST)))
    silence = np.float32(math.log(pseudo / (total + pseudo)))
    for label in range(n_labels):
        out[label] = max(least, prior[label] + silence)
    for k in range(n_named):  # together, where vectors are
        odds[k], held[k] = prior[named[k]], votes[named[k]]
    for k in range(n_named):
        odds[k] = _odds(odds[k], held[k], total, pseudo)
    for k in range(n_named):
        out[named[k]] = odds[k]


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
        if totals[at] <= 0.0:
            out[label] = prior[label]
        elif held > 0.0:
            out[label] = _odds(float(prior[label]), held, totals[at], pseudo)
        else:
            out[label] = _silence(float(prior[label]), totals[at], pseudo)


@lean_kernel
def _remember(state, sets, sparse, storage, place, indices, values, length, y_indices):
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
        if place == 0:
            _open_segment(state, sets, storage)
        for k in range(len(indices)):
            state.open_indices[first + k] = indices[k]
            state.open_values[first + k] = values[k]
            _add_to_set(sets, storage, place, indices[k], values[k])
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
    state, sets, indptr, indices, values, y_indptr, y_indices, mode, sparse, n_labels, prior, outdated, query,
    scattered, products, best, votes, named, held, odds, scores, totals, slots, weights, out,
):  # fmt: skip
    """`neighbours_block` with all the memory that it needs."""
    storages = len(state.norms) // SEGMENT
    for row in range(len(indptr) - 1):
        lo, hi = indptr[row], indptr[row + 1]
        n = state.learned[0]
        storage, place = (n // SEGMENT) % storages, n % SEGMENT
        columns = indices[lo:hi]
        length = np.float32(0.0)
        if sparse:
            for k in range(hi - lo):
                query[k] = np.float32(log64((n + 2.0) / (state.frequency[columns[k]] + 1.0)))
        for k in range(hi - lo):
            value = values[lo + k]
            if sparse:
                idf = query[k]
                length += value * idf * value * idf
                query[k] = value * idf * idf
                scattered[columns[k]] = query[k]
            else:
                length += value * value
                query[k] = value
        length = np.float32(math.sqrt(length))
        slots[row] = -1
        scores[:] = 0.0
        _look(state, sets, sparse, n, columns, query[: hi - lo], scattered, length, products, best, slots[row], scores)
        _weigh(sparse, slots[row], scores, weights[row])
        if n_labels:
            _vote(state, slots[row], weights[row], n_labels, prior[row], votes, named, held, odds, out[row])
        if len(outdated):
            _vote_anew(state, slots[row], weights[row], outdated, storages, prior[row], votes, totals, out[row])
        if sparse:
            for k in range(hi - lo):
                scattered[columns[k]] = 0.0
        if mode[row] & LEARN:
            _remember(
                state,
                sets,
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
    sets,
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
    votes,
    slots,
    weights,
    out,
):
    """Log-odds by the weighted vote of the nearest rows of the window; their slots and votes, nearest first.

    Sparse rows by cosine similarity with inverse document frequencies, dense (standardised) ones by Euclidean
    distance. Rows before `since` are not looked at; on the labels `outdated`, rows before `valid` have no vote.
    `slots` (rows, k) is -1 where there are fewer; `query`, `scattered`, `votes` are scratch.
    """
    products, best = np.empty(len(state.norms), dtype=np.float32), np.empty(2 * SEGMENT, dtype=np.float32)
    scores, totals = np.empty(slots.shape[1], dtype=np.float32), np.empty(len(outdated))
    named, held, odds = np.empty(n_labels, dtype=np.int32), np.empty(n_labels), np.empty(n_labels)
    _neighbour_rows(
        state, sets, indptr, indices, values, y_indptr, y_indices, mode, sparse, n_labels, prior, outdated, query,
        scattered, products, best, votes, named, held, odds, scores, totals, slots, weights, out,
    )  # fmt: skip
