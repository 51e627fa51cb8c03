"""Label clusters over many seeds and shapes: what is planted is found, kept, followed; what is not is not made up."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import labels as twin
from sklearn.metrics import adjusted_rand_score

from stream_ml.labels import Cooccurrence, LabelClusters


def planted(seed, least=3, most=8):
    """3 to 6 groups of `least` to `most` labels in random order."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(least, most + 1, int(rng.integers(3, 7)))
    return rng, rng.permutation(np.repeat(np.arange(len(sizes)), sizes))


def rows_of(rng, group_of, n, *, rate=0.2, together=0.8, noise=0.01):
    """Groups come on at `rate`; a label is positive with its group with `together`, else with `noise`."""
    on = rng.random((n, int(group_of.max()) + 1)) < rate
    return rng.random((n, len(group_of))) < np.where(on[:, group_of], together, noise)


def csr(y):
    indptr = np.concatenate([[0], y.sum(1).cumsum()]).astype(np.int64)
    return indptr, y.nonzero()[1].astype(np.int32), np.full(len(y), 2, dtype=np.uint8)


def learn(clusters, y, first=0, every=200):
    indptr, indices, mode = csr(y)
    changes = []
    for start in range(0, len(y), every):
        stop = min(start + every, len(y))
        clusters.update(indptr, indices, mode, start, stop)
        changes += clusters.check(first + stop)
    return changes


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("rate", "together", "noise"),
    [(0.1, 0.7, 0.02), (0.2, 0.5, 0.01), (0.3, 0.9, 0.005), (0.45, 0.7, 0.02)],
    ids=["sparse rows", "loose groups", "tight groups", "dense rows"],
)
def test_planted_groups_of_any_size_are_found_within_2000_instances(seed, rate, together, noise):
    """With `min_size=2`: else two groups that are smaller together than two label sets are not worth a cut."""
    rng, group_of = planted(seed)
    clusters = LabelClusters(len(group_of), min_size=2)
    learn(clusters, rows_of(rng, group_of, 2000, rate=rate, together=together, noise=noise))
    assert adjusted_rand_score(group_of, clusters.cluster_of) > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_groups_of_rare_labels_are_found_when_there_is_evidence(seed):
    """The bound asks for 150 instances of the farthest pair: groups on in one of twenty rows need some 2,000 rows."""
    rng, group_of = planted(seed, 3, 4)  # at most 24 labels: their number forces nothing
    clusters = LabelClusters(len(group_of), min_size=2)
    y = rows_of(rng, group_of, 4000, rate=0.05, together=0.9, noise=0.005)
    assert learn(clusters, y[:1000]) == []
    learn(clusters, y[1000:], first=1000)
    assert adjusted_rand_score(group_of, clusters.cluster_of) > 0.9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("groups", "size"), [(2, 5), (3, 4), (4, 3)])
def test_pivots_find_groups_that_are_far_apart(seed, groups, size):
    clusters = LabelClusters(groups * size, split="pivot")
    group_of = np.arange(groups * size) % groups
    learn(clusters, rows_of(np.random.default_rng(seed), group_of, 2000, rate=0.3, together=0.95, noise=0.0))
    assert adjusted_rand_score(group_of, clusters.cluster_of) > 0.9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", ["reopen", "fading"])
def test_permuted_memberships_are_followed(seed, how):
    """Marginals stay and memberships are drawn anew; the default fading, after 10,000 instances."""
    rng, old = planted(seed, 5, 5)
    new = rng.permutation(old)
    clusters = LabelClusters(len(old))
    learn(clusters, rows_of(rng, old, 10_000))
    assert adjusted_rand_score(old, clusters.cluster_of) > 0.9
    if how == "reopen":
        clusters.reopen(0.05)
    learn(clusters, rows_of(rng, new, 2000 if how == "reopen" else 15_000), first=10_000)
    assert adjusted_rand_score(new, clusters.cluster_of) > 0.9


