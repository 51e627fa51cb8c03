"""Trees that follow their label cluster: columns move with their labels, the structure stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import small_streams

from stream_ml.streams import PREDICT, Batch, Feature, Schema
from stream_ml.trees import MultiLabelHoeffdingTree

EAGER = {"grace_period": 20, "split_confidence": 0.3, "tie_threshold": 1.0, "warning_delta": 0.3, "comparison_rows": 20}
quick = settings(deadline=None, derandomize=True, max_examples=30)


def grown_tree(batch: Batch, **changes) -> MultiLabelHoeffdingTree:
    options = EAGER | changes
    tree = MultiLabelHoeffdingTree(batch.schema.arities(), batch.n_labels, sparse=batch.schema.sparse, **options)
    tree.process_batch(batch)
    return tree


def predict_only(batch: Batch) -> Batch:
    batch.mode[:] = PREDICT
    return batch


def same_state(a, b):
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k], equal_nan=True) for k in left)


def predict(tree, batch, labels):
    return tree.process_batch(predict_only(batch), np.asarray(labels, dtype=np.int32))


def learnable(rows=2000, n_labels=5, seed=0) -> Batch:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    y = (x[:, np.arange(n_labels) % 4] > 0.5) ^ (rng.random((rows, n_labels)) < 0.05)
    return Batch.from_dense(Schema([Feature(f"f{i}") for i in range(4)], [f"l{i}" for i in range(n_labels)]), x, y)


@quick
@given(small_streams(max_rows=250))
def test_restricting_to_all_labels_is_identity(batch):
    tree = grown_tree(batch)
    assert same_state(tree.restrict(np.arange(batch.n_labels)), tree)


@quick
@given(small_streams(max_rows=250), st.randoms(use_true_random=False))
def test_reordering_moves_columns_and_back(batch, random):
    tree = grown_tree(batch)
    order = list(range(batch.n_labels))
    random.shuffle(order)
    moved = tree.reorder(order)
    np.testing.assert_array_equal(
        predict(moved, batch, order), predict(tree, batch, range(batch.n_labels))[:, :, order]
    )
    assert same_state(moved.reorder(np.argsort(order)), tree)


@quick
@given(small_streams(max_rows=250), st.integers(0, 2**5 - 1))
def test_restricting_keeps_what_is_known_of_the_rest(batch, chosen):
    keep = [label for label in range(batch.n_labels) if chosen >> label & 1] or [0]
    tree = grown_tree(batch)
    small = tree.restrict(keep)
    assert small.n_labels == len(keep)
    assert (small.n_nodes, small.n_learned) == (tree.n_nodes, tree.n_learned)
    before, after = predict(tree, batch, range(batch.n_labels)), predict(small, batch, keep)
    np.testing.assert_array_equal(after[:, :2], before[:, :2, keep])


def test_restricted_labelsets_are_merged():
    batch = learnable(200)
    tree = grown_tree(batch, grace_period=1000)
    small = tree.restrict([1])
    counts, masks = small._nodes.set_counts[small.root], small._nodes.set_masks[small.root]
    assert (counts[:, 0] > 0).sum() == 2
    assert set(masks[counts[:, 0] > 0, 0].tolist()) == {0, 1}
    assert counts[:, 0].sum() == tree._nodes.set_counts[tree.root][:, 0].sum()


def test_restricted_tree_learns_as_one_that_never_had_the_others():
    """Before any split the statistics of a label do not depend on its neighbours."""
    batch = learnable(400)
    only = Batch.from_dense(Schema(batch.schema.features, ["l1", "l3"]), batch.x_dense(), batch.y_dense()[:, [1, 3]])
    options = {"grace_period": 500, "naive_bayes_at_root": True}
    small, fresh = grown_tree(batch, **options).restrict([1, 3]), grown_tree(only, **options)
    a, b = small.state_dict(), fresh.state_dict()
    for name in ("slots.cells", "slots.positives", "slots.coefs", "nodes.positives"):
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("keep", [[], [0, 0], [5], [-1]])
def test_bad_positions(keep):
    tree = grown_tree(learnable(50))
    with pytest.raises(ValueError, match="positions to keep"):
        tree.restrict(keep)
    with pytest.raises(ValueError, match="every label once"):
        tree.reorder([0])


def test_new_labels_were_never_positive():
    batch = learnable(2000)
    tree = grown_tree(batch)
    more = tree.extend(70)
    before = predict(tree, batch, range(5))
    wide = Batch.from_dense(
        Schema(batch.schema.features, [f"l{i}" for i in range(75)]),
        batch.x_dense(),
        np.pad(batch.y_dense(), ((0, 0), (0, 70))),
    )
    after = predict(more, wide, range(75))
    np.testing.assert_array_equal(after[:, :, :5], before)
    assert (after[:, 0, 5:] < -2).all()
    learned = np.pad(batch.y_dense(), ((0, 0), (0, 70)))
    learned[:, 70] = learned[:, 0]
    more.process_batch(Batch.from_dense(wide.schema, batch.x_dense(), learned))
    logits = more.process_batch(predict_only(Batch.from_dense(wide.schema, batch.x_dense(), learned)))[:, 0, 70]
    assert logits[learned[:, 70]].mean() > logits[~learned[:, 70]].mean() + 2


def test_grafted_labels_bring_their_rates_and_trees_go_on_learning():
    batch = learnable(3000)
    left = grown_tree(batch).restrict([0, 1])
    right = grown_tree(batch).restrict([2, 3, 4])
    both = left.graft_labels(right)
    assert both.n_labels == 5
    assert both.n_nodes == left.n_nodes
    before, after = predict(left, batch, [0, 1]), predict(both, batch, range(5))
    np.testing.assert_array_equal(after[:, :2, :2], before[:, :2])
    rates = batch.y_dense()[:, 2:].mean(axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-after[:, 0, 2:].mean(axis=0))), rates, atol=0.05)
    later = learnable(3000, seed=1)
    logits = both.process_batch(later)
    assert ((logits[1500:, 0] > 0) == later.y_dense()[1500:]).mean() > 0.85


def test_single_leaves_are_put_side_by_side():
    batch = learnable(300)
    options = {"grace_period": 1000, "naive_bayes_at_root": True}
    whole = grown_tree(batch, **options)
    joined = whole.restrict([0, 1]).graft_labels(whole.restrict([2, 3, 4]))
    a, b = joined.state_dict(), whole.state_dict()
    for name in ("slots.cells", "slots.positives", "slots.coefs", "slots.base", "nodes.positives"):
        np.testing.assert_array_equal(a[name], b[name])


def test_restructuring_leaves_the_original_alone():
    batch = learnable(1500)
    tree = grown_tree(batch)
    before = tree.copy()
    tree.restrict([1]).process_batch(
        Batch.from_dense(Schema(batch.schema.features, ["l1"]), batch.x_dense(), batch.y_dense()[:, [1]])
    )
    tree.extend(2)
    tree.graft_labels(before)
    assert same_state(tree, before)
