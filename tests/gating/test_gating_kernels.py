"""The compiled kernels of gated routing agree with their plain-Python twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gating.gate_streams import gate_stream, run
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import gating as twin

from stream_ml.gating import Gates
from stream_ml.gating._layout import COUNT, FIELDS, NONE, PRIOR, SHARE, WEIGHT_SQUARES, WIDTH, GateWeights
from stream_ml.gating._table_kernels import find_blocks, make_blocks, rehash
from stream_ml.gating._tree_kernels import enter_label, mark_path

quick = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


# -- the table --------------------------------------------------------------------------------------------------------


def empty_table(size, most):
    return GateWeights(
        np.full(size, -1, np.int64),
        np.zeros(size, np.int32),
        np.zeros((most, FIELDS, WIDTH), np.float32),
        np.zeros((most, 2), np.float32),
        np.zeros(2, np.int64),
    )


def keys_of(weights):
    """Keys of the table in the order of their places, None where there is none."""
    return [divmod(key, 1 << 32) if key >= 0 else None for key in weights.keys.tolist()]


def numbers_of(weights):
    return {key: n for key, n in zip(keys_of(weights), weights.numbers.tolist(), strict=True) if key is not None}


@quick
@given(seeds, st.integers(4, 60), st.integers(1, 60), st.integers(1, 60))
def test_table(seed, size, most, turns):
    """Covers `_home`, `find_blocks`, `make_blocks`, `rehash`: keys collide, and there are too few places or blocks."""
    rng = np.random.default_rng(seed)
    weights, expected = empty_table(size, most), twin.Table(size, most)
    for turn in range(turns):
        group = int(rng.integers(3))
        columns = np.flatnonzero(rng.random(30) < 0.2).astype(np.int32)
        out = np.full(len(columns) + 1, -7, np.int32)
        find_blocks(weights, np.int32(group), columns, 0, len(columns), FIELDS, out)
        found = expected.find_blocks(group, columns.tolist())
        assert out.tolist() == [NONE if n is None else n for n in found] + [-7]
        if rng.random() < 0.3:
            continue
        held = weights.blocks.copy(), numbers_of(weights)
        make_blocks(weights, np.int32(group), columns, 0, len(columns), out)
        made = expected.make_blocks(group, columns.tolist())
        assert out.tolist() == [NONE if n is None else n for n in made] + [-7]
        fresh = [key for key, n in numbers_of(weights).items() if key not in held[1]]
        for key, number in numbers_of(weights).items():
            block = weights.blocks[number]
            if key not in fresh:
                np.testing.assert_array_equal(block, held[0][number])
                continue
            assert (block[WEIGHT_SQUARES] == np.float32(0.01)).all()
            assert not np.delete(block, WEIGHT_SQUARES, axis=0).any()
            assert not weights.rows[number].any()
        for column, number in zip(columns.tolist(), out.tolist(), strict=False):
            if number >= 0:
                needed = float(rng.integers(1, 4))
                weights.rows[number, 0] += needed
                weights.blocks[number] = turn + 1
                expected.needed[group, column] += needed
        if rng.random() < 0.1:
            keys, numbers = np.full(2 * size, -1, np.int64), np.zeros(2 * size, np.int32)
            weights.tally[1] += rehash(weights.keys, weights.numbers, keys, numbers)
            weights, size = weights._replace(keys=keys, numbers=numbers), 2 * size
            expected.rehash(size)
    assert keys_of(weights) == expected.places
    assert numbers_of(weights) == expected.blocks
    assert weights.tally.tolist() == [expected.used, expected.forgotten]
    held = [key for key in keys_of(weights) if key is not None]
    assert len(held) == len(set(held)) == len(set(numbers_of(weights).values())) <= expected.used <= most


def test_the_least_needed_gives_way():
    """All places are taken: the block that fewest rows had goes, with all that was in it."""
    weights, out = empty_table(4, 4), np.full(4, -1, np.int32)
    make_blocks(weights, np.int32(0), np.arange(4, dtype=np.int32), 0, 4, out)
    weights.rows[out, 0] = 5, 2, 9, 3
    weights.blocks[:] = 7.0
    out[0] = NONE
    make_blocks(weights, np.int32(0), np.array([4], np.int32), 0, 1, out)
    assert sorted(numbers_of(weights)) == [(0, 0), (0, 2), (0, 3), (0, 4)]
    assert weights.tally.tolist() == [4, 1]
    assert weights.blocks[out[0]].max() == np.float32(0.01)


def test_a_row_wider_than_the_table_shares_no_block():
    """What gives way to a later column of the same row has no block any more, not that of the other."""
    weights, out = empty_table(3, 3), np.full(6, -1, np.int32)
    make_blocks(weights, np.int32(0), np.arange(6, dtype=np.int32), 0, 6, out)
    assert sorted(out[out >= 0].tolist()) == [0, 1, 2]
    assert weights.tally.tolist() == [3, 3]


# -- the tree ---------------------------------------------------------------------------------------------------------


def random_tree(seed, n, n_mates):
    """Labels that enter a compiled tree and its twin, each in a row with `n_mates` that are there, others likely."""
    rng = np.random.default_rng(seed)
    gates, expected = Gates(), twin.Tree()
    gates.grow(n)
    gates._make_groups(n)
    tree, lanes = gates.tree, gates.lanes
    for label in rng.permutation(n).tolist():
        groups, known = int(tree.counters[0]), list(expected.place)
        assert groups == len(expected.groups)
        mates = rng.choice(known, min(n_mates, len(known)), replace=False).tolist() if known else []
        positive, touched = np.zeros(len(tree.used), np.int64), np.full(len(tree.used), -1, np.int32)
        n_touched = 0
        for mate in mates:
            n_touched = mark_path(tree, np.int32(mate), positive, touched, n_touched)
        steps = expected.mark_path(mates)
        assert sorted(touched[:n_touched].tolist()) == sorted({group for group, _ in steps})
        assert [bin(mask).count("1") for mask in positive.tolist()] == [
            sum(g == group for g, _ in steps) for group in range(len(positive))
        ]
        seen = np.where(rng.random(len(tree.used)) < 0.5, np.arange(len(tree.used)), -1).astype(np.int32)
        chances = (rng.integers(0, 5, (len(tree.used), WIDTH)) / 4).astype(np.float32)  # ties are common
        near = {group: chances[group].tolist() for group in range(groups) if seen[group] >= 0}
        count = float(rng.integers(0, 9))
        for child in (c for group in expected.groups for c in group.children):
            child.count = count
        lanes.values[:groups, COUNT] = count
        enter_label(tree, lanes, np.int32(label), positive, seen, chances)
        expected.enter_label(label, steps, near)
        group, lane = expected.place[label]
        lanes.own[group, :, lane] = label + 1
        expected.groups[group].children[lane].own = [label + 1.0] * 6
    return gates, expected


@settings(quick, max_examples=25)
@given(seeds, st.integers(1, 300), st.integers(0, 3))
def test_tree(seed, n, n_mates):
    """Covers `enter_label`, `mark_path`, `_put`, `_choose`, `_deepen`; a gate has its label's weights from then on."""
    gates, expected = random_tree(seed, n, n_mates)
    tree, lanes, groups = gates.tree, gates.lanes, len(expected.groups)
    assert int(tree.counters[0]) == groups
    assert {m: tuple(step) for m, step in enumerate(tree.place[:n].tolist())} == expected.place
    for g, group in enumerate(expected.groups):
        used = len(group.children)
        assert tree.used[g] == used
        assert (tree.parent[g], tree.parent_lane[g]) == (group.above or (NONE, 0))
        assert tree.label[g, :used].tolist() == [NONE if c.label is None else c.label for c in group.children]
        assert tree.below[g, :used].tolist() == [NONE if c.below is None else c.below.number for c in group.children]
        assert tree.size[g].tolist() == [c.size for c in group.children] + [0] * (WIDTH - used)
        assert (tree.label[g, used:] == NONE).all()
        assert (tree.below[g, used:] == NONE).all()
        np.testing.assert_allclose(lanes.values[g, SHARE, :used], [c.share for c in group.children], rtol=1e-6)
        np.testing.assert_allclose(lanes.values[g, PRIOR, :used], [c.prior for c in group.children], rtol=1e-5)
        np.testing.assert_array_equal(lanes.own[g, :, :used].T, [c.own for c in group.children])
        assert lanes.rows[g, 0] == group.rows


