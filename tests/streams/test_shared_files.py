"""Every public data set reads as its manifest says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from stream_ml.streams import open_stream

DATASETS = Path(__file__).parents[3] / "shared" / "datasets"

if not (DATASETS / "manifest.yaml").is_file():
    pytest.skip(f"no data sets: {DATASETS / 'manifest.yaml'} is not there", allow_module_level=True)

MANIFEST = yaml.safe_load((DATASETS / "manifest.yaml").read_text())["datasets"]


def test_every_file_is_in_the_manifest():
    assert {entry["file"] for entry in MANIFEST.values()} == {path.name for path in DATASETS.glob("*.gz")}


@pytest.mark.parametrize("name", MANIFEST)
def test_data_set_is_as_its_manifest_says(name):
    said = MANIFEST[name]
    path = DATASETS / said["file"]
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    stream = open_stream(path)
    rows = labels = empty = stored = missing = 0
    for batch in stream:
        sizes = np.diff(batch.y_indptr)
        rows += len(batch)
        labels += int(sizes.sum())
        empty += int((sizes == 0).sum())
        stored += int((batch.x_values != 0).sum())
        missing += int(np.isnan(batch.x_values).sum())
        assert batch.labelled.all()
    schema = stream.schema
    assert rows == said["n_instances"]
    assert (schema.n_features, schema.n_labels) == (said["n_features"], said["n_labels"])
    assert sum(f.nominal for f in schema.features) == said["n_nominal_features"]
    assert schema.sparse == said["sparse"]
    assert math.isclose(labels / rows, said["cardinality"], abs_tol=1e-4)
    assert empty == said["empty_label_rows"]
    assert missing == said["missing_values"]
    # over all values, those of labels too
    fraction = (stored + labels) / (rows * (schema.n_features + schema.n_labels))
    assert math.isclose(fraction, said["nonzero_fraction"], abs_tol=1e-4)
