"""The classifier's kernels agree with their plain-Python twins."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ihomer as twin
from reference.drift import Window
from streams_strategy import label_sets, small_streams, unknown_sets

from stream_ml.drift import Adwin, new_bank
from stream_ml.ihomer._kernels import (
    cluster_losses,
    likely_losses,
    numbered,
    route_labels,
    scatter_logits,
    watch_clusters,
    watch_losses,
)
from stream_ml.ihomer.rows import running_highest
from stream_ml.streams.batch import Likely, all_known

quick = settings(deadline=None, derandomize=True, max_examples=60)


def random_clusters(n_labels, seed):
    rng = np.random.default_rng(seed)
    n_slots = int(rng.integers(1, n_labels + 1))
    slot_of = rng.permutation(np.concatenate([np.arange(n_slots), rng.integers(-1, n_slots, n_labels - n_slots)]))
    position_of = np.zeros(n_labels, dtype=np.int64)
    for slot in range(n_slots):
        members = rng.permutation(np.flatnonzero(slot_of == slot))
        position_of[members] = np.arange(len(members))
    return n_slots, slot_of.astype(np.int64), position_of


@quick
@given(small_streams(), st.integers(0, 2**32 - 1))
def test_route_labels(batch, seed):
    n_slots, slot_of, position_of = random_clusters(batch.n_labels, seed)
    indptr = np.empty((n_slots, len(batch) + 1), dtype=np.int64)
    indices = np.empty(len(batch.y_indices), dtype=np.int32)
    cursor = np.zeros(n_slots, dtype=np.int64)
    route_labels(batch.y_indptr, batch.y_indices, slot_of, position_of, cursor, indptr, indices)
    got = [[indices[p[r] : p[r + 1]].tolist() for r in range(len(batch))] for p in indptr]
    expected = twin.route_labels([sorted(s) for s in label_sets(batch)], slot_of, position_of, n_slots)
    assert got == expected


@quick
@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_scatter_logits(rows, n_labels, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(n_labels)[: rng.integers(1, n_labels + 1)].astype(np.int32)
    part = rng.normal(size=(rows, 3, len(labels))).astype(np.float32)
    out = rng.normal(size=(rows, 3, n_labels)).astype(np.float32)
    expected = out.tolist()
    twin.scatter_logits(part.tolist(), labels.tolist(), expected)
    scatter_logits(part, labels, out)
    assert out.tolist() == expected


@quick
@given(small_streams(partial=True), st.integers(0, 2**32 - 1))
def test_cluster_losses(batch, seed):
    n_slots, slot_of, _ = random_clusters(batch.n_labels, seed)
    p = np.random.default_rng(seed).random((len(batch), batch.n_labels)).astype(np.float32)
    losses = np.full((len(batch), n_slots + 2), 7.0)
    cluster_losses(
        p,
        batch.y_indptr,
        batch.y_indices,
        batch.mode,
        batch.unknown_labels(batch.n_labels),
        slot_of,
        batch.n_labels,
        n_slots,
        np.empty(n_slots + 1),
        losses,
    )
    expected = twin.cluster_losses(p, label_sets(batch), unknown_sets(batch), batch.mode, slot_of, n_slots)
    np.testing.assert_allclose(losses[:, :-1], expected, rtol=1e-6, atol=1e-9)
    assert (losses[:, -1] == 7.0).all()


@quick
@given(small_streams(partial=True), st.integers(0, 2**32 - 1))
def test_watch_clusters(batch, seed):
    n_slots, slot_of, _ = random_clusters(batch.n_labels, seed)
    rng = np.random.default_rng(seed)
    p = rng.random((len(batch), batch.n_labels)).astype(np.float32)
    cluster_of = rng.integers(0, 3, batch.n_labels).astype(np.int32)
    y, unknown = (batch.y_indptr, batch.y_indices), batch.unknown_labels(batch.n_labels)
    columns = n_slots + 2
    losses, shared = np.empty((len(batch), columns)), np.empty(n_slots + 1)
    found, statistics = np.empty((4 * losses.size, 3), dtype=np.int64), np.empty((4 * losses.size, 3))
    detectors = (new_bank(columns), new_bank(columns), np.arange(columns), 0.01, 0.05, 2)
    of = (slot_of, cluster_of, 4, shared)
    n = watch_clusters(p, *y, batch.mode, unknown, *of, *detectors, losses, found, statistics)
    of = (batch.mode, slot_of, cluster_of.tolist(), n_slots, 4)
    twins = [(Window(delta=0.05, clock=2), Window(delta=0.01, clock=2)) for _ in range(columns)]
    expected, there = twin.watch_clusters(p, label_sets(batch), unknown_sets(batch), *of, twins)
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-9)
    assert [tuple(row) for row in found[:n].tolist()] == [row[:3] for row in there]


@quick
@given(small_streams(partial=True), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_likely_losses(batch, most, seed):
    rng = np.random.default_rng(seed)
    n = len(batch)
    order = np.argsort(rng.random((n, 7)), axis=1).astype(np.int32)[:, :most]
    order = np.ascontiguousarray(order)
    likely = Likely(rng.integers(0, most + 1, n).astype(np.int32), order, rng.random((n, most)).astype(np.float32))
    in_part = (batch.partial or all_known(n)).rows
    losses = np.full((n, 2), 7.0)
    likely_losses(*likely, batch.y_indptr, batch.y_indices, batch.mode, in_part, losses)
    expected = twin.likely_losses([likely.of_row(row) for row in range(n)], label_sets(batch), batch.mode, in_part)
    np.testing.assert_allclose(losses[:, 0], expected, rtol=1e-6, atol=1e-9)
    assert (losses[:, 1] == 7.0).all()
    assert (losses[:, 0] < 1.0).all()


@quick
@given(st.lists(st.lists(st.integers(0, 299), max_size=200, unique=True), max_size=9), st.integers(0, 2**32 - 1))
def test_numbered(rows, seed):
    """Covers `_sort`; what is before and behind the rows stays."""
    numbers = np.random.default_rng(seed).permutation(300).astype(np.int32) - 20
    indptr = np.cumsum([1, *map(len, rows)]).astype(np.int64)
    indices = np.array([0, *(label for row in rows for label in row), 0], dtype=np.int32)
    out = np.full(len(indices), 1000, dtype=np.int32)
    expected, unknown = twin.numbered(numbers.tolist(), rows)
    assert numbered(numbers, indptr, indices, out) == unknown
    assert out.tolist() == [1000, *(number for row in expected for number in row), 1000]


@quick
@given(st.lists(st.lists(st.integers(0, 99), max_size=3), max_size=20), st.randoms(use_true_random=False))
def test_running_highest(rows, random):
    chosen = [random.random() < 0.6 for _ in rows]
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    indices = np.array([value for row in rows for value in row], dtype=np.int32)
    expected = [
        max((v for row, own in zip(rows[: i + 1], chosen, strict=False) if own for v in row), default=-1)
        for i in range(len(rows))
    ]
    assert running_highest(indptr, indices, np.array(chosen, dtype=np.bool_)).tolist() == expected


def test_a_rise_soon_after_a_fall_is_found():
    """What the fall left of the window is what the rise is measured against; a window begun anew would be too short."""
    losses = np.random.default_rng(3).normal(np.repeat([0.6, 0.4, 0.65], [500, 288, 96]), 0.15)[:, None].clip(0.0)
    found, statistics = np.empty((100, 3), dtype=np.int64), np.empty((100, 3))
    detectors = np.zeros(1, dtype=np.int64)
    n = watch_losses(new_bank(1), new_bank(1), detectors, losses, 0.001, 0.001, 32, found, statistics)
    assert {row for row, *_ in found[:n].tolist()} == {863}
    assert Adwin(delta=0.001).update_many(losses[:, 0]).tolist() == [607]


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([8, 32]))
def test_watch_losses(columns, seed, clock):
    rng = np.random.default_rng(seed)
    losses = np.where(rng.random((600, columns)) < 0.1, -1.0, rng.random((600, columns)) * 0.4)
    losses[300:] += np.where(losses[300:] >= 0, 0.5, 0.0) * rng.integers(0, 2, columns)
    losses[:100] += np.where(losses[:100] >= 0, 0.4, 0.0) * rng.integers(0, 2, columns)  # falls come first
    detectors = rng.permutation(5)[:columns].astype(np.int64)
    found, statistics = np.empty((4 * 600, 3), dtype=np.int64), np.empty((4 * 600, 3))
    n = watch_losses(new_bank(5), new_bank(5), detectors, losses, 0.002, 0.05, clock, found, statistics)
    twins = [(Window(delta=0.05, clock=clock), Window(delta=0.002, clock=clock)) for _ in range(columns)]
    expected = twin.watch_losses(losses, twins)
    assert [tuple(row) for row in found[:n].tolist()] == [row[:3] for row in expected]
    seen = np.array([row[3:] for row in expected]).reshape(-1, 3)
    np.testing.assert_allclose(statistics[:n], seen, rtol=1e-6, atol=1e-9)
