"""Compiled tables of label sets: bounded, fading, found by hash.

A table group holds several tables of the same capacity. Counts fade without being touched: a new row weighs more and
more instead (`unit`), so a count divided by the unit of now is the faded one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.jit import kernel, lean_kernel

__all__ = ["MARKS", "SetTables", "count_set", "find_set", "mark_of", "project_sets", "scale_sets", "set_hash"]


class SetTables(NamedTuple):
    """Label sets with counts, in `tables` hash tables with chains; sets of more labels than `width` are not kept."""

    hashes: NDArray[np.uint64]  # (tables, capacity)
    counts: NDArray[np.float64]  # (tables, capacity), in units of the first row
    log_counts: NDArray[np.float64]  # (tables, capacity)
    sizes: NDArray[np.int32]  # (tables, capacity)
    labels: NDArray[np.int32]  # (tables, capacity, width)
    heads: NDArray[np.int32]  # (tables, buckets: a power of two), -1 where empty
    chain: NDArray[np.int32]  # (tables, capacity), -1 at the end
    used: NDArray[np.int64]  # (tables,)
    marks: NDArray[np.uint64]  # (tables, capacity) marks of the labels (see `mark_of`); follow from them


MARKS = 64
"""Up to so many labels have marks of their own."""


@lean_kernel
def set_hash(codes, labels):
    """Hash of a set of labels: the exclusive or of their codes, 0 of the empty set."""
    value = np.uint64(0)
    for k in range(len(labels)):
        value ^= codes[labels[k]]
    return value


@lean_kernel
def mark_of(label):
    """One bit of 64. A set has no labels but some given ones only if it has no marks but theirs."""
    return np.uint64(1) << np.uint64(label & 63)


@lean_kernel
def find_set(tables, table, value):
    """Place of the set with this hash, -1 when it is not there."""
    place = tables.heads[table, value & np.uint64(tables.heads.shape[1] - 1)]
    while place >= 0 and tables.hashes[table, place] != value:
        place = tables.chain[table, place]
    return place


@lean_kernel
def _unlink(tables, table, place):
    """Take a set out of its chain."""
    bucket = tables.hashes[table, place] & np.uint64(tables.heads.shape[1] - 1)
    at = tables.heads[table, bucket]
    if at == place:
        tables.heads[table, bucket] = tables.chain[table, place]
        return
    while tables.chain[table, at] != place:
        at = tables.chain[table, at]
    tables.chain[table, at] = tables.chain[table, place]


@lean_kernel
def _rarest(counts):
    """The first place of the smallest count; numba's `argmin` would have it load SciPy in every process."""
    rarest = 0
    for place in range(1, len(counts)):
        if counts[place] < counts[rarest]:
            rarest = place
    return rarest


@lean_kernel
def count_set(tables, table, value, labels, weight):
    """Add `weight` to the count of a set; a new one takes the place of the rarest when the table is full."""
    if len(labels) > tables.labels.shape[2]:
        return
    place = find_set(tables, table, value)
    if place < 0:
        place = tables.used[table]
        if place < tables.hashes.shape[1]:
            tables.used[table] += 1
        else:
            place = _rarest(tables.counts[table])
            _unlink(tables, table, place)
        bucket = value & np.uint64(tables.heads.shape[1] - 1)
        tables.hashes[table, place] = value
        tables.counts[table, place] = 0.0
        tables.sizes[table, place] = len(labels)
        tables.marks[table, place] = 0
        for k in range(len(labels)):
            tables.labels[table, place, k] = labels[k]
            tables.marks[table, place] |= mark_of(labels[k])
        tables.chain[table, place] = tables.heads[table, bucket]
        tables.heads[table, bucket] = place
    tables.counts[table, place] += weight
    tables.log_counts[table, place] = math.log(tables.counts[table, place])


@lean_kernel
def scale_sets(tables, factor):
    """Multiply all counts."""
    shift = math.log(factor)
    for table in range(len(tables.used)):
        for place in range(tables.counts.shape[1]):
            tables.counts[table, place] *= factor
            tables.log_counts[table, place] += shift


@kernel
def project_sets(whole, codes, slot_of, tables, mass):
    """Count the parts of the sets of `whole` in a table per cluster; `mass` (clusters,) gains their counts."""
    part = np.empty(whole.labels.shape[2], dtype=np.int32)
    done = np.empty(whole.labels.shape[2], dtype=np.bool_)
    for place in range(whole.used[0]):
        size = whole.sizes[0, place]
        labels = whole.labels[0, place, :size]
        done[:size] = False
        for i in range(size):
            cluster = slot_of[labels[i]]
            if cluster < 0 or done[i]:
                continue
            n = 0
            for j in range(i, size):
                if slot_of[labels[j]] == cluster:
                    done[j] = True
                    part[n] = labels[j]
                    n += 1
            count_set(tables, cluster, set_hash(codes, part[:n]), part[:n], whole.counts[0, place])
            mass[cluster] += whole.counts[0, place]
