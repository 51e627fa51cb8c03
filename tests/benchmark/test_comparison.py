"""Tallies, metrics on common prefixes, jackknife errors, ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.benchmark import METRICS, Measured, Tallies, compare, measure
from stream_ml.benchmark.comparison import metrics_of
from stream_ml.benchmark.summary import entries_of, summarize
from stream_ml.evaluation import MajorityLabelset, Metrics, NoChange
from stream_ml.simulation import default_stream
from stream_ml.streams import Batch, Feature, Predictions, Schema

quick = settings(deadline=None, derandomize=True, max_examples=30)


def random_tallies(seed, blocks, n_labels=3, rows=10, skill=0.3):
    """Blocks of rows scored by a predictor that errs at the rate `skill`; and all of it as one batch."""
    truth = np.random.default_rng(seed).random((blocks * rows, n_labels)) < 0.4
    chosen = truth ^ (np.random.default_rng(seed + 1).random(truth.shape) < skill)
    schema = Schema([Feature("x")], [f"l{m}" for m in range(n_labels)])
    tallies = Tallies()
    whole = Batch.from_dense(schema, np.zeros((len(truth), 1)), truth)
    made = Batch.from_dense(schema, np.zeros((len(truth), 1)), chosen)
    for a in range(0, len(truth), rows):
        part = made.rows(a, a + rows)
        tallies.add(whole.rows(a, a + rows), Predictions(part.y_indptr, part.y_indices), np.arange(rows))
    return tallies, whole, Predictions(made.y_indptr, made.y_indices)


@quick
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 4))
def test_tallies_give_the_metrics(seed, blocks, n_labels):
    tallies, batch, predictions = random_tallies(seed, blocks, n_labels)
    metrics = Metrics()
    metrics.update(batch, predictions)
    again = Tallies.from_arrays(tallies.to_arrays())
    got = dict(zip(METRICS, metrics_of(again.sums.sum(0), again.counts.sum(0)).tolist(), strict=True))
    assert got == pytest.approx({m: metrics.result()[m] for m in METRICS})
    assert again.rows == len(batch)


@quick
@given(st.integers(0, 1000), st.integers(2, 8))
def test_jackknife_by_hand(seed, blocks):
    """Leaving out each block in turn, from the rows up."""
    ours, theirs = random_tallies(seed, blocks)[0], random_tallies(seed, blocks, skill=0.5)[0]
    found = compare(ours, theirs)
    for i, metric in enumerate(METRICS):
        left_out = []
        for b in range(blocks):
            keep = np.arange(blocks) != b
            a, c = (metrics_of(t.sums[keep].sum(0), t.counts[keep].sum(0))[i] for t in (ours, theirs))
            left_out.append(a - c)
        error = np.sqrt((blocks - 1) / blocks * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
        assert found[metric].error == pytest.approx(error)
        sign = -1 if metric == "hamming_loss" else 1
        assert found[metric].advantage == pytest.approx(sign * (found[metric].ours - found[metric].theirs))


def test_the_error_is_that_of_repeated_experiments():
    """Over many random streams the difference varies as much as one stream says it does."""
    differences, errors = [], []
    for seed in range(0, 400, 2):
        found = compare(random_tallies(seed, 20)[0], random_tallies(seed, 20, skill=0.31)[0])["micro_f1"]
        differences.append(found.advantage)
        errors.append(found.error)
    assert np.std(differences) == pytest.approx(np.mean(errors), rel=0.2)


def test_models_are_compared_on_the_rows_that_both_did():
    long, short = random_tallies(1, 10)[0], random_tallies(1, 4, skill=0.4)[0]
    # the same rows at the beginning, as random numbers are drawn block after block
    found = compare(long, short)
    assert found["micro_f1"].rows == 40
    assert compare(Tallies(), long) == {}


def test_more_labels_may_come_later():
    narrow, wide = random_tallies(1, 3, n_labels=2)[0], random_tallies(1, 3, n_labels=5)[0]
    assert compare(narrow, wide)["macro_f1"].rows == 30


def test_rows_of_another_number_are_refused():
    with pytest.raises(ValueError, match="different rows"):
        compare(random_tallies(1, 3)[0], random_tallies(1, 3, rows=5)[0])


def test_time_that_is_over_stops_a_run_at_a_block():
    class Slow(NoChange):
        def test_then_train(self, batch):
            import time

            time.sleep(0.02)
            return super().test_then_train(batch)

    measured = measure(default_stream(n_instances=2000, seed=1), Slow(), block=50, budget=0.1)
    assert measured.partial
    assert measured.rows % 50 == 0
    assert 0 < measured.rows < 1000
    whole = measure(default_stream(n_instances=2000, seed=1), NoChange(), block=50)
    assert (whole.rows, whole.partial) == (2000, False)


def test_ranks_and_verdicts():
    entries = []
    for place in range(4):
        for name, model in (("a", NoChange()), ("b", MajorityLabelset()), ("c", NoChange())):
            stream = default_stream(n_instances=500, seed=place)
            entries += entries_of(f"s{place}", "file order", name, measure(stream, model))
    entries += entries_of("s0", "file order", "broken", Measured(error="it broke"))
    summary = summarize(entries, "a")
    assert summary.verdicts["c"] == {"tie": 20}
    assert sum(summary.verdicts["b"].values()) == 20
    assert "broken" not in summary.verdicts
    for ranking in summary.rankings:
        assert set(ranking.ranks) == {"a", "b", "c"}
        assert ranking.ranks["a"] == ranking.ranks["c"]
        assert sum(ranking.ranks.values()) == pytest.approx(6)
        assert 0 < ranking.p_value <= 1
