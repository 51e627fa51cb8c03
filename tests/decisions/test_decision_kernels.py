"""The compiled decision kernels agree with their plain-Python twins, and with what each loss asks for."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import decisions as twin

from stream_ml.decisions import OBJECTIVES, Deciders, JointPosterior
from stream_ml.decisions._bit_kernels import bits_in, lowest_bit
from stream_ml.decisions._candidate_kernels import HOPELESS, _bounds
from stream_ml.decisions._layout import LIKELY, MOST, SEEN, JointRows
from stream_ml.decisions._set_kernels import SetTables, count_set, find_set, set_hash
from stream_ml.decisions._threshold_kernels import _bin_of, thresholds_block
from stream_ml.decisions.joint import FIRST_WEIGHTS, _codes
from stream_ml.decisions.objectives import EXACT_SHARE, F_SHARE, FALLBACK, OWN_SHARE, RARITY
from stream_ml.decisions.saved import _marks
from stream_ml.experts import Nearest
from stream_ml.streams import Batch, Feature, Schema
from stream_ml.streams.batch import ALL_KNOWN

quick = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def random_tables(capacity, width=4, buckets=4):
    """Two tables with so few buckets that chains are long."""
    return SetTables(
        np.zeros((2, capacity), np.uint64),
        np.zeros((2, capacity)),
        np.zeros((2, capacity)),
        np.zeros((2, capacity), np.int32),
        np.zeros((2, capacity, width), np.int32),
        np.full((2, buckets), -1, np.int32),
        np.full((2, capacity), -1, np.int32),
        np.zeros(2, np.int64),
        np.zeros((2, capacity), np.uint64),
    )


@quick
@given(seeds, st.integers(1, 6), st.integers(1, 80))
def test_set_tables(seed, capacity, n):
    """Covers `set_hash`, `mark_of`, `find_set`, `count_set`, `_rarest`, `_unlink`, and the marks of a loaded table."""
    rng = np.random.default_rng(seed)
    codes, tables, expected = _codes(6), random_tables(capacity), [twin.Table(capacity, 4) for _ in range(2)]
    for weight in 1.1 ** np.arange(n):
        table, labels = int(rng.integers(2)), np.flatnonzero(rng.random(6) < 0.4).astype(np.int32)
        value = np.uint64(set_hash(codes, labels))
        assert int(value) == twin.set_hash(codes.tolist(), labels.tolist())
        count_set(tables, table, value, labels, weight)
        np.testing.assert_array_equal(_marks(tables.labels, tables.sizes), tables.marks)
        expected[table].count_set(frozenset(labels.tolist()), weight)
        assert find_set(tables, table, value) == expected[table].find_set(frozenset(labels.tolist()))
    for table in range(2):
        used = int(tables.used[table])
        got = [
            [frozenset(tables.labels[table, i, : tables.sizes[table, i]].tolist()), tables.counts[table, i]]
            for i in range(used)
        ]
        assert [labels for labels, _ in got] == [labels for labels, _ in expected[table].entries]
        marks = [sum({twin.mark_of(label) for label in labels}) for labels, _ in got]
        assert tables.marks[table, :used].tolist() == marks
        np.testing.assert_allclose([c for _, c in got], [c for _, c in expected[table].entries])


@quick
@given(st.integers(1, 2**64 - 1))
def test_bits(mask):
    assert lowest_bit(np.uint64(mask)) == twin.lowest_bit(mask)
    assert bits_in(np.uint64(mask)) == twin.bits_in(mask)


@quick
@given(seeds, st.integers(0, 200), st.sampled_from([2, 9, 1000]))
def test_the_best_scores_are_bounded(seed, n, values):
    """With many that are equal, and with hardly any: of equal scores the first are taken."""
    scores = np.random.default_rng(seed).integers(0, values, n) * (10.0 / values)
    low, high, sure = _bounds(scores, n, scores.max(initial=-np.inf))
    assert sure == np.count_nonzero(scores >= high)
    near = np.flatnonzero(scores >= scores.max(initial=-np.inf) - HOPELESS)
    best = np.sort(near[np.argsort(-scores[near], kind="stable")[:SEEN]])
    spare = np.flatnonzero((scores >= low) & (scores < high))[: SEEN - sure]
    np.testing.assert_array_equal(np.sort(np.concatenate([np.flatnonzero(scores >= high), spare])), best)


@quick
@given(seeds, st.integers(1, 50), st.integers(1, 3))
def test_a_new_partition_takes_over_what_is_known_of_whole_sets(seed, n, n_clusters):
    """Covers `project_sets`; and that it takes no part whether labels stay or go."""
    batch, p, nearest, sets = random_stream(seed, n, 6)
    joint = JointPosterior(fading=1.0)
    joint.follow(np.zeros(6, np.int64), 1)
    joint.process(p, nearest, batch)
    model = twin.Joint(6, [0] * 6, 1, 1.0, FIRST_WEIGHTS)
    twin.joint_block(model, p.tolist(), near_sets(nearest, sets), sets, batch.mode.tolist())
    slot_of = np.random.default_rng(seed).integers(-1, n_clusters, 6)
    joint.follow(slot_of, n_clusters)
    tables, mass = twin.project_sets(model.sets, slot_of.tolist(), n_clusters)
    got = joint.state.cluster_sets
    for cluster in range(n_clusters):
        places = range(int(got.used[cluster]))
        kept = [frozenset(got.labels[cluster, i, : got.sizes[cluster, i]].tolist()) for i in places]
        assert kept == [labels for labels, _ in tables[cluster].entries]
        np.testing.assert_allclose(got.counts[cluster, : len(kept)], [c for _, c in tables[cluster].entries])
    np.testing.assert_allclose(joint.state.cluster_mass, mass)


def random_stream(seed, n, n_labels, k=4):
    """Rows with correlated labels: batch, probabilities that know something, neighbours among earlier rows."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    truth = np.array([rng.random(n_labels) ** 3 for _ in range(3)])
    y = rng.random((n, n_labels)) < truth[group]
    if n > 3:
        y[2] = y[1]  # the same set twice
    p = np.clip(truth[group] * rng.uniform(0.3, 1.5, (n, n_labels)), 0, 0.99).astype(np.float32)
    p[rng.random(p.shape) < 0.1] = 0.0
    slots = np.full((n, k), -1, np.int32)
    for row in range(1, n):
        slots[row, : min(k, row)] = rng.choice(row, min(k, row), replace=False)
    weights = np.where(slots >= 0, rng.random((n, k)), 0).astype(np.float32)
    sizes, width = y.sum(1).astype(np.int32), max(1, int(y.sum(1).max()))
    labels = np.zeros((n, width), np.int32)
    for row in range(n):
        labels[row, : sizes[row]] = np.flatnonzero(y[row])
    schema = Schema([Feature("x")], [f"l{m}" for m in range(n_labels)])
    mode = rng.choice([1, 2, 3], n, p=[0.1, 0.1, 0.8]).astype(np.uint8)
    batch = Batch.from_dense(schema, np.zeros((n, 1)), y).with_mode(mode)
    return batch, p, Nearest(slots, weights, sizes, labels), [set(np.flatnonzero(row).tolist()) for row in y]


