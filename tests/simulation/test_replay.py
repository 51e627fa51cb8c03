"""A file replayed: its rows again and again, and drifts that are put on."""

from __future__ import annotations

import numpy as np
import pytest

from stream_ml.errors import ConfigError
from stream_ml.simulation import Scenario
from stream_ml.streams import concatenate, open_stream


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(1)
    rows = [f"{i},{i + 0.5},{i % 3},{i % 2},{(i // 2) % 2},{rng.integers(0, 2)}" for i in range(200)]
    path = tmp_path / "data.csv"
    path.write_text("a,b,c,p,q,r\n" + "\n".join(rows) + "\n")
    return path


def replayed(file, drifts=(), n=None, **generator):
    data = {"generator": {"kind": "file", "path": str(file), "labels": "p,q,r", **generator}, "drifts": list(drifts)}
    scenario = Scenario.load(data | ({"n_instances": n} if n else {}), seed=1)
    batch = concatenate(list(scenario.stream()))
    return batch.x_dense(), batch.y_dense(), scenario


@pytest.fixture
def original(file):
    batch = concatenate(list(open_stream(file, labels="p,q,r")))
    return batch.x_dense(), batch.y_dense()


def test_once_is_the_file(file, original):
    x, y, scenario = replayed(file)
    assert scenario.n_instances == 200
    np.testing.assert_array_equal(x, original[0])
    np.testing.assert_array_equal(y, original[1])


def test_again_and_again(file, original):
    x, _, _ = replayed(file, n=450)
    np.testing.assert_array_equal(x, np.concatenate([original[0], original[0], original[0][:50]]))


def test_every_pass_in_an_order_of_its_own(file, original):
    x, _, scenario = replayed(file, n=400, shuffle=True)
    first, second = x[:200, 0], x[200:, 0]
    assert sorted(first) == sorted(second) == sorted(original[0][:, 0])
    assert (first != second).any()
    batches = concatenate(list(scenario.stream(start=150, batch_size=7)))
    np.testing.assert_array_equal(batches.x_dense(), x[150:])


def test_labels_swap_names_and_columns_swap_places(file, original):
    drifts = [{"kind": "concept", "at": 200, "labels": [0, 2]}, {"kind": "concept", "at": 400, "how": "features"}]
    x, y, scenario = replayed(file, drifts, n=600)
    np.testing.assert_array_equal(y[200:400], original[1][:, [2, 1, 0]])
    np.testing.assert_array_equal(x[200:400], original[0])
    columns = [tuple(c) for c in x[400:].T]
    assert sorted(columns) == sorted(tuple(c) for c in original[0].T)
    assert all(a != tuple(b) for a, b in zip(columns, original[0].T, strict=True))
    assert [d.labels for d in scenario.drifts] == [(0, 2), (0, 1, 2)]


def test_noise_takes_labels_from_other_rows(file, original):
    _, y, _ = replayed(file, n=2000, noise=0.5)
    wrong = (y != np.tile(original[1], (10, 1))).mean(axis=0)
    np.testing.assert_allclose(wrong, 0.25, atol=0.05)  # half drawn anew from even frequencies


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        ({"kind": "dependence", "at": 5}, "a file knows appear, concept, noise, vanish"),
        ({"kind": "concept", "at": 5, "shape": "incremental", "width": 5}, "no in-between"),
        ({"kind": "vanish", "at": 5, "labels": [3]}, "labels go to 2, found 3"),
        ({"kind": "concept", "at": 5, "labels": [1]}, "none to swap with"),
    ],
)
def test_what_a_file_cannot_do_is_told(file, drift, message):
    with pytest.raises(ConfigError, match=message):
        replayed(file, [drift])
