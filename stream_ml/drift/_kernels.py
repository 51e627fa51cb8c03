"""ADWIN on a bank of detectors that share arrays, so that other kernels can hold one per node or per cluster.

Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007. A window of values is kept as an
exponential histogram: row `r` of a detector holds buckets of `2**r` values each, oldest first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import grown
from stream_ml.jit import lean_kernel

__all__ = [
    "AdwinBank",
    "adwin_keep",
    "adwin_mean",
    "adwin_newest",
    "adwin_reset",
    "adwin_run",
    "adwin_update",
    "adwin_variance",
    "adwin_width",
    "grow_bank",
    "new_bank",
]

MAX_ROWS = 40
"""Rows of a histogram: room for 2**40 values, so that no stream fills it."""

VALUES = 2.0 ** np.arange(MAX_ROWS + 1)
"""Values of a bucket, by its row."""

MARGIN = 1e-6
"""More than rounding takes from a square of differences."""

WIDTH, TOTAL, VARIANCE, TICK, DETECTED = range(5)


class AdwinBank(NamedTuple):
    """State of many detectors; the first axis is the detector's slot."""

    totals: NDArray[np.float64]  # (slots, rows, max_buckets + 1) sum of a bucket's values
    variances: NDArray[np.float64]  # (slots, rows, max_buckets + 1) sum of squared deviations within a bucket
    sizes: NDArray[np.int32]  # (slots, rows) buckets in use
    reals: NDArray[np.float64]  # (slots, 5) width, total, sum of squared deviations, ticks, last update's result


def new_bank(n_slots: int, max_buckets: int = 5, max_rows: int = MAX_ROWS) -> AdwinBank:
    """A bank of `n_slots` empty detectors, each with room for `max_rows` rows of `max_buckets` buckets.

    A window holds at most `max_buckets * (2**max_rows - 1)` values. One that is full loses its two oldest buckets
    whenever its last row overflows, and goes on detecting on the rest.
    """
    shape = (n_slots, max_rows, max_buckets + 1)
    return AdwinBank(
        np.zeros(shape), np.zeros(shape), np.zeros(shape[:2], dtype=np.int32), np.zeros((n_slots, DETECTED + 1))
    )


def grow_bank(bank: AdwinBank, n_slots: int) -> AdwinBank:
    """The bank with room for at least `n_slots` detectors; new ones are empty."""
    if n_slots <= len(bank.sizes):
        return bank
    return AdwinBank(*(grown(a, (n_slots, *a.shape[1:])) for a in bank))


@lean_kernel
def adwin_reset(bank, slot):
    """Empty a detector's window."""
    bank.sizes[slot, :] = 0
    bank.reals[slot, :] = 0.0


@lean_kernel
def adwin_width(bank, slot):
    """Number of values in the window."""
    return bank.reals[slot, WIDTH]


@lean_kernel
def adwin_mean(bank, slot):
    """Mean of the window, 0 when empty."""
    width = bank.reals[slot, WIDTH]
    return bank.reals[slot, TOTAL] / width if width > 0.0 else 0.0


@lean_kernel
def adwin_variance(bank, slot):
    """Population variance of the window, 0 when empty."""
    width = bank.reals[slot, WIDTH]
    return bank.reals[slot, VARIANCE] / width if width > 0.0 else 0.0


@lean_kernel
def _drop_first(bank, slot, row, n):
    """Remove the `n` oldest buckets of a row."""
    size = bank.sizes[slot, row] - n
    for k in range(size):
        bank.totals[slot, row, k] = bank.totals[slot, row, k + n]
        bank.variances[slot, row, k] = bank.variances[slot, row, k + n]
    bank.sizes[slot, row] = size


@lean_kernel
def _insert(bank, slot, value):
    """Add a value as a bucket of its own; where a row is over-full, its two oldest become one of the next row."""
    reals = bank.reals[slot]
    reals[WIDTH] += 1.0
    width = reals[WIDTH]
    if width > 1.0:
        step = value - reals[TOTAL] / (width - 1.0)
        reals[VARIANCE] += (width - 1.0) * step * step / width
    reals[TOTAL] += value
    totals, variances, sizes = bank.totals[slot], bank.variances[slot], bank.sizes[slot]
    n_rows, room = totals.shape
    totals[0, sizes[0]] = value
    variances[0, sizes[0]] = 0.0
    sizes[0] += 1
    for row in range(n_rows):
        if sizes[row] < room:
            break
        if row + 1 == n_rows:  # the histogram is full: the two oldest buckets leave the window
            for _ in range(2):
                _forget_oldest(bank, slot)
            break
        n = VALUES[row]
        step = (totals[row, 0] - totals[row, 1]) / n
        k = sizes[row + 1]
        totals[row + 1, k] = totals[row, 0] + totals[row, 1]
        variances[row + 1, k] = variances[row, 0] + variances[row, 1] + n * step * step / 2.0
        sizes[row + 1] = k + 1
        _drop_first(bank, slot, row, 2)


@lean_kernel
def _oldest_row(sizes):
    """The highest row that holds buckets, -1 when there is none."""
    row = len(sizes) - 1
    while row >= 0 and sizes[row] == 0:
        row -= 1
    return row


