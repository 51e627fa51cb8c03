"""The classifier as an estimator of river, and its datasets as streams."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

try:
    from river.base import MultiLabelClassifier
except ImportError as error:
    raise ImportError(f"stream_ml.adapters.river needs river: pip install 'stream-ml[river]' ({error})") from error

from stream_ml.ihomer import IHomerClassifier
from stream_ml.streams.dicts import DictStream
from stream_ml.streams.schema import Schema

__all__ = ["RiverIHomerClassifier", "RiverStream"]


class RiverIHomerClassifier(MultiLabelClassifier):
    """`stream_ml.IHomerClassifier` as a multi-label classifier of river.

    It is a river estimator by its class; what it learns and says is that of `model`, bit for bit.

    Parameters
    ----------
    sparse
        Whether a feature that a row leaves out is 0, as in bags of words; else it is missing.
    period, clusters, tree, drift, experts, decisions
        As of `IHomerParameters`; sections are dicts, e.g. `decisions={"objective": "micro_f1"}`.

    Attributes
    ----------
    model
        The `IHomerClassifier` behind it: clusters, events, `save`.

    Raises
    ------
    ConfigError
        A value out of bounds, or a setting that a section lacks.

    Examples
    --------
    >>> from river import compose, evaluate, metrics, preprocessing
    >>> from stream_ml import default_stream
    >>> rows = [pair for batch in default_stream(n_instances=2000, seed=1) for pair in batch.iter_dicts()]
    >>> scaled = compose.SelectType(float) | preprocessing.StandardScaler()
    >>> model = (scaled + compose.SelectType(str)) | RiverIHomerClassifier(decisions={"objective": "micro_f1"})
    >>> score = evaluate.progressive_val_score(rows, model, metrics.multioutput.MicroAverage(metrics.F1()))
    >>> score.get() > 0.5
    True
    """

    def __init__(
        self,
        *,
        sparse: bool = False,
        period: int = 100,
        clusters: dict[str, Any] | None = None,
        tree: dict[str, Any] | None = None,
        drift: dict[str, Any] | None = None,
        experts: dict[str, Any] | None = None,
        decisions: dict[str, Any] | None = None,
    ) -> None:
        self.sparse, self.period = sparse, period
        self.clusters, self.tree, self.drift = clusters, tree, drift
        self.experts, self.decisions = experts, decisions
        sections = {"clusters": clusters, "tree": tree, "drift": drift, "experts": experts, "decisions": decisions}
        given = {name: section for name, section in sections.items() if section is not None}
        self.model = IHomerClassifier(Schema(sparse=sparse), period=period, **given)

    def learn_one(self, x: Mapping[Any, Any], y: Mapping[Any, Any] | Collection[Any]) -> None:
        """Learn one row; see `stream_ml.ihomer.one.RowByRow.learn_one`."""
        self.model.learn_one(x, y)

    def predict_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Hashable, bool]:
        """Of each label met so far whether it is in the label set decided for the row."""
        return self.model.predict_one(x)

    def predict_proba_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Hashable, dict[bool, float]]:
        """Of each label met so far the probabilities that it is absent and that it is present."""
        return self.model.predict_proba_one(x)


class RiverStream(DictStream):
    """A dataset of river as a stream of batches: for `prequential`, `test_then_train`, `Limited`, `Delayed`.

    Parameters are those of `stream_ml.streams.dicts.DictStream`, which takes any `(x, y)` pairs.

    Examples
    --------
    >>> from river import datasets
    >>> from stream_ml.streams import Limited
    >>> stream = Limited(RiverStream(datasets.ImageSegments()), 500)
    >>> sum(len(batch) for batch in stream), stream.schema.labels[:2]
    (500, ['path', 'foliage'])
    """
