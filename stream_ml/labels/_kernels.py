"""Compiled loops of label clustering: pair counts in a hash table, the two-way cut, the dependence loss."""

from __future__ import annotations

from stream_ml.jit import kernel

__all__ = ["count_rows", "cross_pairs", "find_pair", "insert_pairs", "merge_groups", "pivot_sides"]

LEARN = 2
MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)  # Fibonacci hashing, as a signed 64-bit number
MAX_WEIGHT = 1e12


@kernel
def find_pair(keys, key):
    """Place of `key` in the open-addressing table, or of the free place (-1) where it would go."""
    mask = len(keys) - 1
    place = ((key * MULTIPLIER) >> 20) & mask
    while keys[place] != -1 and keys[place] != key:
        place = (place + 1) & mask
    return place


@kernel
def insert_pairs(keys, counts, new_keys, new_counts):
    """Put pairs that are not in the table into it; returns how many."""
    for i in range(len(new_keys)):
        place = find_pair(keys, new_keys[i])
        keys[place] = new_keys[i]
        counts[place] = new_counts[i]
    return len(new_keys)


@kernel
def count_rows(
    y_indptr, y_indices, mode, start, stop, n_labels, growth, max_row_labels, keys, counts, singles, sizes, tally
):
    """Count labels, pairs of labels and label-set sizes of the rows to be learned.

    `keys`, `counts`: the table of pairs, key `low * 2**32 + high`. `tally` holds the weight of the next row, which
    grows by `growth` from row to row (old counts fade against it), and the number of pairs in it. Stops before a row
    that might fill the table past half, or when weights want rescaling; returns that row, else `stop`.
    """
    for row in range(start, stop):
        if not mode[row] & LEARN:
            continue
        lo, hi = y_indptr[row], y_indptr[row + 1]
        hi_pairs = min(hi, lo + max_row_labels)
        n = hi_pairs - lo
        if tally[1] + n * (n - 1) / 2 > len(keys) / 2 or tally[0] > MAX_WEIGHT:
            return row
        w = tally[0]
        for k in range(lo, hi):
            singles[y_indices[k]] += w
        sizes[min(hi - lo, len(sizes) - 1)] += w
        for k in range(lo, hi_pairs):
            for q in range(k + 1, hi_pairs):
                key = (y_indices[k] << 32) + y_indices[q]
                place = find_pair(keys, key)
                if keys[place] == -1:
                    keys[place] = key
                    counts[place] = 0.0
                    tally[1] += 1.0
                counts[place] += w
        tally[0] *= growth
    return stop


@kernel
def cross_pairs(y_indptr, y_indices, mode, start, stop, slot_of, out):
    """Share of each row's pairs of labels that lie in different clusters; -1 for rows not learned or without a pair."""
    for row in range(start, stop):
        lo, hi = y_indptr[row], y_indptr[row + 1]
        n = hi - lo
        if n < 2 or not mode[row] & LEARN:
            out[row - start] = -1.0
            continue
        cut = 0
        for k in range(lo, hi):
            for q in range(k + 1, hi):
                if slot_of[y_indices[k]] != slot_of[y_indices[q]]:
                    cut += 1
        out[row - start] = 2.0 * cut / (n * (n - 1))


@kernel
def _nearest(similarity, size, cap, group):
    """The group with the highest average similarity to `group` that fits with it under `cap`; -1 when none has any."""
    best, best_value = -1, 0.0
    for other in range(len(size)):
        if other == group or size[other] == 0 or size[other] + size[group] > cap:
            continue
        value = similarity[group, other] / (size[group] * size[other])
        if value > best_value:
            best, best_value = other, value
    return best, best_value


@kernel
def merge_groups(similarity, cap, group_of):
    """Average-linkage agglomeration of labels into groups of at most `cap` until no two similar ones fit.

    `similarity` (k, k) symmetric, overwritten with sums between groups; writes each label's group (a label's number).
    """
    k = len(group_of)
    size = group_of.copy()
    size[:] = 1
    nearest, value = group_of.copy(), similarity[0].copy()
    for i in range(k):
        group_of[i] = i
        similarity[i, i] = 0.0
    for i in range(k):
        nearest[i], value[i] = _nearest(similarity, size, cap, i)
    while True:
        a = -1
        for i in range(k):
            if size[i] > 0 and nearest[i] >= 0 and (a < 0 or value[i] > value[a]):
                a = i
        if a < 0:
            break
        b = nearest[a]
        if size[b] == 0 or size[a] + size[b] > cap:
            nearest[a], value[a] = _nearest(similarity, size, cap, a)
            continue
        for i in range(k):
            similarity[a, i] += similarity[b, i]
            similarity[i, a] = similarity[a, i]
            if group_of[i] == b:
                group_of[i] = a
        similarity[a, a] = 0.0
        size[a] += size[b]
        size[b] = 0
        for i in range(k):
            if size[i] > 0 and (i == a or nearest[i] == a or nearest[i] == b):
                nearest[i], value[i] = _nearest(similarity, size, cap, i)


@kernel
def pivot_sides(similarity, first, second, sides):
    """Each label to the pivot it is more similar to, ties to the smaller side: True for the second pivot's."""
    count = [1, 1]
    for i in range(len(sides)):
        if i in (first, second):
            sides[i] = i == second
            continue
        a, b = similarity[i, first], similarity[i, second]
        to_second = b > a or (a == b and count[1] < count[0])
        sides[i] = to_second
        count[1 if to_second else 0] += 1
