"""In river mode, with one label, splits are those of river's tree: instance, feature, threshold."""

from __future__ import annotations

import numpy as np
import pytest
from river.datasets import synth
from river.tree import HoeffdingTreeClassifier

from stream_ml.trees import MultiLabelHoeffdingTree

ROWS = 10_000


def from_generator(generator):
    rows = list(generator.take(ROWS))
    x = np.array([[float(v) for v in row.values()] for row, _ in rows])
    return x, np.array([bool(label) for _, label in rows]), [0] * x.shape[1]


def random_tree():
    return from_generator(synth.RandomTree(seed_tree=1, seed_sample=2, n_num_features=6, n_cat_features=0, n_classes=2))


def drifting_hyperplane():
    return from_generator(
        synth.Hyperplane(seed=3, n_features=8, n_drift_features=3, mag_change=0.01, noise_percentage=0.05)
    )


def sea():
    return from_generator(synth.SEA(seed=4, variant=1, noise=0.1))


def agrawal():
    return from_generator(synth.Agrawal(classification_function=5, seed=7))


def nominal_mix():
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [rng.integers(0, 4, ROWS), rng.integers(0, 3, ROWS), rng.normal(size=(ROWS, 3)), rng.integers(0, 2, ROWS)]
    )
    y = (x[:, 0] == 2) | (x[:, 2] + x[:, 1] > 1.2) ^ (x[:, 5] > 0)
    return x, y, [4, 3, 0, 0, 0, 2]


def with_missing_values():
    x, y, arities = nominal_mix()
    gone = np.random.default_rng(1).random(x.shape) < 0.1
    gone[0] = False
    return np.where(gone, np.nan, x), y, arities


def rare_class():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 5))
    return x, rng.random(ROWS) < 0.004 + 0.5 * ((x[:, 0] > 1.5) & (x[:, 1] > 0)), [0] * 5


def mostly_zeros():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, 10)) * (rng.random((ROWS, 10)) < 0.3)
    return x, (x[:, 0] > 0.5) | (x[:, 1] < -0.3) | (x[:, 2] > 1), [0] * 10


def river_splits(x, y, arities, **settings):
    """(instance, depth, feature, threshold) of each split, in order."""
    model = HoeffdingTreeClassifier(leaf_prediction="mc", binary_split=True, **settings)
    splits, now, select = [], [0], model._branch_selector

    def recording(*kind):
        class Branch(select(*kind)):
            def __init__(self, stats, feature, threshold, depth, *children):
                super().__init__(stats, feature, threshold, depth, *children)
                splits.append((now[0], depth, feature, threshold))

        return Branch

    model._branch_selector = recording
    for i, (row, label) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        now[0] = i
        named = {f: f"v{int(v)}" if arities[f] else v for f, v in enumerate(row) if v == v}
        model.learn_one(named, label)
    return [(i, depth, f, float(t[1:]) if arities[f] else t) for i, depth, f, t in splits]


def our_splits(x, y, arities, sparse, **settings):
    stored = (x != 0) | np.isnan(x) if sparse else ~np.isnan(x)
    tree = MultiLabelHoeffdingTree(arities, 1, sparse=sparse, river=True, drift=False, max_depth=500, **settings)
    tree.process(
        np.concatenate([[0], np.cumsum(stored.sum(axis=1))]),
        np.nonzero(stored)[1].astype(np.int32),
        x[stored],
        np.concatenate([[0], np.cumsum(y)]),
        np.zeros(int(y.sum()), dtype=np.int32),
        np.full(len(x), 2, dtype=np.uint8),
        0,
        len(x),
        0,
        np.zeros((len(x), 3, 1), dtype=np.float32),
    )
    return [e for e in tree.drain_events() if e["kind"] == "split"]


@pytest.mark.parametrize(
    ("stream", "sparse", "settings", "at_least"),
    [
        (random_tree, False, {"grace_period": 200, "delta": 1e-7, "tau": 0.05}, 5),
        (drifting_hyperplane, False, {"grace_period": 200, "delta": 1e-7, "tau": 0.05}, 3),
        (sea, False, {"grace_period": 200, "delta": 1e-7, "tau": 0.05}, 3),
        (sea, False, {"grace_period": 50, "delta": 1e-4, "tau": 0.1}, 15),
        (agrawal, False, {"grace_period": 200, "delta": 1e-7, "tau": 0.05}, 4),
        (nominal_mix, False, {"grace_period": 200, "delta": 1e-7, "tau": 0.05}, 6),
        (with_missing_values, False, {"grace_period": 150, "delta": 1e-6, "tau": 0.05}, 5),
        (rare_class, False, {"grace_period": 100, "delta": 1e-5, "tau": 0.08}, 1),
        (mostly_zeros, True, {"grace_period": 200, "delta": 1e-7, "tau": 0.05}, 3),
    ],
    ids=lambda v: v.__name__ if callable(v) else None,
)
def test_same_splits_as_river(stream, sparse, settings, at_least):
    x, y, arities = stream()
    x = x.astype(np.float32)
    theirs = river_splits(x, y, arities, **settings)
    ours = our_splits(
        x,
        y,
        arities,
        sparse,
        grace_period=settings["grace_period"],
        split_confidence=settings["delta"],
        tie_threshold=settings["tau"],
    )
    assert len(theirs) >= at_least
    for split, (instance, depth, feature, threshold) in zip(ours, theirs, strict=False):
        if split["merit"] - split["second_merit"] < 1e-9:  # a tie: either feature would do
            break
        assert (split["instance"], split["depth"], split["feature"]) == (instance, depth, feature)
        if arities[feature] != 2:  # of two values either one names the same test
            assert split["threshold"] == pytest.approx(threshold, rel=1e-9)
    else:
        assert len(ours) == len(theirs)