def hide(batch, seed):
    """Labels that are not known, none of them positive, in half of the rows of some streams: bool, and as sets."""
    rng = np.random.default_rng(seed)
    hidden = rng.random((len(batch), batch.n_labels)) < (seed % 3) / 4
    hidden &= (rng.random(len(batch)) < 0.5)[:, None] & ~batch.y_dense()
    return hidden, [set(np.flatnonzero(row).tolist()) for row in hidden]


def near_sets(nearest, sets):
    return [
        [(sets[s], float(w)) for s, w in zip(row.tolist(), votes.tolist(), strict=True) if s >= 0]
        for row, votes in zip(nearest.slots, nearest.weights, strict=True)
    ]


def as_dicts(rows: JointRows):
    """The compiled rows as the twin writes them."""
    result = []
    for i in range(len(rows.n_top)):
        top = rows.top[i, : rows.n_top[i]].tolist()
        masks = rows.sets[i, : rows.n_sets[i]].tolist()
        result.append(
            {
                "top": top,
                "q": rows.marginals[i, : rows.n_top[i]].tolist(),
                "sets": [frozenset(m for j, m in enumerate(top) if mask >> j & 1) for mask in masks],
                "posterior": rows.posterior[i, : rows.n_sets[i]].tolist(),
                "coverage": float(rows.coverage[i]),
            }
        )
    return result


