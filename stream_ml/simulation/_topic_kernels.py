"""Label sets and words of sparse documents, row by row; random numbers come from numpy's generator, handed in."""

from __future__ import annotations

import numpy as np

from stream_ml.jit import kernel

__all__ = ["bisected", "draw_documents", "draw_topic_sets"]

TRIES = 10
"""Draws for a further label of a row, as often as the row has it already; then there is none."""


@kernel
def bisected(rising, low, high, value):
    """The first place from `low` to `high` (excluded) whose number is above `value`, `high - 1` where none is."""
    last = high - 1
    while low < high:
        middle = (low + high) // 2
        if rising[middle] > value:
            high = middle
        else:
            low = middle + 1
    return min(low, last)


@kernel
def draw_topic_sets(rng, sizes, cumulative, starts, group_of, together, out, counts):
    """Different labels for each row, as many as `sizes` asks for where they are found, one after another to `out`.

    The first is drawn by frequency (`cumulative`, rising, over labels), each further one from the first one's group
    with chance `together`, else from all; after some tries in the group, from all. `starts` has the first label of
    each group, and the number of labels. `counts` gets how many labels each row has. Gives how many there are in all.
    """
    end = 0
    for row in range(len(sizes)):
        begin = end
        group = 0
        for place in range(sizes[row]):
            near = place > 0 and rng.random() < together
            for attempt in range(TRIES):
                low, high = 0, len(cumulative)
                if near and 2 * attempt < TRIES:
                    low, high = starts[group], starts[group + 1]
                below = cumulative[low - 1] if low else 0.0
                label = bisected(cumulative, low, high, below + rng.random() * (cumulative[high - 1] - below))
                known = False
                for other in range(begin, end):
                    known = known or out[other] == label
                if not known:
                    out[end] = label
                    end += 1
                    break
            if place == 0:
                group = group_of[out[begin]]
        counts[row] = end - begin
    return end


@kernel
def draw_documents(
    rng,
    lengths,
    y_indptr,
    labels,
    group_of,
    words,
    affected,
    shares,
    topic_words,
    background,
    ranked,
    own,
    shared,
    x_indptr,
    indices,
    values,
):
    """Words of each row, rising, and how often each fell, to `indices` and `values`; where rows end to `x_indptr`.

    Each of a row's `lengths` words is, with chance `own`, one of a label's `words` (versions, labels, words of each),
    with chance `shared` one of its group's `topic_words`, and else one of the background: `ranked` by `cumulative`
    frequency. A version after the first gives the words of labels it has `affected` with chance `shares`.
    """
    end = 0
    x_indptr[0] = 0
    for row in range(len(lengths)):
        begin, stop = y_indptr[row], y_indptr[row + 1]
        drawn = np.empty(lengths[row], dtype=np.int64)
        for place in range(lengths[row]):
            kind = rng.random()
            if kind < own + shared:
                label = labels[begin + int(rng.random() * (stop - begin))]
                slot = int(rng.random() * words.shape[2])
                if kind < own:
                    version = 0
                    for later in range(1, len(shares)):
                        if shares[later] > 0.0 and affected[later, label] and rng.random() < shares[later]:
                            version = later
                    drawn[place] = words[version, label, slot]
                else:
                    drawn[place] = topic_words[group_of[label], slot]
            else:
                drawn[place] = ranked[bisected(background, 0, len(ranked), rng.random() * background[-1])]
        drawn.sort()
        for place in range(lengths[row]):
            if place and drawn[place] == drawn[place - 1]:
                values[end - 1] += 1.0
            else:
                indices[end] = drawn[place]
                values[end] = 1.0
                end += 1
        x_indptr[row + 1] = end
    return end
