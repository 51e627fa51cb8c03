"""Rows as dictionaries, the way river has them: `{feature: value}` and `{label: bool}`."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.lines import listed
from stream_ml.streams.numbers import TOO_LARGE
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import RowBuilder, Stream

__all__ = ["DictRows", "DictStream", "label_set"]

PIECE = 1000
PLAIN = {float, int, bool}


class DictRows:
    """Turns dictionaries into rows of a schema that grows by the names they bring.

    - `x`: values are numbers, booleans (0 and 1), texts, or None or NaN (missing). A feature that is left out is 0 in a
      sparse schema and missing in a dense one. A text is a value of a nominal feature that the schema has; else it
      makes a binary feature of its own, `colour=red`, which is 1, while those of other texts of that name are 0.
    - `y`: `{label: true or false}`. Labels that are left out or None are not known; where none is known (or `y` is
      None), the row is not learned. Or a collection of the positive labels alone: all others are absent.

    Names need not be texts; the schema calls them by their text, and two names of one text are an error.

    Examples
    --------
    >>> from stream_ml.streams import Feature, Schema
    >>> rows = DictRows(Schema([Feature("a")]))
    >>> rows.batch({"a": 1, "colour": "red"}, {"p": True, "q": False}).x_dense().tolist()
    [[1.0, 1.0]]
    >>> rows.batch({"a": 2, "b": 3.5, "colour": "blue"}, {"p": False, "q": True}).x_dense().tolist()
    [[2.0, 0.0, 3.5, 1.0]]
    >>> rows.schema.labels
    ['p', 'q']
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.builder = RowBuilder(schema)
        self._features, self._labels = _Names("features"), _Names("labels")
        self._numeric: dict[Hashable, int] = {}
        """Of the features met, those that are not nominal."""
        self._texts: dict[Hashable, dict[str, int]] = {}

    def add(self, x: Mapping[Any, Any], y: Mapping[Any, Any] | Collection[Any] | None) -> None:
        """One row into the builder.

        Raises
        ------
        DataError
            It is not of that form. The builder is as before; names that the row brought may stay in the schema.
        """
        told = None if y is None else _checked_labels(y)
        cells = self._cells(x, grow=True)
        positive, negative = self._positions(told)
        self.builder.add(cells.items(), positive, negative=negative)

    def batch(self, x: Mapping[Any, Any], y: Mapping[Any, Any] | Collection[Any] | None) -> Batch:
        """One row, to be predicted, then learned where a label is known. Raises as `add` does."""
        self.add(x, y)
        return self.builder.batch()

    def unlabelled(self, x: Mapping[Any, Any]) -> Batch:
        """One row to be predicted; what the schema lacks is left out, and the schema does not grow."""
        self.builder.add(self._cells(x, grow=False).items(), None)
        return self.builder.batch()

    def label_names(self) -> list[Hashable]:
        """All labels in the schema's order, by the names they were given."""
        return [self._labels.keys.get(at, name) for at, name in enumerate(self.schema.labels)]

    def _cells(self, x: Mapping[Any, Any], *, grow: bool) -> dict[int, float]:
        """Positions and values of the row's features."""
        if not isinstance(x, Mapping):
            raise DataError("no features", source="x", expected="{feature: value}", found=repr(x))
        cells = self._plain_cells(x)
        if cells is None:
            cells = self._any_cells(x, grow=grow)
        if self.schema.sparse:
            return {at: value for at, value in cells.items() if value}  # what is 0 is absent, and costs nothing
        if len(cells) < self.schema.n_features:
            cells = dict.fromkeys(range(self.schema.n_features), math.nan) | cells
        return cells

    def _plain_cells(self, x: Mapping[Any, Any]) -> dict[int, float] | None:
        """The same where all features are known and all values are numbers, as nearly always; else None."""
        values = x.values()
        if not PLAIN.issuperset(map(type, values)):
            return None
        try:
            cells = dict(zip(map(self._numeric.__getitem__, x), map(float, values), strict=True))
        except (KeyError, OverflowError):
            return None
        good = min(cells.values(), default=0.0) > -TOO_LARGE and max(cells.values(), default=0.0) < TOO_LARGE
        return cells if good else None

    def _any_cells(self, x: Mapping[Any, Any], *, grow: bool) -> dict[int, float]:
        """The same of any row: all its values are checked before a name is taken into the schema."""
        checked = [(key, self._checked(key, value)) for key, value in x.items()]
        cells: dict[int, float] = {}
        for key, value in checked:
            if type(value) is str:
                self._put_text(key, value, cells, grow=grow)
                continue
            at = self._feature(key, grow=grow and not (value != value and self._texts_of(key)))
            if at is not None:
                _put(at, float(value), cells, key)
            elif value != value:
                cells.update(dict.fromkeys(self._texts_of(key).values(), math.nan))
        return cells

    def _checked(self, key: Hashable, value: Any) -> float | str:
        """The value as a number, a nominal one as its position; or the text that it is."""
        text = isinstance(value, str)
        if value is not None and not text and not isinstance(value, Real | np.bool_):
            raise _bad("not a value", key, "a number, text, true, false or None", value)
        if value is None or value != value:
            return math.nan
        at = self._feature(key, grow=False)
        values = None if at is None else self.schema.features[at].values
        if values is not None:
            if str(value) not in values:
                raise _bad("a value that the feature lacks", key, f"one of {listed(values)}", value)
            return float(values.index(str(value)))
        if text:
            return str(value)
        number: Any = value if isinstance(value, int) else float(value)
        if not abs(number) < TOO_LARGE:
            raise _bad("too large for single precision", key, "at most 3.4e38", value)
        return float(number)

    def _put_text(self, key: Hashable, value: str, cells: dict[int, float], *, grow: bool) -> None:
        """A text into the row: 1 for the feature made of it, 0 for its like."""
        texts = self._texts_of(key)
        if not self.schema.sparse:
            for at in texts.values():
                _put(at, 0.0, cells, key)
            cells.pop(texts.get(value, -1), None)
        if value not in texts and grow:
            name = f"{key}={value}"
            texts[value] = self.schema.add_feature(Feature(name))
            self._texts[key] = texts
        if value in texts:
            _put(texts[value], 1.0, cells, key)

    def _texts_of(self, key: Hashable) -> dict[str, int]:
        """The features that were made of texts of that name."""
        texts = self._texts.get(key)
        if texts is None:
            start = f"{key}="
            found = self.schema.feature_positions.items()
            texts = {name[len(start) :]: at for name, at in found if name.startswith(start)}
            if texts:
                self._texts[key] = texts
        return texts

    def _feature(self, key: Hashable, *, grow: bool) -> int | None:
        """A feature's position; None where the schema lacks it and is not to grow."""
        at = self._features.positions.get(key)
        if at is None:
            at = self.schema.feature_index(str(key))
            if at is None and grow:
                at = self.schema.add_feature(Feature(str(key)))
            if at is not None:
                self._features.claim(key, at)
                if not self.schema.features[at].nominal:
                    self._numeric[key] = at
        return at

    def _positions(
        self, told: dict[Hashable, bool] | list[Hashable] | None
    ) -> tuple[list[int] | None, list[int] | None]:
        """Positions of the positive labels and, where some are not known, of those that are absent."""
        if not told and not isinstance(told, list):
            return None, None
        at = {key: self._label(key) for key in told}
        if isinstance(told, list):
            return list(at.values()), None
        negative = [at[key] for key, on in told.items() if not on]
        return [at[key] for key, on in told.items() if on], None if len(at) == self.schema.n_labels else negative

    def _label(self, key: Hashable) -> int:
        at = self._labels.positions.get(key)
        if at is None:
            at = self.schema.label_index(str(key))
            at = self._labels.claim(key, self.schema.add_label(str(key)) if at is None else at)
        return at


