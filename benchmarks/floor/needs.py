"""What each kernel call needs, counted from its own arguments and from what it returned: see `work` for what counts.

Every function takes the arguments of the kernel that it is named after, by name, and what it `said`. Bytes are those of
the state arrays' documented layout (`experts/_kernels.py` and its like, `decisions/`,
`drift/_kernels.py`, `labels/_kernels.py`, `gating/_layout.py`); trees have a module of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floor.work import FAR, Work, nbytes

__all__ = [
    "adwin_values",
    "balanced_block",
    "check",
    "count_rows",
    "cross_pairs",
    "design_rows",
    "frequency_block",
    "gates_block",
    "independent_block",
    "joint_block",
    "likely_block",
    "linear_block",
    "naive_bayes_block",
    "neighbours_block",
    "stack_block",
    "thresholds_block",
    "watch_clusters",
    "watch_losses",
]


def entries(a: Any) -> NDArray[np.int32]:
    """Columns of all entries; missing values, for which there was room, are none."""
    return a.indices[: a.indptr[-1]]


def design_rows(a: Any) -> Work:
    """The row, 8 n bytes, from far; kind, offset, centred of each feature, 13 n; moments read and written, 16 bytes
    each: count and squares, of centred columns the mean, too. Standardising takes a root and two divisions, learning
    one more where centred, 8 to 12 further operations."""
    n = int(a.d_indptr[-1])
    middle = int(np.count_nonzero(a.centred[a.d_indices[:n]]))
    work = Work().touch(8 * n, FAR).touch(13 * n + 32 * n + 16 * middle, nbytes(a.scale) + 13 * len(a.arities))
    return work.do(flop_64=8 * n + 4 * middle, root_64=3 * n + middle)


def linear_block(a: Any) -> Work:
    """Weights of each entry read and written, 8 n L bytes in lines of labels, of adaptive steps the squares as well;
    bias and summed errors of each label, 16 L. Four operations for each of n L, of adaptive steps 7, a root and a
    division; an exponential, three divisions or roots for each label."""
    rows, n, work = len(a.mode), len(entries(a)), Work()
    for slot in a.slots:
        adaptive = a.adaptive[slot]
        used = 4 * a.n_labels * len(a.states[slot].weights) * (2 if adaptive else 1)
        work.touch(8 * n * a.n_labels * (2 if adaptive else 1), used, 4 * a.n_labels)
        work.touch(16 * rows * a.n_labels, 8 * a.n_labels)
        work.do(flop_32=(7 if adaptive else 4) * n * a.n_labels + 8 * rows * a.n_labels)
        work.do(root_32=(2 * n if adaptive else 0) * a.n_labels + 3 * rows * a.n_labels, exp_32=rows * a.n_labels)
    return work


def frequency_block(a: Any) -> Work:
    """Of the prior, count and weight of each label read and written, 32 L bytes; 6 operations, a division, a logarithm.
    Of recency, four counts and a flag, 66 L bytes; 12 operations, 3 divisions, a logarithm."""
    cells = len(a.mode) * a.n_labels
    work = Work().touch(32 * cells, nbytes(a.prior)).touch(66 * cells, nbytes(a.recency))
    return work.do(flop_64=18 * cells, root_64=4 * cells, log_32=2 * cells)


def refreshes(before: NDArray[np.float64], after: NDArray[np.float64], growth: float) -> float:
    """How often a count that goes from `before` to `after` comes by a number at which coefficients are renewed."""
    due = [1.0]
    while due[-1] < max(1.0, float(after.max(initial=0.0))):
        due.append(float(np.ceil(due[-1] * growth + 1.0)))
    return float((np.searchsorted(due, after, "right") - np.searchsorted(due, before, "right")).sum())


def naive_bayes_block(a: Any) -> Work:
    """Coefficients of each entry, 4 n L bytes in lines, of centred columns three; counts of the column, and of the
    column with each positive label, read and written: 16 n (1 + p), of centred columns thrice. Coefficients are
    written where they are renewed: a logarithm and 8 operations each, of centred columns 30 and 6 divisions. An
    operation for each of n L, of centred columns 5; a logarithm of each label's rate."""
    rows, met, p = len(a.mode), entries(a), np.diff(a.y_indptr)
    n = len(met)
    middle = float(a.centred[met].mean()) if n else 0.0
    pairs = float((np.diff(a.indptr) * p).sum())
    columns, times = np.unique(met, return_counts=True)
    after = a.state.column_count[columns]
    due = refreshes(after - times, after, 1.1) * a.n_labels
    renewed = due + pairs * (1.0 - middle)
    held = 4 * a.n_labels * len(a.state.constant) * (3 if middle else 1) + 8 * a.n_labels * len(a.state.counts)
    work = Work().touch((4 + 8 * middle) * n * a.n_labels + (4 + 8 * middle) * renewed, held, 4 * a.n_labels)
    work.touch((1 + 2 * middle) * 16 * (n + pairs) + 8 * n, held).touch(8 * rows * a.n_labels, 8 * a.n_labels)
    work.do(flop_32=(1 + 4 * middle) * n * a.n_labels + 2 * rows * a.n_labels)
    work.do(
        flop_64=(8 + 22 * middle) * renewed + 8 * middle * pairs, root_64=(1 + 5 * middle) * renewed + middle * pairs
    )
    return work.do(log_32=renewed + rows * a.n_labels, root_32=rows * a.n_labels)


