"""Plain-Python twin of `stream_ml.drift._kernels`: a bucket is the list of its values, statistics are taken afresh.

`window.rows[r]` lists the buckets of `2**r` values, oldest first.
"""

from __future__ import annotations

import math


class Window:
    """One detector."""

    def __init__(self, delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10, max_rows=40):
        self.delta, self.clock, self.max_buckets = delta, clock, max_buckets
        self.min_window_length, self.grace_period, self.max_rows = min_window_length, grace_period, max_rows
        adwin_reset(self)

    def update(self, value):
        return adwin_update(self, value)

    def keep(self):
        adwin_keep(self)

    def mean(self):
        return adwin_mean(self)

    def newest(self):
        return adwin_newest(self)

    def buckets(self):
        """All buckets, oldest first."""
        return [bucket for row in reversed(self.rows) for bucket in row]

    def values(self):
        """All values, oldest first."""
        return [value for bucket in self.buckets() for value in bucket]


def adwin_reset(window):
    window.rows = [[] for _ in range(window.max_rows)]
    window.ticks = 0
    window.last = 0


def adwin_width(window):
    return len(window.values())


def adwin_mean(window):
    values = window.values()
    return math.fsum(values) / len(values) if values else 0.0


def adwin_newest(window, least=5):
    """How many of the newest values differ most surely from those before, and their mean; all where none do."""
    buckets, values = window.buckets(), window.values()
    best, newest = 3 * math.sqrt(adwin_variance(window)), values
    for cut in range(1, len(buckets)):
        old, new = ([v for bucket in part for v in bucket] for part in (buckets[:cut], buckets[cut:]))
        if len(old) >= least and len(new) >= least:
            gap = math.fsum(new) / len(new) - math.fsum(old) / len(old)
            surely = gap / math.sqrt(1 / len(old) + 1 / len(new))
            if surely > best:
                best, newest = surely, new
    return len(newest), math.fsum(newest) / len(newest)


def adwin_variance(window):
    values = window.values()
    if not values:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / len(values)


def _drop_first(window, row, n):
    del window.rows[row][:n]


def _oldest_row(window):
    return max((r for r, buckets in enumerate(window.rows) if buckets), default=-1)


def _forget_oldest(window):
    row = _oldest_row(window)
    _drop_first(window, row, 1)
    return 2**row


def _insert(window, value):
    window.rows[0].append([value])
    row = 0
    while len(window.rows[row]) > window.max_buckets:
        first, second = window.rows[row][:2]
        _drop_first(window, row, 2)
        if row + 1 == window.max_rows:
            return  # no row above: the two oldest are lost
        window.rows[row + 1].append(first + second)
        row += 1


def _find_cut(window):
    values, buckets, least = window.values(), window.buckets(), window.min_window_length
    spread = adwin_variance(window)
    log_term = math.log(2 * math.log(len(values)) / window.delta)
    borders, at = [], 0
    for bucket in buckets[:-1]:
        at += len(bucket)
        borders.append(at)
    for border in borders:
        older, newer = values[:border], values[border:]
        if len(older) < least or len(newer) < least:
            continue
        m = 1 / (1 / (len(older) - least + 1) + 1 / (len(newer) - least + 1))
        bound = math.sqrt(2 / m * spread * log_term) + 2 / (3 * m) * log_term
        step = math.fsum(newer) / len(newer) - math.fsum(older) / len(older)
        if abs(step) > bound:
            return 1 if step > 0 else -1
    return 0


def adwin_update(window, value):
    if window.last:
        adwin_reset(window)
    _insert(window, value)
    window.ticks += 1
    if window.ticks % window.clock or adwin_width(window) <= window.grace_period:
        return 0
    while adwin_width(window) > 1:
        cut = _find_cut(window)
        if not cut:
            break
        window.last = cut if window.last <= 0 else 1
        _forget_oldest(window)
    return window.last


def adwin_keep(window):
    window.last = 0


def adwin_run(window, values):
    return [i for i, value in enumerate(values) if adwin_update(window, value)]
