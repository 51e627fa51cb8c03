"""The compiled tree and its plain-Python twin learn, split, predict and swap alike."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from reference import trees as twin
from streams_strategy import label_sets, row_lists, small_streams

from stream_ml.streams import PREDICT, Batch, Feature, Schema
from stream_ml.trees import MultiLabelHoeffdingTree, TreeParameters

EAGER = {"grace_period": 25, "split_confidence": 0.3, "tie_threshold": 1.0, "inherited_rows": 20.0}


def run_both(batch: Batch, parameters: TreeParameters):
    arities = batch.schema.arities()
    tree = MultiLabelHoeffdingTree(arities, batch.n_labels, sparse=batch.schema.sparse, parameters=parameters)
    other = twin.Tree(arities.tolist(), batch.n_labels, batch.schema.sparse, asdict(parameters))
    logits = tree.process_batch(batch)
    expected = other.process_rows(row_lists(batch), label_sets(batch), batch.mode.tolist(), batch.first)
    return tree, logits, other, expected


def assert_alike(batch: Batch, parameters: TreeParameters) -> MultiLabelHoeffdingTree:
    tree, logits, other, expected = run_both(batch, parameters)
    if other.closest <= 1e-9:  # two choices as good as each other: either may be taken
        reject()
    events = tree.drain_events()
    splits = [(e["instance"], e["feature"], e["threshold"], e["merit"]) for e in events if e["kind"] == "split"]
    wanted = [e[1:] for e in other.events if e[0] == "split"]
    assert [e[:2] for e in splits] == [e[:2] for e in wanted]
    np.testing.assert_allclose([e[2:] for e in splits], [e[2:] for e in wanted], rtol=1e-6, atol=1e-9)
    kinds = sorted((e["instance"], e["kind"]) for e in events if e["kind"] != "split")
    assert kinds == sorted((e[1], e[0]) for e in other.events if e[0] != "split")
    rows = np.flatnonzero(batch.mode & PREDICT)
    if len(rows):
        wanted = np.array([expected[r] for r in rows])
        np.testing.assert_allclose(logits[rows][:, [0, 2]], wanted[:, [0, 2]], atol=1e-5)
        # naive Bayes adds terms of single precision
        np.testing.assert_allclose(logits[rows, 1], wanted[:, 1], atol=1e-3)
    return tree


@settings(deadline=None, derandomize=True, max_examples=60)
@given(small_streams(max_rows=300), st.booleans())
def test_tree_learns_as_its_twin(batch, at_root):
    assert_alike(batch, TreeParameters(**EAGER, naive_bayes_at_root=at_root, drift=False))


def changing_stream(seed: int, rows: int, n_labels: int, sparse: bool) -> Batch:
    """A concept that turns over once, two thirds in."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(rows, 3)), 3)
    if sparse:
        x *= rng.random(x.shape) < 0.5
    sign = np.where(np.arange(rows) < 2 * rows // 3, 1, -1)[:, None]
    y = (sign * x[:, np.arange(n_labels) % 3] > 0.1) ^ (rng.random((rows, n_labels)) < 0.05)
    schema = Schema([Feature(f"f{i}") for i in range(3)], [f"l{i}" for i in range(n_labels)], sparse=sparse)
    return Batch.from_dense(schema, x, y)


@settings(deadline=None, derandomize=True, max_examples=12)
@given(st.integers(0, 10_000), st.integers(1, 3), st.booleans())
def test_drifting_tree_swaps_as_its_twin(seed, n_labels, sparse):
    batch = changing_stream(seed, 700, n_labels, sparse)
    assert_alike(batch, TreeParameters(**EAGER, warning_delta=0.2, comparison_rows=30, naive_bayes=False))


def test_drift_examples_do_swap():
    swaps = 0
    for seed in range(4):
        batch = changing_stream(seed, 700, 2, False)
        tree = assert_alike(batch, TreeParameters(**EAGER, warning_delta=0.2, comparison_rows=30, naive_bayes=False))
        swaps += tree.root != 0
    assert swaps
