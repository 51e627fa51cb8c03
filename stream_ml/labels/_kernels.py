"""Compiled loops of label clustering: pair counts in a hash table, the similarity graph, and linkage on it."""

from __future__ import annotations

import numpy as np

from stream_ml.jit import kernel, lean_kernel

__all__ = [
    "attractions",
    "best_unions",
    "build_graph",
    "count_rows",
    "cross_pairs",
    "find_pair",
    "heaviest_stranger",
    "insert_pairs",
    "inside_edges",
    "link_groups",
    "similarities",
    "weight_inside",
]

LEARN = 2
MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)  # Fibonacci hashing, as a signed 64-bit number
MAX_WEIGHT = 1e12


@lean_kernel
def find_pair(keys, key):
    """Place of `key` in the open-addressing table, or of the free place (-1) where it would go."""
    mask = len(keys) - 1
    place = ((key * MULTIPLIER) >> 20) & mask
    while keys[place] != -1 and keys[place] != key:
        place = (place + 1) & mask
    return place


@lean_kernel
def insert_pairs(keys, counts, new_keys, new_counts):
    """Put pairs that are not in the table into it; returns how many."""
    for i in range(len(new_keys)):
        place = find_pair(keys, new_keys[i])
        keys[place] = new_keys[i]
        counts[place] = new_counts[i]
    return len(new_keys)


@lean_kernel
def count_rows(
    y_indptr, y_indices, mode, start, stop, n_labels, growth, max_row_labels, keys, counts, singles, sizes, tally
):
    """Count labels, pairs of labels and label-set sizes of the rows to be learned.

    `keys`, `counts`: the table of pairs, key `low * 2**32 + high`. `tally` holds the weight of the next row, which
    grows by `growth` from row to row (old counts fade against it), and the number of pairs in it. Stops before a row
    that might fill the table past half, or when weights want rescaling; returns that row, else `stop`. A row with a
    label that is not below `n_labels` gives `-1 - row`.
    """
    for row in range(start, stop):
        if not mode[row] & LEARN:
            continue
        lo, hi = y_indptr[row], y_indptr[row + 1]
        hi_pairs = min(hi, lo + max_row_labels)
        n = hi_pairs - lo
        if tally[1] + n * (n - 1) / 2 > len(keys) / 2 or tally[0] > MAX_WEIGHT:
            return row
        for k in range(lo, hi):
            if y_indices[k] < 0 or y_indices[k] >= n_labels:
                return -1 - row
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


@lean_kernel
def cross_pairs(y_indptr, y_indices, mode, start, stop, max_row_labels, cluster_of, out):
    """Share of each row's pairs of labels that lie in different clusters; -1 for rows not learned or without a pair."""
    for row in range(start, stop):
        lo = y_indptr[row]
        hi = min(y_indptr[row + 1], lo + max_row_labels)
        n = hi - lo
        if n < 2 or not mode[row] & LEARN:
            out[row - start] = -1.0
            continue
        cut = 0
        for k in range(lo, hi):
            for q in range(k + 1, hi):
                if cluster_of[y_indices[k]] != cluster_of[y_indices[q]]:
                    cut += 1
        out[row - start] = 2.0 * cut / (n * (n - 1))


@lean_kernel
def similarities(keys, counts, singles, unit, total, low, high, jaccard, excess):
    """Jaccard similarity of every pair in the table, and its excess over chance; returns how many pairs.

    Were two labels independent they would meet `e = n_i n_j / total` times; what counts as excess is what lies more
    than a standard deviation (`sqrt(e)`) above that. `unit` is what turns a stored count into one of instances.
    """
    m = 0
    for place in range(len(keys)):
        if keys[place] == -1:
            continue
        i, j = keys[place] >> 32, keys[place] & 0xFFFFFFFF
        both = counts[place] * unit
        n_i, n_j = singles[i] * unit, singles[j] * unit
        either = max(n_i + n_j - both, 1e-12)
        by_chance = n_i * n_j / total
        low[m], high[m] = i, j
        jaccard[m] = both / either
        excess[m] = max(both - by_chance - np.sqrt(by_chance), 0.0) / either
        m += 1
    return m


