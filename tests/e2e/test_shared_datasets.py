"""Every public data set: the start of it, as it comes and shuffled, through the prequential loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_ml.cli.models import MODELS
from stream_ml.evaluation import METRICS, RANKED, prequential
from stream_ml.streams import Shuffled, open_stream

DATASETS = Path(__file__).parents[3] / "shared" / "datasets"
FILES = sorted(DATASETS.glob("*.arff.gz"))
ROWS = 400
# what each model is to be tried with: the baselines need no time, the classifier some
NAMES = ["no_change", "ihomer"]

if not FILES:
    pytest.skip(f"no data sets in {DATASETS}", allow_module_level=True)


@pytest.mark.parametrize("shuffled", [False, True], ids=["original", "shuffled"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".arff.gz"))
@pytest.mark.parametrize("model", NAMES)
def test_start_of_data_set(model, path, shuffled):
    stream = open_stream(path, limit=ROWS, batch_size=150)
    ordered = Shuffled(stream, 1) if shuffled else stream
    result = prequential(ordered, MODELS[model].build({}), window=100)
    summary = result.summary
    assert summary["n_scored"] == summary["n_learned"] == min(ROWS, summary["stream"]["n_instances"])
    assert summary["n_scored"] > 150
    assert summary["stream"]["n_labels"] == len(stream.schema.labels) > 1
    assert 0 < summary["stream"]["cardinality"] < summary["stream"]["n_labels"]
    assert list(summary["metrics"]) == [*METRICS, *RANKED]
    assert all(0 <= value <= 1 for name, value in summary["metrics"].items() if name in METRICS or model == "ihomer")
    assert sum(row["rows"] for row in result.windows) == summary["n_scored"]
    if model == "ihomer":
        labels = [label for cluster in summary["clusters"] for label in cluster]
        assert len(labels) == len(set(labels))
        assert set(labels) <= set(stream.schema.labels)
