"""River's learners behind our interface: honest, in order, whatever the modes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from river.naive_bayes import GaussianNB

from stream_ml.errors import ConfigError
from stream_ml.peers import PEERS, peer_named
from stream_ml.streams import LEARN, PREDICT, Batch, Feature, Schema

RIVER = [name for name in PEERS if name.startswith("river.")]


def made(n=120, sparse=False, seed=0):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=n), rng.normal(size=n), rng.integers(0, 3, n)])
    if sparse:
        x *= rng.random(x.shape) < 0.6
    schema = Schema([Feature("a"), Feature("b"), Feature("c", ("u", "v", "w"))], ["p", "q"], sparse=sparse)
    return Batch.from_dense(schema, x, np.column_stack([x[:, 0] > 0, x[:, 2] == 1]))


@pytest.mark.parametrize("name", RIVER)
@pytest.mark.parametrize("sparse", [False, True])
def test_every_peer_runs_and_cuts_change_nothing(name, sparse):
    batch = made(sparse=sparse)
    whole = peer_named(name).build({}).test_then_train(batch)
    again = peer_named(name).build({})
    parts = [again.test_then_train(batch.rows(a, a + 40)) for a in range(0, 120, 40)]
    assert len(whole) == 120
    assert whole.label_indices.tolist() == [m for part in parts for m in part.label_indices.tolist()]
    assert not whole.label_indptr[1]  # nothing is known before the first row


def test_the_first_label_is_learned():
    batch = made(400)
    predictions = peer_named("river.logistic_regression").build({}).test_then_train(batch)
    chosen = np.zeros((400, 2), dtype=bool)
    chosen[np.repeat(np.arange(400), np.diff(predictions.label_indptr)), predictions.label_indices] = True
    assert (chosen[100:, 0] == batch.y_dense()[100:, 0]).mean() > 0.9


def test_what_river_says_is_what_is_reported():
    batch = made(150)
    predictions = peer_named("river.gaussian_nb").build({}).test_then_train(batch)
    models, expected = {name: GaussianNB() for name in ("p", "q")}, []
    for row, (x, y) in enumerate(batch.iter_dicts()):
        x = {f"{k}={v}" if isinstance(v, str) else k: 1.0 if isinstance(v, str) else v for k, v in x.items()}
        expected.append([m for m, name in enumerate(models) if row and models[name].predict_one(x)])
        for name, model in models.items():
            model.learn_one(x, y[name])
    got = [predictions.label_indices[a:b].tolist() for a, b in pairwise(predictions.label_indptr)]
    assert got == expected


def test_modes_are_kept():
    batch = made()
    batch.mode[:60] = LEARN
    batch.mode[60:] = PREDICT
    model = peer_named("river.hoeffding_tree").build({})
    predictions = model.test_then_train(batch)
    assert predictions.label_indptr[60] == 0
    again = model.test_then_train(batch.rows(60, 120))  # nothing was learned of these rows
    assert again.label_indices.tolist() == predictions.label_indices.tolist()


def test_zeros():
    """Absent features of sparse rows are left out, or fed as zeros where that is asked for."""
    batch = made(sparse=True)
    seen = {}
    for zeros in (None, True):
        model = peer_named("river.hoeffding_tree").build({"zeros": zeros})
        model.learn_row = lambda x, y, zeros=zeros: seen.setdefault(zeros, []).append(len(x))
        model.test_then_train(batch)
    assert set(seen[True]) == {3}
    assert min(seen[None]) < 3


def test_unknown_names():
    with pytest.raises(ConfigError, match=r"no peer is called 'river\.tree'"):
        peer_named("river.tree")