def neighbours_block(a: Any) -> Work:
    """Sparse: the posting lists of each entry's column in the window, 5 bytes an entry, and two operations. Dense: the
    whole window, 4 bytes and two operations for each of its values. Of each row of the window its product and length,
    8 bytes, and 4 operations; of each neighbour its votes; a logarithm for each label voted for."""
    rows, storages, met = len(a.mode), len(a.state.norms) // 128, entries(a)
    window = min(int(a.state.learned[0]), (storages - 2) * 128)
    work, n, near = Work(), float(len(met)), a.slots.shape[1]
    if a.sparse:
        hits = float((a.state.column_ptr[:, met + 1] - a.state.column_ptr[:, met]).sum())
        work.touch(5 * hits + 4 * n * window / 128, 5 * a.state.post_rows.size).do(flop_32=2 * hits, log_32=n)
        work.do(flop_64=6 * n)
    else:
        work.touch(4 * n * window, 4 * window * a.state.tiles.shape[1]).do(flop_32=2 * n * window)
    work.touch(8.0 * rows * window, 8 * window).do(flop_32=4.0 * rows * window, step_64=rows * near * 2)
    labels = float(np.diff(a.y_indptr).sum())  # those of neighbours are as many a row
    return work.do(log_32=labels, step_64=near * labels, flop_32=rows * a.n_labels)


def stack_block(a: Any) -> Work:
    """With E inputs (the intercept among them): own weights read, 8 E L bytes; of labels whose error counts (.01 or
    more) written, and their squares read and written, 24 E; curvature read and written, 8 E (E + 1). Probabilities go
    far: 4 L. Four operations for each of E L; 5, a root and a division for each of E of labels whose error counts; E (E
    + 1) for those whose curvature counts; a Newton step by Cholesky, E^3 / 3 + 2 E^2, at each of the first 1000 rows,
    then at every fourth; an exponential and a division for each label."""
    rows, e = len(a.mode), a.logits.shape[1] + 1
    error = a.out[:, : a.n_labels].astype(np.float64)
    error[np.repeat(np.arange(rows), np.diff(a.y_indptr)), a.y_indices] -= 1.0
    error = np.abs(error)
    active, curved = np.count_nonzero(error >= 0.01), np.count_nonzero(error * (1.0 - error) >= 0.01)
    moves = rows if a.state.learned[0] <= 1000 else rows / 4
    held = 16 * e * a.n_labels + 16 * e * e
    work = Work().touch(8 * e * rows * a.n_labels + 24 * e * active + 8 * e * (e + 1) * rows, held)
    work.touch(4 * rows * a.n_labels, FAR)
    work.do(flop_64=4 * e * rows * a.n_labels + 5 * e * active + e * (e + 1) * (curved + rows / 2))
    work.do(flop_64=moves * (e**3 / 3 + 2 * e * e), root_64=moves * 2 * e + 2 * e * active + rows * a.n_labels)
    return work.do(exp_64=rows * a.n_labels)


