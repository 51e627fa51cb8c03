"""Learning from rows whose labels are known in part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_ml.evaluation import MajorityLabelset, Metrics, NoChange
from stream_ml.ihomer import IHomerClassifier
from stream_ml.simulation import default_stream
from stream_ml.streams.batch import AGAIN, LEARN, PREDICT, Partial
from stream_ml.streams.dense import csr_of
from stream_ml.streams.source import concatenate


def a_stream(n):
    return concatenate(list(default_stream(n_instances=n, seed=1)))


def hiding(batch, unknown):
    """The batch, but for what is not known; rows of which nothing is are only predicted."""
    y, labelled = batch.y_dense(), ~unknown.all(axis=1)
    partial = unknown.any(axis=1) & labelled
    indptr, indices = csr_of(y & ~unknown)
    return replace(
        batch,
        y_indptr=indptr,
        y_indices=indices,
        labelled=labelled,
        mode=np.where(labelled, PREDICT | LEARN, PREDICT).astype(np.uint8),
        partial=Partial(partial, *csr_of(~y & ~unknown & partial[:, None])),
    )


def cells(batch, share, seed=5):
    return np.random.default_rng(seed).random((len(batch), batch.n_labels)) < share


def run(batch, size, model=None):
    """What is predicted of the batch, cut into pieces, and the state at the end."""
    model = model or IHomerClassifier()
    outputs = [model.test_then_train(batch.rows(a, min(a + size, len(batch)))) for a in range(0, len(batch), size)]
    return np.concatenate([p.probabilities for p in outputs]), model.state_dict()


def assert_same(one, two):
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1].keys() == two[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, two[1][name], err_msg=name)


def test_partial_rows_that_name_every_label_are_complete_rows():
    batch = a_stream(700)
    y = batch.y_dense()
    named = replace(batch, partial=Partial(np.arange(700) % 3 > 0, *csr_of(~y & (np.arange(700) % 3 > 0)[:, None])))
    assert_same(run(batch, 700), run(named, 700))


def test_cuts_change_nothing():
    batch = a_stream(900)
    unknown = cells(batch, 0.5) & (np.arange(900) % 4 > 0)[:, None]
    hidden = hiding(batch, unknown)
    # further labels of the row before, as late messages bring them
    hidden.mode[8::16] = LEARN | AGAIN
    one = run(hidden, 900)
    assert int(one[1]["n_learned"][0]) < 900 - len(hidden.mode[8::16]) + 1
    for size in (1, 97):
        assert_same(one, run(hidden, size))


def test_further_labels_of_an_instance_do_not_count_it_again():
    """Parts that are learned as one row, and in two: counts by instance are equal, label by label, too."""
    batch = a_stream(1000)
    first = cells(batch, 0.5)
    first[:, 0], first[:, 1], first[:50] = False, True, False  # by row 50 all labels have been met
    both = concatenate([hiding(batch, first), hiding(batch, ~first)])
    both.mode[1000:] = LEARN | AGAIN
    order = np.stack([np.arange(1000), np.arange(1000, 2000)], axis=1).ravel()
    order = order[(order < 1000) | (order >= 1050)]
    whole, parts = run(batch, 100)[1], run(both.take(order), 100)[1]
    assert whole["n_learned"][0] == parts["n_learned"][0] == 1000
    for name in ("pool.naive_bayes.totals", "pool.design.counts", "pool.design.mean", "pool.neighbours.learned"):
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    for name in ("counts", "weights"):
        n = batch.n_labels
        np.testing.assert_array_equal(whole[f"pool.prior.{name}"][:n], parts[f"pool.prior.{name}"][:n], err_msg=name)


def test_half_of_the_labels_teach_much_of_what_all_do():
    batch = a_stream(2500)
    hidden = hiding(batch, cells(batch, 0.5))
    seen = {
        "partial": (IHomerClassifier(), hidden),
        "absent": (IHomerClassifier(), replace(hidden, partial=None)),
        "no_change": (NoChange(), hidden),
        "majority": (MajorityLabelset(), hidden),
    }
    f1 = {}
    for name, (model, shown) in seen.items():
        metrics = Metrics()
        metrics.update(batch, model.test_then_train(shown))  # scored on all labels
        f1[name] = metrics.result()["micro_f1"]
    assert f1["partial"] > 0.47
    assert f1["partial"] > 0.12 + max(f1["absent"], f1["no_change"], f1["majority"])


@pytest.mark.parametrize("size", [1, 2, 100])
def test_no_change_knows_what_was_known_last(size):
    batch = a_stream(100)
    unknown = cells(batch, 0.4)
    hidden, model, last = hiding(batch, unknown), NoChange(), np.zeros(batch.n_labels, dtype=bool)
    predicted = [model.test_then_train(hidden.rows(a, min(100, a + size))) for a in range(0, 100, size)]
    sets = [
        p.label_indices[i:j].tolist()
        for p in predicted
        for i, j in zip(p.label_indptr, p.label_indptr[1:], strict=False)
    ]
    for row, labels in enumerate(sets):
        assert labels == np.flatnonzero(last).tolist()
        last = np.where(unknown[row], last, batch.y_dense()[row])