@pytest.mark.parametrize("n_labels", [3, 6, 24])
@pytest.mark.parametrize("seed", range(3))
def test_labels_that_exclude_each_other_stay_together(n_labels, seed):
    """Exactly one of them in every row: all pairs are equally far, and no cut is better than another."""
    rng = np.random.default_rng(seed)
    y = np.eye(n_labels, dtype=np.bool_)[rng.choice(n_labels, 10_000, p=rng.dirichlet(np.ones(n_labels)))]
    clusters = LabelClusters(n_labels)
    assert learn(clusters, y) == []
    assert clusters.similarity_kept() == 1.0


@pytest.mark.parametrize("min_size", [1, 2])
def test_two_unrelated_labels_part_only_where_single_labels_may_be_clusters(min_size):
    y = np.random.default_rng(0).random((3000, 2)) < 0.3
    clusters = LabelClusters(2, min_size=min_size)
    learn(clusters, y)
    assert len(clusters.partition) == (2 if min_size == 1 else 1)


@pytest.mark.parametrize("split", ["similarity", "pivot"])
@pytest.mark.parametrize(("min_size", "max_size"), [(1, 5), (2, 12), (4, 24)])
def test_sizes_stay_within_their_bounds_for_labels_with_evidence(split, min_size, max_size):
    rng, group_of = planted(3)
    clusters = LabelClusters(2 * len(group_of), split=split, min_size=min_size, max_size=max_size)
    learn(clusters, rows_of(rng, np.tile(group_of, 2), 6000))
    sizes = [len(labels) for labels in clusters.partition.values()]
    assert len(sizes) > 1
    assert min_size <= min(sizes)
    assert max(sizes) <= max_size


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9]))
def test_strong_fading_over_many_rows(seed, fading):
    """0.5 ** 200 is beyond what a weight may be: counts are rescaled on the way, wherever batches are cut."""
    rng = np.random.default_rng(seed)
    y = rng.random((200, 9)) < rng.random(9)
    rows = [row.nonzero()[0].tolist() for row in y]
    singles, pairs, sizes = twin.count_rows(rows, [2] * 200, fading, 256)
    states = []
    for batch in (200, int(rng.integers(1, 60))):
        counted = Cooccurrence(fading=fading)
        counted.grow(9)
        for start in range(0, 200, batch):
            counted.update(*csr(y), start, min(start + batch, 200))
        assert counted.counts() == pytest.approx([singles.get(label, 0.0) for label in range(9)], rel=1e-9)
        assert counted.total() == pytest.approx(sum(sizes.values()), rel=1e-9)
        for a, b in combinations(range(9), 2):
            assert counted.pair(a, b) == pytest.approx(pairs.get((a, b), 0.0), rel=1e-9)
        states.append(counted.state_dict())
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("max_pairs", [2000, 1 << 20])
def test_dropped_pairs_are_the_light_ones(max_pairs):
    """No pair counts more than it should, the heaviest exactly that; batches change nothing."""
    rng = np.random.default_rng(1)
    n_labels = 400
    y = rng.random((1500, n_labels)) < 0.6 / np.sqrt(np.arange(1, n_labels + 1))
    exact = y.astype(float).T @ y
    states = []
    for batch in (1500, 77):
        counted = Cooccurrence(fading=1.0, max_pairs=max_pairs)
        counted.grow(n_labels)
        for start in range(0, len(y), batch):
            counted.update(*csr(y), start, min(start + batch, len(y)))
        states.append(counted.state_dict())
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    got = np.array([[counted.pair(a, b) if a != b else exact[a, a] for b in range(n_labels)] for a in range(n_labels)])
    assert (got <= exact).all()
    assert (got[:8, :8] == exact[:8, :8]).all()
    assert (got == exact).all() == (max_pairs > n_labels**2)
    assert np.diag(exact) == pytest.approx(counted.counts())
    assert counted.n_pairs == np.count_nonzero(np.triu(got, 1))
