"""JSON Lines: one instance a line, columns as they come."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.lines import listed, shown
from stream_ml.streams.numbers import TOO_LARGE
from stream_ml.streams.schema import OTHER, Feature, Schema
from stream_ml.streams.source import FileStream, RowBuilder

__all__ = ["JsonRow", "JsonRows", "JsonStream", "Told", "checked_labels", "parse_record"]

PIECE = 1000
KEYS = {"x", "y", "id", "ts"}
PLAIN = {float, int, str}
INFINITE = "number is infinity"
"""How orjson calls a number beyond double precision."""
Told = list[str] | dict[str, bool | None]
"""Labels by name: all that are positive, or of each whether it is (None: not known)."""


class JsonRow(NamedTuple):
    """One record, checked: its features and labels have positions in the schema."""

    cells: list[tuple[int, float]]
    labels: list[int] | None
    negative: list[int] | None
    """Of labels known in part: those known to be absent. None: all that are not in `labels` are."""
    key: str | None
    timestamp: int | None


class JsonRows:
    """Turns records `{"x": {...} or [...], "y": [...]?, "id"?, "ts"?}` into rows of a schema that grows.

    - `x` as an object, in a sparse schema: values are numbers, booleans (0 and 1), or `null` (missing); an absent
      feature is 0. A text makes a binary feature of its own: `colour=red` with value 1, so that new texts are new
      features and no list of values is needed; `null` for a name that has shown only texts is missing in all of them.
    - `x` as a list: the same of features `0`, `1`, ...; in a dense schema every row is a list of as many values, none
      of them a text.
    - `y` as a list: names of the positive labels (whole numbers count as names); all others are absent. As an object
      `{label: true or false}` (or 1 and 0): those named are known, others, and those that are null, are not. Absent,
      null, or an object that tells nothing: the labels are not known, and the row is only predicted.
    - `id`: text or a whole number. `ts`: milliseconds since 1970.

    Parameters
    ----------
    schema
        Where names have positions.
    closed
        The schema is given and does not grow: an unknown feature or label is an error. `x` as an object may leave
        features out (see `Schema.sparse` for what that means), and texts are values of nominal features.
    known
        Whose nominal features are such in objects here, too: a text or number is a value, `(other)` where it is none of
        theirs. One that is left out is missing where that schema is dense, else has its first value.
    """

    def __init__(self, schema: Schema, *, closed: bool = False, known: Schema | None = None) -> None:
        self.schema, self.closed = schema, closed
        nominal = [] if known is None or not schema.sparse else [f.with_other() for f in known.features if f.nominal]
        self._nominal = {f.name: {value: float(k) for k, value in enumerate(f.values or ())} for f in nominal}
        places = [schema.add_feature(f) for f in nominal]
        self._absent = {} if known is None or known.sparse else dict.fromkeys(places, math.nan)
        self.builder = RowBuilder(schema)
        self.texts: dict[str, dict[str, int]] = {}
        """By name and text: the feature made of it."""

    def add(self, record: Any, *, source: str, line: int | None) -> None:
        """One record into the builder.

        Raises
        ------
        DataError
            It is not of that form; nothing of it is kept.
        """
        row = self.row(record, source=source, line=line)
        self.builder.add(row.cells, row.labels, negative=row.negative, key=row.key, timestamp=row.timestamp)

    def row(self, record: Any, *, source: str, line: int | None) -> JsonRow:
        """One record; the schema grows by the names it brings. Raises as `add` does."""

        def bad(problem: str, field: str | None, expected: str, found: Any) -> DataError:
            return DataError(problem, source=source, line=line, field=field, expected=expected, found=_show(found))

        if not isinstance(record, dict):
            raise bad("not an instance", None, "an object with x and y", record)
        if not record.keys() <= KEYS:
            unknown = next(key for key in record if key not in KEYS)
            raise bad("an unknown key", unknown, "x, y, id, ts", record[unknown])
        x, y = record.get("x"), record.get("y")
        key, timestamp = record.get("id"), record.get("ts")
        if not isinstance(x, dict | list):
            raise bad("no features", "x", "an object or a list of numbers", x)
        if isinstance(x, dict) and not self.schema.sparse and not self.closed:
            raise bad("features of another form", "x", "a list, as in the first row", x)
        told = None if y is None else checked_labels(y, bad)
        if key is not None and type(key) not in (str, int):
            raise bad("an id of the wrong type", "id", "text or a whole number", key)
        if timestamp is not None and (type(timestamp) is not int or not 0 <= timestamp < 1 << 63):
            raise bad("not a time", "ts", "milliseconds since 1970 as a whole number", timestamp)
        if isinstance(x, list):
            n = self.schema.n_features
            if n and len(x) != n and (self.closed or not self.schema.sparse):
                raise bad("wrong number of values", "x", f"{n} values, as in the first row", len(x))
            x = {self.schema.features[i].name if self.closed else str(i): value for i, value in enumerate(x)}
        if self.closed:
            self.check_known(told or (), bad)
            cells = self._known_cells(x, bad)
        else:
            cells, x = self._nominal_cells(x, bad) if self._nominal else ({}, x)
            if (plain := self._plain_cells(x)) is not None:
                cells |= plain
            else:
                self._check_values(x, bad)
                for name, value in x.items():
                    self._put(name, value, cells)
        labels, negative = (None, None) if told is None else self.positions(told)
        return JsonRow(list(cells.items()), labels, negative, None if key is None else str(key), timestamp)

    def positions(self, told: Told) -> tuple[list[int] | None, list[int] | None]:
        """Positions of the positive labels and, where labels are told in part, of those told to be absent.

        New labels get one. Both are None where nothing is told. To tell every label of a closed schema is to tell all.
        """
        if isinstance(told, list):
            return [self._label(name) for name in told], None
        at = {self._label(name): on for name, on in told.items() if on is not None}
        if not at:
            return None, None
        negative = [m for m, on in at.items() if not on]
        whole = self.closed and len(at) == self.schema.n_labels
        return [m for m, on in at.items() if on], None if whole else negative

    def check_known(self, told: Iterable[str], bad: Callable[..., DataError]) -> None:
        """Refuse labels that a closed schema lacks."""
        for name in told:
            if self.closed and self.schema.label_index(name) is None:
                raise bad("a label that the schema lacks", "y", "one of its labels", name)

    def _check_values(self, x: dict[str, Any], bad: Callable[..., DataError]) -> None:
        """Refuse what is no value, before anything of the row is kept."""
        for name, value in x.items():
            kind = type(value)
            if kind is float or kind is int:
                if not abs(value) < TOO_LARGE:
                    raise bad("too large for single precision", f"x.{name}", "at most 3.4e38", value)
            elif kind is str and self.schema.sparse:
                other = x.get(f"{name}={value}")
                if other is not None:
                    raise bad("a name that is also that of a text", f"x.{name}={value}", "one of the two", value)
            elif not (value is None or kind is bool):
                also = ", text" if self.schema.sparse else ""
                raise bad("not a value", f"x.{name}", f"a finite number{also}, true, false or null", value)

    def _plain_cells(self, x: dict[str, Any]) -> dict[int, float] | None:
        """The row's features, where all are known and all values are good, as nearly always; else None."""
        values, texts = x.values(), self.texts
        kinds = set(map(type, values))
        try:
            positions = self.schema.feature_positions
            if str not in kinds:
                cells = dict(zip(map(positions.__getitem__, x), map(float, values), strict=True))
            else:
                cells = {
                    texts[name][value] if type(value) is str else positions[name]: 1.0
                    if type(value) is str
                    else float(value)
                    for name, value in x.items()
                }
        except (KeyError, OverflowError, TypeError, ValueError):
            return None
        good = kinds <= PLAIN and len(cells) == len(x)
        return (
            cells
            if good and min(cells.values(), default=0.0) > -TOO_LARGE and max(cells.values(), default=0.0) < TOO_LARGE
            else None
        )

    def _nominal_cells(
        self, x: dict[str, Any], bad: Callable[..., DataError]
    ) -> tuple[dict[int, float], dict[str, Any]]:
        """The row's features that are known to be nominal, and what else the row has."""
        cells, rest = dict(self._absent), {}
        for name, value in x.items():
            codes = self._nominal.get(name)
            if codes is None:
                rest[name] = value
            elif not (value is None or type(value) in (str, int, float, bool)):
                raise bad("not a value", f"x.{name}", "text, a number, true, false or null", value)
            else:
                code = math.nan if value is None else codes.get(_as_text(value, codes), codes[OTHER])
                cells[self._feature(name)] = code
        return cells, rest

    def _known_cells(self, x: dict[str, Any], bad: Callable[..., DataError]) -> dict[int, float]:
        """The row's features in a schema that is given."""
        schema = self.schema
        cells = {} if schema.sparse else dict.fromkeys(range(schema.n_features), math.nan)
        for name, value in x.items():
            at = schema.feature_index(name)
            if at is None:
                raise bad("a feature that the schema lacks", f"x.{name}", "one of its features", value)
            values = schema.features[at].values
            if values is not None and value is not None:
                if str(value) not in values:
                    raise bad("a value that the feature lacks", f"x.{name}", f"one of {listed(values)}", value)
                cells[at] = float(values.index(str(value)))
            elif value is None:
                cells[at] = math.nan
            elif type(value) in (int, float, bool) and abs(value) < TOO_LARGE:
                cells[at] = float(value)
            else:
                raise bad("not a value", f"x.{name}", "a finite number, true, false or null", value)
        return cells

    def _put(self, name: str, value: Any, cells: dict[int, float]) -> None:
        """A checked value into the row."""
        if type(value) is str:
            at = self._feature(f"{name}={value}")
            self.texts.setdefault(name, {})[value] = at
            cells[at] = 1.0
        elif value is None and name in self.texts and self.schema.feature_index(name) is None:
            cells.update(dict.fromkeys(self.texts[name].values(), math.nan))
        else:
            cells[self._feature(name)] = math.nan if value is None else float(value)

    def _feature(self, name: str) -> int:
        at = self.schema.feature_index(name)
        return self.schema.add_feature(Feature(name)) if at is None else at

    def _label(self, name: str) -> int:
        at = self.schema.label_index(name)
        return self.schema.add_label(name) if at is None else at


