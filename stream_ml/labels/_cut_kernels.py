"""Compiled loops of the test whether a cluster is cut, and how: `cut.py` says what is asked and why.

A cluster's labels go by their position in it; those with enough evidence, the settled ones, by their place among these.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.jit import kernel, lean_kernel
from stream_ml.labels._kernels import heaviest_stranger, inside_edges, link_groups

__all__ = ["STATISTICS", "cut_in_two"]

STATISTICS = "d0", "d1", "d2", "avg", "gap", "eps", "n", "lost"
"""What is found of a cluster: smallest, two largest and mean dissimilarity; how much more similar labels of one side
are; the Hoeffding bound, for the evidence `n` of the farthest pair; the largest share of excess that a side loses."""
D0, D1, D2, AVG, GAP, EPS, N, LOST = range(len(STATISTICS))
SPLIT_LOSS = 0.2
"""A cut within the size limit may leave no part with more than this share of its excess similarity outside..."""
OUTLIER_LOSS = 0.02
"""... unless it loses at most this share of the cluster's similarity, and parts labels with next to no excess."""
NEXT_TO_NONE = 0.25
"""An average excess below this share of `tau` is none; half that of a merge, so that the two do not alternate."""


@lean_kernel
def _farthest(first, second, near, n, counts, found):
    """Of pairs that all met: the two that are farthest apart, of equals those with most evidence; gives the first."""
    one, two = -1, -1
    for e in range(n):
        evidence = (counts[first[e]] + counts[second[e]]) / (1.0 + near[e])  # instances with either
        for place in range(2):
            rival = one if place == 0 else two
            more = rival < 0
            if not more:
                its = (counts[first[rival]] + counts[second[rival]]) / (1.0 + near[rival])
                more = near[e] < near[rival] or (near[e] == near[rival] and evidence > its)
            if more:
                if place == 0:
                    one, two = e, one
                else:
                    two = e
                break
    found[D1], found[D2] = 1.0 - near[one], 1.0 - near[max(two, 0) if two >= 0 else one]
    found[N] = (counts[first[one]] + counts[second[one]]) / (1.0 + near[one])
    return one


@lean_kernel
def _extent(found):
    """ODAC's measure that the cluster is more than one."""
    return (found[D1] - found[D0]) * abs(found[D1] + found[D0] - 2.0 * found[AVG])


@kernel
def _spread(indptr, neighbours, counts, labels, met, first, second, near, n, found):
    """Dissimilarities of settled labels, by the `n` pairs of them that met; gives the places of the farthest pair.

    Of equally distant pairs (most never meet) the one with most evidence speaks.
    """
    m = len(labels)
    n_pairs = m * (m - 1) // 2
    strangers = n_pairs - n
    nearest, farthest, total = 0.0, 1.0, float(strangers)
    for e in range(n):
        nearest, farthest = max(nearest, near[e]), min(farthest, near[e])
        total += 1.0 - near[e]
    found[D0], found[AVG] = 1.0 - nearest, total / n_pairs
    own = counts[labels]
    if not strangers:
        e = _farthest(first, second, near, n, own, found)
        return first[e], second[e]
    i, j = heaviest_stranger(indptr, neighbours, labels, np.argsort(-own, kind="mergesort"), counts, met)
    found[D1] = found[D2] = 1.0
    if strangers == 1 and n:
        found[D2] = 1.0 - farthest
    found[N] = own[i] + own[j]
    return i, j


@kernel
def _pivot_sides(counts, labels, settled, first, second, near, n, pivots, sides):
    """Each label to the pivot it is more similar to, as in ODAC; ties, by falling evidence, to the smaller side."""
    k = len(labels)
    nearness = np.zeros((2, k))
    for side in range(2):
        pivot = pivots[side]
        for e in range(n):
            if first[e] == pivot:
                nearness[side, settled[second[e]]] = near[e]
            elif second[e] == pivot:
                nearness[side, settled[first[e]]] = near[e]
        nearness[side, settled[pivot]] = 2.0
    filled = np.zeros(2, dtype=np.int64)
    for i in range(k):
        sides[i] = nearness[1, i] > nearness[0, i]
        if nearness[1, i] != nearness[0, i]:
            filled[1 if sides[i] else 0] += 1
    for i in np.argsort(-counts[labels], kind="mergesort"):
        if nearness[1, i] == nearness[0, i]:
            sides[i] = filled[1] < filled[0]
            filled[1 if sides[i] else 0] += 1


@lean_kernel
def _deal(indptr, neighbours, excess, labels, position, unit, floor, side, filled):
    """Put a unit of labels on the side that it is more similar to, as far as both keep room for `floor` labels."""
    k = len(labels)
    pull_0, pull_1 = 0.0, 0.0
    for i in unit:
        for e in range(indptr[labels[i]], indptr[labels[i] + 1]):
            q = position[neighbours[e]]
            if q >= 0 and side[q] == 0:
                pull_0 += excess[e]
            elif q >= 0 and side[q] == 1:
                pull_1 += excess[e]
    to = 1 if pull_1 > pull_0 or (pull_1 == pull_0 and filled[1] < filled[0]) else 0
    if filled[to] + len(unit) > k - floor:
        to = 1 - to
    filled[to] += len(unit)
    for i in unit:
        side[i] = to