@lean_kernel
def _forget_oldest(bank, slot):
    """Remove the oldest bucket from the window; returns its number of values."""
    reals, row = bank.reals[slot], _oldest_row(bank.sizes[slot])
    n = VALUES[row]
    total, variance = bank.totals[slot, row, 0], bank.variances[slot, row, 0]
    reals[WIDTH] -= n
    reals[TOTAL] -= total
    width = reals[WIDTH]
    if width > 0.0:
        step = total / n - reals[TOTAL] / width
        reals[VARIANCE] -= variance + n * width * step * step / (n + width)
    else:
        reals[VARIANCE] = 0.0
    _drop_first(bank, slot, row, 1)
    return n


@lean_kernel
def _find_cut(bank, slot, delta, min_window_length):
    """Whether some cut of the window parts two different means: +1 when the newer is higher, -1 lower, 0 for none."""
    reals, sizes = bank.reals[slot], bank.sizes[slot]
    width = reals[WIDTH]
    spread = reals[VARIANCE] / width
    log_term = math.log(2.0 * math.log(width) / delta)
    # a bound without divisions, which is below the one that counts, spares most cuts the latter
    least = (1.0 - MARGIN) * 2.0 * spread * log_term * width
    n0, n1, u0, u1 = 0.0, width, 0.0, reals[TOTAL]
    for row in range(_oldest_row(sizes), -1, -1):
        n = VALUES[row]
        for k in range(sizes[row]):
            if row == 0 and k == sizes[0] - 1:
                break
            n0 += n
            n1 -= n
            u0 += bank.totals[slot, row, k]
            u1 -= bank.totals[slot, row, k]
            if n0 < min_window_length or n1 < min_window_length:
                continue
            apart = u1 * n0 - u0 * n1
            if apart * apart < least * (n0 * n1):  # of what overflows nothing is spared
                continue
            harmonic = 1.0 / (n0 - min_window_length + 1.0) + 1.0 / (n1 - min_window_length + 1.0)
            bound = math.sqrt(2.0 * harmonic * spread * log_term) + 2.0 / 3.0 * log_term * harmonic
            difference = u1 / n1 - u0 / n0
            if abs(difference) > bound:
                return 1 if difference > 0.0 else -1
    return 0


@lean_kernel
def adwin_newest(bank, slot, min_window_length):
    """Number of the newest values that differ most surely from those before them, and their mean.

    After a detection the window may begin well before the change: cuts are made where they are just significant. Where
    no cut is (three standard errors), it is all new.
    """
    reals, sizes = bank.reals[slot], bank.sizes[slot]
    width, total = reals[WIDTH], reals[TOTAL]
    best, newest, mean = 3.0 * math.sqrt(reals[VARIANCE] / width), width, total / width
    n0, n1, u0, u1 = 0.0, width, 0.0, total
    for row in range(_oldest_row(sizes), -1, -1):
        n = VALUES[row]
        for k in range(sizes[row]):
            n0 += n
            n1 -= n
            u0 += bank.totals[slot, row, k]
            u1 -= bank.totals[slot, row, k]
            if n0 < min_window_length or n1 < min_window_length:
                continue
            surely = (u1 / n1 - u0 / n0) / math.sqrt(1.0 / n0 + 1.0 / n1)
            if surely > best:
                best, newest, mean = surely, n1, u1 / n1
    return newest, mean


@lean_kernel
def adwin_update(bank, slot, value, delta, clock, max_buckets, min_window_length, grace_period):
    """Add a value and, every `clock` values, look for a change.

    Returns +1 where a later mean is higher than the one before it, -1 where it is lower, 0 when nothing was found. One
    look may find several changes: a rise among them is told, so that none hides behind an older fall. After a detection
    the window holds recent values only; as in river, the next update starts a new one unless `adwin_keep` is called.
    `max_buckets` must be the bank's.
    """
    reals = bank.reals[slot]
    if reals[DETECTED] != 0.0:
        adwin_reset(bank, slot)
    _insert(bank, slot, value)
    reals[TICK] += 1.0
    if np.int64(reals[TICK]) % np.int64(clock) != 0 or reals[WIDTH] <= grace_period:
        return 0
    found = 0
    while reals[WIDTH] > 1.0:
        change = _find_cut(bank, slot, delta, min_window_length)
        if change == 0:
            break
        if found <= 0:
            found = change
        _forget_oldest(bank, slot)
    reals[DETECTED] = found
    return found


@lean_kernel
def adwin_keep(bank, slot):
    """After a detection: go on with what is left of the window (Bifet and Gavaldà, SDM 2007, algorithm 1)."""
    bank.reals[slot, DETECTED] = 0.0


@lean_kernel
def adwin_run(bank, slot, values, delta, clock, max_buckets, min_window_length, grace_period, positions):
    """Add values in order; writes where changes were found to `positions` and returns how many.

    Room for one position per `clock` values, and one more, is enough.
    """
    n = 0
    for i in range(len(values)):
        if adwin_update(bank, slot, values[i], delta, clock, max_buckets, min_window_length, grace_period) != 0:
            positions[n] = i
            n += 1
    return n
