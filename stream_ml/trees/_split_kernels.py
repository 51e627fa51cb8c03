"""The split search of one leaf: candidate tests, their merit, and the label counts they would send each way.

Scratch rows hold, per label looked at, the class-conditional statistics of the feature at hand.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.jit import lean_kernel
from stream_ml.trees._observer_kernels import rest_of

__all__ = [
    "best_of_feature",
    "binary_merit",
    "candidate_merit",
    "entropy_mass",
    "gaussian_below",
    "good_enough",
    "load_numeric",
    "null_merit",
    "search_splits",
    "send_left",
    "split_shares",
    "tabled_below",
]

# rows of the scratch table
N_IN, MEAN_IN, SD_IN, ZEROS_IN, LOW_IN, HIGH_IN = range(6)
N_OUT, MEAN_OUT, SD_OUT, ZEROS_OUT, LOW_OUT, HIGH_OUT = range(6, 12)
LEFT_IN, LEFT_OUT, PRE, N_SCRATCH = range(12, 16)

N_CANDIDATES = 10
SQRT2 = math.sqrt(2.0)
INVERSE_LN2 = 1.0 / math.log(2.0)

N_TABLED = 4096
TABLE = np.array([n * math.log2(n) if n else 0.0 for n in range(N_TABLED)])
"""n log2 n of small counts."""

Z_BOUND, Z_STEPS = 6.0, 128
BELOW = np.array(
    [0.5 * (1.0 + math.erf((i / Z_STEPS - Z_BOUND) / SQRT2)) for i in range(int(2 * Z_BOUND * Z_STEPS) + 2)]
)
"""Standard normal distribution function in steps of 1/128."""

EVIDENT = 5.0
"""Rows with and without a label that a leaf must have seen for the label to take part in the split search."""


@lean_kernel
def entropy_mass(count, rest):
    """(count + rest) times the entropy, in bits, of a label with `count` rows with it and `rest` without."""
    rows = count + rest
    if count <= 0.0 or rest <= 0.0:
        return 0.0
    if rows < N_TABLED:
        whole, whole_rest = int(count), int(rest)
        if whole == count and whole_rest == rest:  # counts, not expectations: no logarithm to be taken
            return TABLE[whole + whole_rest] - TABLE[whole] - TABLE[whole_rest]
    p = count / rows
    if p <= 0.0 or p >= 1.0:  # one side vanishes beside the other: the tail of a Gaussian
        return 0.0
    return -rows * (p * math.log(p) + (1.0 - p) * math.log(1.0 - p)) * INVERSE_LN2


@lean_kernel
def gaussian_below(n, mean, sd, threshold):
    """Of `n` rows of a Gaussian, how many are expected at or below the threshold."""
    if n <= 0.0:
        return 0.0
    if sd <= 0.0:
        return n if threshold >= mean else 0.0
    z = (threshold - mean) / sd
    if z < -9.0:
        return 0.0
    if z > 9.0:
        return n
    return n * (0.5 * (1.0 + math.erf(z / SQRT2)))


@lean_kernel
def tabled_below(n, mean, sd, threshold):
    """`gaussian_below` to two millionths of `n`, from a table: error functions would take most of the search."""
    if n <= 0.0:
        return 0.0
    if sd <= 0.0:
        return n if threshold >= mean else 0.0
    z = (threshold - mean) / sd + Z_BOUND
    if not z > 0.0:  # no number, too
        return 0.0
    if z >= 2.0 * Z_BOUND:
        return n
    z *= Z_STEPS
    at = int(z)
    return n * (BELOW[at] + (z - at) * (BELOW[at + 1] - BELOW[at]))


@lean_kernel
def null_merit(n_labels, n_tests, rows, log_inverse_confidence):
    """Summed gain, in bits, that the best of `n_tests` worthless tests stays under, but for the split confidence.

    Under independence 2 ln 2 x rows x (summed gain) is chi-square with a degree of freedom per label; the bound on its
    tail is that of Laurent and Massart (2000), the confidence is divided among the tests.
    """
    t = log_inverse_confidence + math.log(max(n_tests, 1.0))
    return (n_labels + 2.0 * math.sqrt(n_labels * t) + 2.0 * t) / (2.0 * math.log(2.0) * rows)


@lean_kernel
def load_numeric(scratch, at, cells, cell, label, rows, rows_in, low, high, settings):
    """Class statistics of one numeric feature and label into column `at` of the scratch table.

    `rows`, `rows_in`: rows the leaf observed, and those with the label. In sparse data zeros are kept apart from the
    Gaussian of the non-zeros. In river mode the last column holds the rows without the label, not all rows, and
    extremes are kept per class.
    """
    total = cells.shape[1] - 1
    n, mean, m2 = cells[cell, total], cells[cell + 1, total], cells[cell + 2, total]
    n_in, mean_in, m2_in = cells[cell, label], cells[cell + 1, label], cells[cell + 2, label]
    zeros_in, zeros_out = 0.0, 0.0
    if settings.river:
        scratch[LOW_OUT, at], scratch[HIGH_OUT, at] = low[0], high[0]
        scratch[LOW_IN, at], scratch[HIGH_IN, at] = low[1], high[1]
        # pow and sqrt differ in the last bit now and then, which moves river's split attempts by an instance
        scratch[SD_IN, at] = math.pow(m2_in / (n_in - 1.0), 0.5) if n_in > 1.0 else 0.0
        scratch[SD_OUT, at] = math.pow(m2 / (n - 1.0), 0.5) if n > 1.0 else 0.0
    else:
        n, mean, m2 = rest_of(n, mean, m2, n_in, mean_in, m2_in)
        scratch[SD_IN, at] = math.sqrt(m2_in / (n_in - 1.0)) if n_in > 1.0 else 0.0
        scratch[SD_OUT, at] = math.sqrt(m2 / (n - 1.0)) if n > 1.0 else 0.0
    if settings.sparse:
        missing, missing_in = 0.0, 0.0
        if settings.missing_cells > 0:
            missing, missing_in = cells[cell - 1, total], cells[cell - 1, label]
        zeros_in = rows_in - missing_in - n_in
        zeros_out = (rows - missing) - (rows_in - missing_in) - n
    scratch[N_IN, at], scratch[MEAN_IN, at], scratch[ZEROS_IN, at] = n_in, mean_in, zeros_in
    scratch[N_OUT, at], scratch[MEAN_OUT, at], scratch[ZEROS_OUT, at] = n, mean, zeros_out


@lean_kernel
def _below(scratch, first, at, threshold, river):
    """Rows of one class (its statistics from scratch row `first` on) expected at or below the threshold."""
    n = scratch[first, at]
    if river:
        if n <= 0.0 or threshold < scratch[first + 4, at]:
            return 0.0
        if threshold >= scratch[first + 5, at]:
            return n
        below = gaussian_below(n, scratch[first + 1, at], scratch[first + 2, at], threshold)
    else:
        below = tabled_below(n, scratch[first + 1, at], scratch[first + 2, at], threshold)
    if threshold >= 0.0:
        below += scratch[first + 3, at]
    return below


@lean_kernel
def candidate_merit(scratch, n_labels, min_branch_fraction):
    """Summed gain of a test from the LEFT_IN, LEFT_OUT, N_, ZEROS_ and PRE rows of the scratch table.

    -inf when a branch would get no more than `min_branch_fraction` of the rows. PRE holds the entropies, in bits,
    before the split.
    """
    left, rows = 0.0, 0.0
    for at in range(n_labels):
        left += scratch[LEFT_IN, at] + scratch[LEFT_OUT, at]
        rows += scratch[N_IN, at] + scratch[ZEROS_IN, at] + scratch[N_OUT, at] + scratch[ZEROS_OUT, at]
    if rows <= 0.0 or left / rows <= min_branch_fraction or (rows - left) / rows <= min_branch_fraction:
        return -np.inf
    merit = 0.0
    for at in range(n_labels):
        all_in = scratch[N_IN, at] + scratch[ZEROS_IN, at]
        all_out = scratch[N_OUT, at] + scratch[ZEROS_OUT, at]
        left_in, left_out = scratch[LEFT_IN, at], scratch[LEFT_OUT, at]
        after = entropy_mass(left_in, left_out) + entropy_mass(all_in - left_in, all_out - left_out)
        merit += scratch[PRE, at] - after / (all_in + all_out)
    return merit


@lean_kernel
def send_left(scratch, n_labels, threshold, river):
    """Write the LEFT_IN and LEFT_OUT rows of the scratch table for a numeric threshold."""
    for at in range(n_labels):
        scratch[LEFT_IN, at] = _below(scratch, N_IN, at, threshold, river)
        scratch[LEFT_OUT, at] = _below(scratch, N_OUT, at, threshold, river)


@lean_kernel
def load_nominal(scratch, at, cells, cell, n_cells, label, rows, rows_in, settings):
    """Rows with a known value of one nominal feature, with and without the label, into N_IN and N_OUT."""
    total = cells.shape[1] - 1
    known, known_in = 0.0, 0.0
    if settings.sparse:
        known, known_in = rows, rows_in
        if settings.missing_cells > 0:
            known -= cells[cell - 1, total]
            known_in -= cells[cell - 1, label]
    else:
        for v in range(n_cells):
            known += cells[cell + v, total]
            known_in += cells[cell + v, label]
    scratch[N_IN, at], scratch[N_OUT, at] = known_in, known if settings.river else known - known_in
    scratch[ZEROS_IN, at], scratch[ZEROS_OUT, at] = 0.0, 0.0


@lean_kernel
def send_value_left(scratch, at, cells, cell, n_cells, label, value, settings):
    """Write LEFT_IN and LEFT_OUT of one label for the nominal test `feature = value`."""
    total = cells.shape[1] - 1
    if settings.sparse and value == 0:
        here, here_in = scratch[N_IN, at] + scratch[N_OUT, at], scratch[N_IN, at]
        for v in range(n_cells):
            here -= cells[cell + v, total]
            here_in -= cells[cell + v, label]
    else:
        position = value - 1 if settings.sparse else value
        here, here_in = cells[cell + position, total], cells[cell + position, label]
    scratch[LEFT_IN, at], scratch[LEFT_OUT, at] = here_in, here if settings.river else here - here_in


@lean_kernel
def _known_entropies(scratch, n_labels, rows):
    """PRE from the rows where the feature is known; returns the share of known rows."""
    known = rows
    for at in range(n_labels):
        all_in = scratch[N_IN, at] + scratch[ZEROS_IN, at]
        all_out = scratch[N_OUT, at] + scratch[ZEROS_OUT, at]
        known = all_in + all_out
        scratch[PRE, at] = entropy_mass(all_in, all_out) / known if known > 0.0 else 0.0
    return known / rows


@lean_kernel
def load_feature(leaf, table, feature, labels, n_labels, scratch, settings):
    """Load the class statistics of a feature for `labels`; returns the share of rows where it is known."""
    cells, rows = leaf.cells, leaf.rows
    cell = table.offsets[feature] + settings.missing_cells
    n_cells = table.offsets[feature + 1] - cell
    for at in range(n_labels):
        label = labels[at]
        rows_in = leaf.positives[label]
        if table.arities[feature] > 0:
            load_nominal(scratch, at, cells, cell, n_cells, label, rows, rows_in, settings)
        else:
            low, high = leaf.low[feature], leaf.high[feature]
            load_numeric(scratch, at, cells, cell, label, rows, rows_in, low, high, settings)
    if settings.river:  # PRE stays what search_splits set: the entropy of the leaf's own counts, as in river
        return 1.0
    return _known_entropies(scratch, n_labels, rows)


@lean_kernel
def _range_of(scratch, low, high, settings, zeros):
    """Lowest and highest value seen of a numeric feature."""
    if settings.river:
        return min(scratch[LOW_IN, 0], scratch[LOW_OUT, 0]), max(scratch[HIGH_IN, 0], scratch[HIGH_OUT, 0])
    lowest, highest = float(low[0]), float(high[0])
    if zeros > 0.0:
        lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    return lowest, highest


@lean_kernel
def binary_merit(leaf, feature, stored, labels, n_labels, scratch, min_branch_fraction):
    """`candidate_merit` of the one test on a feature, which `stored` rows have; PRE is as `search_splits` set it.

    Where `Settings.binary` holds: counts are whole and no value is missing, so that no entropy takes a logarithm.
    """
    rows, zeros = leaf.rows, leaf.rows - stored
    if zeros / rows <= min_branch_fraction or stored / rows <= min_branch_fraction:
        return -np.inf
    merit = 0.0
    if rows < N_TABLED:
        n_stored, n_zeros, inside = int(stored), int(zeros), N_TABLED - 1  # a mask, so that no place is negative
        all_stored, all_zeros = TABLE[n_stored & inside], TABLE[n_zeros & inside]
        for at in range(n_labels):
            right = int(leaf.cells[feature, labels[at]])
            left = int(leaf.positives[labels[at]]) - right
            after = all_zeros - TABLE[left & inside] - TABLE[(n_zeros - left) & inside]
            after += all_stored - TABLE[right & inside] - TABLE[(n_stored - right) & inside]
            merit += scratch[PRE, at] - after / rows
        return merit
    for at in range(n_labels):
        right = leaf.cells[feature, labels[at]]
        left = leaf.positives[labels[at]] - right
        merit += scratch[PRE, at] - (entropy_mass(left, zeros - left) + entropy_mass(right, stored - right)) / rows
    return merit


@lean_kernel
def best_of_feature(leaf, table, feature, labels, n_labels, scratch, settings):
    """(merit, threshold) of the best binary test on one feature; merit -inf when there is none.

    Numeric: ten points evenly spaced inside the observed range, and in sparse data the point that tells zeros from
    non-zeros. Nominal: each value against the others.
    """
    cells, rows = leaf.cells, leaf.rows
    cell = table.offsets[feature] + settings.missing_cells
    n_cells = table.offsets[feature + 1] - cell
    arity = table.arities[feature]
    best, best_threshold = -np.inf, 0.0
    total = cells.shape[1] - 1
    stored = 0.0
    for v in range(n_cells if arity > 0 else 1):
        stored += cells[cell + v, total]
        if settings.river:
            stored += cells[cell + v, 0]
    # in sparse data one side of any test holds non-zeros only
    if stored == 0.0 or (settings.sparse and stored <= settings.min_branch_fraction * rows):
        return best, best_threshold
    if settings.binary:
        return binary_merit(leaf, feature, stored, labels, n_labels, scratch, settings.min_branch_fraction), 0.0
    share = load_feature(leaf, table, feature, labels, n_labels, scratch, settings)
    if share <= 0.0:
        return best, best_threshold
    if arity > 0:
        for value in range(arity if arity > 2 else 1):
            for at in range(n_labels):
                send_value_left(scratch, at, cells, cell, n_cells, labels[at], value, settings)
            merit = share * candidate_merit(scratch, n_labels, settings.min_branch_fraction)
            if merit > best:
                best, best_threshold = merit, float(value)
        return best, best_threshold
    low, high = leaf.low[feature], leaf.high[feature]
    zeros = scratch[ZEROS_IN, 0] + scratch[ZEROS_OUT, 0]
    lowest, highest = _range_of(scratch, low, high, settings, zeros)
    first, last = 0, N_CANDIDATES
    if zeros > 0.0 and (low[0] > 0.0 or high[0] < 0.0):
        first = -1
        if low[0] == high[0]:
            last = 0
    step = (highest - lowest) / (N_CANDIDATES + 1.0)
    for i in range(first, last):
        threshold = lowest + step * (i + 1)
        if i < 0:
            threshold = 0.5 * low[0] if low[0] > 0.0 else 0.5 * high[0]
        elif not (lowest < threshold < highest):
            continue
        send_left(scratch, n_labels, threshold, settings.river)
        merit = share * candidate_merit(scratch, n_labels, settings.min_branch_fraction)
        if merit > best:
            best, best_threshold = merit, threshold
    return best, best_threshold


@lean_kernel
def search_splits(leaf, table, labels, scratch, settings):
    """Search all features of a leaf: (best merit, second merit, feature or -1, threshold, bound, null merit).

    Only labels that the leaf has seen at least five times with and without take part. Merits are the summed gain over
    the summed entropy of those labels before the split: a share in [0, 1], so that the Hoeffding bound with range 1
    and the tie threshold mean the same for one frequent label and for many rare ones; a mean over all labels would be
    under the tie threshold always. In river mode the merit is the plain information gain of the one label and the null
    merit -inf.
    """
    n_labels = 0
    entropy = 0.0
    rows = leaf.rows
    null = -np.inf
    if settings.river:
        labels[0] = 0
        n_labels = 1
        rows = leaf.first_in + leaf.first_out
        scratch[PRE, 0] = entropy_mass(leaf.first_in, leaf.first_out) / rows
        entropy = 1.0
    else:
        for label in range(len(leaf.positives)):
            count = leaf.positives[label]
            if EVIDENT <= count <= rows - EVIDENT:
                labels[n_labels] = label
                scratch[PRE, n_labels] = entropy_mass(count, rows - count) / rows
                entropy += scratch[PRE, n_labels]
                n_labels += 1
    best, second, best_feature, best_threshold = -np.inf, -np.inf, -1, 0.0
    bound = math.sqrt(settings.log_inverse_confidence / (2.0 * rows))
    if n_labels == 0:
        return best, second, best_feature, best_threshold, bound, null
    n_tests = 0.0
    for feature in range(len(table.arities)):
        merit, threshold = best_of_feature(leaf, table, feature, labels, n_labels, scratch, settings)
        merit /= entropy
        if merit > -np.inf:
            n_tests += 1.0
        if merit > -np.inf and merit >= best:  # of equal merits river's stable sort leaves the last feature on top
            second = best
            best, best_feature, best_threshold = merit, feature, threshold
        elif merit > second:
            second = merit
    if not settings.river:
        null = null_merit(float(n_labels), N_CANDIDATES * n_tests, rows, settings.log_inverse_confidence) / entropy
    return best, second, best_feature, best_threshold, bound, null


@lean_kernel
def good_enough(best, second, feature, bound, null, settings):
    """Whether a leaf is split by what `search_splits` found.

    The best test must beat the null merit, and be ahead of the second best (or of no split, merit 0) by the Hoeffding
    bound, or the bound be under the tie threshold. River mode follows river to the letter: no null merit.
    """
    if not settings.river:
        second = max(second, 0.0)
        if feature < 0 or best <= null:
            return False
    return second == -np.inf < best or best - second > bound or bound < settings.tie_threshold


@lean_kernel
def split_shares(leaf, table, labels, scratch, feature, threshold, settings):
    """Write, per label, the rows known and the rows sent left by a test: scratch rows N_ + ZEROS_ and LEFT_."""
    n_labels = len(leaf.positives)
    for label in range(n_labels):
        labels[label] = label
    load_feature(leaf, table, feature, labels, n_labels, scratch, settings)
    if table.arities[feature] > 0:
        cell = table.offsets[feature] + settings.missing_cells
        n_cells = table.offsets[feature + 1] - cell
        for label in range(n_labels):
            send_value_left(scratch, label, leaf.cells, cell, n_cells, label, int(threshold), settings)
    else:
        send_left(scratch, n_labels, threshold, settings.river)
