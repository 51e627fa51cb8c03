"""Compiled loops of the classifier: labels to clusters, and the watch on losses."""

from __future__ import annotations

from stream_ml.drift._kernels import adwin_keep, adwin_mean, adwin_newest, adwin_update
from stream_ml.jit import lean_kernel
from stream_ml.labels._kernels import cross_pairs

__all__ = [
    "cluster_losses",
    "likely_losses",
    "numbered",
    "route_labels",
    "scatter_logits",
    "watch_clusters",
    "watch_losses",
]

LEARN = 2


@lean_kernel
def route_labels(y_indptr, y_indices, slot_of, position_of, cursor, indptr, indices):
    """Regroup the rows' labels by cluster.

    Cluster `s` gets the CSR rows `indptr[s]` (rows + 1,) into the shared `indices`, each label as its position in the
    cluster, in the order of the row. Labels of no cluster (slot -1) are left out. `cursor` is scratch (clusters,).
    """
    n_slots = len(cursor)
    cursor[:] = 0
    for k in range(y_indptr[0], y_indptr[-1]):
        if slot_of[y_indices[k]] >= 0:
            cursor[slot_of[y_indices[k]]] += 1
    start = 0
    for slot in range(n_slots):
        size = cursor[slot]
        cursor[slot] = start
        indptr[slot, 0] = start
        start += size
    for row in range(len(y_indptr) - 1):
        for k in range(y_indptr[row], y_indptr[row + 1]):
            label = y_indices[k]
            slot = slot_of[label]
            if slot >= 0:
                indices[cursor[slot]] = position_of[label]
                cursor[slot] += 1
        for slot in range(n_slots):
            indptr[slot, row + 1] = cursor[slot]


@lean_kernel
def scatter_logits(part, labels, out):
    """Write a cluster's log-odds (rows, slots, its labels) to their places in `out` (rows, slots, all labels)."""
    for row in range(part.shape[0]):
        for e in range(part.shape[1]):
            for i in range(len(labels)):
                out[row, e, labels[i]] = part[row, e, i]


@lean_kernel
def cluster_losses(probabilities, y_indptr, y_indices, mode, unknown, slot_of, n_labels, n_slots, shared, losses):
    """Soft Jaccard loss of each row in each cluster, and over all labels in the last column.

    `sum |p - y| / (1 + sum max(p, y))`: in [0, 1), smooth in the probabilities and so of less variance than the loss
    of a decision; the 1 keeps rows without labels near 0. Labels that are `unknown` (rows, L; no rows: all are known)
    are left out. Rows that are not learned get -1, and so do clusters of which no label is known. `shared` is scratch
    (slots + 1,).
    """
    for row in range(len(mode)):
        if not mode[row] & LEARN:
            for slot in range(n_slots + 1):
                losses[row, slot] = -1.0
            continue
        for slot in range(n_slots + 1):
            losses[row, slot] = 0.0
        if len(unknown):
            for slot in range(n_slots + 1):
                losses[row, slot] = -1.0
            for label in range(n_labels):
                if not unknown[row, label]:
                    losses[row, n_slots] = 0.0
                    if slot_of[label] >= 0:
                        losses[row, slot_of[label]] = 0.0
        # as if no label were present: |p - 0| = max(p, 0) = p
        for label in range(n_labels):
            if len(unknown) and unknown[row, label]:
                continue
            losses[row, n_slots] += probabilities[row, label]
            if slot_of[label] >= 0:
                losses[row, slot_of[label]] += probabilities[row, label]
        for slot in range(n_slots + 1):
            shared[slot] = losses[row, slot]
        for k in range(y_indptr[row], y_indptr[row + 1]):
            label = y_indices[k]
            p = float(probabilities[row, label])
            slot = slot_of[label]
            losses[row, n_slots] += 1.0 - 2.0 * p
            shared[n_slots] += 1.0 - p
            if slot >= 0:
                losses[row, slot] += 1.0 - 2.0 * p
                shared[slot] += 1.0 - p
        for slot in range(n_slots + 1):
            if shared[slot] >= 0.0:
                losses[row, slot] = max(0.0, losses[row, slot]) / (1.0 + shared[slot])


