"""The classifier as an estimator of scikit-learn: multi-label, incremental."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

try:
    from scipy.sparse import csr_array
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import type_of_target
    from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data
except ImportError as error:
    needed = "scikit-learn 1.6 or newer: pip install 'stream-ml[sklearn]'"
    raise ImportError(f"stream_ml.adapters.sklearn needs {needed} ({error})") from error

from stream_ml.adapters.arrays import ArrayRows, check_classes, indicators, is_sparse
from stream_ml.errors import StreamMLError
from stream_ml.ihomer import IHomerClassifier
from stream_ml.ihomer.parameters import (
    ClusterParameters,
    DecisionParameters,
    DriftParameters,
    ExpertParameters,
    TreeParameters,
)
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions

__all__ = ["SklearnIHomerClassifier"]

SECTIONS: dict[str, type[BaseModel]] = {
    "clusters": ClusterParameters,
    "tree": TreeParameters,
    "drift": DriftParameters,
    "experts": ExpertParameters,
    "decisions": DecisionParameters,
}


@contextmanager
def _value_errors() -> Iterator[None]:
    """What is wrong with the input is a ValueError, as everywhere in scikit-learn."""
    try:
        yield
    except StreamMLError as error:
        raise ValueError(str(error)) from error


class SklearnIHomerClassifier(ClassifierMixin, BaseEstimator):
    """`stream_ml.IHomerClassifier` as a multi-label classifier of scikit-learn.

    `X` is (rows, features): NumPy, SciPy sparse, pandas or polars; NaN is a missing value. `y` is (rows, labels) of 0
    and 1, dense or sparse; NaN where a label is not known. Rows are learned in order, once.

    Parameters
    ----------
    sparse
        Whether zeros of `X` are taken as absent: what sparse matrices are for, and the cost of a row follows its
        non-zeros. None: as the first `X` is. Where it is set, a sparse matrix and an array of the same numbers give the
        same model.
    period, clusters, tree, drift, experts, decisions
        As of `IHomerParameters`; sections are dicts, e.g. `decisions={"objective": "micro_f1"}`, and their keys are
        parameters, too: `set_params(decisions__objective="micro_f1")`. They are read when learning begins.

    Attributes
    ----------
    model_
        The `IHomerClassifier` behind it: clusters, events, `save`.
    classes_
        The labels by column: names where the first `y` had them, else 0, 1, ...
    n_outputs_, n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> X = np.random.default_rng(1).normal(size=(600, 10))
    >>> y = (X[:, :4] + X[:, 4:8] > 0.5).astype(int)
    >>> model = SklearnIHomerClassifier()
    >>> for start in range(0, 500, 100):
    ...     model = model.partial_fit(X[start : start + 100], y[start : start + 100])
    >>> model.predict(X[500:]).shape, model.predict_proba(X[500:]).shape, bool(model.score(X[500:], y[500:]) > 0.5)
    ((100, 4), (100, 4), True)
    """

    def __init__(
        self,
        *,
        sparse: bool | None = None,
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

    # -- learning and predicting --------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> SklearnIHomerClassifier:
        """Forget all, then learn these rows."""
        self.__dict__.pop("model_", None)
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Any] | None = None) -> SklearnIHomerClassifier:
        """Learn some more rows.

        Parameters
        ----------
        X, y
            See the class. The first call tells how many features and labels there are.
        classes
            Values of the labels as meta-estimators hand them over: `[0, 1]`, or that for each column.

        Raises
        ------
        ValueError
            Shapes that do not fit each other or the first call; values that are no numbers, infinite, or not 0 and 1.
        """
        batch = self._labelled(X, y, LEARN, classes)
        if len(batch):
            self.model_.test_then_train(batch)
        return self

    def test_then_train(self, X: Any, y: Any) -> tuple[Any, NDArray[np.float32]]:
        """Predict each row, then learn it, before the next one is predicted: what `evaluate` does.

        Gives `predict` and `predict_proba` of each row as of before it was learned, for the cost of one pass.
        """
        predictions = (
            self.model_.test_then_train(batch) if len(batch := self._labelled(X, y, PREDICT | LEARN)) else None
        )
        return self._told(predictions), self._probabilities(predictions)

    def predict(self, X: Any) -> Any:
        """The label set decided for each row: (rows, labels) of 0 and 1, int64; sparse where the first `y` was."""
        return self._told(self._predicted(X))

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """The probability of each label: float32 (rows, labels). A pass of its own; `test_then_train` gives both."""
        return self._probabilities(self._predicted(X))

    # -- parameters ---------------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; `deep`: what sections were given, too, as `section__key`."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            given = {name: params[name] for name in SECTIONS if isinstance(params[name], dict)}
            params |= {f"{name}__{key}": value for name, section in given.items() for key, value in section.items()}
        return params

    def set_params(self, **params: Any) -> SklearnIHomerClassifier:
        """Set parameters by name, keys of sections as `section__key`.

        Raises
        ------
        ValueError
            There is no such parameter.
        """
        whole = {name: value for name, value in params.items() if "__" not in name}
        super().set_params(**whole)
        for name in params.keys() - whole.keys():
            section, _, key = name.partition("__")
            if section not in SECTIONS or key not in SECTIONS[section].model_fields:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}")
            setattr(self, section, {**(getattr(self, section) or {}), key: params[name]})
        return self

    def __sklearn_tags__(self) -> Any:
        """Multi-label, and nothing else; missing values and sparse matrices are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = True
        tags.target_tags.single_output, tags.target_tags.multi_output = False, True
        tags.classifier_tags.multi_class, tags.classifier_tags.multi_label = False, True
        return tags

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _checked(self, X: Any, *, first: bool) -> Any:
        """`X` as float32, an array or CSR; its columns noted or compared with those noted."""
        options: dict[str, Any] = {"dtype": np.float32, "order": "C", "ensure_all_finite": "allow-nan"}
        with np.errstate(over="ignore"):  # what does not fit is infinite then, which is told
            return validate_data(self, X, accept_sparse="csr", reset=first, **options)

    def _labelled(self, X: Any, y: Any, mode: int, classes: Sequence[Any] | None = None) -> Batch:
        """Rows to learn; the first ones tell what there is."""
        first = not hasattr(self, "model_")
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        names = getattr(y, "columns", None)
        y = check_array(
            y, accept_sparse="csr", dtype=None, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
        )
        if y.ndim != 2:
            hint = "for one label y.reshape(-1, 1), for classes sklearn.preprocessing.label_binarize"
            found = f"a {type_of_target(y)} target of {y.ndim} dimension{'s' * (y.ndim != 1)}"
            expected = "y of (rows, labels), 0 and 1"
            raise ValueError(f"Only binary classification is supported. Expected {expected}, found {found} ({hint})")
        X = self._checked(X, first=first)
        check_consistent_length(X, y)
        with _value_errors():
            check_classes(classes, y.shape[1])
            rows = self._begin(X, y, names) if first else self._rows
            if names is not None and list(map(str, names)) != rows.schema.labels:
                raise ValueError(f"y has the columns {list(names)!r}; the first call had {self.classes_.tolist()!r}")
            batch = rows.batch(X, y, mode)
            if first:
                given = {name: getattr(self, name) for name in SECTIONS if getattr(self, name) is not None}
                self.model_ = IHomerClassifier(rows.schema, period=self.period, **given)
            return batch

    def _begin(self, X: Any, y: Any, names: Sequence[Any] | None) -> ArrayRows:
        """Note what the first rows tell."""
        labels = list(range(y.shape[1])) if names is None else list(names)
        features = getattr(self, "feature_names_in_", range(X.shape[1]))
        sparse = is_sparse(X) if self.sparse is None else self.sparse
        self._rows = ArrayRows(map(str, features), map(str, labels), sparse=sparse)
        self._sparse_output = is_sparse(y)
        self.classes_, self.n_outputs_ = np.array(labels), len(labels)
        return self._rows

    def _predicted(self, X: Any) -> Predictions:
        check_is_fitted(self, "model_")
        X = self._checked(X, first=False)
        with _value_errors():
            return self.model_.test_then_train(self._rows.unlabelled(X))

    def _told(self, predictions: Predictions | None) -> Any:
        """Label sets as what `y` was."""
        if predictions is None:
            predictions = Predictions(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32))
        if not self._sparse_output:
            return indicators(predictions, self.n_outputs_)
        ones = np.ones(len(predictions.label_indices), dtype=np.int64)
        shape = len(predictions), self.n_outputs_
        return csr_array((ones, predictions.label_indices, predictions.label_indptr), shape=shape)

    def _probabilities(self, predictions: Predictions | None) -> NDArray[np.float32]:
        p = None if predictions is None else predictions.dense(self.n_outputs_)
        return np.zeros((0, self.n_outputs_), dtype=np.float32) if p is None else p
