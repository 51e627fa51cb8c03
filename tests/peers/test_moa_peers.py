"""MOA's learners in a Java process; skipped where Java or MOA's jar is not there."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from stream_ml.errors import ConfigError
from stream_ml.peers import PEERS, peer_named
from stream_ml.peers.moa import jar_path
from stream_ml.streams import LEARN, PREDICT, Batch, Feature, Schema


def made(n):
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 3, n)])
    y = np.column_stack([x[:, 0] > 0, x[:, 1] == 1])
    return Batch.from_dense(Schema([Feature("a"), Feature("c", ("u", "v", "w"))], ["p", "q"]), x, y)


@pytest.fixture
def jar():
    try:
        found = jar_path()
    except ConfigError:
        pytest.skip("needs MOA's jar: make moa")
    if shutil.which("java") is None:
        pytest.skip("needs Java 17")
    return str(found)


@pytest.mark.parametrize("name", [name for name in PEERS if name.startswith("moa.")])
def test_every_peer_runs(name, jar):
    batch = made(300)
    batch.mode[::10] = PREDICT
    batch.mode[5::10] = LEARN
    model = peer_named(name).build({"jar": jar})
    parts = [model.test_then_train(batch.rows(a, a + 100)) for a in range(0, 300, 100)]
    model.close()
    assert all(np.diff(part.label_indptr)[5::10].sum() == 0 for part in parts)
    if name == "moa.binary_relevance_tree":
        last = np.zeros((100, 2), dtype=bool)
        last[np.repeat(np.arange(100), np.diff(parts[2].label_indptr)), parts[2].label_indices] = True
        predicted = (batch.mode[200:] & PREDICT) > 0
        assert (last == batch.y_dense()[200:])[predicted].mean() > 0.7


def test_a_missing_jar_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOA_JAR", raising=False)
    with pytest.raises(ConfigError, match="make moa"):
        peer_named("moa.amrules").build({})
