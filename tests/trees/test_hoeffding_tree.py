"""What holds of every tree: blocks do not matter, states resume, predicting changes nothing, memory stays bounded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_strategy import small_streams

from stream_ml.errors import ConfigError
from stream_ml.streams import LEARN, PREDICT, Batch, Feature, Schema
from stream_ml.trees import MultiLabelHoeffdingTree

EAGER = {"grace_period": 20, "split_confidence": 0.3, "tie_threshold": 1.0, "warning_delta": 0.3, "comparison_rows": 20}
quick = settings(deadline=None, derandomize=True, max_examples=30)


def tree_for(batch: Batch, **changes) -> MultiLabelHoeffdingTree:
    settings = EAGER | changes
    return MultiLabelHoeffdingTree(batch.schema.arities(), batch.n_labels, sparse=batch.schema.sparse, **settings)


def process(tree, batch, start, stop):
    out = np.zeros((stop - start, 3, batch.n_labels), dtype=np.float32)
    tree.process(
        batch.x_indptr,
        batch.x_indices,
        batch.x_values,
        batch.y_indptr,
        batch.y_indices,
        batch.mode,
        start,
        stop,
        batch.first + int(np.count_nonzero(batch.mode[:start] & LEARN)),
        out,
    )
    return out


def same_state(a, b):
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k], equal_nan=True) for k in left)


def learnable(rows=3000, n_labels=4, seed=0) -> Batch:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    y = (x[:, np.arange(n_labels) % 5] > 0.3) ^ (rng.random((rows, n_labels)) < 0.1)
    return Batch.from_dense(Schema([Feature(f"f{i}") for i in range(5)], [f"l{i}" for i in range(n_labels)]), x, y)


@quick
@given(small_streams(max_rows=250), st.integers(1, 250))
def test_blocks_change_nothing(batch, block):
    whole, parts = tree_for(batch), tree_for(batch)
    expected = process(whole, batch, 0, len(batch))
    found = [process(parts, batch, i, min(i + block, len(batch))) for i in range(0, len(batch), block)]
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert whole.drain_events() == parts.drain_events()
    assert same_state(whole, parts)


@quick
@given(small_streams(max_rows=250), st.integers(0, 250))
def test_resumed_is_as_never_stopped(batch, cut):
    cut = min(cut, len(batch))
    whole, first = tree_for(batch), tree_for(batch)
    expected = process(whole, batch, 0, len(batch))
    process(first, batch, 0, cut)
    second = tree_for(batch)
    second.load_state_dict(first.state_dict())
    copied = first.copy()
    for tree in (second, copied):
        np.testing.assert_array_equal(process(tree, batch, cut, len(batch)), expected[cut:])
        assert same_state(tree, whole)
        assert tree.drain_events() == whole.copy().drain_events()


@quick
@given(small_streams(max_rows=250))
def test_predicting_changes_no_state(batch):
    tree = tree_for(batch)
    process(tree, batch, 0, len(batch))
    before = tree.copy()
    batch.mode[:] = PREDICT
    logits = process(tree, batch, 0, len(batch))
    assert same_state(tree, before)
    assert np.isfinite(logits).all()
    assert np.abs(logits).max() <= 8.0


def test_rows_without_predict_are_left_alone():
    batch = learnable(200)
    batch.mode[:] = LEARN
    tree = tree_for(batch)
    assert not process(tree, batch, 0, 200).any()
    assert tree.n_learned == 200


def test_memory_limit_holds_and_leaves_sleep_and_wake():
    batch = learnable(6000, n_labels=3)
    free = tree_for(batch, memory_limit_mb=100.0)
    process(free, batch, 0, len(batch))
    each = free.memory_usage()["observers"] / len(free._slots.owner)
    limit = 5 * (each * 1.5) / 2**20
    tight = tree_for(batch, memory_limit_mb=limit)
    process(tight, batch, 0, len(batch))
    usage = tight.memory_usage()
    assert usage["observers"] + usage["naive_bayes"] <= limit * 2**20
    assert 1 <= tight.n_active_leaves < free.n_active_leaves
    kinds = {event["kind"] for event in tight.drain_events()}
    assert {"split", "deactivate", "activate"} <= kinds


def test_limit_memory_puts_the_least_promising_to_sleep():
    batch = learnable(4000)
    tree = tree_for(batch)
    process(tree, batch, 0, 2000)
    active = tree.n_active_leaves
    usage = tree.memory_usage()
    tree.limit_memory((usage["observers"] + usage["naive_bayes"]) / 2**20 / 2)
    assert tree.n_active_leaves < active
    assert sum(event["kind"] == "deactivate" for event in tree.drain_events()) == active - tree.n_active_leaves
    smaller = tree.memory_usage()
    assert smaller["observers"] + smaller["naive_bayes"] <= (usage["observers"] + usage["naive_bayes"]) / 2
    assert np.isfinite(process(tree, batch, 2000, 4000)).all()


def test_one_slot_is_enough():
    batch = learnable(2000)
    tree = tree_for(batch, memory_limit_mb=1e-6)
    process(tree, batch, 0, len(batch))
    assert tree.n_active_leaves == 1
    assert tree.n_leaves > 1


def test_depth_limit():
    batch = learnable(4000)
    tree = tree_for(batch, max_depth=2)
    process(tree, batch, 0, len(batch))
    assert tree.depth == 2


def test_a_learned_tree_predicts_better_than_the_prior():
    batch = learnable(8000)
    tree = MultiLabelHoeffdingTree(batch.schema.arities(), batch.n_labels, sparse=False)
    logits = process(tree, batch, 0, len(batch))[4000:]
    y = batch.y_dense()[4000:]
    wrong = [((logits[:, k] > 0) != y).mean() for k in range(3)]
    base = np.minimum(y.mean(axis=0), 1 - y.mean(axis=0)).mean()
    assert wrong[0] < 0.6 * base
    assert wrong[1] < 0.6 * base
    assert wrong[2] < base


def test_drift_is_followed():
    """After the concept has turned over, the tree that watches recovers, its twin without detectors does not."""
    before, after = learnable(6000, seed=1), learnable(6000, seed=2)
    flipped = Batch.from_dense(after.schema, -after.x_dense(), after.y_dense(), first=6000)
    losses = {}
    for drift in (True, False):
        tree = MultiLabelHoeffdingTree(before.schema.arities(), before.n_labels, sparse=False, drift=drift)
        tree.process_batch(before)
        logits = tree.process_batch(flipped)[:, 0]
        losses[drift] = ((logits > 0) != flipped.y_dense())[2000:4000].mean()
        kinds = [event["kind"] for event in tree.drain_events()]
        assert ("swap" in kinds) is drift
    assert losses[True] < 0.6 * losses[False]


def test_no_warning_without_drift():
    batch = learnable(20_000, seed=5)
    tree = MultiLabelHoeffdingTree(batch.schema.arities(), batch.n_labels, sparse=False)
    tree.process_batch(batch)
    assert {event["kind"] for event in tree.drain_events()} == {"split"}


def test_features_can_be_appended():
    batch = learnable(3000)
    narrow = Schema(batch.schema.features[:3], batch.schema.labels)
    first = Batch.from_dense(narrow, batch.x_dense()[:1500, :3], batch.y_dense()[:1500])
    tree = tree_for(first)
    tree.process_batch(first)
    with pytest.raises(IndexError, match="feature 4"):
        process(tree, batch, 1500, 3000)
    tree.grow_features([0, 0, 0, 0, 0])
    assert np.isfinite(process(tree, batch, 1500, 3000)).all()
    assert {event["feature"] for event in tree.drain_events() if event["kind"] == "split"} & {3, 4}


def test_growing_by_nothing_changes_nothing_and_values_can_be_added():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (600, 2))
    schema = Schema([Feature("a", ("x", "y", "z")), Feature("b", ("x", "y", "z"))], ["p"])
    batch = Batch.from_dense(schema, x, (x[:, :1] == 1) ^ (rng.random((600, 1)) < 0.1))
    # naive Bayes is smoothed over the values there are
    one, other = tree_for(batch, naive_bayes=False), tree_for(batch, naive_bayes=False)
    process(one, batch, 0, 300)
    process(other, batch, 0, 300)
    one.grow_features([3, 5])
    np.testing.assert_array_equal(process(one, batch, 300, 600), process(other, batch, 300, 600))
    with pytest.raises(ValueError, match="appended"):
        one.grow_features([2, 5])


def test_unusable_values_are_missing():
    schema = Schema([Feature("a"), Feature("b", ("x", "y"))], ["p"])
    x = np.array([[np.inf, 0], [1, 7], [-np.inf, -1], [np.nan, 1], [2, 1]] * 60)
    for sparse in (False, True):
        schema.sparse = sparse
        batch = Batch.from_dense(schema, np.ones_like(x), np.arange(300)[:, None] % 2)
        batch.x_values[:] = x.astype(np.float32).ravel()
        tree = tree_for(batch)
        assert np.isfinite(process(tree, batch, 0, 300)).all()


def test_bad_arguments():
    with pytest.raises(ConfigError, match="grace_period"):
        MultiLabelHoeffdingTree([0], 1, sparse=False, grace_period=0)
    with pytest.raises(ConfigError, match="river"):
        MultiLabelHoeffdingTree([0], 2, sparse=False, river=True)
    with pytest.raises(ValueError, match="at least one label"):
        MultiLabelHoeffdingTree([0], 0, sparse=False)
    batch = learnable(10)
    with pytest.raises(IndexError, match="label 3"):
        process(MultiLabelHoeffdingTree([0] * 5, 2, sparse=False), batch, 0, 10)


def test_description_names_things():
    batch = learnable(3000)
    tree = tree_for(batch)
    process(tree, batch, 0, len(batch))
    told = tree.describe(features=[f.name for f in batch.schema.features], labels=batch.schema.labels)
    assert json.loads(json.dumps(told)) == told
    assert told["feature"].startswith("f")
    assert told["test"] == "<="
    text = tree.to_text(features=[f.name for f in batch.schema.features], labels=batch.schema.labels)
    assert text.count("weight") == tree.n_leaves
    assert tree.n_nodes == 2 * tree.n_leaves - 1
    assert set(tree.memory_usage()) == {"nodes", "observers", "naive_bayes", "detectors"}


def test_without_memory_no_leaf_observes_until_there_is_some():
    batch = learnable(4000)
    tree = tree_for(batch)
    process(tree, batch, 0, 1000)
    tree.limit_memory(0.0)
    assert tree.n_active_leaves == 0
    assert np.isfinite(process(tree, batch, 1000, 2000)).all()
    usage = tree.memory_usage()
    assert usage["observers"] == usage["naive_bayes"] == 0
    tree.limit_memory(64.0)
    grown = tree.n_leaves
    assert np.isfinite(process(tree, batch, 2000, 4000)).all()
    assert tree.n_active_leaves >= 1
    assert tree.n_leaves > grown
