"""Plain-Python twin of `stream_ml.evaluation._kernels`."""

from __future__ import annotations

import math


def score_rows(truths, predictions, unknown, n_labels, fading=1.0):
    """Tallies over pairs of label sets, a row counting `fading ** age`: (counts per label, sums)."""
    counts = [[0.0] * n_labels for _ in range(3)]
    sums = [0.0] * 8
    for age, (y, z, hidden) in enumerate(list(zip(truths, predictions, unknown, strict=True))[::-1]):
        w = fading**age
        z = z - hidden
        for m in range(n_labels):
            counts[0][m] += w * (m in y and m in z)
            counts[1][m] += w * (m not in y and m in z)
            counts[2][m] += w * (m in y and m not in z)
        both, either = len(y & z), len(y | z)
        row = [1, y == z, either - both, 1, 1, len(y), bool(hidden), (n_labels - len(hidden)) * bool(hidden)]
        if either:
            row[3], row[4] = 2 * both / (len(y) + len(z)), both / either
        sums = [s + w * r for s, r in zip(sums, row, strict=True)]
    return counts, sums


def top_hits(probabilities, truths, unknown, k):
    """Per rank below k the number of rows whose label of that rank is positive; lower labels first among equals."""
    hits = [0] * k
    for p, y, hidden in zip(probabilities, truths, unknown, strict=True):
        ranked = sorted(set(range(len(p))) - hidden, key=lambda label: (-p[label], label))
        for rank, label in enumerate(ranked[:k]):
            hits[rank] += label in y
    return hits


def log_of_right(p, positive):
    """Log of the probability that was given to what is so, 1e-6 or more away from 0 and 1."""
    return math.log(min(1 - 1e-6, max(1e-6, p if positive else 1 - p)))


def calibration_rows(probabilities, truths, unknown, modes, least, fading, n_bins):
    """Pairs, summed probability and positives per bin; pairs, log-loss and the fading prior's log-loss.

    `modes`: whether each row is predicted, and whether it is learned.
    """
    bins, losses, seen = [[0.0] * 3 for _ in range(n_bins)], [0.0] * 3, []
    for p, y, hidden, (predicted, learned) in zip(probabilities, truths, unknown, modes, strict=True):
        met = max((label for z, _ in seen for label in z), default=-1)
        for label, value in enumerate(p):
            if label in hidden or not predicted:
                continue
            if value > least:
                cell = bins[min(n_bins - 1, int(value * n_bins))]
                cell[0] += 1
                cell[1] += value
                cell[2] += label in y
            known = [(age, label in z) for age, (z, gone) in enumerate(reversed(seen)) if label not in gone]
            prior = (sum(fading**age * on for age, on in known) + 0.5) / (sum(fading**age for age, _ in known) + 1)
            losses[0] += 1
            for place, said in ((1, value), (2, prior if label <= met else 0.0)):
                losses[place] -= log_of_right(said, label in y)
        if learned:
            seen.append((y, hidden))
    return bins, losses
