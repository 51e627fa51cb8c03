"""The classifier as an estimator of river, and its datasets as streams."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

try:
    from river.base import Estimator, MultiLabelClassifier
except ImportError as error:
    raise ImportError(f"stream_ml.adapters.river needs river: pip install 'stream-ml[river]' ({error})") from error

from stream_ml.errors import ConfigError
from stream_ml.ihomer import IHomerClassifier
from stream_ml.streams.dicts import DictStream
from stream_ml.streams.schema import Schema

__all__ = ["RiverExpert", "RiverIHomerClassifier", "RiverStream"]


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


class RiverExpert:
    """A classifier of river as an expert of `IHomerClassifier`, for `extra_experts`.

    One that classifies into two classes is cloned for each label when the label appears, and learns the rows whose
    label is known; a multi-label one learns whole rows, in which labels that are not known are filled in. A row costs
    what river takes for it, times the labels.

    Parameters
    ----------
    classifier
        Any with `predict_proba_one`, a pipeline too; it is cloned, and stays as it is. Give it a seed if it has one.
    multilabel
        Whether it learns all labels at once; by default if it is a `river.base.MultiLabelClassifier`.

    Raises
    ------
    ConfigError
        It is no estimator of river with `predict_proba_one` and `learn_one`.

    Examples
    --------
    >>> from river.naive_bayes import GaussianNB
    >>> model = IHomerClassifier(extra_experts={"gaussian": RiverExpert(GaussianNB())})
    >>> for length in range(50):
    ...     model.learn_one({"length": length % 10}, {"long": length % 10 > 4})
    >>> model.predict_one({"length": 9}), model.expert_names[-1]
    ({'long': True}, 'gaussian')
    """

    def __init__(self, classifier: Any, *, multilabel: bool | None = None) -> None:
        asked = all(callable(getattr(classifier, name, None)) for name in ("predict_proba_one", "learn_one"))
        if not isinstance(classifier, Estimator) or not asked:
            raise ConfigError(
                f"RiverExpert: expected a classifier of river with predict_proba_one, found {classifier!r}"
            )
        whole = isinstance(classifier, MultiLabelClassifier) if multilabel is None else multilabel
        self.learns_in_part = not whole
        self._prototype: Any = classifier.clone()
        self._whole: Any = classifier.clone() if whole else None
        self._models: dict[str, Any] = {}

    def predict_proba_one(self, x: dict[str, Any]) -> Mapping[str, Any]:
        """Of each label met so far the probabilities that it is absent and present."""
        if self._whole is not None:
            return dict(self._whole.predict_proba_one(x))
        return {label: model.predict_proba_one(x) for label, model in self._models.items()}

    def learn_one(self, x: dict[str, Any], y: dict[str, bool]) -> None:
        """Learn the labels that `y` tells."""
        if self._whole is not None:
            self._whole.learn_one(x, y)
            return
        for label, present in y.items():
            if label not in self._models:
                self._models[label] = self._prototype.clone()
            self._models[label].learn_one(x, present)


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