def checked_labels(y: Any, bad: Callable[..., DataError]) -> Told:
    """What `y` tells of labels by name.

    Raises
    ------
    DataError
        It is neither a list of names nor an object of true, false and null: as `bad` (problem, field, expected, found)
        says.
    """
    if isinstance(y, dict):
        for name, on in y.items():
            if not (on is None or (type(on) in (bool, int) and on in (0, 1))):
                raise bad("not a label's value", f"y.{name}", "true, false or null", on)
        return {name: None if on is None else bool(on) for name, on in y.items()}
    if not (isinstance(y, list) and all(type(m) in (str, int) for m in y)):
        expected = "a list of label names, an object of true and false, or null where they are not known"
        raise bad("labels of the wrong form", "y", expected, y)
    return [str(m) for m in y]


class JsonStream(FileStream):
    """A JSON Lines file; see `JsonRows` for its records. Features and labels may appear at any row.

    The first row that can be read tells the schema: dense where its `x` is a list, else sparse. Every pass begins with
    an empty schema.
    """

    grows = True

    def __init__(
        self,
        path: Path,
        *,
        batch_size: int = 1000,
        on_error: Literal["raise", "skip"] = "raise",
        known: Schema | None = None,
    ) -> None:
        super().__init__(path, batch_size=batch_size, on_error=on_error)
        self._known, self._sparse = known, self._first_is_sparse()
        self.schema = Schema(sparse=self._sparse, name=self.name)

    def _first_is_sparse(self) -> bool:
        empty = True
        with closing(self._records()) as records:
            for _, record in records:
                empty = False
                if isinstance(record, dict) and isinstance(record.get("x"), dict | list):
                    return isinstance(record["x"], dict)
        if empty:
            raise DataError("the file is empty", source=str(self.path), expected='one {"x": ..., "y": ...} per line')
        return True

    def _records(self, *, rows: bool = False) -> Generator[tuple[int, Any], None, None]:
        """Numbered lines, parsed; where one is no JSON, the error that says so."""
        with closing(self._file.chunks(rows=rows)) as chunks:
            for first, chunk in chunks:
                for line, raw in enumerate(chunk.split(b"\n"), first):
                    if not raw.strip():
                        continue
                    try:
                        yield line, parse_record(raw, source=str(self.path), line=line)
                    except DataError as error:
                        yield line, error

    def pieces(self) -> Iterator[Batch]:
        """The rows, a thousand at a time."""
        self.schema = Schema(sparse=self._sparse, name=self.name)
        rows = JsonRows(self.schema, known=self._known)
        with closing(self._records(rows=True)) as records:
            for line, record in records:
                try:
                    if isinstance(record, DataError):
                        raise record
                    rows.add(record, source=str(self.path), line=line)
                except DataError as error:
                    self.bad_row(error)
                    continue
                if len(rows.builder) == PIECE:
                    yield rows.builder.batch()
        if len(rows.builder):
            yield rows.builder.batch()