@lean_kernel
def watch_losses(drift_bank, warning_bank, detectors, losses, drift_delta, warning_delta, clock, found, statistics):
    """Feed each column of `losses` (rows, columns; negative = skip) to its detector in both banks.

    A detection of a rise is written to `found` (n, 3) as (row, column, 1 for a warning or 2 for a drift) and to
    `statistics` (n, 3) as (mean, number) of the newest losses, which differ from those before, and by how much that is
    above the mean of the whole window before; returns how many there are. Falls only shorten the detectors'
    windows: a rise soon after is measured against what was left.
    """
    n = 0
    for row in range(losses.shape[0]):
        for column in range(losses.shape[1]):
            loss = losses[row, column]
            if loss < 0.0:
                continue
            slot = detectors[column]
            for kind in range(1, 3):
                bank = warning_bank if kind == 1 else drift_bank
                delta = warning_delta if kind == 1 else drift_delta
                before = adwin_mean(bank, slot)
                change = adwin_update(bank, slot, loss, delta, clock, 5, 5, 10)
                if change < 0:
                    adwin_keep(bank, slot)
                elif change > 0:
                    found[n, 0] = row
                    found[n, 1] = column
                    found[n, 2] = kind
                    statistics[n, 1], statistics[n, 0] = adwin_newest(bank, slot, 5)
                    statistics[n, 2] = statistics[n, 0] - before
                    n += 1
    return n


@lean_kernel
def watch_clusters(
    probabilities, y_indptr, y_indices, mode, unknown, slot_of, cluster_of, most, shared, drift_bank, warning_bank,
    detectors, drift_delta, warning_delta, clock, losses, found, statistics,
):  # fmt: skip
    """`watch_losses` of the losses of all clusters, of the whole, and of the dependence between labels, in this order.

    The last is that of `cross_pairs` under the partition `cluster_of`, of the first `most` labels of a row.
    """
    n_slots = losses.shape[1] - 2
    cluster_losses(
        probabilities, y_indptr, y_indices, mode, unknown, slot_of, len(slot_of), n_slots, shared, losses
    )  # fmt: skip
    cross_pairs(y_indptr, y_indices, mode, 0, len(mode), most, cluster_of, losses[:, n_slots + 1])
    return watch_losses(
        drift_bank, warning_bank, detectors, losses, drift_delta, warning_delta, clock, found, statistics
    )


@lean_kernel
def likely_losses(n_top, top, chances, y_indptr, y_indices, mode, in_part, losses):
    """Soft Jaccard loss of each row over its likely labels and those that it has, to the first column of `losses`.

    Rows that are not learned, and those `in_part` (rows,) whose labels are known in part, get -1.
    """
    for row in range(len(mode)):
        losses[row, 0] = -1.0
        if not mode[row] & LEARN or in_part[row]:
            continue
        y = y_indices[y_indptr[row] : y_indptr[row + 1]]
        wrong, either = float(len(y)), float(len(y))
        for i in range(n_top[row]):
            p, hit = float(chances[row, i]), False
            for k in range(len(y)):
                hit |= y[k] == top[row, i]
            wrong += -p if hit else p
            either += 0.0 if hit else p
        losses[row, 0] = wrong / (1.0 + either)


@lean_kernel
def _sort(values, lo, hi):
    """Sort `values[lo:hi]`: by insertion, and where they are many by larger steps first (Shell, 1959)."""
    gap = 1
    while gap < (hi - lo) // 9:
        gap = 3 * gap + 1
    while gap:
        for k in range(lo + gap, hi):
            value, place = values[k], k
            while place - gap >= lo and values[place - gap] > value:
                values[place] = values[place - gap]
                place -= gap
            values[place] = value
        gap //= 3


@lean_kernel
def numbered(numbers, indptr, indices, out):
    """What `numbers` says of the labels of each row, sorted within a row, to `out`; returns how many are below 0."""
    unknown = 0
    for row in range(len(indptr) - 1):
        for k in range(indptr[row], indptr[row + 1]):
            out[k] = numbers[indices[k]]
            unknown += out[k] < 0
        _sort(out, indptr[row], indptr[row + 1])
    return unknown
