"""Binary concepts at random, one or more versions for each label: trees, hyperplanes, centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ConfigError
from stream_ml.simulation._kernels import BELL, CENTRES, CUBE, PLANE, TREE, Concepts, draw_points, score_points

__all__ = ["BASES", "random_concepts", "sampled_scores", "thresholds"]

BASES = {"tree": (CUBE, TREE), "hyperplane": (CUBE, PLANE), "linear": (BELL, PLANE), "rbf": (CENTRES, CENTRES)}
"""Domain and rule of each kind."""
N_CENTRES = 8
FIRST_LEAF, LEAF_CHANCE = 2, 0.15
"""Depth from which a random tree may have leaves, and the chance of one (as in MOA's generator of random trees)."""
SAMPLE = 4096
"""Points from which scores are brought to scale and thresholds are set."""
ATTEMPTS = 50
DIFFERENT = 1.5
"""A concept differs from the one before it on this many times the label's variance; two independent ones: 2."""


def random_concepts(
    base: str, arities: NDArray[np.int64], frequency: NDArray[np.float64], *, versions: int, depth: int, seed: list[int]
) -> Concepts:
    """`versions` concepts for each label over features of the given arities (labels, features of each).

    Version v of a label is the same however many versions there are.
    """
    n_labels, d = arities.shape
    _, rule = BASES[base]
    n_nodes = 2 ** (depth + 1) - 1 if rule == TREE else 0
    n_centres = N_CENTRES if rule == CENTRES else 0
    n_values = max(1, int(arities.max(initial=1)))
    shape = (n_labels, versions)
    concepts = Concepts(
        arities=arities,
        direction=np.zeros((n_labels, d)),
        centres=np.zeros((n_labels, n_centres, d)),
        feature=np.full((*shape, n_nodes), -1, dtype=np.int64),
        cut=np.zeros((*shape, n_nodes)),
        value=np.zeros((*shape, n_nodes)),
        weights=np.zeros((*shape, d)),
        effects=np.zeros((*shape, d, n_values)),
        positive=np.zeros((*shape, n_centres), dtype=np.bool_),
        mean=np.zeros(shape),
        deviation=np.ones(shape),
    )
    for label in range(n_labels):
        rng = np.random.default_rng([*seed, label])
        nominal = arities[label] > 0
        favourite = rng.integers(0, np.maximum(arities[label], 1))
        concepts.direction[label] = np.where(nominal, favourite, rng.choice([-1.0, 1.0], d))
        centres = rng.random((n_centres, d))
        centres[:, nominal] = np.floor(centres[:, nominal] * arities[label][nominal])
        concepts.centres[label] = centres
        _versions(concepts, base, label, float(frequency[label]), depth, [*seed, label], rng)
    return concepts


def _versions(
    c: Concepts, base: str, label: int, frequency: float, depth: int, seed: list[int], rng: np.random.Generator
) -> None:
    """Fill in all versions of a label's concept: each tells points apart, and otherwise than the one before it."""
    domain, rule = BASES[base]
    points, scratch, scores = np.empty((SAMPLE, c.arities.shape[1])), np.empty(SAMPLE), np.empty((1, SAMPLE))
    draw_points(rng, domain, c.arities[label], c.direction[label], c.centres[label], 0.0, points)
    before: NDArray[np.bool_] | None = None
    for version, only in enumerate(np.eye(c.mean.shape[1])):
        wanted = DIFFERENT * frequency * (1 - frequency)
        best, best_attempt = 0.0, 0
        for attempt in [*range(ATTEMPTS), None]:
            # where none is different enough, the most different one
            number = best_attempt if attempt is None else attempt
            _draw(c, rule, label, version, frequency, depth, np.random.default_rng([*seed, version, number]))
            score_points(c, rule, label, only, points, scratch, scores[0])
            on = scores[0] > thresholds(scores, np.array([frequency]))[0]
            differs = float(np.mean(on if before is None else on != before)) if np.ptp(scores) > 1e-9 else 0.0
            if differs > best:
                best, best_attempt = differs, number
            if differs >= wanted or (differs and before is None):
                break
        if not best:
            raise ConfigError(f"generator: no {base} of label {label}'s features tells rows apart in another way")
        c.mean[label, version], c.deviation[label, version] = scores.mean(), scores.std()
        before = on


def _draw(
    c: Concepts, rule: int, label: int, version: int, frequency: float, depth: int, rng: np.random.Generator
) -> None:
    """A version of a label's concept at random."""
    arities = c.arities[label]
    if rule == TREE:
        _grow(c.feature[label, version], c.cut[label, version], arities, depth, rng)
        c.value[label, version] = rng.random(c.value.shape[2])
    elif rule == PLANE:
        weights = np.where(arities > 0, 0.0, rng.normal(size=len(arities)))
        c.weights[label, version] = weights / (np.linalg.norm(weights) or 1.0)
        c.effects[label, version] = np.where(arities[:, None] > 0, 0.3 * rng.normal(size=c.effects.shape[2:]), 0.0)
    else:
        n_positive = min(max(1, round(frequency * N_CENTRES)), N_CENTRES - 1)
        c.positive[label, version] = rng.permutation(N_CENTRES) < n_positive


def _grow(
    feature: NDArray[np.int64],
    cut: NDArray[np.float64],
    arities: NDArray[np.int64],
    depth: int,
    rng: np.random.Generator,
) -> None:
    """Random tests of a tree over the unit cube (Domingos and Hulten, KDD 2000), its leaves told by feature -1."""
    feature[:] = -1
    ranges = {0: [(0.0, 1.0)] * len(arities)}
    for node in range(2**depth - 1):
        level = (node + 1).bit_length() - 1
        if node not in ranges or (level >= FIRST_LEAF and rng.random() < LEAF_CHANCE):
            continue
        j = int(rng.integers(len(arities)))
        left, right = list(ranges[node]), list(ranges[node])
        feature[node] = j
        if arities[j]:
            cut[node] = rng.integers(arities[j])
        else:
            low, high = ranges[node][j]
            cut[node] = middle = low + (high - low) * rng.uniform(0.3, 0.7)  # no slivers that no learner could see
            left[j], right[j] = (low, middle), (middle, high)
        ranges[2 * node + 1], ranges[2 * node + 2] = left, right


def sampled_scores(c: Concepts, base: str, seed: list[int]) -> NDArray[np.float64]:
    """Scores of every version on points of its label's domain: (labels, versions, SAMPLE)."""
    domain, rule = BASES[base]
    n_labels, versions = c.mean.shape
    out = np.empty((n_labels, versions, SAMPLE))
    points, scratch = np.empty((SAMPLE, c.arities.shape[1])), np.empty(SAMPLE)
    for label in range(n_labels):
        rng = np.random.default_rng([*seed, label])
        draw_points(rng, domain, c.arities[label], c.direction[label], c.centres[label], 0.0, points)
        for version, only in enumerate(np.eye(versions)):
            score_points(c, rule, label, only, points, scratch, out[label, version])
    return out


def thresholds(scores: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Per row of `scores` (rules, sample) the gap between two scores above which the share nearest to `frequency` is.

    >>> thresholds(np.array([[0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0]]), np.array([0.5, 0.5])).tolist()
    [0.5, 1.5]
    """
    ordered = np.sort(scores, axis=1)
    n = ordered.shape[1]
    gaps = np.where(np.diff(ordered, axis=1) > 0, 0.0, np.inf)
    off = np.abs(np.arange(1, n) - (1 - frequency[:, None]) * n) + gaps
    best = np.argmin(off, axis=1)
    rows = np.arange(len(ordered))
    return (ordered[rows, best] + ordered[rows, best + 1]) / 2
