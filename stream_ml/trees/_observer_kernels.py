"""What an active leaf observes: class-conditional statistics per feature and label, and the naive Bayes read from them.

Statistics are kept for the rows with a label and for all rows; those of the rows without it are the difference, so both
class-conditional Gaussians are exact while a row costs (features stored) x (1 + positive labels).
"""

from __future__ import annotations

import math

from stream_ml.elementary import log64
from stream_ml.jit import lean_kernel

__all__ = [
    "add_value",
    "binary_scores",
    "naive_bayes_scores",
    "observe_binary",
    "observe_row",
    "prepare_binary",
    "prepare_naive_bayes",
    "rest_of",
]

NB_PRIOR_ROWS = 2.0
"""Weight, in rows, of what all labels share when a class has few rows."""


@lean_kernel
def add_value(cells, at, column, value):
    """Welford's update of the (n, mean, sum of squared deviations) that start at cell `at`."""
    n = cells[at, column] + 1.0
    delta = value - cells[at + 1, column]
    mean = cells[at + 1, column] + (1.0 / n) * delta
    cells[at, column] = n
    cells[at + 1, column] = mean
    cells[at + 2, column] += delta * (value - mean)


@lean_kernel
def rest_of(n, mean, m2, n_part, mean_part, m2_part):
    """(n, mean, sum of squared deviations) of all rows but those of the part (Chan et al. 1983, backwards)."""
    n_rest = n - n_part
    if n_rest <= 0.0:
        return 0.0, 0.0, 0.0
    if n_part <= 0.0:
        return n_rest, mean, m2
    mean_rest = mean + (mean - mean_part) * n_part / n_rest
    gap = mean_part - mean_rest
    m2_rest = m2 - m2_part - gap * gap * n_part * n_rest / n
    return n_rest, mean_rest, max(m2_rest, 0.0)


@lean_kernel
def observe_row(cells, low, high, table, sparse, missing_cells, indices, values, lo, hi, labels, y_lo, y_hi):
    """Add one row to a leaf's `cells` (cells, labels + 1) and to its extremes `low`, `high` (features, 1 or 2).

    Absent features add nothing: in sparse data zeros are derived from totals, in dense data they are missing. With
    two columns (river mode) the extremes are those of the rows without and with label 0, and the last cell column is
    for rows without it.
    """
    total = cells.shape[1] - 1
    side = 0
    if low.shape[1] == 2:
        for k in range(y_lo, y_hi):
            if labels[k] == 0:
                side = 1
    for at in range(lo, hi):
        feature = indices[at]
        value = values[at]
        cell = table.offsets[feature] + missing_cells
        arity = table.arities[feature]
        if not math.isfinite(value) or (arity > 0 and (value < 0 or value >= arity)):
            if missing_cells > 0:
                cells[cell - 1, total] += 1.0
                for k in range(y_lo, y_hi):
                    cells[cell - 1, labels[k]] += 1.0
            continue
        if sparse and value == 0.0:
            continue
        if arity > 0:
            cell += int(value)
            if sparse:
                cell -= 1
            if side == 0:
                cells[cell, total] += 1.0
            for k in range(y_lo, y_hi):
                cells[cell, labels[k]] += 1.0
        else:
            if value < low[feature, side]:
                low[feature, side] = value
            if value > high[feature, side]:
                high[feature, side] = value
            x = float(value)
            if side == 0:
                add_value(cells, cell, total, x)
            for k in range(y_lo, y_hi):
                add_value(cells, cell, labels[k], x)


@lean_kernel
def observe_binary(cells, indices, values, lo, hi, labels, y_lo, y_hi):
    """`observe_row` where `Settings.binary` holds: the cell is the feature's number."""
    total = cells.shape[1] - 1
    for at in range(lo, hi):
        if 1.0 <= values[at] < 2.0:
            cells[indices[at], total] += 1.0
            for k in range(y_lo, y_hi):
                cells[indices[at], labels[k]] += 1.0


@lean_kernel
def _log_ratio(count_in, rows_in, count_out, rows_out, share):
    """log of P(value | label) / P(value | no label), both shrunk towards the value's overall `share`."""
    k = NB_PRIOR_ROWS
    return math.log((count_in + k * share) * (rows_out + k) / ((count_out + k * share) * (rows_in + k)))


