"""One row at a time, as dictionaries: the calls that river's users know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping
from typing import Any

from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions
from stream_ml.streams.dicts import DictRows
from stream_ml.streams.schema import Schema

__all__ = ["RowByRow"]


class RowByRow(ABC):
    """`learn_one`, `predict_one` and `predict_proba_one` of a model that takes batches.

    A call costs what a batch of one row costs: about a millisecond. `learn_one` works out
    the row's prediction, too, since stacking learns from it; `predict_one` before it is a second pass. Rows that are
    there together are predicted and learned in one pass by `test_then_train`, ten times as fast; what comes out is the
    same.
    """

    _dicts: DictRows | None = None

    @property
    @abstractmethod
    def schema(self) -> Schema | None:
        """The columns of the stream, None before data."""

    @abstractmethod
    def test_then_train(self, batch: Batch) -> Predictions:
        """Predict, then learn, each row."""

    def learn_one(self, x: Mapping[Any, Any], y: Mapping[Any, Any] | Collection[Any] | None) -> None:
        """Learn one row, without a prediction.

        Parameters
        ----------
        x
            `{feature: value}`: numbers, booleans, texts, None or NaN where missing. A feature that is left out is
            missing, or 0 where the model was made with a sparse schema. New features and texts may appear at any time.
        y
            `{label: True or False}`. Labels that are left out or None are not known, and nothing is learned of them; of
            a row without known labels nothing at all. Or a collection of the positive labels: all others are absent.

        Raises
        ------
        DataError
            A value that is none of these; nothing of the row is learned then.

        Examples
        --------
        >>> from stream_ml import IHomerClassifier
        >>> model = IHomerClassifier()
        >>> model.predict_one({"length": 3.0})
        {}
        >>> for length in range(50):
        ...     model.learn_one({"length": length % 10}, {"long": length % 10 > 4, "any": True})
        >>> model.predict_one({"length": 9}), model.predict_one({"length": 0})
        ({'long': True, 'any': True}, {'long': False, 'any': True})
        """
        batch = self._rows(Schema()).batch(x, y)
        if batch.labelled[0]:
            self.test_then_train(batch.with_mode(LEARN))

    def predict_one(self, x: Mapping[Any, Any]) -> dict[Hashable, bool]:
        """The label set decided for one row: of each label met so far whether it is in; the model does not change.

        Features that were never learned are left out. Raises as `learn_one` does.
        """
        rows, predictions = self._predicted(x)
        positive = set(predictions.label_indices.tolist()) if predictions is not None else set()
        return {name: at in positive for at, name in enumerate(rows.label_names())} if rows is not None else {}

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Hashable, dict[bool, float]]:
        """Of each label met so far the probabilities that it is absent and that it is present; see `predict_one`.

        The label set of `predict_one` is decided for an objective, and is not all labels above one half.
        """
        rows, predictions = self._predicted(x)
        p = None if rows is None or predictions is None else predictions.dense(rows.schema.n_labels)
        if rows is None or p is None:
            return {}
        values = p[0].astype(float).tolist()
        return {name: {False: 1.0 - p, True: p} for name, p in zip(rows.label_names(), values, strict=True)}

    def _predicted(self, x: Mapping[Any, Any]) -> tuple[DictRows | None, Predictions | None]:
        """What is said of a row; nothing before data."""
        if self.schema is None:
            DictRows(Schema()).unlabelled(x)  # wrong values are told all the same
            return None, None
        rows = self._rows(self.schema)
        return rows, self.test_then_train(rows.unlabelled(x).with_mode(PREDICT))

    def _rows(self, schema: Schema) -> DictRows:
        """Where names have positions: in the model's schema, or before data in this one."""
        known = self.schema
        if self._dicts is None or (known is not None and self._dicts.schema is not known):
            self._dicts = DictRows(schema if known is None else known)
        return self._dicts
