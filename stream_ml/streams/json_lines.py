"""JSON Lines: one instance a line, columns as they come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import orjson

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.lines import read_chunks
from stream_ml.streams.numbers import LARGEST
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import RowBuilder, Stream

__all__ = ["JsonRows", "JsonStream"]

PIECE = 1000
SHOWN = 60


class JsonRows:
    """Turns records `{"x": {...} or [...], "y": [...]?, "id"?, "ts"?}` into rows of a schema that grows.

    - `x` as an object: values are numbers, booleans (0 and 1), or `null` (missing). A text makes a binary feature of
      its own: `colour=red` with value 1, so that new texts are new features. Absent features are 0.
    - `x` as a list: features `0`, `1`, ... in order; their number may not shrink.
    - `y`: names of the positive labels (numbers count as names). Absent or null: the labels are not known.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.builder = RowBuilder(schema)

    def add(self, record: Any, *, source: str, line: int | None) -> None:
        """One record.

        Raises
        ------
        DataError
            It is not of that form; nothing of it is kept.
        """

        def bad(problem: str, field: str | None, expected: str, found: Any) -> DataError:
            return DataError(problem, source=source, line=line, field=field, expected=expected, found=_show(found))

        if not isinstance(record, dict):
            raise bad("not an instance", None, "an object with x and y", record)
        x, y = record.get("x"), record.get("y")
        if isinstance(x, list):
            x = {str(i): value for i, value in enumerate(x)}
        if not isinstance(x, dict):
            raise bad("no features", "x", "an object or a list of numbers", x)
        if y is not None and not (isinstance(y, list) and all(isinstance(m, str | int) for m in y)):
            raise bad("labels of the wrong form", "y", "a list of label names, or null where they are not known", y)
        cells: dict[str, float] = {}
        for name, value in x.items():
            if isinstance(value, str):
                cells[f"{name}={value}"] = 1.0
            elif value is None:
                cells[name] = math.nan
            elif isinstance(value, int | float) and math.isfinite(value) and abs(value) <= LARGEST:
                cells[name] = float(value)
            else:
                raise bad("not a value", f"x.{name}", "a finite number, text, true, false or null", value)
        key, timestamp = record.get("id"), record.get("ts")
        if key is not None and not isinstance(key, str | int):
            raise bad("an id of the wrong type", "id", "text or a whole number", key)
        if timestamp is not None and (not isinstance(timestamp, int) or isinstance(timestamp, bool)):
            raise bad("a time of the wrong type", "ts", "milliseconds as a whole number", timestamp)
        row = [(self._feature(name), value) for name, value in cells.items()]
        labels = None if y is None else [self._label(str(m)) for m in y]
        self.builder.add(row, labels, key=None if key is None else str(key), timestamp=timestamp)

    def _feature(self, name: str) -> int:
        at = self.schema.feature_index(name)
        return self.schema.add_feature(Feature(name)) if at is None else at

    def _label(self, name: str) -> int:
        at = self.schema.label_index(name)
        return self.schema.add_label(name) if at is None else at


class JsonStream(Stream):
    """A JSON Lines file; see `JsonRows` for its records. Sparse; features and labels may appear at any row."""

    def __init__(self, path: Path, *, batch_size: int = 1000, on_error: Literal["raise", "skip"] = "raise") -> None:
        super().__init__(batch_size=batch_size, on_error=on_error)
        self.path = path
        self.name = path.name.removesuffix(".gz").rpartition(".")[0]
        self.schema = Schema(sparse=True, name=self.name)
        if next(iter(read_chunks(path)), None) is None:
            raise DataError("the file is empty", source=str(path), expected='one {"x": ..., "y": ...} per line')

    def pieces(self) -> Iterator[Batch]:
        """The rows, a thousand at a time. The schema starts anew with every pass."""
        self.schema = Schema(sparse=True, name=self.name)
        rows = JsonRows(self.schema)
        for first, chunk in read_chunks(self.path):
            for line, raw in enumerate(chunk.split(b"\n"), first):
                if not raw.strip():
                    continue
                try:
                    try:
                        record = orjson.loads(raw)
                    except orjson.JSONDecodeError as error:
                        raise DataError(
                            f"not JSON: {error}", source=str(self.path), line=line, found=_show(raw[:SHOWN])
                        ) from None
                    rows.add(record, source=str(self.path), line=line)
                except DataError as error:
                    self.bad_row(error)
                if len(rows.builder) == PIECE:
                    yield rows.builder.batch()
        if len(rows.builder):
            yield rows.builder.batch()


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
