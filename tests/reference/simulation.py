"""Plain twins of the kernels that draw simulated rows; they draw from the same generator in the same order."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from stream_ml.simulation import _kernels as k
from stream_ml.simulation import _topic_kernels as t


def draw_point(rng, domain, arities, direction, centres, moved):
    centre = centres[int(rng.random() * len(centres))] if domain == k.CENTRES else None
    point = []
    for j, arity in enumerate(arities):
        if arity:
            value = float(int(rng.random() * arity))
            if centre is not None and rng.random() < k.FAITHFUL:
                value = centre[j]
            if moved and rng.random() < k.FAVOURITE * moved:
                value = direction[j]
        elif domain == k.CUBE:
            value = rng.random()
            if moved:
                value **= k.STRETCH ** (moved * direction[j])
        elif domain == k.BELL:
            value = rng.standard_normal() + moved * direction[j]
        else:
            value = centre[j] + k.WITHIN * (rng.standard_normal() + k.STEP_AWAY * moved * direction[j])
        point.append(value)
    return point


def draw_points(rng, domain, arities, direction, centres, moved, n):
    return [draw_point(rng, domain, arities, direction, centres, moved) for _ in range(n)]


def tree_scores(feature, cut, value, arities, points):
    def leaf(node, x):
        j = feature[node]
        if j < 0:
            return value[node]
        goes_left = x[j] == cut[node] if arities[j] else x[j] < cut[node]
        return leaf(2 * node + (1 if goes_left else 2), x)

    return [leaf(0, x) for x in points]


def plane_scores(weights, effects, arities, points):
    return [sum(effects[j][int(v)] if arities[j] else weights[j] * v for j, v in enumerate(x)) for x in points]


def centre_scores(centres, positive, arities, points):
    def distance(x, centre):
        parts = [
            (k.NOMINAL_DISTANCE * (v != c) if arity else (v - c) ** 2)
            for v, c, arity in zip(x, centre, arities, strict=True)
        ]
        return math.sqrt(sum(parts))

    def nearest(x, kind):
        return min((distance(x, c) for c, p in zip(centres, positive, strict=True) if p == kind), default=math.inf)

    return [nearest(x, False) - nearest(x, True) for x in points]


def score_points(c, rule, label, shares, points):
    total = [0.0] * len(points)
    for version, share in enumerate(shares):
        if rule == k.TREE:
            tree = c.feature[label, version], c.cut[label, version], c.value[label, version]
            scores = tree_scores(*tree, c.arities[label], points)
        elif rule == k.PLANE:
            scores = plane_scores(c.weights[label, version], c.effects[label, version], c.arities[label], points)
        else:
            scores = centre_scores(c.centres[label], c.positive[label, version], c.arities[label], points)
        mean, deviation = c.mean[label, version], c.deviation[label, version]
        total = [a + share * (b - mean) / deviation for a, b in zip(total, scores, strict=True)]
    return total


def fit_label(rng, c, domain, rule, label, shares, threshold, softness, moved, y):
    """Points for the rows, or None."""
    waiting = {kind: [row for row, positive in enumerate(y) if positive == kind] for kind in (False, True)}
    found = {}
    for _ in range(k.TRIES // k.CHUNK):
        domain_of = c.arities[label], c.direction[label], c.centres[label]
        points = draw_points(rng, domain, *domain_of, moved, k.CHUNK)
        for point, score in zip(points, score_points(c, rule, label, shares, points), strict=True):
            if softness:
                chance = max(rng.random(), 1e-300)
                score += softness * math.log(chance / (1 - chance))
            rows = waiting[bool(score > threshold)]
            if rows:
                found[rows.pop(0)] = point
        if not waiting[False] and not waiting[True]:
            return [found[row] for row in range(len(y))]
    return None


def fit_rows(rng, c, domain, rule, features, shares, thresholds, softness, moved, y, n_features):
    out = np.zeros((len(y), n_features))
    for label in range(y.shape[1]):
        of_label = shares[label], thresholds[label], softness, moved[label], y[:, label].tolist()
        points = fit_label(rng, c, domain, rule, label, *of_label)
        if points is None:
            return label, out
        out[:, features[label]] = points
    return -1, out


def bisected(rising, low, high, value):
    return min(bisect_right(rising, value, low, high), high - 1)


def draw_topic_sets(rng, sizes, cumulative, starts, group_of, together):
    cumulative = list(cumulative)
    rows = []
    for size in sizes:
        row = []
        for place in range(size):
            near = place > 0 and rng.random() < together
            for attempt in range(t.TRIES):
                low, high = 0, len(cumulative)
                if near and attempt < t.TRIES / 2:
                    group = group_of[row[0]]
                    low, high = starts[group], starts[group + 1]
                below = cumulative[low - 1] if low else 0.0
                value = below + rng.random() * (cumulative[high - 1] - below)
                label = bisected(cumulative, low, high, value)
                if label not in row:
                    row.append(label)
                    break
        rows.append(row)
    return rows


def draw_documents(rng, lengths, rows, group_of, words, affected, shares, topic_words, background, ranked, own, shared):
    """Per row its words and how often each fell."""
    documents = []
    for length, labels in zip(lengths, rows, strict=True):
        counts = {}
        for _ in range(length):
            kind = rng.random()
            if kind < own + shared:
                label = labels[int(rng.random() * len(labels))]
                slot = int(rng.random() * words.shape[2])
                version = 0
                if kind < own:
                    for later in range(1, len(shares)):
                        if shares[later] > 0 and affected[later][label] and rng.random() < shares[later]:
                            version = later
                word = words[version, label, slot] if kind < own else topic_words[group_of[label], slot]
            else:
                word = ranked[bisected(list(background), 0, len(ranked), rng.random() * background[-1])]
            counts[int(word)] = counts.get(int(word), 0) + 1
        documents.append(dict(sorted(counts.items())))
    return documents