@lean_kernel
def build_graph(low, high, jaccard, excess, n_pairs, indptr, neighbours, near, beyond):
    """Each pair under both of its labels (CSR): the other label, its similarity and excess. `indptr` comes zeroed."""
    for e in range(n_pairs):
        indptr[low[e] + 1] += 1
        indptr[high[e] + 1] += 1
    for i in range(len(indptr) - 1):
        indptr[i + 1] += indptr[i]
    for e in range(n_pairs - 1, -1, -1):  # backwards, filling from the ends, so that indptr is the cursor
        for way in range(2):
            a, b = (low[e], high[e]) if way == 0 else (high[e], low[e])
            indptr[a + 1] -= 1
            k = indptr[a + 1]
            neighbours[k], near[k], beyond[k] = b, jaccard[e], excess[e]
    for i in range(len(indptr) - 1):
        indptr[i] = indptr[i + 1]
    indptr[len(indptr) - 1] = 2 * n_pairs


@lean_kernel
def inside_edges(indptr, neighbours, near, beyond, labels, position, first, second, jaccard, excess):
    """Pairs among `labels`, by their positions in it; returns how many. `position` is all -1, before and after."""
    for k in range(len(labels)):
        position[labels[k]] = k
    m = 0
    for k in range(len(labels)):
        for e in range(indptr[labels[k]], indptr[labels[k] + 1]):
            q = position[neighbours[e]]
            if q > k:
                first[m], second[m], jaccard[m], excess[m] = k, q, near[e], beyond[e]
                m += 1
    for k in range(len(labels)):
        position[labels[k]] = -1
    return m


@lean_kernel
def heaviest_stranger(indptr, neighbours, labels, order, counts, met):
    """The two of `labels` that never met whose counts sum to most: their places in it, or (-1, -1).

    `order` sorts `labels` by falling count. The search stops where no heavier pair can follow. `met` (labels,) begins
    as -1 and is kept for further searches of the same graph: a label that last met each.
    """
    best, best_i, best_j = -1.0, -1, -1
    for p in range(len(order) - 1):
        i = labels[order[p]]
        if best_i >= 0 and counts[i] + counts[labels[order[p + 1]]] <= best:
            break
        for e in range(indptr[i], indptr[i + 1]):
            met[neighbours[e]] = i
        for q in range(p + 1, len(order)):
            j = labels[order[q]]
            if met[j] != i:
                if counts[i] + counts[j] > best:
                    best, best_i, best_j = counts[i] + counts[j], order[p], order[q]
                break
    return best_i, best_j


@kernel
def attractions(indptr, neighbours, weight, slot_of, n_slots, home, best, there):
    """For each label its summed weight to its own cluster (`home`), and the other one with most (`best`, `there`)."""
    pull = np.zeros(n_slots)
    touched = np.empty(n_slots, dtype=np.int64)
    for i in range(len(slot_of)):
        n = 0
        for e in range(indptr[i], indptr[i + 1]):
            if weight[e] > 0.0:
                s = slot_of[neighbours[e]]
                if pull[s] == 0.0:
                    touched[n] = s
                    n += 1
                pull[s] += weight[e]
        home[i], best[i], there[i] = pull[slot_of[i]], -1, 0.0
        for k in range(n):
            s = touched[k]
            if s != slot_of[i] and (pull[s] > there[i] or (pull[s] == there[i] and s < best[i])):
                best[i], there[i] = s, pull[s]
            pull[s] = 0.0


@lean_kernel
def weight_inside(indptr, neighbours, weight, slot_of, inside):
    """Add to `inside[s]` the weight of the pairs within slot `s`; labels with slot -1 are left out."""
    for i in range(len(slot_of)):
        s = slot_of[i]
        if s >= 0:
            for e in range(indptr[i], indptr[i + 1]):
                if neighbours[e] > i and slot_of[neighbours[e]] == s:
                    inside[s] += weight[e]


