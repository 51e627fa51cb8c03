"""CSV files with a header, read in batches."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams.batch import Batch
from stream_ml.streams.label_spec import HOW_TO, label_columns, mulan_labels, sibling_xml
from stream_ml.streams.lines import decode, read_chunks
from stream_ml.streams.numbers import number
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import RowBuilder, Stream

__all__ = ["CsvStream"]

PROBE_ROWS = 1000
MISSING = ("", "?", "NA", "N/A")
PIECE = 1000
TRUTH = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1}


class CsvStream(Stream):
    """A comma-, semicolon- or tab-separated file whose first line names its columns (quoted as in RFC 4180).

    Labels are the columns of `labels` (see `label_columns`), else of a MULAN `.xml` of the same stem. The first
    thousand rows tell which features are nominal: those with a value that is no number, in order of appearance; a
    new value later is an error that names it. Empty cells, `?` and `NA` are missing values. Dense.
    """

    def __init__(
        self,
        path: Path,
        *,
        labels: str | None = None,
        batch_size: int = 1000,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        super().__init__(batch_size=batch_size, on_error=on_error)
        self.path = path
        self.name = path.name.removesuffix(".gz").rpartition(".")[0]
        rows = self._records()
        first = next(rows, None)
        if first is None:
            raise DataError("the file is empty", source=str(path), expected="a header line and rows")
        names = [name.strip() for name in first[1]]
        for name in names:
            if not name or names.count(name) > 1:
                problem = "two columns of the same name" if name else "a column without a name"
                raise DataError(problem, source=str(path), line=first[0], field=name or None)
        chosen = self._choose_labels(labels, names)
        self._names, self._label_at = names, {column: i for i, column in enumerate(chosen)}
        if len(chosen) == len(names):
            raise LabelSpecError("every column is a label", source=str(path), hint=HOW_TO)
        probe = list(islice(rows, PROBE_ROWS))
        columns = [i for i in range(len(names)) if i not in self._label_at]
        self._feature_at = {column: i for i, column in enumerate(columns)}
        features = [Feature(names[c], self._values(c, probe)) for c in columns]
        self.schema = Schema(features, [names[i] for i in chosen], sparse=False, name=self.name)
        self._codes = [{v: float(k) for k, v in enumerate(f.values)} if f.values else None for f in features]

    def _choose_labels(self, spec: str | None, names: list[str]) -> list[int]:
        if spec is not None:
            return label_columns(spec, names, source=str(self.path))
        xml = sibling_xml(self.path)
        if xml is None:
            some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise LabelSpecError(
                "which columns are labels is not said", source=str(self.path), hint=f"{HOW_TO}; columns: {some}"
            )
        quoted = ",".join('"' + name.replace('"', '""') + '"' for name in mulan_labels(xml))
        return label_columns(quoted, names, source=str(self.path))

    def _values(self, column: int, probe: list[tuple[int, list[str]]]) -> tuple[str, ...] | None:
        """The values of a nominal column in order of appearance, None when all are numbers."""
        cells = [row[column].strip() for _, row in probe if len(row) == len(self._names)]
        cells = [cell for cell in cells if cell not in MISSING]
        try:
            for cell in cells:
                float(cell)
        except ValueError:
            return tuple(dict.fromkeys(cells))
        return None

    def _lines(self) -> Iterator[str]:
        for first, chunk in read_chunks(self.path):
            for line, raw in enumerate(chunk.split(b"\n")[: chunk.count(b"\n") + (chunk[-1:] != b"\n")], first):
                yield decode(raw, source=str(self.path), line=line) + "\n"

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Pairs (line on which the row ends, cells); empty lines are left out."""
        lines = self._lines()
        head = next(lines, "")
        separator = max(",;\t", key=head.count)
        reader = csv.reader(_chain(head, lines), delimiter=separator, strict=True)
        csv.field_size_limit(1 << 20)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                self.bad_row(DataError(f"not CSV: {error}", source=str(self.path), line=max(1, reader.line_num)))
                continue
            if row is None:
                return
            if row and (len(row) > 1 or row[0].strip()):
                yield reader.line_num, row

    def pieces(self) -> Iterator[Batch]:
        """The rows, a thousand at a time."""
        builder = RowBuilder(self.schema)
        rows = self._records()
        next(rows, None)
        for line, row in rows:
            try:
                x, y = self._parse(row, line)
            except DataError as error:
                self.bad_row(error)
                continue
            builder.add(x, y)
            if len(builder) == PIECE:
                yield builder.batch()
        if len(builder):
            yield builder.batch()

    def _parse(self, row: list[str], line: int) -> tuple[list[tuple[int, float]], list[int]]:
        if len(row) != len(self._names):
            raise DataError(
                "wrong number of values",
                source=str(self.path),
                line=line,
                expected=f"{len(self._names)} values",
                found=str(len(row)),
            )
        y = []
        for column, label in self._label_at.items():
            truth = TRUTH.get(row[column].strip().lower())
            if truth is None:
                raise DataError(
                    "a label that is neither 0 nor 1",
                    source=str(self.path),
                    line=line,
                    field=self._names[column],
                    expected="0 or 1",
                    found=repr(row[column]),
                )
            if truth:
                y.append(label)
        return [(at, self._cell(row[column].strip(), column, at, line)) for column, at in self._feature_at.items()], y

    def _cell(self, text: str, column: int, feature: int, line: int) -> float:
        if text in MISSING:
            return math.nan
        codes = self._codes[feature]
        if codes is None:
            return number(text, source=str(self.path), line=line, field=self._names[column])
        if text not in codes:
            raise DataError(
                f"a value not met in the first {PROBE_ROWS} rows",
                source=str(self.path),
                line=line,
                field=self._names[column],
                expected="{" + ", ".join(list(codes)[:8]) + "}",
                found=repr(text),
            )
        return codes[text]


def _chain(head: str, lines: Iterator[str]) -> Iterator[str]:
    if head:
        yield head
    yield from lines
