"""Plain-Python twin of `stream_ml.evaluation._kernels`."""

from __future__ import annotations

import math


def score_rows(truths, predictions, n_labels, fading=1.0):
    """Tallies over pairs of label sets, a row counting `fading ** age`: (counts per label, sums)."""
    counts = [[0.0] * n_labels for _ in range(3)]
    sums = [0.0] * 6
    for age, (y, z) in enumerate(zip(reversed(truths), reversed(predictions), strict=True)):
        w = fading**age
        for m in range(n_labels):
            counts[0][m] += w * (m in y and m in z)
            counts[1][m] += w * (m not in y and m in z)
            counts[2][m] += w * (m in y and m not in z)
        both, either = len(y & z), len(y | z)
        row = [1, y == z, either - both, 1, 1, len(y)]
        if either:
            row[3], row[4] = 2 * both / (len(y) + len(z)), both / either
        sums = [s + w * r for s, r in zip(sums, row, strict=True)]
    return counts, sums


def top_hits(probabilities, truths, k):
    """Per rank below k the number of rows whose label of that rank is positive; lower labels first among equals."""
    hits = [0] * k
    for p, y in zip(probabilities, truths, strict=True):
        ranked = sorted(range(len(p)), key=lambda label: (-p[label], label))
        for rank, label in enumerate(ranked[:k]):
            hits[rank] += label in y
    return hits


def calibration_rows(probabilities, truths, least, fading, n_bins):
    """Pairs, summed probability and positives per bin; pairs, log-loss and the fading prior's log-loss."""
    bins, losses, seen = [[0.0] * 3 for _ in range(n_bins)], [0.0] * 3, []
    for p, y in zip(probabilities, truths, strict=True):
        for label, value in enumerate(p):
            if value > least:
                cell = bins[min(n_bins - 1, int(value * n_bins))]
                cell[0] += 1
                cell[1] += value
                cell[2] += label in y
            rows = sum(fading**age for age in range(len(seen)))
            positives = sum(fading**age * (label in z) for age, z in enumerate(reversed(seen)))
            prior = (positives + 0.5) / (rows + 1)
            losses[0] += 1
            losses[1] -= math.log(min(1 - 1e-6, max(1e-6, value if label in y else 1 - value)))
            losses[2] -= math.log(prior if label in y else 1 - prior)
        seen.append(y)
    return bins, losses