@kernel
def _similar_sides(
    indptr, neighbours, excess, counts, labels, position, settled, first, second, near, n, floor, sides
):  # fmt: skip
    """Two sides that keep similarity: average-linkage groups, dealt out to the side they are more similar to.

    Large groups come first, labels without evidence last, by how often they came.
    """
    k, m = len(labels), len(settled)
    group_of, size, unit = np.empty(m, dtype=np.int64), np.zeros(m, dtype=np.int64), np.empty(m, dtype=np.int64)
    ones = np.ones(m, dtype=np.int64)
    link_groups(first[:n].copy(), second[:n].copy(), near[:n].copy(), ones, max(1, m - floor), group_of)
    for i in range(m):
        size[group_of[i]] += 1
    for i in range(k):
        position[labels[i]] = i
    side, filled = np.full(k, -1), np.zeros(2, dtype=np.int64)
    for group in np.argsort(-size, kind="mergesort"):
        n_unit = 0
        for i in range(m):
            if group_of[i] == group:
                unit[n_unit] = settled[i]
                n_unit += 1
        if n_unit:
            _deal(indptr, neighbours, excess, labels, position, unit[:n_unit], floor, side, filled)
    is_settled = np.zeros(k, dtype=np.bool_)
    is_settled[settled] = True
    for i in np.argsort(-counts[labels], kind="mergesort"):
        if not is_settled[i]:
            unit[0] = i
            _deal(indptr, neighbours, excess, labels, position, unit[:1], floor, side, filled)
    for i in range(k):
        position[labels[i]] = -1
        sides[i] = side[i] == 1


@lean_kernel
def _keeps(first, second, near, beyond, n, sides, tau, found):
    """Whether both sides keep enough: not much excess of either is lost, or next to none lies between them."""
    across, inside_0, inside_1, parted, all_near = 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(n):
        all_near += near[e]
        if sides[first[e]] != sides[second[e]]:
            across += beyond[e]
            parted += near[e]
        elif sides[first[e]]:
            inside_1 += beyond[e]
        else:
            inside_0 += beyond[e]
    found[LOST] = max(across / max(across + inside_0, 1e-300), across / max(across + inside_1, 1e-300))
    ones = 0
    for i in range(len(sides)):
        ones += sides[i]
    few = across < NEXT_TO_NONE * tau * ones * (len(sides) - ones)
    return found[LOST] <= SPLIT_LOSS or (parted <= OUTLIER_LOSS * all_near and few)


@lean_kernel
def _gap(first, second, near, n, settled, sides):
    """How much more similar settled labels are on average that are on one side than those that are not."""
    m, ones, across, inside = len(settled), 0, 0.0, 0.0
    for i in range(m):
        ones += sides[settled[i]]
    for e in range(n):
        if sides[settled[first[e]]] != sides[settled[second[e]]]:
            across += near[e]
        else:
            inside += near[e]
    n_across = ones * (m - ones)
    n_inside = m * (m - 1) // 2 - n_across
    return (inside / n_inside if n_inside else 0.0) - across / n_across if n_across else 0.0


@kernel
def cut_in_two(
    indptr, neighbours, jaccard, excess, counts, labels, position, met, pivot, evidence, tau, floor, max_size, sides,
    found,
):  # fmt: skip
    """Whether the evidence asks for a cut of `labels` (k,) in two; then `sides` (k,) and `found` say which and why.

    `evidence` is `ln(1 / delta)`: a label is settled that came twice as often. `position` (labels,) is all -1, before
    and after; `met` (labels,) is scratch of this graph. By `pivot`, else by similarity.
    """
    k, m = len(labels), 0
    settled, place = np.empty(k, dtype=np.int64), np.full(k, -1)
    for i in range(k):
        if counts[labels[i]] * 0.5 >= evidence:
            settled[m], place[i] = i, m
            m += 1
    if m < 2 or (not pivot and m > max_size):
        return False
    settled = settled[:m]
    room = 0
    for i in range(k):
        room += indptr[labels[i] + 1] - indptr[labels[i]]
    first, second = np.empty(room // 2, dtype=np.int64), np.empty(room // 2, dtype=np.int64)
    near, beyond = np.empty(room // 2), np.empty(room // 2)
    n = inside_edges(indptr, neighbours, jaccard, excess, labels, position, first, second, near, beyond)
    a, b, both, n_both = np.empty_like(first), np.empty_like(first), np.empty_like(near), 0
    all_beyond = 0.0
    for e in range(n):
        if place[first[e]] >= 0 and place[second[e]] >= 0:
            a[n_both], b[n_both], both[n_both] = place[first[e]], place[second[e]], near[e]
            all_beyond += beyond[e]
            n_both += 1
    pivots = _spread(indptr, neighbours, counts, labels[settled], met, a, b, both, n_both, found)
    found[EPS] = min(1.0, math.sqrt(evidence / (2.0 * found[N]))) if found[N] > 0.0 else 1.0
    if k == 2:
        asked = all_beyond + found[EPS] < tau and all_beyond < NEXT_TO_NONE * tau
    else:
        asked = found[D1] - found[D2] > found[EPS] or found[EPS] < tau
    if not asked or (pivot and 2 < k <= max_size and _extent(found) <= found[EPS]):
        return False
    if pivot:
        _pivot_sides(counts, labels, settled, a, b, both, n_both, pivots, sides)
    else:
        _similar_sides(
            indptr, neighbours, excess, counts, labels, position, settled, a, b, both, n_both, floor, sides
        )  # fmt: skip
    keeps = _keeps(first, second, near, beyond, n, sides, tau, found)
    found[GAP] = _gap(a, b, both, n_both, settled, sides)
    ones = 0  # numpy's way to count would load what only a compiler needs
    for i in range(k):
        ones += sides[i]
    if min(ones, k - ones) < floor:
        return False
    return pivot or k == 2 or (keeps and max(_extent(found), found[GAP]) > found[EPS])