@lean_kernel
def _gaussian_coefs(coefs, at, label, n, mean, m2, n_part, mean_part, m2_part):
    """Log-likelihood ratio of two Gaussians as a x^2 + b x + c of x - mean; both shrunk towards the common one."""
    k = NB_PRIOR_ROWS
    common = m2 / n
    n_rest, mean_rest, m2_rest = rest_of(n, mean, m2, n_part, mean_part, m2_part)
    centre_in = n_part * (mean_part - mean) / (n_part + k)
    centre_out = n_rest * (mean_rest - mean) / (n_rest + k)
    var_in = (m2_part + k * common) / (n_part + k)
    var_out = (m2_rest + k * common) / (n_rest + k)
    coefs[at, label] += 0.5 * (1.0 / var_out - 1.0 / var_in)
    coefs[at + 1, label] += centre_in / var_in - centre_out / var_out
    offset = math.log(var_out / var_in) + centre_out * centre_out / var_out - centre_in * centre_in / var_in
    coefs[at + 2, label] += 0.5 * offset


@lean_kernel
def prepare_naive_bayes(cells, positives, rows, table, sparse, missing_cells, coefs, center, base):
    """Write the naive Bayes log-likelihood ratios of a leaf as coefficients per cell and label.

    A numeric value x adds `a d^2 + b d + c` with `d = x - center`, a nominal one the coefficient of its cell. In
    sparse data being non-zero is an event of its own, the Gaussian is that of the non-zeros, and what all-zeros would
    score is in `base`, so that a row adds its non-zeros only. A label without positives here gets zeros.
    """
    total = cells.shape[1] - 1
    for label in range(total):
        base[label] = 0.0
        for cell in range(len(coefs)):
            coefs[cell, label] = 0.0
    for feature in range(len(table.arities)):
        cell = table.offsets[feature] + missing_cells
        arity = table.arities[feature]
        n_cells = table.offsets[feature + 1] - cell
        known, stored = rows, 0.0
        if arity > 0:
            for v in range(n_cells):
                stored += cells[cell + v, total]
        else:
            stored = cells[cell, total]
            center[feature] = cells[cell + 1, total]
        if stored == 0.0:
            continue
        missing = cells[cell - 1, total] if missing_cells > 0 else 0.0
        known = rows - missing if sparse else stored
        for label in range(total):
            if positives[label] <= 0.0 or positives[label] >= rows:
                continue
            stored_in = 0.0
            if arity > 0:
                for v in range(n_cells):
                    stored_in += cells[cell + v, label]
            else:
                stored_in = cells[cell, label]
            missing_in = cells[cell - 1, label] if missing_cells > 0 else 0.0
            known_in = positives[label] - missing_in if sparse else stored_in
            known_out = known - known_in
            absent = 0.0
            if sparse:
                zeros, zeros_in = known - stored, known_in - stored_in
                absent = _log_ratio(zeros_in, known_in, zeros - zeros_in, known_out, (zeros + 1.0) / (known + 2.0))
                base[label] += absent
            if arity > 0:
                for v in range(n_cells):
                    count, count_in = cells[cell + v, total], cells[cell + v, label]
                    share = (count + 1.0) / (known + arity)
                    ratio = _log_ratio(count_in, known_in, count - count_in, known_out, share)
                    coefs[cell + v, label] = ratio - absent
                continue
            if sparse:
                share = (stored + 1.0) / (known + 2.0)
                ratio = _log_ratio(stored_in, known_in, stored - stored_in, known_out, share)
                coefs[cell + 2, label] = ratio - absent
            if cells[cell + 2, total] > 1e-12 * cells[cell, total] * cells[cell + 1, total] ** 2:
                _gaussian_coefs(
                    coefs,
                    cell,
                    label,
                    cells[cell, total],
                    cells[cell + 1, total],
                    cells[cell + 2, total],
                    cells[cell, label],
                    cells[cell + 1, label],
                    cells[cell + 2, label],
                )


