"""Compiled scoring of label sets against label sets, at a cost by their sizes."""

from __future__ import annotations

from stream_ml.jit import kernel

__all__ = ["score_rows"]


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
