"""Points of a label's features, what its concept makes of them, and rows that fit given label sets.

Random numbers come from numpy's generator, handed in; only `random` and `standard_normal` are used.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.jit import kernel

__all__ = [
    "BELL",
    "CENTRES",
    "CUBE",
    "PLANE",
    "TREE",
    "Concepts",
    "centre_scores",
    "draw_point",
    "draw_points",
    "fit_label",
    "fit_rows",
    "plane_scores",
    "score_points",
    "tree_scores",
]

CUBE, BELL, CENTRES = 0, 1, 2
"""Domains: numeric features uniform in [0, 1]; standard normal; around centres in the unit cube."""
TREE, PLANE = 0, 1
"""Rules, besides CENTRES."""
STRETCH = 2.5
"""A moved uniform feature is to the power of this, or of its inverse."""
FAVOURITE = 0.5
"""Chance that a moved nominal feature has its favourite value whatever it was."""
WITHIN = 0.12
"""Standard deviation around a centre."""
FAITHFUL = 0.8
"""Chance that a nominal feature has its centre's value."""
STEP_AWAY = 1.5
"""Standard deviations by which moved points lie off their centres."""
NOMINAL_DISTANCE = 0.09
"""Squared distance of two nominal values."""
CHUNK = 64
"""Points drawn at a time."""
TRIES = 1 << 20


class Concepts(NamedTuple):
    """Labels' features, and versions of what decides each label; arrays of the rule that is not used are empty.

    Shapes: labels l, features of each d, versions v, nodes n, values a, centres k. The children of node i of a tree are
    2i + 1 and 2i + 2; a leaf has feature -1; a nominal test asks whether the value is `cut`.
    """

    arities: NDArray[np.int64]  # (l, d), 0 for numeric
    direction: NDArray[np.float64]  # (l, d): where a move leads, -1 or +1, or a nominal value
    centres: NDArray[np.float64]  # (l, k, d)
    feature: NDArray[np.int64]  # (l, v, n)
    cut: NDArray[np.float64]  # (l, v, n)
    value: NDArray[np.float64]  # (l, v, n)
    weights: NDArray[np.float64]  # (l, v, d)
    effects: NDArray[np.float64]  # (l, v, d, a)
    positive: NDArray[np.bool_]  # (l, v, k)
    mean: NDArray[np.float64]  # (l, v)
    deviation: NDArray[np.float64]  # (l, v)


@kernel
def draw_point(rng, domain, arities, direction, centres, moved, out):
    """A point of the domain, moved by a share from 0 to 1, to `out`."""
    centre = int(rng.random() * len(centres)) if domain == CENTRES else 0
    for j in range(len(arities)):
        if arities[j]:
            value = math.floor(rng.random() * arities[j])
            if domain == CENTRES and rng.random() < FAITHFUL:
                value = centres[centre, j]
            if moved > 0.0 and rng.random() < FAVOURITE * moved:
                value = direction[j]
        elif domain == CUBE:
            value = rng.random()
            if moved > 0.0:
                value = value ** (STRETCH ** (moved * direction[j]))
        elif domain == BELL:
            value = rng.standard_normal() + moved * direction[j]
        else:
            value = centres[centre, j] + WITHIN * (rng.standard_normal() + STEP_AWAY * moved * direction[j])
        out[j] = value


@kernel
def draw_points(rng, domain, arities, direction, centres, moved, out):
    """Points of a label's domain to `out` (points, features)."""
    for i in range(len(out)):
        draw_point(rng, domain, arities, direction, centres, moved, out[i])


@kernel
def tree_scores(feature, cut, value, arities, points, out):
    """The value of the leaf that each point reaches."""
    for i in range(len(points)):
        node = 0
        while feature[node] >= 0:
            j = feature[node]
            left = points[i, j] == cut[node] if arities[j] else points[i, j] < cut[node]
            node = 2 * node + 1 if left else 2 * node + 2
        out[i] = value[node]


