"""The embedded stream is what its docstring says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stream_ml.simulation import default_stream
from stream_ml.streams import concatenate


def rows(**options):
    return concatenate(list(default_stream(**options)))


def jaccard(y):
    y = y.astype(float)
    both = y.T @ y
    n = np.diag(both)
    return both / (n[:, None] + n[None, :] - both)


def test_same_seed_same_rows_whatever_the_batch_size():
    a, b = rows(n_instances=2300, batch_size=1000), rows(n_instances=2300, batch_size=17)
    np.testing.assert_array_equal(a.x_values, b.x_values)
    np.testing.assert_array_equal(a.y_indices, b.y_indices)
    assert not np.array_equal(a.x_values, rows(n_instances=2300, seed=43).x_values)


def test_iterating_twice_gives_the_same():
    stream = default_stream(n_instances=1500)
    first, second = concatenate(list(stream)), concatenate(list(stream))
    np.testing.assert_array_equal(first.y_indices, second.y_indices)


def test_groups_go_together_and_are_regrouped():
    stream = default_stream(n_instances=20_000)
    y = concatenate(list(stream)).y_dense()
    for (start, concept), stop in zip(stream.phases, [8000, 14_000, 20_000], strict=True):
        similarity = jaccard(y[start:stop])
        same = concept.group_of[:, None] == concept.group_of[None, :]
        off = ~np.eye(12, dtype=bool)
        assert similarity[same & off].min() > 2 * similarity[~same].max()
    assert 2 < y.sum(axis=1).mean() < 4


def test_the_first_drift_is_local_and_real():
    stream = default_stream(n_instances=20_000)
    batch = concatenate(list(stream))
    drift = stream.drifts[0]
    x, y = batch.x_dense(), batch.y_dense()
    region = (x[:, stream.phases[0][1].region_feature[:, None]].astype(int) % 2)[:, :, 0]
    before, after = slice(0, drift.instance), slice(drift.instance, stream.drifts[1].instance)
    for group, label in enumerate((0, 3, 6, 9)):
        part = region[:, group] == 0
        model = LogisticRegression(max_iter=200).fit(x[before][part[before]], y[before][part[before], label])
        old = model.score(x[before][part[before]], y[before][part[before], label])
        new = model.score(x[after][part[after]], y[after][part[after], label])
        if label in drift.labels:
            assert new < old - 0.1
        else:
            assert new == pytest.approx(old, abs=0.03)


def test_needs_rows():
    with pytest.raises(ValueError, match="n_instances"):
        default_stream(n_instances=0)