@settings(quick, max_examples=10)
@given(seeds, st.integers(1, 600), st.integers(0, 3))
def test_the_tree_stays_balanced(seed, n, n_mates):
    """No child holds much more than twice the mean of its siblings, or a group, so paths are about log L long.

    And of the groups below one that is full not many are half empty.
    """
    tree = random_tree(seed, n, n_mates)[0].tree
    for group in range(int(tree.counters[0])):
        if tree.used[group] == WIDTH:
            assert tree.size[group].max() <= max(2 * tree.size[group].sum() / WIDTH, WIDTH - 1) + 1
            below = tree.below[group][tree.below[group] != NONE]
            assert (WIDTH - tree.used[below]).sum() <= 2 * WIDTH
    for group, _ in tree.place[:n].tolist():
        depth = 0
        while group != NONE:
            group, depth = int(tree.parent[group]), depth + 1
        assert depth <= 2 + math.log(n) / math.log(WIDTH / 2)


# -- whole blocks -----------------------------------------------------------------------------------------------------

OPTIONS = {"prior_fading": 0.99, "own_rate": 0.02, "decay": 0.99, "ridge": 10.0}


def twin_of(stream, reach):
    gates = twin.Gates(stream.centred.tolist(), *OPTIONS.values(), reach)
    rows = [twin.Row(cells, stream.near(i)) for i, cells in enumerate(stream.cells)]
    told = gates.gates_block(rows, stream.labels, stream.absent, stream.in_part, stream.mode.tolist(), 64)
    return gates, list(told)