def compare(got, expected):
    for row, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a["top"] == b["top"], row
        assert a["sets"] == b["sets"], row
        for name in ("q", "posterior", "coverage"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6, err_msg=f"row {row}, {name}")


@quick
@given(
    seeds, st.integers(1, 90), st.integers(1, 9) | st.just(70), st.sampled_from([1.0, 0.9998, 0.9]), st.integers(1, 3)
)
def test_joint_block(seed, n, n_labels, fading, n_clusters):
    """Every kernel of `_joint_kernels`, those of `_set_kernels` by its counts; with labels that share marks."""
    batch, p, nearest, sets = random_stream(seed, n, n_labels)
    slot_of = np.random.default_rng(seed).integers(-1 if n_clusters > 1 else 0, n_clusters, n_labels)
    joint = JointPosterior(fading=fading)
    joint.follow(slot_of, n_clusters)
    hidden, unknown = hide(batch, seed)
    rows = joint.process(p, nearest, batch, hidden)
    model = twin.Joint(n_labels, slot_of.tolist(), n_clusters, fading, FIRST_WEIGHTS)
    expected = twin.joint_block(model, p.tolist(), near_sets(nearest, sets), sets, batch.mode.tolist(), unknown)
    compare(as_dicts(rows), expected)
    np.testing.assert_allclose(joint.state.weights, model.weights, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(joint.state.mix, model.mix, rtol=1e-4, atol=1e-6)


@quick
@given(seeds, st.integers(1, 20), st.integers(1, 9))
def test_independent_block(seed, n, n_labels):
    batch, p, nearest, _ = random_stream(seed, n, n_labels)
    joint = JointPosterior(enabled=False)
    joint.follow(np.zeros(n_labels, np.int64), 1)
    compare(as_dicts(joint.process(p, nearest, batch)), twin.independent_block(p.tolist()))


@quick
@given(seeds, st.integers(1, 60), st.integers(1, 9))
def test_decision_blocks(seed, n, n_labels):
    """Every objective, and `thresholds_block` with `_bin_of`, `_best_cut`, `_count_row`."""
    batch, p, nearest, sets = random_stream(seed, n, n_labels)
    joint, deciders = JointPosterior(), Deciders(fading=0.99)
    joint.follow(np.zeros(n_labels, np.int64), 1)
    deciders.grow(n_labels)
    model = twin.Thresholds(n_labels, deciders.state.common.tolist())
    compiled = joint.process(p, nearest, batch)
    rows = as_dicts(compiled)
    hidden, unknown = hide(batch, seed)
    expected = twin.thresholds_block(model, rows, sets, unknown, batch.mode.tolist(), 0.99)
    decided = deciders.decide(OBJECTIVES, p, compiled, batch, hidden)
    got = {name: [indices[a:b].tolist() for a, b in pairwise(indptr)] for name, (indptr, indices) in decided.items()}
    shares = F_SHARE, RARITY, OWN_SHARE, EXACT_SHARE, FALLBACK
    for row, (common, each, frequency) in enumerate(expected):
        if not batch.mode[row] & 1:
            assert all(not sets_of[row] for sets_of in got.values())
            continue
        assert got["subset_accuracy"][row] == twin.mode_block(rows[row])
        assert got["hamming_loss"][row] == twin.hamming_block(p[row].tolist())
        assert got["example_f1"][row] == twin.example_f1_block(rows[row])
        assert got["micro_f1"][row] == twin.threshold_block(rows[row], [common] * n_labels)
        assert got["macro_f1"][row] == twin.threshold_block(rows[row], each)
        assert got["balanced"][row] == twin.balanced_block(rows[row], each, frequency, *shares)


@quick
@given(seeds, st.integers(1, 4))
def test_each_decision_is_best_for_its_loss(seed, n_labels):
    """Under a posterior over all label sets that is taken at its word, by trying every decision."""
    rng = np.random.default_rng(seed)
    posterior = rng.dirichlet(np.full(2**n_labels, 0.4))
    every = [frozenset(c) for size in range(n_labels + 1) for c in combinations(range(n_labels), size)]
    marginals = np.array([sum(p for p, s in zip(posterior, every, strict=True) if m in s) for m in range(n_labels)])
    rows = JointRows(
        np.array([n_labels], np.int32),
        np.arange(LIKELY, dtype=np.int32)[None],
        np.zeros((1, LIKELY), np.float32),
        np.zeros((1, LIKELY), np.float32),
        np.array([len(every)], np.int32),
        np.zeros((1, MOST), np.uint64),
        np.zeros((1, MOST), np.float32),
        np.ones(1, np.float32),
    )
    rows.marginals[0, :n_labels] = marginals
    rows.sets[0, : len(every)] = [sum(1 << m for m in s) for s in every]
    rows.posterior[0, : len(every)] = posterior
    schema = Schema([Feature("x")], [f"l{m}" for m in range(n_labels)])
    batch = Batch.from_dense(schema, [[0.0]], np.zeros((1, n_labels)))
    deciders = Deciders()
    deciders.grow(n_labels)
    p = marginals[None].astype(np.float32)
    chosen = {
        name: frozenset(indices.tolist()) for name, (_, indices) in deciders.decide(OBJECTIVES, p, rows, batch).items()
    }

    def expected(gain, decision):
        return sum(p * gain(decision, s) for p, s in zip(posterior, every, strict=True))

    gains = {
        "subset_accuracy": lambda a, b: float(a == b),
        "hamming_loss": lambda a, b: -len(a ^ b),
        "example_f1": lambda a, b: 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0,
    }
    for name, gain in gains.items():
        best = max(expected(gain, decision) for decision in every)
        # sets of less than a thousandth count for nothing in the expected F1
        assert expected(gain, chosen[name]) >= best - (1e-3 * len(every) if name == "example_f1" else 1e-6), name


def test_counts_are_written_down_anew_before_they_overflow():
    """A fading of 0.5 doubles the weight of every row: after 700 rows it has been made small again."""
    batch, p, nearest, sets = random_stream(11, 900, 5)
    joint, deciders = JointPosterior(fading=0.5), Deciders(fading=0.5)
    joint.follow(np.array([0, 0, 1, 1, 1]), 2)
    deciders.grow(5)
    model = twin.Joint(5, [0, 0, 1, 1, 1], 2, 0.5, FIRST_WEIGHTS)
    rows = joint.process(p, nearest, batch)
    expected = twin.joint_block(model, p.tolist(), near_sets(nearest, sets), sets, batch.mode.tolist())
    compare(as_dicts(rows), expected)
    deciders.decide(["macro_f1"], p, rows, batch)
    assert np.isfinite(deciders.state.unit[0])
    assert joint.state.unit[0] < 1e201


def test_thresholds_settle_where_f1_is_best():
    """Half the F1 that is reached, for calibrated probabilities (Lipton, Elkan, Narayanaswamy, ECML PKDD 2014)."""
    rng = np.random.default_rng(2)
    n = 6000
    p = np.maximum(rng.beta(0.4, 2.0, (n, 1)), 0.01).astype(np.float32)
    y = rng.random((n, 1)) < p
    schema = Schema([Feature("x")], ["l"])
    batch = Batch.from_dense(schema, np.zeros((n, 1)), y)
    joint, deciders = JointPosterior(enabled=False), Deciders()
    joint.follow(np.zeros(1, np.int64), 1)
    deciders.grow(1)
    rows = joint.process(
        p, Nearest(np.full((n, 1), -1, np.int32), np.zeros((n, 1), np.float32), *np.zeros((2, 1), np.int32)), batch
    )
    common, each, frequency = np.ones((3, n, LIKELY))
    labels = batch.y_indptr, batch.y_indices
    thresholds_block(deciders.state, rows, *labels, batch.mode, ALL_KNOWN, 0.9998, common, each, frequency)

    def f1(cut):
        z = p >= cut
        return 2 * (z & y).sum() / (z.sum() + y.sum())

    best = max(f1(cut) for cut in np.linspace(0.05, 0.8, 100))
    assert f1(common[-1, 0]) > best - 0.01
    assert common[-1, 0] == pytest.approx(best / 2, abs=0.1)
    assert ((common[100:, 0] > 0.1) & (common[100:, 0] < 0.5)).all()


def test_sets_that_never_come_again_take_no_more_room():
    """Thousands of label sets, each once: tables are bounded, and what is kept is what came lately."""
    rng = np.random.default_rng(3)
    n, n_labels = 6000, 30
    y = rng.random((n, n_labels)) < 0.15
    schema = Schema([Feature("x")], [f"l{m}" for m in range(n_labels)])
    batch = Batch.from_dense(schema, np.zeros((n, 1)), y)
    p = np.full((n, n_labels), 0.15, np.float32)
    near = Nearest(
        np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32), np.zeros(0, np.int32), np.zeros((0, 1), np.int32)
    )
    joint = JointPosterior(fading=0.99)
    joint.follow(np.arange(n_labels) % 3, 3)
    sizes = []
    for a in range(0, n, 1000):
        part = Nearest(near.slots[a : a + 1000], near.weights[a : a + 1000], near.sizes, near.labels)
        joint.process(p[a : a + 1000], part, batch.rows(a, a + 1000))
        sizes.append(joint.nbytes)
    assert len(set(sizes)) == 1
    assert int(joint.state.sets.used[0]) == joint.state.sets.counts.shape[1]
    held = {tuple(joint.state.sets.labels[0, i, : joint.state.sets.sizes[0, i]].tolist()) for i in range(2048)}
    recent = [tuple(np.flatnonzero(row).tolist()) for row in y[-200:]]
    assert np.mean([labels in held for labels in recent]) > 0.95