class DictStream(Stream):
    """Pairs `(x, y)` of dictionaries as a stream, e.g. a dataset of river; features and labels appear as they come.

    Parameters
    ----------
    pairs
        Anything that gives the pairs; `y` as `DictRows` has it, or one class: a text or a whole number is the one label
        that the row has, true or false tells whether it has the label `y`. More than two items are let pass. What gives
        them only once (a generator) can be read once.
    sparse
        Whether a feature that is left out is 0; else it is missing.
    name
        For reports; by default that of the class of `pairs`.

    Raises
    ------
    DataError
        A row is not of that form, or a second pass over what gives its rows only once.

    Examples
    --------
    >>> stream = DictStream([({"a": 1.0}, {"p": True}), ({"a": 2.0, "b": 0.5}, {"p": False, "q": True})], batch_size=1)
    >>> [(batch.x_dense().tolist(), batch.y_indices.tolist()) for batch in stream]
    [([[1.0]], [0]), ([[2.0, 0.5]], [1])]
    """

    grows = True

    def __init__(
        self,
        pairs: Iterable[Any],
        *,
        sparse: bool = False,
        name: str | None = None,
        batch_size: int = 1000,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        super().__init__(batch_size=batch_size, on_error=on_error)
        self.pairs, self.sparse = pairs, sparse
        self.name = type(pairs).__name__ if name is None else name
        known = getattr(pairs, "n_samples", None)
        self.n_instances = len(pairs) if isinstance(pairs, list | tuple) else known
        self.schema = Schema(sparse=sparse, name=self.name)
        self._began = False

    def pieces(self) -> Iterator[Batch]:
        """The rows, a thousand at a time."""
        if self._began and iter(self.pairs) is self.pairs:
            hint = "give a dataset, a list, or another object that can be iterated anew"
            raise DataError("its rows can be read only once", source=self.name, hint=hint)
        self._began = True
        self.schema = Schema(sparse=self.sparse, name=self.name)
        rows = DictRows(self.schema)
        for number, pair in enumerate(self.pairs):
            try:
                x, y, *_ = pair
                rows.add(x, label_set(y))
            except (DataError, TypeError, ValueError) as error:
                self.bad_row(_at_row(error, self.name, number))
                continue
            if len(rows.builder) == PIECE:
                yield rows.builder.batch()
        if len(rows.builder):
            yield rows.builder.batch()


def label_set(y: Any) -> Any:
    """Labels as `DictRows` takes them, of a target that may be one class: see `DictStream`.

    >>> label_set(True), label_set("spam"), label_set({"spam": False})
    ({'y': True}, ['spam'], {'spam': False})
    """
    if isinstance(y, bool | np.bool_):
        return {"y": bool(y)}
    return [y] if isinstance(y, str | int | np.integer) else y


def _at_row(error: Exception, name: str, number: int) -> DataError:
    """The error of a row, with the row's number."""
    if not isinstance(error, DataError):
        return DataError(f"no pair of features and labels: {error}", source=f"{name}, row {number}")
    field = f"{error.source}.{error.field}" if error.field is not None else error.source
    return DataError(
        error.problem,
        source=f"{name}, row {number}",
        field=field,
        expected=error.expected,
        found=error.found,
        hint=error.hint,
    )


class _Names:
    """Names as they were given, and the positions of their texts in a schema."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.positions: dict[Hashable, int] = {}
        self.keys: dict[int, Hashable] = {}

    def claim(self, key: Hashable, at: int) -> int:
        """Note that a name has a position, which is no other name's."""
        other = self.keys.setdefault(at, key)
        if other != key:
            found = f"{other!r} and {key!r}"
            raise DataError(f"two {self.what} of the same text", field=str(key), expected="other names", found=found)
        self.positions[key] = at
        return at


def _put(at: int, value: float, cells: dict[int, float], key: Hashable) -> None:
    if at in cells:
        raise DataError("a name that is also that of a text", source="x", field=str(key), expected="one of the two")
    cells[at] = value


def _checked_labels(y: Any) -> dict[Hashable, bool] | list[Hashable]:
    """Labels that are known, by name; or the positive ones."""
    if isinstance(y, Mapping):
        for key, on in y.items():
            if not (on is None or (isinstance(on, bool | np.bool_ | int | np.integer) and on in (0, 1))):
                raise DataError(
                    "not a label's value", source="y", field=str(key), expected="true, false or None", found=repr(on)
                )
        return {key: bool(on) for key, on in y.items() if on is not None}
    if isinstance(y, str) or not isinstance(y, list | tuple | set | frozenset):
        raise DataError("no labels", source="y", expected="{label: true or false}, or a set of labels", found=repr(y))
    return sorted(y, key=str) if isinstance(y, set | frozenset) else list(y)


def _bad(problem: str, key: Hashable, expected: str, found: Any) -> DataError:
    return DataError(problem, source="x", field=str(key), expected=expected, found=repr(found))
