"""The arrays of gated routing: the tree of gates, the table of weights, and what is kept of each gate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BAYES_EXPERT",
    "BEST",
    "BIAS",
    "BINS",
    "COLUMN_COUNT",
    "COUNT",
    "CURVATURES",
    "EXPERTS",
    "FIELDS",
    "GATE_EXPERTS",
    "LANE_FIELDS",
    "MASS",
    "MOST_SEEN",
    "NONE",
    "ODDS",
    "PRIOR",
    "PRIOR_EXPERT",
    "SHARE",
    "SQUARES",
    "STEP_BIAS",
    "STEP_SQUARES",
    "STEP_WEIGHT",
    "WEIGHT",
    "WEIGHT_SQUARES",
    "WIDTH",
    "GateRows",
    "GateScratch",
    "GateTree",
    "GateWeights",
    "LaneStack",
    "Lanes",
]

WIDTH = 16
"""Children of a group, side by side: one pass over a row's non-zeros serves all of them."""
NONE = -1

GATE_EXPERTS = ("linear_unit_adaptive", "linear", "naive_bayes", "prior", "neighbours")
"""Names of the experts of a gate, in the order of their slots."""
EXPERTS = len(GATE_EXPERTS)
BAYES_EXPERT, PRIOR_EXPERT = GATE_EXPERTS.index("naive_bayes"), GATE_EXPERTS.index("prior")

CURVATURES = (EXPERTS + 1) * (EXPERTS + 2) // 2
"""Of the experts' stacking weights and the intercept's: a lower triangle."""

BEST = 5
"""So many labels are found for certain, however improbable."""
BINS = 256
MOST_SEEN = 128
"""Groups that a row's prediction may visit."""

# fields of a block; what prediction reads comes first
WEIGHT, STEP_WEIGHT, ODDS, WEIGHT_SQUARES, COLUMN_COUNT, FIELDS = range(6)

# fields of `Lanes.values`: those of the linear experts, then faded count, its share and log-odds, and naive Bayes' mass
BIAS, SQUARES, STEP_BIAS, STEP_SQUARES, COUNT, SHARE, PRIOR, MASS, LANE_FIELDS = range(9)


class GateTree(NamedTuple):
    """Groups of at most `WIDTH` children, the root first. A child is a label, or a gate with a group below it."""

    counters: NDArray[np.int64]  # (1,) groups
    used: NDArray[np.int32]  # (G,) children
    below: NDArray[np.int32]  # (G, WIDTH) group below, NONE of a label
    label: NDArray[np.int32]  # (G, WIDTH) label, NONE of a gate
    size: NDArray[np.int32]  # (G, WIDTH) labels below
    parent: NDArray[np.int32]  # (G,) the group above, NONE of the root
    parent_lane: NDArray[np.int32]  # (G,)
    place: NDArray[np.int32]  # (L, 2) group and lane of a label, NONE before it is learned


class GateWeights(NamedTuple):
    """Blocks of weights by (group, column), found by hashing; when there may be no more, the least needed give way."""

    keys: NDArray[np.int64]  # (H,) group * 2**32 + column, -1 where free
    numbers: NDArray[np.int32]  # (H,) of the key's block
    blocks: NDArray[np.float32]  # (B, FIELDS, WIDTH)
    rows: NDArray[np.float32]  # (B, 2) rows of the group that had the column, and of the next refresh
    tally: NDArray[np.int64]  # (2,) blocks used, blocks forgotten


class Lanes(NamedTuple):
    """What is kept of each child beside its weights."""

    values: NDArray[np.float32]  # (G, LANE_FIELDS, WIDTH)
    rows: NDArray[np.float64]  # (G, 3) fading rows of the group, its column occurrences, all its rows
    own: NDArray[np.float32]  # (G, EXPERTS + 1, WIDTH) own stacking weights, of the intercept last
    own_squares: NDArray[np.float32]  # (G, EXPERTS + 1, WIDTH)


class LaneStack(NamedTuple):
    """Stacking weights that gates share, and those that labels do."""

    shared: NDArray[np.float64]  # (2, EXPERTS + 1)
    information: NDArray[np.float64]  # (2, EXPERTS + 1, EXPERTS + 1) fading curvature, lower triangle
    gradient: NDArray[np.float64]  # (2, EXPERTS + 1)
    learned: NDArray[np.int64]  # (1,) rows


class GateScratch(NamedTuple):
    """Room for one row."""

    seen: NDArray[np.int32]  # (G,) where a group's figures of this row are, -1
    positive: NDArray[np.int64]  # (G,) masks of the children that are positive
    asked: NDArray[np.int64]  # (G,) masks of the label children that are known to be absent; of rows known in part
    votes: NDArray[np.float32]  # (G, WIDTH)
    voted: NDArray[np.int32]  # (G,) one more than the number of the neighbour that voted last in the group
    touched: NDArray[np.int32]  # (G + 1,)
    voters: NDArray[np.int32]  # (G + 1,) groups with votes
    logits: NDArray[np.float32]  # (MOST_SEEN + 1, EXPERTS, WIDTH)
    chances: NDArray[np.float32]  # (MOST_SEEN + 1, WIDTH)
    groups: NDArray[np.int32]  # (MOST_SEEN,)
    frontier: NDArray[np.int32]  # (MOST_SEEN * WIDTH,)
    likely: NDArray[np.float64]  # (MOST_SEEN * WIDTH,)
    found: NDArray[np.int32]  # (MOST_SEEN * WIDTH,) labels
    found_p: NDArray[np.float32]  # (MOST_SEEN * WIDTH,) their probabilities
    best: NDArray[np.float32]  # (BEST,) the highest of these
    counts: NDArray[np.int32]  # (BINS,)
    bins: NDArray[np.int32]  # (MOST_SEEN * WIDTH,) where each of the labels is counted
    order: NDArray[np.int32]  # (MOST_SEEN * WIDTH,)
    numbers: NDArray[np.int32]  # (MOST_SEEN + 1, entries of the longest row) of blocks; or a single row
    present: NDArray[np.float32]  # (entries of the longest row,) 1 where naive Bayes hears of the column
    lengths: NDArray[np.float32]  # (3,) squared, of the row as the two linear experts see it; columns present
    gradients: NDArray[np.float32]  # (2, WIDTH) of the two linear experts
    sums: NDArray[np.float32]  # (2, EXPERTS + 1 + CURVATURES, WIDTH) what a row adds to `LaneStack`, child by child
    factor: NDArray[np.float64]  # (EXPERTS + 1, EXPERTS + 1)
    step: NDArray[np.float64]  # (EXPERTS + 1,)


class GateRows(NamedTuple):
    """The likeliest labels of each row."""

    n_top: NDArray[np.int32]  # (rows,)
    top: NDArray[np.int32]  # (rows, most), likeliest first
    chances: NDArray[np.float32]  # (rows, most)
    visited: NDArray[np.int32]  # (rows, 2) groups that prediction, and learning, went to