def compare(stream, reach):
    """Probabilities, visits, the tree and what was learned. Near-equal labels may change places in a list."""
    gates = Gates(reach=reach, **OPTIONS)
    got = run(gates, stream)
    expected, told = twin_of(stream, reach)
    for row, (top, seen, taught, every) in enumerate(told):
        n = int(got.n_top[row])
        found = dict(zip(got.top[row, :n].tolist(), got.chances[row, :n].tolist(), strict=True))
        assert len(found) == n == len(top), row
        np.testing.assert_allclose(list(found.values()), [p for _, p in top], rtol=2e-3, atol=1e-4, err_msg=str(row))
        for label, p in found.items():
            assert p == pytest.approx(every[label], rel=2e-3, abs=1e-4), (row, label)
        assert got.visited[row].tolist() == [seen, taught], row
    assert {m: tuple(s) for m, s in enumerate(gates.tree.place.tolist()) if s[0] >= 0} == expected.tree.place
    for kind, name in enumerate(("gate", "label")):
        np.testing.assert_allclose(gates.stack.shared[kind], expected.shared[name].weights, rtol=2e-3, atol=1e-4)
    placed = np.array(sorted(expected.tree.place), dtype=np.int64)
    own = [
        np.add(expected.shared["label"].weights, expected.tree.groups[g].children[i].own)
        for g, i in (expected.tree.place[m] for m in placed.tolist())
    ]
    np.testing.assert_allclose(gates.label_weights(placed).T, np.reshape(own, (-1, 6)), rtol=2e-3, atol=1e-4)


@quick
@given(seeds, st.integers(1, 50), st.integers(1, 120), st.booleans(), st.integers(0, 4), st.sampled_from([0.0, 0.1]))
def test_gates_block(seed, n, n_labels, sparse, k, reach):
    """Covers every kernel of `_expert_kernels` and `_kernels`."""
    compare(gate_stream(seed, n, n_labels=n_labels, sparse=sparse, k=k), reach)