def watch_clusters(a: Any) -> Work:
    """The cluster of each label, 8 L bytes; 2 operations a label, 6 a positive one, a division a cluster; and what
    `cross_pairs` and `watch_losses` need."""
    rows, labels = len(a.mode), len(a.slot_of)
    work = Work().touch(8 * rows * labels, nbytes(a.slot_of))
    work.do(flop_64=2 * rows * labels + 6 * len(a.y_indices), root_64=rows * (a.losses.shape[1] - 1))
    work += cross_pairs(a)
    work += watch_losses(a)
    return work


def cross_pairs(a: Any) -> Work:
    """The cluster of each positive label, and a comparison for each pair."""
    p = np.diff(a.y_indptr).astype(np.float64)
    return Work().touch(8 * p.sum(), 8 * len(a.cluster_of)).do(step_64=(p * (p - 1) / 2).sum())


def adwin_values(values: float, buckets: float, held: int, clock: float = 32.0) -> Work:
    """Of each value fed to an ADWIN: five sums read and written, a bucket written, on average one pair of buckets
    merged, 144 bytes; 20 operations, 4 divisions. Every `clock` values a look at all buckets: 16 bytes, 12 operations,
    5 divisions and a root each."""
    looked = values / clock * buckets
    return (
        Work()
        .touch(144 * values + 16 * looked, held)
        .do(flop_64=20 * values + 12 * looked, root_64=4 * values + 6 * looked, log_64=2 * values / clock)
    )


def watch_losses(a: Any) -> Work:
    """Two detectors for each loss."""
    work = Work()
    for bank in (a.drift_bank, a.warning_bank):
        buckets = bank.sizes[a.detectors].sum(axis=1)
        values = (a.losses >= 0.0).sum(axis=0)
        for fed, kept in zip(values.tolist(), buckets.tolist(), strict=True):
            work += adwin_values(fed, kept, nbytes(bank), float(a.clock))
    return work


def likely_block(a: Any) -> Work:
    """A comparison for each label, and a place in the order for each that is likely."""
    return Work().do(flop_32=len(a.n_top) * a.n_labels, step_64=float(a.n_top.sum()))


def independent_block(a: Any) -> Work:
    """A logarithm, an exponential, 6 operations and a division for each likely label, which is to be found first."""
    tops = float(a.rows.n_top.sum())
    work = Work().do(flop_32=len(a.probabilities) * a.n_labels, step_64=tops if len(a.probabilities) else 0.0)
    return work.do(log_32=tops, exp_32=tops, flop_64=6 * tops, root_64=tops)


def thresholds_block(a: Any) -> Work:
    """The histogram of all labels, and that of each likely label of probability .03 or more, 24 bins of 16 bytes; 7
    operations and a division a bin, an exponential each; a logarithm, and 16 bytes written for each of these labels."""
    places = np.arange(a.rows.marginals.shape[1]) < a.rows.n_top[:, None]
    counted = float((places & (a.rows.marginals >= 0.03)).sum())
    cuts, size = len(a.rows.n_top) + counted, a.state.own.shape[1]
    work = Work().touch(16 * size * cuts + 48 * counted, nbytes(a.state))
    return work.do(flop_64=7 * size * cuts, root_64=size * cuts, exp_64=cuts, log_64=counted)


def balanced_block(a: Any) -> Work:
    """Some three passes over likely labels for the expected F1, 12 operations and a division a label in all; two
    operations for each label of each candidate set."""
    tops, held = float(a.rows.n_top.sum()), np.arange(a.rows.sets.shape[1]) < a.rows.n_sets[:, None]
    members = float((np.bitwise_count(a.rows.sets) * held).sum())
    return Work().do(flop_64=12 * tops + 2 * members, root_64=tops)


