"""Arrays of the joint posterior: what it has learned, what it says of a block of rows, and memory to work in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions._set_kernels import SetTables

__all__ = ["FEATURES", "LARGEST", "LIKELY", "MOST", "PART_BITS", "SEEN", "JointRows", "JointState", "Scratch"]

LIKELY = 64
"""Labels of a row that its candidates may have: one bit each."""
PART_BITS = 8
SEEN = 32
MOST = 80
"""Candidates of a row: prefixes, sets seen, sets of neighbours, the last set, the clusters' modes."""
FEATURES = 8
LARGEST = 64
"""Label cardinalities from here on are counted as one."""


class JointState(NamedTuple):
    """What the joint posterior has learned; counts are in units of the first row (see `_set_kernels`)."""

    unit: NDArray[np.float64]  # (1,) weight of the next row
    rows: NDArray[np.float64]  # (1,)
    learned: NDArray[np.int64]  # (1,)
    label_counts: NDArray[np.float64]  # (L,)
    cardinality: NDArray[np.float64]  # (LARGEST + 1,)
    last: NDArray[np.int32]  # (1 + L,) size of the last set, and its labels
    same: NDArray[np.float64]  # (1,) fading share of rows with the set of the row before
    coverage: NDArray[np.float64]  # (1,) fading share of rows whose set was among the candidates
    weights: NDArray[np.float64]  # (FEATURES,)
    squares: NDArray[np.float64]  # (FEATURES,)
    mix: NDArray[np.float64]  # (3,) of the stacked log-odds, the joint log-odds, 1
    mix_information: NDArray[np.float64]  # (3, 3)
    prior_odds: NDArray[np.float64]  # (L,) log-odds of the label's frequency, as of the last refresh
    summary: NDArray[np.float64]  # (3,) log of summed odds, mean cardinality, silence of all clusters; as of then
    silence: NDArray[np.float64]  # (clusters, 2) log chance that none of its labels is there: by priors, by counts
    cluster_mass: NDArray[np.float64]  # (clusters,) rows with a label of the cluster
    sets: SetTables  # one table, whole sets
    cluster_sets: SetTables  # a table per cluster, the non-empty parts


class JointRows(NamedTuple):
    """The posterior of each row of a block."""

    n_top: NDArray[np.int32]  # (rows,)
    top: NDArray[np.int32]  # (rows, LIKELY) labels, likeliest first
    chances: NDArray[np.float32]  # (rows, LIKELY) their stacked probabilities
    marginals: NDArray[np.float32]  # (rows, LIKELY) probabilities, the posterior's mixed with the stacked ones
    n_sets: NDArray[np.int32]  # (rows,)
    sets: NDArray[np.uint64]  # (rows, MOST) candidates
    posterior: NDArray[np.float32]  # (rows, MOST)
    coverage: NDArray[np.float32]  # (rows,)


class Scratch(NamedTuple):
    """Memory for one row's work, made once a block."""

    rank: NDArray[np.int32]  # (L,) place among the likely labels, -1 of the others; so before and after every row
    odds: NDArray[np.float64]  # (LIKELY,)
    prior: NDArray[np.float64]  # (LIKELY,)
    joint: NDArray[np.float64]  # (LIKELY,)
    q: NDArray[np.float64]  # (LIKELY,)
    gain: NDArray[np.float64]  # (LIKELY,) what each likely label adds to a quick score
    by_byte: NDArray[np.float64]  # (MARKS / 8, 256) the same of each byte of marks, if those are labels
    places: NDArray[np.int64]  # (sets,) sets of likely labels, in the table of whole sets
    scores: NDArray[np.float64]  # (sets,) and their quick scores
    found: NDArray[np.int64]  # (SEEN,) the best of them
    place_of: NDArray[np.int64]  # (MOST,) each candidate's place in that table
    votes: NDArray[np.float64]  # (MOST,)
    counts: NDArray[np.float64]  # (MOST,)
    chance: NDArray[np.float64]  # (MOST,) summed prior log-odds
    novel: NDArray[np.float64]  # (MOST,) share of each candidate's size, then of that what a set like it has
    features: NDArray[np.float64]  # (FEATURES, MOST)
    posterior: NDArray[np.float64]  # (MOST,)
    logs: NDArray[np.float64]  # (LARGEST + 1,) log factorials
    share: NDArray[np.float64]  # (LARGEST + 1,) smoothed share of each cardinality
    beyond: NDArray[np.float64]  # (LARGEST + 1,) log of that beyond what Poisson's law gives
    factor: NDArray[np.float64]  # (3, 3)
    step: NDArray[np.float64]  # (3,)
    gradient: NDArray[np.float64]  # (3,)
    inputs: NDArray[np.float64]  # (3,)
    done: NDArray[np.bool_]  # (L,)
    part: NDArray[np.int32]  # (L,)
    likely: NDArray[np.uint64]  # (clusters,) the likely labels of a cluster, as a mask; of those that have any
    mates: NDArray[np.uint64]  # (LIKELY,) the same of each likely label's cluster
    parts: NDArray[np.uint64]  # (2**PART_BITS,) parts of candidates, as masks, whose worth is known; 0: none
    worths: NDArray[np.float64]  # (2**PART_BITS,)
