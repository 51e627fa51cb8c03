"""Compiled scoring of label sets against label sets, at a cost by their sizes, of rankings and of probabilities."""

from __future__ import annotations

import math

import numpy as np

from stream_ml.jit import kernel, lean_kernel
from stream_ml.streams.batch import LEARN, PREDICT

__all__ = ["calibration_rows", "score_rows", "top_hits"]

SURE = 1e-6
"""Probabilities are kept this far from 0 and 1 in the log-loss."""


@lean_kernel
def score_rows(y_indptr, y_indices, z_indptr, z_indices, partial, chosen, growth, weight, counts, sums):
    """Add the rows named in `chosen` to the tallies.

    Truth `y` and prediction `z` are CSR with sorted rows. Of rows that are `partial` (a `Partial`) only the labels that
    are known count. `counts` (3, labels) holds true positives, false positives, false negatives; `sums` (8,) rows,
    exact matches, label errors, example F1, example Jaccard, label cardinality, partial rows, and the labels known of
    these. Each row counts `weight[0]`, which grows by the factor `growth` from row to row: fading without touching old
    sums.
    """
    w = weight[0]
    for i in range(len(chosen)):
        row = chosen[i]
        a, a_end = y_indptr[row], y_indptr[row + 1]
        b, b_end = z_indptr[row], z_indptr[row + 1]
        n_true, n_chosen, hits = a_end - a, b_end - b, 0
        in_part = partial.rows[row]
        c, c_end = partial.indptr[row], partial.indptr[row + 1]
        if in_part:
            sums[6] += w
            sums[7] += w * (n_true + c_end - c)
        while a < a_end or b < b_end:
            if b == b_end or (a < a_end and y_indices[a] < z_indices[b]):
                counts[2, y_indices[a]] += w
                a += 1
            elif a == a_end or z_indices[b] < y_indices[a]:
                while c < c_end and partial.indices[c] < z_indices[b]:
                    c += 1
                if in_part and not (c < c_end and partial.indices[c] == z_indices[b]):
                    n_chosen -= 1
                else:
                    counts[1, z_indices[b]] += w
                b += 1
            else:
                counts[0, y_indices[a]] += w
                hits += 1
                a += 1
                b += 1
        union = n_true + n_chosen - hits
        sums[0] += w
        if union == hits:
            sums[1] += w
        sums[2] += w * (union - hits)
        sums[3] += w * (2.0 * hits / (n_true + n_chosen) if union > 0 else 1.0)
        sums[4] += w * (hits / union if union > 0 else 1.0)
        sums[5] += w * n_true
        w *= growth
        if w > 1e100:
            for label in range(counts.shape[1]):
                for kind in range(len(counts)):
                    counts[kind, label] /= w
            for j in range(len(sums)):
                sums[j] /= w
            w = 1.0
    weight[0] = w


@kernel
def top_hits(probabilities, y_indptr, y_indices, unknown, chosen, hits):
    """Count at which ranks the rows named in `chosen` have a positive label.

    `hits` (k,) gains one at rank r for every row whose label of the r-th highest probability is positive; of equal
    probabilities the lower label ranks first. Labels that are `unknown` (rows, labels; no rows: all are known) have no
    rank. One pass over the labels keeps the k best in order.
    """
    k = min(len(hits), probabilities.shape[1])
    best = np.empty(k + 1, dtype=probabilities.dtype)
    labels = np.empty(k + 1, dtype=np.int64)
    for i in range(len(chosen)):
        row = chosen[i]
        filled = 0
        for label in range(probabilities.shape[1]):
            p = probabilities[row, label]
            if (filled == k and not p > best[k - 1]) or (len(unknown) and unknown[row, label]):
                continue
            at = filled
            while at > 0 and p > best[at - 1]:
                best[at] = best[at - 1]
                labels[at] = labels[at - 1]
                at -= 1
            best[at] = p
            labels[at] = label
            filled = min(filled + 1, k)
        for rank in range(filled):
            for j in range(y_indptr[row], y_indptr[row + 1]):
                if y_indices[j] == labels[rank]:
                    hits[rank] += 1
                    break


@kernel
def calibration_rows(
    probabilities, y_indptr, y_indices, unknown, mode, labelled, known, least, fading, bins, losses, prior
):
    """Add rows, of their labels the first `known` (rows,), to reliability table and log-losses.

    Added are rows with `PREDICT` whose labels are known (`labelled`); the prior learns rows with `LEARN`, each after
    its own loss is added. So labels that come late are late for the prior, too. Like a model it gives 0 to labels
    beyond the highest that it has learned, and pays no more for that. Labels that are `unknown` (rows, labels; no rows:
    all are known) are left out.

    `bins` (B, 3): pairs of row and label, their probabilities, their positives, for pairs of probability above `least`,
    in bins of equal width over [0, 1]. `losses` (3,): pairs, log-loss of the probabilities, log-loss of the prior.
    `prior` (2, 1 + labels): fading number of rows learned, and of positives; below the latter, of rows of which the
    label was not known.
    """
    n_bins = len(bins)
    positive = np.zeros(probabilities.shape[1], dtype=np.bool_)
    met = prior.shape[1] - 1  # labels up to the highest learned
    while met and prior[0, met] == 0.0:
        met -= 1
    for row in range(len(mode)):
        scored, learned = labelled[row] and (mode[row] & PREDICT) != 0, (mode[row] & LEARN) != 0
        for j in range(y_indptr[row], y_indptr[row + 1]):
            positive[y_indices[j]] = True
        for label in range(known[row]):
            hidden = len(unknown) > 0 and unknown[row, label]
            if scored and not hidden:
                p, q = float(probabilities[row, label]), 0.0
                if label < met:
                    q = (prior[0, 1 + label] + 0.5) / (prior[0, 0] - prior[1, 1 + label] + 1.0)
                if p > least:
                    place = min(n_bins - 1, int(p * n_bins))
                    bins[place, 0] += 1.0
                    bins[place, 1] += p
                    bins[place, 2] += 1.0 if positive[label] else 0.0
                losses[0] += 1.0
                losses[1] -= log_of_right(p, positive[label])
                losses[2] -= log_of_right(q, positive[label])
            if learned:
                on = positive[label] and not hidden
                prior[0, 1 + label] = prior[0, 1 + label] * fading + (1.0 if on else 0.0)
                prior[1, 1 + label] = prior[1, 1 + label] * fading + (1.0 if hidden else 0.0)
        if learned:
            prior[0, 0] = prior[0, 0] * fading + 1.0
        for j in range(y_indptr[row], y_indptr[row + 1]):
            positive[y_indices[j]] = False
            if learned:
                met = max(met, y_indices[j] + 1)


@lean_kernel
def log_of_right(p, positive):
    """Log of the probability that was given to what is so, kept from 0 and 1."""
    return math.log(min(1.0 - SURE, max(SURE, p if positive else 1.0 - p)))