@kernel
def best_unions(indptr, neighbours, weight, slot_of, starts, members, max_size, least_share, inside, partner, gain):
    """For each cluster the one that it is most similar to, by average weight, where a union makes sense.

    It must stay within `max_size`, and for one of the two the weight between them must be at least `least_share` of
    what it would have then. `members[starts[s]:starts[s + 1]]` are a cluster's labels, `inside` the weight within each
    cluster, `gain` the weight between it and its `partner` (-1: none).
    """
    n_slots = len(starts) - 1
    pull = np.zeros(n_slots)
    touched = np.empty(n_slots, dtype=np.int64)
    for s in range(n_slots):
        n = 0
        for k in range(starts[s], starts[s + 1]):
            for e in range(indptr[members[k]], indptr[members[k] + 1]):
                t = slot_of[neighbours[e]]
                if weight[e] > 0.0 and t != s:
                    if pull[t] == 0.0:
                        touched[n] = t
                        n += 1
                    pull[t] += weight[e]
        partner[s], gain[s] = -1, 0.0
        best = 0.0
        mine = starts[s + 1] - starts[s]
        for k in range(n):
            t = touched[k]
            its = starts[t + 1] - starts[t]
            if mine + its <= max_size and pull[t] >= least_share * (pull[t] + min(inside[s], inside[t])):
                average = pull[t] / (mine * its)
                if average > best or (average == best and t < partner[s]):
                    best, partner[s], gain[s] = average, t, pull[t]
            pull[t] = 0.0


@lean_kernel
def _best_edges(first, second, weight, n_edges, size, cap, best):
    """Drop edges whose groups no longer fit under `cap` together, and find each group's best; returns what is left.

    The best edge has the highest average similarity, of equal ones that with the lowest labels.
    """
    best[:] = -1
    kept = 0
    for e in range(n_edges):
        i, j, w = first[e], second[e], weight[e]
        if size[i] + size[j] > cap:
            continue
        first[kept], second[kept], weight[kept] = i, j, w
        value = w / (size[i] * size[j])
        for group in (i, j):
            b = best[group]
            if b < 0:
                best[group] = kept
                continue
            p, q = first[b], second[b]
            rival = weight[b] / (size[p] * size[q])
            if value > rival or (value == rival and (i < p or (i == p and j < q))):
                best[group] = kept
        kept += 1
    return kept


@kernel
def link_groups(first, second, weight, size, cap, group_of):
    """Average-linkage agglomeration on a sparse graph until no two similar groups fit together under `cap`.

    Works in rounds: every two groups that are each other's nearest join. For average linkage that leads to what joining
    the nearest two of all, one after the other, leads to, while cost follows the edges. `first < second`, `weight` > 0:
    the edges, overwritten with those between the groups left; `size` of the groups to begin with, updated;
    `group_of[i]` gets the group of `i`, which is the lowest of its members. Returns the number of edges left that fit.
    """
    n_edges = len(first)
    n_table = 16
    while n_table < 2 * n_edges:
        n_table *= 2
    keys, places = np.empty(n_table, dtype=np.int64), np.empty(n_table, dtype=np.int64)
    into = np.arange(len(size))
    best = np.empty(len(size), dtype=np.int64)
    for i in range(len(group_of)):
        group_of[i] = i
    while n_edges:
        n_edges = _best_edges(first, second, weight, n_edges, size, cap, best)
        joined = 0
        for e in range(n_edges):
            i, j = first[e], second[e]
            if best[i] == e and best[j] == e:
                into[j] = i
                joined += 1
        if joined == 0:
            break
        for j in range(len(size)):
            if into[j] != j and size[j] > 0:
                size[into[j]] += size[j]
                size[j] = 0
        for i in range(len(group_of)):
            group_of[i] = into[group_of[i]]
        while n_table > 16 and n_table > 4 * n_edges:
            n_table //= 2
        table = keys[:n_table]
        table[:] = -1
        kept = 0
        for e in range(n_edges):
            i, j, w = into[first[e]], into[second[e]], weight[e]
            if i == j:
                continue
            key = (min(i, j) << 32) + max(i, j)
            place = find_pair(table, key)
            if table[place] == -1:
                table[place] = key
                places[place] = kept
                first[kept], second[kept], weight[kept] = min(i, j), max(i, j), w
                kept += 1
            else:
                weight[places[place]] += w
        n_edges = kept
    return n_edges
