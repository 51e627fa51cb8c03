"""Plain twin of the test whether a cluster is cut: `pairs` maps (i, j), i < j, to Jaccard similarity and its excess."""

from itertools import combinations
from math import sqrt

from reference.labels import link_groups


def _similarity(pairs, i, j):
    return pairs.get((min(i, j), max(i, j)), (0.0, 0.0))


def spread(pairs, counts, labels):
    """d0, d1, d2, avg, evidence and the two labels of the farthest pair: `_spread`, `_farthest`."""
    ways = []
    for i, j in combinations(labels, 2):
        near, _ = _similarity(pairs, i, j)
        ways.append((1.0 - near, (counts[i] + counts[j]) / (1.0 + near), i, j))
    ways.sort(key=lambda way: (-way[0], -way[1]))
    distances = [way[0] for way in ways]
    second = distances[1] if len(ways) > 1 else (1.0 if distances[0] == 1.0 else distances[0])
    return min(distances), distances[0], second, sum(distances) / len(distances), ways[0][1], ways[0][2:]


def pivot_sides(pairs, counts, labels, settled, pivots):
    """Whether each label is nearer to the second pivot (`_pivot_sides`); ties go to the smaller side."""
    sides, tied = {}, []
    for label in labels:
        pulls = []
        for pivot in pivots:
            near = _similarity(pairs, label, pivot)[0] if label in settled else 0.0
            pulls.append(2.0 if label == pivot else near)
        if pulls[0] == pulls[1]:
            tied.append(label)
        else:
            sides[label] = pulls[1] > pulls[0]
    for label in sorted(tied, key=lambda x: -counts[x]):
        second = sum(sides.values())
        sides[label] = second < len(sides) - second
    return [sides[label] for label in labels]


def similar_sides(pairs, counts, labels, settled, floor):
    """Average-linkage groups, large ones first, then labels without evidence, go to the more similar side.

    `_similar_sides`, `_deal`.
    """
    near = {(a, b): pairs[i, j][0] for (a, i), (b, j) in combinations(enumerate(settled), 2) if (i, j) in pairs}
    groups = link_groups(near, len(settled), max(1, len(settled) - floor))
    units = [[settled[a] for a in group] for group in sorted(groups, key=lambda group: -len(group))]
    units += [[label] for label in sorted(set(labels) - set(settled), key=lambda x: -counts[x])]
    sides = ([], [])
    for unit in units:
        pulls = [sum(_similarity(pairs, i, j)[1] for i in unit for j in side) for side in sides]
        to = int(pulls[1] > pulls[0] or (pulls[0] == pulls[1] and len(sides[1]) < len(sides[0])))
        if len(sides[to]) + len(unit) > len(labels) - floor:
            to = 1 - to
        sides[to].extend(unit)
    return [label in sides[1] for label in labels]


def keeps(pairs, labels, sides, tau):
    """The largest share of its excess that a side has with the other, and whether the cut may be made (`_keeps`)."""
    of = dict(zip(labels, sides, strict=True))
    inside, across, parted, total = [0.0, 0.0], 0.0, 0.0, 0.0
    for i, j in combinations(labels, 2):
        near, beyond = _similarity(pairs, i, j)
        total += near
        if of[i] == of[j]:
            inside[of[i]] += beyond
        else:
            across += beyond
            parted += near
    lost = max(across / max(across + side, 1e-300) for side in inside)
    n_across = sum(sides) * (len(sides) - sum(sides))
    return lost, lost <= 0.2 or (parted <= 0.02 * total and across < 0.25 * tau * n_across)


def gap(pairs, settled, of):
    """How much more similar labels are on average that are on one side: `_gap`."""
    same, other = [], []
    for i, j in combinations(settled, 2):
        (same if of[i] == of[j] else other).append(_similarity(pairs, i, j)[0])
    mean = [sum(x) / len(x) if x else 0.0 for x in (same, other)]
    return mean[0] - mean[1] if other else 0.0


def cut_in_two(pairs, counts, labels, *, pivot, evidence, tau, floor, max_size):
    """The side of each label and the statistics (`_extent` among what decides), or None."""
    k, settled = len(labels), [label for label in labels if counts[label] * 0.5 >= evidence]
    if len(settled) < 2 or (not pivot and len(settled) > max_size):
        return None
    d0, d1, d2, avg, n, pivots = spread(pairs, counts, settled)
    eps = min(1.0, sqrt(evidence / (2.0 * n))) if n > 0 else 1.0
    extent = (d1 - d0) * abs(d1 + d0 - 2.0 * avg)
    if k == 2:
        excess = _similarity(pairs, *settled)[1]
        asked = excess + eps < tau and excess < 0.25 * tau
    else:
        asked = d1 - d2 > eps or eps < tau
    if not asked or (pivot and 2 < k <= max_size and extent <= eps):
        return None
    if pivot:
        sides = pivot_sides(pairs, counts, labels, settled, pivots)
    else:
        sides = similar_sides(pairs, counts, labels, settled, floor)
    lost, kept = keeps(pairs, labels, sides, tau)
    wide = gap(pairs, settled, dict(zip(labels, sides, strict=True)))
    if min(sum(sides), k - sum(sides)) < floor or (not pivot and k > 2 and not (kept and max(extent, wide) > eps)):
        return None
    return sides, {"d0": d0, "d1": d1, "d2": d2, "avg": avg, "gap": wide, "eps": eps, "n": n, "lost": lost}
