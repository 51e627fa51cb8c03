"""The streams and the calls of scikit-multiflow; nothing of it is loaded, only its conventions are kept.

Montiel, Read, Bifet, Abdessalem: Scikit-Multiflow: a multi-output streaming framework, JMLR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.adapters.arrays import check_classes, indicators
from stream_ml.errors import ConfigError, DataError
from stream_ml.ihomer import IHomerClassifier
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import Stream

__all__ = ["MultiflowIHomerClassifier", "MultiflowStream"]

PIECE = 1000


class MultiflowStream(Stream):
    """A stream of scikit-multiflow as a stream of batches.

    Each pass calls its `restart()`. A generator that never ends is for `Limited`. Categorical features stay numbers.

    Parameters
    ----------
    stream
        Anything with `next_sample(n)`, `has_more_samples()`, `n_features` and `n_targets`; `feature_names`,
        `target_names`, `name`, `n_samples`, `n_remaining_samples()` and `restart()` are used where it has them.
        Targets are 0 and 1.

    Raises
    ------
    DataError
        It has two features or two targets of a name; a sample is not of its shape, or holds other values; a second pass
        over a stream without `restart()`.
    """

    def __init__(self, stream: Any, *, batch_size: int = 1000, name: str | None = None) -> None:
        super().__init__(batch_size=batch_size)
        self.stream = stream
        self.name = str(name or getattr(stream, "name", None) or type(stream).__name__)
        features = _names(stream, "feature_names", stream.n_features, "att_num_")
        labels = _names(stream, "target_names", stream.n_targets, "target_")
        self.schema = Schema(map(Feature, features), labels, name=self.name)
        self._began = False
        self.n_instances = getattr(stream, "n_samples", None)

    def _left(self) -> int:
        """Samples to come; -1 where the stream does not tell, or never ends."""
        tells = getattr(self.stream, "n_remaining_samples", None)
        return -1 if tells is None else int(tells())

    def pieces(self) -> Iterator[Batch]:
        """The samples, a thousand at a time."""
        restart = getattr(self.stream, "restart", None)
        if restart is not None:
            restart()
        elif self._began:
            raise DataError("it can be read only once", source=self.name, hint="it has no restart()")
        self._began, first = True, 0
        while self.stream.has_more_samples():
            left = self._left()
            x, y = self.stream.next_sample(PIECE if left < 0 else min(PIECE, left))
            if x is None or not len(x):
                return
            try:
                batch = _batch(self.schema, x, y)
            except DataError as error:
                source = f"{self.name}, samples from {first}"
                raise DataError(f"a sample of another form: {error}", source=source) from error
            first += len(batch)
            yield batch


class MultiflowIHomerClassifier:
    """`stream_ml.IHomerClassifier` with the methods of scikit-multiflow's classifiers, for its loops and evaluators.

    Parameters
    ----------
    n_targets
        Labels; only needed to predict before anything was learned, as `EvaluatePrequential(pretrain_size=0)` does.
    **parameters
        As of `IHomerClassifier`.

    Attributes
    ----------
    model
        The `IHomerClassifier` behind it; None before data.

    Raises
    ------
    ConfigError
        An unknown parameter or a value out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(400.0).reshape(-1, 4) % 7
    >>> y = (X[:, :3] > 3).astype(int)
    >>> model = MultiflowIHomerClassifier().partial_fit(X, y, classes=[[0, 1]] * 3)
    >>> model.predict(X[:2]).shape, model.predict_proba(X[:2]).shape
    ((2, 3), (2, 3))
    """

    _estimator_type = "classifier"

    def __init__(self, n_targets: int | None = None, **parameters: Any) -> None:
        IHomerClassifier(**parameters)  # what is wrong is told now
        self.n_targets, self.parameters = n_targets, parameters
        self.model: IHomerClassifier | None = None

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> MultiflowIHomerClassifier:
        """Learn samples: `X` (n, n_features), `y` (n, n_targets) of 0 and 1, or (n,) for one target.

        `classes` may be the stream's `target_values`; all samples weigh the same.

        Raises
        ------
        DataError
            Shapes that do not fit each other or the first call, values that are no numbers or not 0 and 1.
        ConfigError
            Weights other than 1.
        """
        if sample_weight is not None and not (np.asarray(sample_weight) == 1).all():
            raise ConfigError("MultiflowIHomerClassifier: sample weights other than 1 are not supported")
        X, y = np.asarray(X), _targets(y)
        if X.ndim != 2 or y.ndim != 2:
            raise DataError(
                "samples of another form", expected="X and y of rows and columns", found=f"{X.shape}, {y.shape}"
            )
        schema = self._schema(X.shape[1], y.shape[1])
        check_classes(classes, schema.n_labels)
        batch = _batch(schema, X, y)
        if self.model is None:
            self.model, self.n_targets = IHomerClassifier(schema, **self.parameters), schema.n_labels
        self.model.test_then_train(batch.take(np.flatnonzero(batch.labelled)).with_mode(LEARN))
        return self

    def fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> MultiflowIHomerClassifier:
        """Forget all, then learn these samples."""
        self.reset()
        return self.partial_fit(X, y, classes, sample_weight)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """The label set decided for each sample: (n, n_targets) of 0 and 1; none before anything was learned."""
        return indicators(self._predicted(X), self.n_targets or 0)

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """The probability of each label: (n, n_targets); 0 before anything was learned."""
        probabilities = self._predicted(X).dense(self.n_targets or 0)
        return np.zeros((len(X), self.n_targets or 0), dtype=np.float32) if probabilities is None else probabilities

    def reset(self) -> MultiflowIHomerClassifier:
        """Forget all."""
        self.model = None
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with."""
        return {"n_targets": self.n_targets, **self.parameters}

    def get_info(self) -> str:
        """Name and parameters, for logs."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

    def _schema(self, n_features: int, n_labels: int) -> Schema:
        """Columns: those of the first samples."""
        if self.model is not None and self.model.schema is not None:
            return self.model.schema
        if self.n_targets is not None and n_labels != self.n_targets:
            raise DataError("y of another width", expected=f"n_targets={self.n_targets} columns", found=str(n_labels))
        return Schema([Feature(f"att_num_{j}") for j in range(n_features)], [f"target_{m}" for m in range(n_labels)])

    def _predicted(self, X: Any) -> Predictions:
        if self.model is None or self.model.schema is None:
            if self.n_targets is None:
                raise DataError("nothing was learned yet", hint="give n_targets, or call partial_fit first")
            return Predictions(np.zeros(len(X) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))
        schema = self.model.schema
        batch = Batch.from_dense(schema, X, np.zeros((len(X), schema.n_labels)))
        return self.model.test_then_train(batch.with_mode(PREDICT))


def _targets(y: Any) -> NDArray[Any]:
    """Targets with a column for each: one target comes without."""
    y = np.asarray(y)
    return y.reshape(-1, 1) if y.ndim == 1 else y


def _batch(schema: Schema, x: Any, y: Any) -> Batch:
    """Samples as rows."""
    return Batch.from_dense(schema, x, _targets(y))


def _names(stream: Any, attribute: str, n: int, start: str) -> list[str]:
    """Names of columns, as the stream has them if it has one for each."""
    names = getattr(stream, attribute, None)
    return [f"{start}{j}" for j in range(n)] if names is None or len(names) != n else [str(name) for name in names]
