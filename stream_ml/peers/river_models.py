"""River's learners, one per label or for all labels at once; default settings throughout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from river import ensemble, forest, linear_model, multioutput, naive_bayes, neighbors, preprocessing, tree

from stream_ml.peers.registry import RiverParameters
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions

__all__ = ["BinaryRelevance", "MultiOutput", "build"]

NUMERIC = {"logistic_regression", "gaussian_nb", "knn"}


class _RiverModel:
    """Rows one by one as river's dicts; each predicted before it is learned."""

    def __init__(self, settings: RiverParameters, *, numeric: bool) -> None:
        self.settings, self.numeric = settings, numeric

    @property
    def parameters(self) -> dict[str, Any]:
        """All settings."""
        return self.settings.model_dump()

    def predict_row(self, x: dict[str, Any], names: list[str]) -> Iterator[int]:
        """Positions of the labels of a row."""
        raise NotImplementedError

    def learn_row(self, x: dict[str, Any], y: dict[str, bool]) -> None:
        """Learn a row."""
        raise NotImplementedError

    def test_then_train(self, batch: Batch) -> Predictions:
        """Label sets of the rows with PREDICT; rows with LEARN are learned."""
        zeros = self.settings.zeros if self.settings.zeros is not None else not batch.schema.sparse
        indptr, indices = np.zeros(len(batch) + 1, dtype=np.int64), []
        names = batch.schema.labels[: batch.n_labels]
        for row, (x, y) in enumerate(batch.iter_dicts(zeros=zeros)):
            if self.numeric:  # those that know numbers only get a feature for each nominal value
                x = {f"{k}={v}" if isinstance(v, str) else k: 1.0 if isinstance(v, str) else v for k, v in x.items()}
            if batch.mode[row] & PREDICT:
                indices += sorted(self.predict_row(x, names))
            indptr[row + 1] = len(indices)
            if batch.mode[row] & LEARN:
                self.learn_row(x, y)
        return Predictions(indptr, np.array(indices, dtype=np.int32))


class BinaryRelevance(_RiverModel):
    """One classifier per label, made when the label is first seen; its own decision counts."""

    def __init__(self, make: Callable[[], Any], settings: RiverParameters, *, numeric: bool = False) -> None:
        super().__init__(settings, numeric=numeric)
        self.make = make
        self.models: dict[str, Any] = {}

    def predict_row(self, x: dict[str, Any], names: list[str]) -> Iterator[int]:
        """Labels whose classifier says yes."""
        for position, name in enumerate(names):
            model = self.models.get(name)
            if model is not None and model.predict_one(x):
                yield position

    def learn_row(self, x: dict[str, Any], y: dict[str, bool]) -> None:
        """Every classifier learns the row."""
        for name, positive in y.items():
            if name not in self.models:
                self.models[name] = self.make()
            self.models[name].learn_one(x, positive)


class MultiOutput(_RiverModel):
    """A learner of all labels at once; what it gives for a label is positive from one half on.

    Rows whose labels are known in part are not learned.
    Labels that appear after the first learned row are beyond classifier chains: these never predict them.
    """

    def __init__(self, model: Any, settings: RiverParameters, *, numbers: bool) -> None:
        super().__init__(settings, numeric=True)
        self.model, self.numbers = model, numbers
        self._learned = False

    def test_then_train(self, batch: Batch) -> Predictions:
        """Label sets of the rows with PREDICT; rows with LEARN are learned."""
        return super().test_then_train(batch.with_whole_sets())

    def predict_row(self, x: dict[str, Any], names: list[str]) -> Iterator[int]:
        """Labels at one half or above."""
        given = self.model.predict_one(x) if self._learned else {}
        for position, name in enumerate(names):
            if float(given.get(name) or 0.0) >= 0.5:
                yield position

    def learn_row(self, x: dict[str, Any], y: dict[str, bool]) -> None:
        """Learn a row."""
        self._learned = True
        self.model.learn_one(x, {name: float(value) for name, value in y.items()} if self.numbers else y)


def build(name: str, settings: RiverParameters) -> _RiverModel:
    """The peer `river.<name>`."""
    seed = settings.seed
    classifiers: dict[str, Callable[[], Any]] = {
        "hoeffding_tree": tree.HoeffdingTreeClassifier,
        "hoeffding_adaptive_tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=seed),
        "adaptive_random_forest": lambda: forest.ARFClassifier(seed=seed),
        "extremely_fast_tree": tree.ExtremelyFastDecisionTreeClassifier,
        "logistic_regression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "gaussian_nb": naive_bayes.GaussianNB,
        "knn": neighbors.KNNClassifier,
        "adwin_bagging": lambda: ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=seed),
    }
    if name in classifiers:
        return BinaryRelevance(classifiers[name], settings, numeric=name in NUMERIC)
    if name == "classifier_chain":
        chain = multioutput.ClassifierChain(linear_model.LogisticRegression())
        return MultiOutput(preprocessing.StandardScaler() | chain, settings, numbers=False)
    isoup: Any = getattr(tree, "iSOUPTreeRegressor", None) or tree.ISOUPTreeRegressor  # renamed in river 0.26
    return MultiOutput(isoup(), settings, numbers=True)
