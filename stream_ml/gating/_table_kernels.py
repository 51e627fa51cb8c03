"""Compiled access to the table of weight blocks: a hash table of bounded size."""

from __future__ import annotations

import numpy as np

from stream_ml.gating._lane_kernels import fetch, fetch_block
from stream_ml.gating._layout import WEIGHT_SQUARES
from stream_ml.jit import lean_kernel

__all__ = ["REACH", "find_blocks", "make_blocks", "rehash"]

REACH = 16
"""Places from its home on where a key may be."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FIRST_SQUARES = np.float32(1e-2)


@lean_kernel
def _home(key, size):
    """First place of a key: Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""
    mixed = np.uint64(key) * MULTIPLIER
    mixed ^= mixed >> np.uint64(29)
    mixed *= MULTIPLIER
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@lean_kernel
def find_blocks(weights, group, columns, lo, hi, fields, out):
    """Numbers of the blocks of a group for some columns, -1 where there is none, to `out`.

    The first `fields` of each are asked for, so that the memory brings them all at a time.
    """
    keys, numbers, size = weights.keys, weights.numbers, len(weights.keys)
    for k in range(lo, hi):
        place = _home((np.int64(group) << 32) + columns[k], size)
        fetch(keys, place)
        fetch(numbers, place)
        out[k - lo] = place
    for k in range(lo, hi):
        key = (np.int64(group) << 32) + columns[k]
        place, number = np.int64(out[k - lo]), np.int32(-1)
        for _ in range(REACH):
            if keys[place] == key:
                number = numbers[place]
                fetch_block(weights.blocks, number, fields)
                break
            if keys[place] < 0:
                break
            place = place + 1 if place + 1 < size else 0
        out[k - lo] = number


@lean_kernel
def make_blocks(weights, group, columns, lo, hi, out):
    """Blocks for what `find_blocks` did not find: where there may be no more, for the key that was needed least.

    Where no key near may give way either, there is none. Nor is there for a column that another of them took it from.
    """
    keys, numbers, blocks, rows, tally = weights.keys, weights.numbers, weights.blocks, weights.rows, weights.tally
    size, forgotten = len(keys), tally[1]
    for k in range(lo, hi):
        if out[k - lo] >= 0:
            continue
        key = (np.int64(group) << 32) + columns[k]
        place, chosen, least = _home(key, size), np.int64(-1), np.float32(np.inf)
        for _ in range(REACH):
            if keys[place] < 0:
                if tally[0] < len(blocks):
                    chosen = place
                break
            needed = rows[numbers[place], 0]
            if needed < least:
                chosen, least = place, needed
            place = place + 1 if place + 1 < size else 0
        if chosen < 0:
            continue
        if keys[chosen] < 0:
            numbers[chosen] = tally[0]
            tally[0] += 1
        else:
            tally[1] += 1
        number = numbers[chosen]
        keys[chosen], out[k - lo] = key, number
        for field in range(blocks.shape[1]):
            for lane in range(blocks.shape[2]):
                blocks[number, field, lane] = FIRST_SQUARES if field == WEIGHT_SQUARES else np.float32(0.0)
        rows[number, 0] = rows[number, 1] = 0.0
    if tally[1] > forgotten:  # what gave way may have been found, or made, for this very row
        find_blocks(weights, group, columns, lo, hi, 0, out)


@lean_kernel
def rehash(keys, numbers, new_keys, new_numbers):
    """Enter all keys into a larger table that is empty; returns how many found no place."""
    size, lost = len(new_keys), 0
    for old in range(len(keys)):
        if keys[old] < 0:
            continue
        place = _home(keys[old], size)
        for _ in range(REACH):
            if new_keys[place] < 0:
                break
            place = place + 1 if place + 1 < size else 0
        if new_keys[place] < 0:
            new_keys[place], new_numbers[place] = keys[old], numbers[old]
        else:
            lost += 1
    return lost