@kernel
def plane_scores(weights, effects, arities, points, out):
    """Of each point a weighted sum of numeric values, and an effect for each nominal one."""
    for i in range(len(points)):
        score = 0.0
        for j in range(len(arities)):
            score += effects[j, int(points[i, j])] if arities[j] else weights[j] * points[i, j]
        out[i] = score


@kernel
def centre_scores(centres, positive, arities, points, out):
    """Of each point the distance to the nearest negative centre less that to the nearest positive one."""
    for i in range(len(points)):
        nearest_on, nearest_off = np.inf, np.inf
        for k in range(len(centres)):
            square = 0.0
            for j in range(len(arities)):
                if arities[j]:
                    square += 0.0 if points[i, j] == centres[k, j] else NOMINAL_DISTANCE
                else:
                    square += (points[i, j] - centres[k, j]) ** 2
            if positive[k]:
                nearest_on = min(nearest_on, square)
            else:
                nearest_off = min(nearest_off, square)
        out[i] = math.sqrt(nearest_off) - math.sqrt(nearest_on)


@kernel
def score_points(c, rule, label, shares, points, part, out):
    """Scores of points (points, features) under a label's versions, each scaled and weighted by its share, to `out`.

    `part` (points,) is scratch.
    """
    arities = c.arities[label]
    out[:] = 0.0
    for version in range(len(shares)):
        if shares[version] == 0.0:
            continue
        if rule == TREE:
            feature, cut, value = c.feature[label, version], c.cut[label, version], c.value[label, version]
            tree_scores(feature, cut, value, arities, points, part)
        elif rule == PLANE:
            plane_scores(c.weights[label, version], c.effects[label, version], arities, points, part)
        else:
            centre_scores(c.centres[label], c.positive[label, version], arities, points, part)
        scale = shares[version] / c.deviation[label, version]
        for i in range(len(points)):
            out[i] += scale * (part[i] - c.mean[label, version])


@kernel
def fit_label(rng, c, domain, rule, label, columns, shares, threshold, softness, moved, y, out):
    """Draw a label's features (`columns`) for each row so that its concept gives `y` (rows,); see `fit_rows`."""
    n = len(y)
    arities, direction, centres = c.arities[label], c.direction[label], c.centres[label]
    points, scores, part = np.empty((CHUNK, len(columns))), np.empty(CHUNK), np.empty(CHUNK)
    rows = np.zeros(2, dtype=np.int64)  # the next row that is negative, and that is positive
    for _ in range(TRIES // CHUNK):
        draw_points(rng, domain, arities, direction, centres, moved, points)
        score_points(c, rule, label, shares, points, part, scores)
        for i in range(CHUNK):
            if softness > 0.0:
                chance = max(rng.random(), 1e-300)
                scores[i] += softness * math.log(chance / (1.0 - chance))
            kind = 1 if scores[i] > threshold else 0
            while rows[kind] < n and y[rows[kind]] != (kind == 1):
                rows[kind] += 1
            if rows[kind] < n:
                for j in range(len(columns)):
                    out[rows[kind], columns[j]] = points[i, j]
                rows[kind] += 1
        for kind in range(2):
            while rows[kind] < n and y[rows[kind]] != (kind == 1):
                rows[kind] += 1
        if rows[0] == n and rows[1] == n:
            return True
    return False


@kernel
def fit_rows(rng, c, domain, rule, features, shares, thresholds, softness, moved, y, out):
    """Draw each label's features (labels, features of each) of each row so that its concept gives `y` (rows, labels).

    A concept is positive where the scores of its versions, weighted by `shares` (labels, versions), with logistic noise
    of scale `softness`, are above its threshold. Points are drawn until all rows have one that fits, positive and
    negative ones each to the next row of their kind. Gives the label for which there were too few, or -1.
    """
    for label in range(y.shape[1]):
        columns, part = features[label], shares[label]
        cut, share = thresholds[label], moved[label]
        if not fit_label(rng, c, domain, rule, label, columns, part, cut, softness, share, y[:, label], out):
            return label
    return -1
