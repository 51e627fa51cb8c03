"""Compiled scoring of label sets against label sets, at a cost by their sizes, and of rankings."""

from __future__ import annotations

import numpy as np

from stream_ml.jit import kernel

__all__ = ["score_rows", "top_hits"]


@kernel
def score_rows(y_indptr, y_indices, z_indptr, z_indices, chosen, growth, weight, counts, sums):
    """Add the rows named in `chosen` to the tallies.

    Truth `y` and prediction `z` are CSR with sorted rows. `counts` (3, labels) holds true positives, false positives,
    false negatives; `sums` (6,) rows, exact matches, label errors, example F1, example Jaccard, label cardinality. Each
    row counts `weight[0]`, which grows by the factor `growth` from row to row: fading without touching old sums.
    """
    w = weight[0]
    for i in range(len(chosen)):
        row = chosen[i]
        a, a_end = y_indptr[row], y_indptr[row + 1]
        b, b_end = z_indptr[row], z_indptr[row + 1]
        n_true, n_chosen, hits = a_end - a, b_end - b, 0
        while a < a_end or b < b_end:
            if b == b_end or (a < a_end and y_indices[a] < z_indices[b]):
                counts[2, y_indices[a]] += w
                a += 1
            elif a == a_end or z_indices[b] < y_indices[a]:
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
            counts /= w
            sums /= w
            w = 1.0
    weight[0] = w


@kernel
def top_hits(probabilities, y_indptr, y_indices, chosen, hits):
    """Count at which ranks the rows named in `chosen` have a positive label.

    `hits` (k,) gains one at rank r for every row whose label of the r-th highest probability is positive; of equal
    probabilities the lower label ranks first. One pass over the labels keeps the k best in order.
    """
    k = min(len(hits), probabilities.shape[1])
    best = np.empty(k + 1, dtype=probabilities.dtype)
    labels = np.empty(k + 1, dtype=np.int64)
    for i in range(len(chosen)):
        row = chosen[i]
        filled = 0
        for label in range(probabilities.shape[1]):
            p = probabilities[row, label]
            if filled == k and not p > best[k - 1]:
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
