"""The kernels of label clustering agree with their plain-Python twins."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import labels as twin
from reference.label_cuts import cut_in_two

from stream_ml.labels import Cooccurrence, LabelClusters, _kernels
from stream_ml.labels.graph import Graph, linked_groups

quick = settings(deadline=None, derandomize=True, max_examples=60)
label_rows = st.lists(st.lists(st.integers(0, 8), unique=True, max_size=6).map(sorted), max_size=40)


def csr(rows):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return indptr, np.array([label for row in rows for label in row], dtype=np.int32)


def counted(rows, n_labels=9, modes=None, **options):
    statistics = Cooccurrence(**options)
    statistics.grow(n_labels)
    modes = [2] * len(rows) if modes is None else modes
    statistics.update(*csr(rows), np.array(modes, dtype=np.uint8), 0, len(rows))
    return statistics


@st.composite
def graphs(draw, max_labels=9):
    """Labels with random similarities between some of them, as a graph and as {pair: (jaccard, excess)}."""
    n = draw(st.integers(2, max_labels))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.2, 0.6, 1.0]))
    pairs = {p: (float(rng.random()), float(rng.random())) for p in combinations(range(n), 2) if rng.random() < share}
    pairs = {p: (j, j * x if x > 0.3 else 0.0) for p, (j, x) in pairs.items()}
    graph = Graph(counted([], n), 0.0)
    graph.counts = rng.random(n) * 100
    low, high = (np.array([p[k] for p in pairs], dtype=np.int64) for k in (0, 1))
    near, beyond = (np.array([v[k] for v in pairs.values()], dtype=np.float64) for k in (0, 1))
    graph.neighbours = np.empty(2 * len(pairs), dtype=np.int64)
    graph.jaccard, graph.excess = np.empty((2, 2 * len(pairs)))
    _kernels.build_graph(
        low, high, near, beyond, len(pairs), graph.indptr, graph.neighbours, graph.jaccard, graph.excess
    )
    n_slots = draw(st.integers(1, n))
    slot_of = rng.permutation(np.concatenate([np.arange(n_slots), rng.integers(0, n_slots, n - n_slots)]))
    return graph, pairs, slot_of.astype(np.int64), n_slots


@quick
@given(st.dictionaries(st.integers(0, 1 << 40), st.floats(0, 9), max_size=100))
def test_find_and_insert_pairs(pairs):
    keys, counts = np.full(256, -1, dtype=np.int64), np.zeros(256)
    first = dict(list(pairs.items())[: len(pairs) // 2])
    rest = {key: value for key, value in pairs.items() if key not in first}
    for part in (first, rest):
        new_keys, new_counts = np.array(list(part), dtype=np.int64), np.array(list(part.values()), dtype=np.float64)
        assert _kernels.insert_pairs(keys, counts, new_keys, new_counts) == len(part)
    table = dict(zip(keys[keys >= 0].tolist(), counts[keys >= 0].tolist(), strict=True))
    assert table == twin.insert_pairs(first, rest)
    for key in [*pairs, 1 << 41]:
        place = _kernels.find_pair(keys, key)
        known = twin.find_pair(list(pairs), key) >= 0
        assert keys[place] == (key if known else -1)


@quick
@given(label_rows, st.sampled_from([1.0, 0.9, 0.2]), st.data())
def test_count_rows(rows, fading, data):
    modes = data.draw(st.lists(st.integers(1, 3), min_size=len(rows), max_size=len(rows)))
    statistics = counted(rows, modes=modes, fading=fading)
    singles, pairs, sizes = twin.count_rows(rows, modes, fading, 256)
    counts = statistics.counts()
    assert counts == pytest.approx([singles.get(label, 0.0) for label in range(9)], rel=1e-9)
    assert statistics.total() == pytest.approx(sum(sizes.values()), rel=1e-9)
    assert statistics.n_pairs == len(pairs)
    for a, b in combinations(range(9), 2):
        assert statistics.pair(b, a) == pytest.approx(pairs.get((a, b), 0.0), rel=1e-9)
    if any(sizes.get(size, 0.0) for size in range(1, 9)):
        assert sizes[statistics.typical_size()] == pytest.approx(max(v for s, v in sizes.items() if s), rel=1e-9)


def test_weights_are_rescaled_and_rows_capped():
    """0.2 ** 40 is far below what a weight may be; a row of 300 counts the pairs of its first 256 labels."""
    rows = [[0, 1]] * 40 + [list(range(300))]
    statistics = counted(rows, 300, fading=0.2)
    assert statistics.counts()[:2] == pytest.approx([1.25, 1.25])
    assert statistics.n_pairs == 256 * 255 // 2
    assert statistics.pair(254, 255) == 1.0
    assert statistics.pair(0, 256) == 0.0


def test_the_table_of_pairs_is_bounded():
    """Beyond the limit the lightest half goes; what is heavy stays exact."""
    rng = np.random.default_rng(0)
    rows = [sorted({0, 1, *rng.choice(400, 30).tolist()}) for _ in range(300)]
    statistics = counted(rows, 400, fading=1.0, max_pairs=5000)
    assert statistics.n_pairs < 5000 + 2 * 32640
    assert statistics.pair(0, 1) == 300
    assert len(statistics.table()[0]) <= 1 << 18


def test_unknown_labels_are_refused():
    with pytest.raises(IndexError, match="row 1 has a label beyond the 3 known"):
        counted([[0, 2], [1, 3]], 3)
    assert counted([[0, 2], [1, 3]], 3, modes=[2, 1]).counts().tolist() == [1, 0, 1]


@quick
@given(label_rows, st.integers(2, 8), st.data())
def test_cross_pairs(rows, cap, data):
    modes = data.draw(st.lists(st.integers(1, 3), min_size=len(rows), max_size=len(rows)))
    cluster_of = data.draw(st.lists(st.integers(3, 5), min_size=9, max_size=9))
    out = np.empty(len(rows))
    mode, of = np.array(modes, dtype=np.uint8), np.array(cluster_of, dtype=np.int32)
    _kernels.cross_pairs(*csr(rows), mode, 0, len(rows), cap, of, out)
    assert out == pytest.approx(twin.cross_pairs(rows, modes, cap, cluster_of), abs=1e-12)


@quick
@given(label_rows)
def test_similarities_and_graph(rows):
    statistics = counted(rows, fading=0.9)
    graph = Graph(statistics, statistics.total())
    singles, pairs, sizes = twin.count_rows(rows, [2] * len(rows), 0.9, 256)
    expected = twin.build_graph(twin.similarities(pairs, singles, sum(sizes.values())), 9)
    for label, neighbours in enumerate(expected):
        span = slice(*graph.indptr[label : label + 2].tolist())
        columns = (a[span].tolist() for a in (graph.neighbours, graph.jaccard, graph.excess))
        got = sorted(zip(*columns, strict=True))
        assert [g[0] for g in got] == [e[0] for e in sorted(neighbours)]
        assert np.array(got) == pytest.approx(np.array(sorted(neighbours)), abs=1e-9)


@quick
@given(graphs(), st.data())
def test_inside_edges_and_strangers(made, data):
    graph, pairs, _, _ = made
    n = len(graph.counts)
    labels = np.array(data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1)), dtype=np.int32)
    edges = graph.inside(labels)
    got = zip(edges.first.tolist(), edges.second.tolist(), edges.jaccard.tolist(), edges.excess.tolist(), strict=True)
    assert {(a, b): (j, x) for a, b, j, x in got} == twin.inside_edges(pairs, labels.tolist())
    assert (graph._position == -1).all()
    order = np.argsort(-graph.counts[labels], kind="stable")
    met = np.full(n, -1)
    for _ in range(2):  # what was met before is as true the second time
        i, j = _kernels.heaviest_stranger(graph.indptr, graph.neighbours, labels, order, graph.counts, met)
        heaviest = twin.heaviest_stranger(pairs, labels.tolist(), graph.counts.tolist())
        if heaviest is None:
            assert (i, j) == (-1, -1)
        else:
            a, b = sorted((int(labels[i]), int(labels[j])))
            assert (a, b) not in pairs
            assert graph.counts[a] + graph.counts[b] == heaviest


@quick
@given(
    graphs(),
    st.data(),
    st.booleans(),
    st.sampled_from([3.0, 20.0, 45.0]),
    st.sampled_from([0.1, 0.5, 2.0]),
    st.integers(1, 3),
)
def test_cuts_in_two(made, data, pivot, evidence, tau, floor):
    graph, pairs, _, _ = made
    n = len(graph.counts)
    labels = np.array(sorted(data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=2))), dtype=np.int32)
    max_size = data.draw(st.integers(2, 9))
    got = graph.cut_in_two(labels, pivot, evidence, tau, floor, max_size)
    rules = {"pivot": pivot, "evidence": evidence, "tau": tau, "floor": floor, "max_size": max_size}
    expected = cut_in_two(pairs, graph.counts.tolist(), labels.tolist(), **rules)
    assert (graph._position == -1).all()
    if expected is None:
        assert got is None
    else:
        assert got is not None
        assert got[0].tolist() == expected[0]
        assert got[1] == pytest.approx(expected[1], abs=1e-9)


@quick
@given(graphs())
def test_attractions(made):
    graph, pairs, slot_of, n_slots = made
    n = len(slot_of)
    home, there = np.empty((2, n))
    best = np.empty(n, dtype=np.int64)
    _kernels.attractions(graph.indptr, graph.neighbours, graph.excess, slot_of, n_slots, home, best, there)
    expected_home, others = twin.attractions({p: x for p, (_, x) in pairs.items()}, slot_of.tolist())
    assert home == pytest.approx(expected_home, abs=1e-9)
    for label in range(n):
        expected = max(others[label].items(), key=lambda item: item[1], default=(-1, 0.0))
        assert (best[label], there[label]) == (expected[0], pytest.approx(expected[1], abs=1e-9))


@quick
@given(graphs())
def test_weight_inside(made):
    graph, pairs, slot_of, n_slots = made
    slot_of[0] = -1
    got = graph.weight_inside(graph.jaccard, slot_of, n_slots)
    expected = twin.weight_inside({p: j for p, (j, _) in pairs.items()}, slot_of.tolist(), n_slots)
    assert got == pytest.approx(expected, abs=1e-9)


@quick
@given(graphs(), st.integers(2, 9), st.sampled_from([0.0, 0.4, 0.9]))
def test_best_unions(made, max_size, least_share):
    graph, pairs, slot_of, n_slots = made
    weights = {p: x for p, (_, x) in pairs.items()}
    members = np.argsort(slot_of, kind="stable").astype(np.int32)
    starts = np.searchsorted(slot_of[members], np.arange(n_slots + 1))
    inside = graph.weight_inside(graph.excess, slot_of, n_slots)
    partner, gain = np.empty(n_slots, dtype=np.int64), np.empty(n_slots)
    links = graph.indptr, graph.neighbours, graph.excess
    _kernels.best_unions(*links, slot_of, starts, members, max_size, least_share, inside, partner, gain)
    expected = twin.best_unions(weights, slot_of.tolist(), n_slots, max_size, least_share)
    assert partner.tolist() == [e[0] for e in expected]
    assert gain == pytest.approx([e[1] for e in expected], abs=1e-9)


@quick
@given(graphs(), st.integers(2, 10))
def test_rounds_of_linkage_equal_one_join_after_the_other(made, cap):
    graph, pairs, _, _ = made
    n = len(graph.counts)
    first, second = (np.array([p[k] for p in pairs], dtype=np.int64) for k in (0, 1))
    weight = np.array([j for j, _ in pairs.values()], dtype=np.float64)
    group_of = linked_groups(first, second, weight, np.ones(n, dtype=np.int64), cap)
    got = [np.flatnonzero(group_of == g).tolist() for g in np.unique(group_of)]
    assert [g[0] for g in got] == np.unique(group_of).tolist()
    assert got == twin.link_groups({p: j for p, (j, _) in pairs.items()}, n, cap)


def test_best_edges_drop_what_does_not_fit():
    """Of groups with 3, 1 and 2 labels under a limit of 4, only the first and the last cannot join."""
    first, second, weight = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.6, 9.0, 0.5])
    best = np.empty(3, dtype=np.int64)
    left = _kernels._best_edges(first, second, weight, 3, np.array([3, 1, 2]), 4, best)
    assert (left, first[:2].tolist(), second[:2].tolist(), best.tolist()) == (2, [0, 1], [1, 2], [0, 1, 1])
    weights = {(0, 3): 0.2, (1, 3): 0.2, (2, 3): 0.2, (3, 4): 0.25, (3, 5): 0.25, (0, 4): 9.0}
    averages = twin._best_edges(weights, {0: [0, 1, 2], 1: [3], 2: [4, 5]}, 4)
    assert averages == {(0, 1): pytest.approx(0.2), (1, 2): pytest.approx(0.25)}


def test_dependence_loss_follows_the_partition():
    clusters = LabelClusters(4)
    indptr, indices = csr([[0, 1], [0, 1, 2], [3], []])
    loss = clusters.dependence_loss(indptr, indices, np.full(4, 2, dtype=np.uint8), 0, 4)
    assert loss.tolist() == [0, 0, -1, -1]
    clusters.cluster_of[2] = 7
    assert clusters.dependence_loss(indptr, indices, np.full(4, 2, dtype=np.uint8), 1, 3).tolist() == [2 / 3, -1]