def joint_block(a: Any) -> Work:
    """The marks of all sets seen, 8 bytes and one operation each. For each candidate (C) a line of the table of sets
    and one of a cluster's; 2 operations for each of its labels, 8 features with 5 operations each, two logarithms, an
    exponential; for each likely label 3 logarithms or exponentials, 30 operations. Counts of the true set written."""
    n, marks = len(a.mode), float(a.state.sets.used.sum() + a.state.cluster_sets.used.sum())
    tops, sets = float(a.rows.n_top.sum()), float(a.rows.n_sets.sum())
    held = np.arange(a.rows.sets.shape[1]) < a.rows.n_sets[:, None]
    members = float((np.bitwise_count(a.rows.sets) * held).sum())
    tables = nbytes(a.state.sets) + nbytes(a.state.cluster_sets)
    work = Work().touch(8 * n * marks, 8 * int(marks)).touch(128 * sets + 64 * len(a.y_indices), tables, 64)
    work.do(flop_64=n * marks + 2 * members + 40 * sets + 30 * tops + n * a.n_labels / 32 * 6)
    return work.do(log_64=2 * sets + 2 * tops + 2 * n * a.n_labels / 32, exp_64=sets + tops, root_64=2 * tops)


def count_rows(a: Any) -> Work:
    """Counts of each label and of each pair of labels read and written, the pair's key read; 5 steps a pair."""
    p = np.diff(a.y_indptr[a.start : a.stop + 1]).astype(np.float64)
    pairs = float((p * (p - 1) / 2).sum())
    work = Work().touch(16 * p.sum(), nbytes(a.singles)).touch(24 * pairs, nbytes((a.keys, a.counts)), 64)
    return work.do(step_64=p.sum() + 5 * pairs)


def check(a: Any) -> Work:
    """Each pair of labels that was counted, 16 bytes, and 20 operations to group by it."""
    pairs = float(a.self.statistics.n_pairs)
    return Work().touch(16 * pairs, nbytes(a.self.statistics.table())).do(flop_64=20 * pairs, root_64=pairs)


def gates_block(a: Any) -> Work:
    """A group has 16 children. For each that is asked, and each entry: key and number, 12 bytes, and three fields of 64
    bytes; 6 operations a child; and once a group 14 fields, 16 exponentials, 12 operations for each of 16 x 6. For each
    that is taught, and each entry: squares read, these and two weights written, 256 bytes, 10 operations, a root and a
    division a child, a count, and at least one logarithm; and once a group 22 fields read and written, 16 x 6 times 8
    operations, a root and a division, 21 for the curvature, 32 exponentials, 16 logarithms."""
    rows = slice(a.first, a.said)
    n = np.diff(a.row.indptr)[rows].astype(np.float64)
    asked, taught = (a.out.visited[rows, i].astype(np.float64) for i in (0, 1))
    blocks = int(a.weights.tally[0]) * (a.weights.blocks[0].nbytes + 20)
    held = int(a.tree.counters[0]) * (a.lanes.values[0].nbytes + 2 * a.lanes.own[0].nbytes)
    entries, lessons = float((n * asked).sum()), float((n * taught).sum())
    consulted, learned = float(asked.sum()), float(taught.sum())
    work = Work().touch(192 * entries + 256 * lessons, blocks, 192).touch(12 * entries + 16 * lessons, blocks, 64)
    work.touch(64 * (14 * consulted + 44 * learned), held)
    work.do(flop_32=96 * entries + 160 * lessons + 16 * 72 * consulted, flop_64=16 * (48 + 42) * learned)
    work.do(root_32=32 * lessons, root_64=16 * 12 * learned, log_32=lessons + 16 * learned)
    work.do(exp_32=16 * consulted + 32 * learned)
    moves = (a.said - a.first) * (1.0 if a.stack.learned[0] <= 1000 else 0.25)
    return work.do(flop_64=2 * moves * (72 + 72) + 2 * 21 * (a.said - a.first), root_64=24 * moves)