def test_rows_of_more_labels_than_a_candidate_holds():
    """What is likely beyond the 64 likeliest labels is decided label by label."""
    rng = np.random.default_rng(4)
    n, n_labels = 50, 90
    p = np.full((n, n_labels), 0.9, np.float32)
    p[:, 85:] = 0.1
    p[0, :] = 0.01  # as ever where few are likely
    y = rng.random((n, n_labels)) < p
    batch = Batch.from_dense(Schema([Feature("x")], [f"l{m}" for m in range(n_labels)]), np.zeros((n, 1)), y)
    batch.mode[7] = 2
    near = Nearest(
        np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32), np.zeros(0, np.int32), np.zeros((0, 1), np.int32)
    )
    joint, deciders = JointPosterior(), Deciders()
    joint.follow(np.zeros(n_labels, np.int64), 1)
    deciders.grow(n_labels)
    decided = deciders.decide(OBJECTIVES, p, joint.process(p, near, batch), batch)
    for name, (indptr, indices) in decided.items():
        assert indptr[8] == indptr[7], name
        for row in (5, 20, 49):
            chosen = indices[indptr[row] : indptr[row + 1]].tolist()
            assert chosen == sorted(set(chosen))
            assert set(range(64, 85)) <= set(chosen), name
            assert not set(range(85, 90)) & set(chosen), name
        assert indptr[1] <= 1


def test_a_probability_that_is_no_number_is_in_no_bin():
    assert _bin_of(np.nan, 0.1) == 0
