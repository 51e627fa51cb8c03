"""Random small streams for property tests: hypothesis draws the shape, numpy fills it."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from stream_ml.streams import Batch, Feature, Schema


@st.composite
def small_streams(draw, max_rows=60, max_features=6, max_labels=5, missing=True, modes=True, partial=False):
    """A `Batch` of mixed numeric and nominal features, dense or sparse, with labels that depend on the features.

    With `partial`, some labels of some rows may not be known.
    """
    rows = draw(st.integers(1, max_rows))
    arities = draw(st.lists(st.sampled_from([0, 0, 0, 2, 3, 4]), min_size=1, max_size=max_features))
    n_labels = draw(st.integers(1, max_labels))
    sparse = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.where(np.array(arities) > 0, rng.integers(0, np.maximum(arities, 1), (rows, len(arities))), 0.0)
    x = np.where(np.array(arities) == 0, np.round(rng.normal(2.0, 3.0, x.shape), 2), x)
    if sparse:
        x *= rng.random(x.shape) < 0.4
    score = x @ rng.normal(size=(x.shape[1], n_labels)) + rng.normal(size=(rows, n_labels))
    y = score > np.quantile(score, 0.6)
    if missing and draw(st.booleans()):
        x[rng.random(x.shape) < 0.1] = np.nan
    features = [Feature(f"f{j}", tuple(map(str, range(a))) if a else None) for j, a in enumerate(arities)]
    schema = Schema(features, [f"l{m}" for m in range(n_labels)], sparse=sparse)
    if partial and draw(st.booleans()):
        y = np.where((rng.random(y.shape) < 0.5) & (rng.random(rows) < 0.7)[:, None], np.nan, y)
    batch = Batch.from_dense(schema, x, y)
    if modes and draw(st.booleans()):
        batch.mode[:] &= rng.integers(1, 4, rows).astype(np.uint8)
    return batch


def row_lists(batch):
    """Per row a list of (feature, value)."""
    pairs = list(zip(batch.x_indices.tolist(), batch.x_values.tolist(), strict=True))
    return [pairs[a:b] for a, b in zip(batch.x_indptr[:-1], batch.x_indptr[1:], strict=True)]


def label_sets(batch):
    """Per row the set of positive labels."""
    y = batch.y_indices.tolist()
    return [set(y[a:b]) for a, b in zip(batch.y_indptr[:-1], batch.y_indptr[1:], strict=True)]


def unknown_sets(batch):
    """Per row the set of labels that are not known."""
    unknown = batch.unknown_labels(batch.n_labels)
    return [set(np.flatnonzero(row).tolist()) for row in unknown] if len(unknown) else [set()] * len(batch)
