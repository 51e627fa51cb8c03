"""What a stream's columns are called and what kind they are; both features and labels may be appended while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_ml.errors import DataError

__all__ = ["OTHER", "Feature", "Schema"]

OTHER = "(other)"
"""The value that stands for all that a nominal column of a CSV file has not shown in the first rows."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One input column: numeric, or nominal with its values (a value is stored as its position)."""

    name: str
    values: tuple[str, ...] | None = None

    @property
    def nominal(self) -> bool:
        """Whether the feature takes one of a fixed set of values."""
        return self.values is not None

    def with_other(self) -> Feature:
        """The same feature; a nominal one has `(other)` for values that it lacks."""
        if self.values is None or OTHER in self.values:
            return self
        return Feature(self.name, (*self.values, OTHER))


class Schema:
    """Names and kinds of the columns of a stream; append-only, so that positions never change.

    Parameters
    ----------
    features, labels
        Columns known at the start. Names must be unique within each list.
    sparse
        What an absent feature means: 0 (for a nominal feature: its first value) when True, a missing value when
        False. A stored NaN is a missing value in both cases.
    name
        The stream's name, for reports.

    Raises
    ------
    DataError
        Two features or two labels of the same name.

    Examples
    --------
    >>> schema = Schema([Feature("length"), Feature("colour", ("red", "blue"))], ["urgent"])
    >>> schema.add_label("spam"), schema.labels, schema.arities().tolist()
    (1, ['urgent', 'spam'], [0, 2])
    """

    __slots__ = ("_feature_index", "_label_index", "features", "labels", "name", "sparse")

    def __init__(
        self,
        features: Iterable[Feature] = (),
        labels: Iterable[str] = (),
        *,
        sparse: bool = False,
        name: str = "stream",
    ) -> None:
        self.name = name
        self.sparse = sparse
        self.features: list[Feature] = []
        self.labels: list[str] = []
        self._feature_index: dict[str, int] = {}
        self._label_index: dict[str, int] = {}
        for feature in features:
            self.add_feature(feature)
        for label in labels:
            self.add_label(label)

    @property
    def n_features(self) -> int:
        """Number of feature columns."""
        return len(self.features)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.labels)

    def add_feature(self, feature: Feature) -> int:
        """Append a feature and return its position."""
        if feature.name in self._feature_index:
            raise DataError("two features of the same name", field=feature.name)
        self._feature_index[feature.name] = len(self.features)
        self.features.append(feature)
        return len(self.features) - 1

    def add_label(self, label: str) -> int:
        """Append a label and return its position."""
        if label in self._label_index:
            raise DataError("two labels of the same name", field=label)
        self._label_index[label] = len(self.labels)
        self.labels.append(label)
        return len(self.labels) - 1

    def feature_index(self, name: str) -> int | None:
        """Position of the feature called `name`, or None."""
        return self._feature_index.get(name)

    @property
    def feature_positions(self) -> Mapping[str, int]:
        """Positions of all features by name; not to be changed."""
        return self._feature_index

    def feature(self, name: str) -> Feature | None:
        """The feature called `name`, or None."""
        at = self._feature_index.get(name)
        return None if at is None else self.features[at]

    def label_index(self, name: str) -> int | None:
        """Position of the label called `name`, or None."""
        return self._label_index.get(name)

    def arities(self, n_features: int | None = None) -> np.ndarray:
        """Per feature its number of nominal values, 0 for a numeric one; int32, shape (n_features,)."""
        chosen: Sequence[Feature] = self.features[:n_features]
        return np.array([len(f.values) if f.values is not None else 0 for f in chosen], dtype=np.int32)

    def to_dict(self, n_features: int | None = None, n_labels: int | None = None) -> dict[str, Any]:
        """A JSON-ready description, of the first columns if so told; `from_dict` reads it back."""
        return {
            "name": self.name,
            "sparse": self.sparse,
            "features": [
                [f.name, list(f.values) if f.values is not None else None] for f in self.features[:n_features]
            ],
            "labels": self.labels[:n_labels],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Schema:
        """The schema that `to_dict` described.

        Raises
        ------
        DataError
            A name that is no text, `sparse` that is neither true nor false; two columns of the same name.
        """
        names = [data["name"], *data["labels"], *(n for n, _ in data["features"])]
        names += [value for _, values in data["features"] for value in values or ()]
        if type(data["sparse"]) is not bool or not all(type(name) is str for name in names):
            raise DataError("not a schema", expected="names that are texts, and sparse true or false")
        features = [Feature(n, tuple(v) if v is not None else None) for n, v in data["features"]]
        return cls(features, data["labels"], sparse=data["sparse"], name=data["name"])

    def __repr__(self) -> str:
        """Short form for messages."""
        kind = "sparse" if self.sparse else "dense"
        return f"Schema({self.name!r}, {self.n_features} features, {self.n_labels} labels, {kind})"