@lean_kernel
def prepare_binary(cells, positives, rows, chosen, logs, coefs, base):
    """`prepare_naive_bayes` where `Settings.binary` holds, with the logarithms of many cells and labels taken at once.

    `chosen` (labels) and `logs` (2, pairs), of at least as many pairs as labels, are scratch.
    """
    k, n_cells, n_labels = NB_PRIOR_ROWS, coefs.shape[0], coefs.shape[1]
    seen = 0
    for label in range(n_labels):
        base[label] = 0.0
        if 0.0 < positives[label] < rows:
            chosen[seen] = label
            seen += 1
    together = logs.shape[1] // max(seen, 1)
    for first in range(0, n_cells, together):
        last = min(first + together, n_cells)
        n = 0
        for cell in range(first, last):
            stored = cells[cell, n_labels]
            if stored == 0.0:
                continue
            zeros = rows - stored
            there, absent = k * ((stored + 1.0) / (rows + 2.0)), k * ((zeros + 1.0) / (rows + 2.0))
            for i in range(seen):
                rows_in, stored_in = positives[chosen[i]], cells[cell, chosen[i]]
                zeros_in = rows_in - stored_in
                weight_in, weight_out = rows_in + k, rows - rows_in + k
                logs[0, n + i] = (stored_in + there) * weight_out / ((stored - stored_in + there) * weight_in)
                logs[1, n + i] = (zeros_in + absent) * weight_out / ((zeros - zeros_in + absent) * weight_in)
            n += seen
        for i in range(n):
            logs[0, i] = log64(logs[0, i])
        for i in range(n):
            logs[1, i] = log64(logs[1, i])
        n = 0
        for cell in range(first, last):
            for label in range(n_labels):
                coefs[cell, label] = 0.0
            if cells[cell, n_labels] == 0.0:
                continue
            for i in range(seen):
                coefs[cell, chosen[i]] = logs[0, n + i] - logs[1, n + i]
                base[chosen[i]] += logs[1, n + i]
            n += seen


@lean_kernel
def binary_scores(coefs, base, indices, values, lo, hi, scores):
    """`naive_bayes_scores` where `Settings.binary` holds."""
    n_labels = len(scores)
    if n_labels == 1:  # a sum in a register
        score = base[0]
        for at in range(lo, hi):
            if 1.0 <= values[at] < 2.0:
                score += coefs[indices[at], 0]
        scores[0] = score
        return
    for label in range(n_labels):
        scores[label] = base[label]
    at = lo
    while at < hi:
        four = at + 4 <= hi
        for other in range(at, min(at + 4, hi)):
            four = four and 1.0 <= values[other] < 2.0
        if four:  # scores are read and written once, in the order of the sum
            a, b, c, d = indices[at], indices[at + 1], indices[at + 2], indices[at + 3]
            for label in range(n_labels):
                scores[label] = scores[label] + coefs[a, label] + coefs[b, label] + coefs[c, label] + coefs[d, label]
            at += 4
            continue
        if 1.0 <= values[at] < 2.0:
            for label in range(n_labels):
                scores[label] += coefs[indices[at], label]
        at += 1


@lean_kernel
def naive_bayes_scores(coefs, center, base, table, sparse, missing_cells, indices, values, lo, hi, scores):
    """Write `scores` (labels) float32: the naive Bayes log-likelihood ratio of a row, without the prior."""
    n_labels = len(scores)
    for label in range(n_labels):
        scores[label] = base[label]
    for at in range(lo, hi):
        feature = indices[at]
        value = values[at]
        arity = table.arities[feature]
        if not math.isfinite(value) or (sparse and value == 0.0) or (arity > 0 and (value < 0 or value >= arity)):
            continue
        cell = table.offsets[feature] + missing_cells
        if arity > 0:
            cell += int(value)
            if sparse:
                cell -= 1
            for label in range(n_labels):
                scores[label] += coefs[cell, label]
        else:
            d = value - center[feature]
            d2 = d * d
            for label in range(n_labels):
                scores[label] += coefs[cell, label] * d2 + coefs[cell + 1, label] * d + coefs[cell + 2, label]
    for label in range(n_labels):  # squares of values beyond 1e19 overflow: no opinion
        if not math.isfinite(scores[label]):
            scores[label] = 0.0
