"""How a tree lies in memory: arrays grouped in named tuples, and the names of their columns.

A node's small facts are columns of two tables (`Nodes.ints`, `Nodes.reals`), so that a kernel takes few arrays. What
an active leaf observes is big and lies in a pool of *slots* (`Slots`); a node names its slot in column `SLOT`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Leaf", "Nodes", "Settings", "Slots", "Space", "Table"]

# columns of Nodes.ints
LEFT, RIGHT, PARENT, FEATURE, DEPTH, SLOT, ALTERNATE, OWNER, N_INTS = range(9)
"""Child nodes (-1: a leaf), parent (-1: a root), tested feature, depth, slot (-1: none), root of the alternate subtree
(-1: none), the node an alternate subtree's root stands for (-1: none)."""

# columns of Nodes.reals
THRESHOLD, WEIGHT, EVIDENCE, NEGATIVE, LAST_ATTEMPT, EMPTY, POSITIVE_SUM, SET_WEIGHT = range(8)
MAIN_LOSS, ALTERNATE_LOSS, ALTERNATE_ROWS, N_REALS = range(8, 12)
"""Threshold (nominal: value) of the test; rows that came through; rows behind the leaf's label counts; rows without the
first label (river mode); WEIGHT or slot rows at the last split attempt; rows without any label; sum of the positives;
rows in the labelset table; losses of the subtree and of its alternate since that one started, and their rows."""

# columns of Slots.reals
ROWS, NEXT_REFRESH, READY, N_SLOT_REALS = range(4)
"""Rows observed, rows at which naive Bayes is prepared next, whether it is prepared."""

# entries of Space.counters: MAX_SLOTS is the memory limit in slots, N_AGENDA the entries of Space.agenda
ROOT, N_FREE_NODES, N_FREE_SLOTS, N_LEARNED, N_SPLITS, N_ALTERNATES, MAX_SLOTS, N_AGENDA, N_COUNTERS = range(9)

# entries of Space.faded
LOSS_SUM, LOSS_ROWS, TEMPER, CURVATURE, N_FADED = range(5)
"""Faded sums of the tree's own loss and of the rows; the factor on naive Bayes' evidence, and the faded curvature of
the log-loss in that factor."""

# what `process_rows` leaves to be done after a row: rows (task, node) of Space.agenda
ATTEMPT, PREPARE, WARN, JUDGE = range(4)
"""A split attempt is due at a leaf; its naive Bayes is to be prepared; a detector rang at a node; a node's alternate
subtree is significantly better or worse."""

LABELSETS = 8
"""Candidates kept per leaf for its most frequent labelset."""


class Nodes(NamedTuple):
    """One row per node: int32 and float64 columns, label counts (nodes, labels), labelset bit masks and counts."""

    ints: NDArray[np.int32]
    reals: NDArray[np.float64]
    positives: NDArray[np.float64]
    set_masks: NDArray[np.uint64]
    set_counts: NDArray[np.float64]


class Slots(NamedTuple):
    """What active leaves observe.

    `cells` (slots, cells, labels + 1) float64: per feature and label the statistics of the rows with that label, in
    the last column those of all rows. A numeric feature has 3 cells (n, mean, sum of squared deviations; in sparse
    data of the non-zeros), a nominal one a count per value (in sparse data from value 1 on); where missing values
    were met in sparse data, each feature has one more cell in front that counts them. `low`, `high` (slots, features,
    1 or 2): extremes of the observed values, per class in river mode. `coefs`, `center`, `base`: naive Bayes prepared
    for prediction.
    """

    cells: NDArray[np.float64]
    positives: NDArray[np.float64]
    reals: NDArray[np.float64]
    owner: NDArray[np.int32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    coefs: NDArray[np.float32]
    center: NDArray[np.float32]
    base: NDArray[np.float32]


class Space(NamedTuple):
    """Free lists, counters, faded sums, and memory for one row's work.

    `mask` (words), `scores` (labels): a row's labels and naive Bayes' log-odds. `chosen` (labels), `scratch`
    (N_SCRATCH, labels): the split search's. `logs` (2, pairs): what naive Bayes takes the logarithms of, of at least
    so many features and labels together that loops over them pay.
    """

    free_nodes: NDArray[np.int32]
    free_slots: NDArray[np.int32]
    counters: NDArray[np.int64]
    faded: NDArray[np.float64]
    agenda: NDArray[np.int32]
    mask: NDArray[np.uint64]
    scores: NDArray[np.float32]
    chosen: NDArray[np.int32]
    scratch: NDArray[np.float64]
    logs: NDArray[np.float64]


class Table(NamedTuple):
    """Where each feature's cells start (n_features + 1), and its arity (0: numeric)."""

    offsets: NDArray[np.int64]
    arities: NDArray[np.int32]


class Settings(NamedTuple):
    """The parameters of a tree as the kernels read them.

    `binary`: of every feature one cell, which counts its value 1, as of words that are there or not.
    """

    grace_period: float
    log_inverse_confidence: float
    tie_threshold: float
    min_branch_fraction: float
    max_share_to_split: float
    max_depth: int
    inherited_rows: float
    sparse: bool
    missing_cells: int
    river: bool
    naive_bayes: bool
    naive_bayes_at_root: bool
    drift: bool
    warning_delta: float
    watch_depth: int
    comparison_rows: float
    binary: bool


class Leaf(NamedTuple):
    """The observers of one leaf, as the split search reads them.

    `cells`, `positives`, `low`, `high` are the slot's rows of `Slots`; `rows` is how many were observed; `first_in`
    and `first_out` are the leaf's own counts with and without label 0 (river mode).
    """

    cells: NDArray[np.float64]
    positives: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    rows: float
    first_in: float
    first_out: float