def _as_text(value: str | float | bool, codes: Mapping[str, float]) -> str:
    """A value as a file of texts has it: `1.0` and `true` are `1` where that is one of the values."""
    text = value if type(value) is str else orjson.dumps(value).decode()
    whole = type(value) is bool or (type(value) is float and value.is_integer())
    return str(int(value)) if whole and text not in codes else text


def parse_record(raw: bytes, *, source: str, line: int | None) -> Any:
    """What the line says.

    Raises
    ------
    DataError
        It is no JSON, or a key stands twice in one of its objects.
    """
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if INFINITE in error.msg and (record := _read_again(raw, dict)) is not None:
            return record  # it is JSON: where the number stands is told when the row is checked
        problem, text = error.msg.partition(": line ")[0], raw[:100].decode("utf-8", "replace")
        raise DataError(
            f"not JSON at column {error.colno}: {problem}",
            source=source,
            line=line,
            expected='{"x": {...}, "y": [...]}',
            found=shown(text),
        ) from None
    if _may_repeat_a_key(raw, record) and (key := _repeated_key(raw)) is not None:
        raise DataError("a key twice", source=source, line=line, field=key)
    return record


def _may_repeat_a_key(raw: bytes, record: Any) -> bool:
    """Whether the line holds more quotes than the parsed record has texts: it is read again with care then."""
    if not isinstance(record, dict):
        return False
    x, y = record.get("x"), record.get("y")
    texts = len(record) + isinstance(record.get("id"), str)
    if isinstance(x, dict):
        texts += len(x) + list(map(type, x.values())).count(str)
    if isinstance(y, list):
        texts += sum(isinstance(label, str) for label in y)
    elif isinstance(y, dict):
        texts += len(y)
    return raw.count(b'"') != 2 * texts


def _repeated_key(raw: bytes) -> str | None:
    """A key that stands twice in one object of the line."""
    twice: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys = Counter(key for key, _ in pairs)
        twice.extend(key for key, n in keys.items() if n > 1)

    _read_again(raw, note)
    return twice[0] if twice else None


def _read_again(raw: bytes, objects: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """The line as Python's slower reader sees it, `objects` made of their pairs; None where it cannot read it."""
    try:
        # Python refuses to convert thousands of digits
        return json.loads(raw, object_pairs_hook=objects, parse_int=lambda n: int(n) if len(n) < 20 else float(n))
    except (ValueError, RecursionError):  # nested by the hundreds: no instance, which the check of its form will say
        return None


def _show(value: Any) -> str:
    if isinstance(value, str):
        return shown(value)
    try:
        text = orjson.dumps(value).decode() if isinstance(value, dict | list) else repr(value)
    except orjson.JSONEncodeError:  # deeper than orjson writes, though not than it reads
        return "something nested more than 250 deep"
    return text if len(text) <= 60 else text[:57] + "..."
