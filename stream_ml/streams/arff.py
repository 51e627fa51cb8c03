"""ARFF files as MEKA, MULAN and WEKA write them, read in batches."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from stream_ml.errors import DataError
from stream_ml.streams.arff_header import quoted, read_header
from stream_ml.streams.batch import Batch
from stream_ml.streams.columns import Chunks, ColumnPlan, compiled_rows
from stream_ml.streams.label_spec import choose_labels
from stream_ml.streams.lines import decode, listed, shown
from stream_ml.streams.source import FileStream, RowBuilder

__all__ = ["ArffStream"]

BARE, IN_BRACES = re.compile(r"[^,%]*+"), re.compile(r"[^,%}]*+")
GAP = re.compile(r"[ \t]*")
INDEX = re.compile(r"[ \t]*([0-9]+)[ \t]+")


class ArffStream(FileStream):
    """An ARFF file: dense or sparse rows, numeric and nominal attributes, plain or .gz.

    Labels are found as `label_spec.choose_labels` says. A label column is nominal with a negative and a positive value,
    ({0,1}, {false,true}, {f,t}, {no,yes}, {n,y} or {-1,1}, in any order and case) or numeric with 0 and 1. A `?` is
    a label that is not known. The first row tells whether the schema is sparse; rows of the other kind are
    read too.

    Raises
    ------
    DataError
        The file or its header cannot be read.
    LabelSpecError
        The label columns cannot be told.
    """

    def __init__(
        self,
        path: Path,
        *,
        labels: str | Collection[str] | None = None,
        batch_size: int = 1000,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        super().__init__(path, batch_size=batch_size, on_error=on_error)
        header = read_header(self._file)
        names = [c.name for c in header.columns]
        chosen = choose_labels(labels, names, path, relation=header.relation)
        self._columns, self._data_line = header.columns, header.data_line
        self._plan = ColumnPlan(header.columns, chosen, source=str(path))
        self.schema = self._plan.schema(self.name, sparse=header.sparse)

    def pieces(self) -> Iterator[Batch]:
        """The rows in pieces of about a megabyte of text."""
        with closing(self._file.chunks(rows=True)) as file:
            chunks = Chunks(file)
            chunks.skip_lines(self._data_line)
            yield from compiled_rows(chunks, self._plan, self.schema, careful=self._take_row)

    def _take_row(self, chunks: Chunks, builder: RowBuilder) -> None:
        """The row in the next line into `builder`, unless it is bad and to be skipped."""
        line = chunks.line
        raw = chunks.take_line()
        try:
            text = decode(raw, source=str(self.path), line=line).strip()
            if not text or text.startswith("%"):
                return
            sparse = text.startswith("{")
            cells = self._sparse_cells(text, line) if sparse else self._dense_cells(text, line)
            x, y, negative = self._plan.row(cells.items(), sparse=sparse)
        except DataError as error:
            self.bad_row(error)
            return
        if self.schema.sparse:
            x = [(feature, value) for feature, value in x if value != 0.0]
        elif sparse:
            given = dict(x)
            x = [(feature, given.get(feature, 0.0)) for feature in range(self.schema.n_features)]
        builder.add(x, y, negative=negative)

    def _dense_cells(self, text: str, line: int) -> dict[int, float]:
        """Value of every column."""
        columns, place, behind = len(self._columns), 0, ","
        tokens: list[tuple[str, bool]] = []
        while behind and len(tokens) <= columns:
            token, is_quoted, place, behind = self._token(text, place, BARE, len(tokens), line)
            tokens.append((token, is_quoted))
        if len(tokens) == 1 and columns > 1 and not tokens[0][1]:  # WEKA takes white space for commas
            tokens = [(token, False) for token in tokens[0][0].split(None, columns)]
        if len(tokens) > columns and tokens[columns][0].startswith("{"):
            raise self._error(line, "a row with a weight, which is not supported", found=shown(tokens[columns][0]))
        if len(tokens) != columns:
            found = str(len(tokens)) if len(tokens) < columns else f"{columns + 1} or more"
            raise self._error(line, "wrong number of values", expected=f"{columns} values", found=found)
        return {column: self._value(column, *token, line) for column, token in enumerate(tokens)}

    def _sparse_cells(self, text: str, line: int) -> dict[int, float]:
        """Values of the columns that the row names."""
        cells: dict[int, float] = {}
        place = GAP.match(text, 1).end()  # type: ignore[union-attr]
        more = text[place : place + 1] != "}"
        place += not more
        while more:
            match = INDEX.match(text, place)
            if match is None:
                raise self._error(line, "not a sparse entry", expected="INDEX VALUE", found=shown(text[place:]))
            digits = match.group(1)
            column = int(digits) if len(digits) < 10 else len(self._columns)
            if column >= len(self._columns):
                limit = len(self._columns) - 1
                raise self._error(line, "index out of range", field=digits, expected=f"0 to {limit}", found=digits[:20])
            if column in cells:
                raise self._error(line, "an index twice", field=self._columns[column].name, found=digits)
            token, is_quoted, place, behind = self._token(text, match.end(), IN_BRACES, column, line)
            cells[column] = self._value(column, token, is_quoted, line)
            if behind not in {",", "}"}:
                raise self._error(
                    line, "a sparse row that is not closed", expected="'}' at its end", found=shown(text[-20:])
                )
            more = behind == ","
        rest = text[place:].lstrip(" \t")
        if rest.startswith(",") and rest[1:].lstrip(" \t").startswith("{"):
            raise self._error(line, "a row with a weight, which is not supported", found=shown(rest[1:]))
        if rest and not rest.startswith("%"):
            raise self._error(line, "text behind a row", expected="the end of the line", found=shown(rest))
        return cells

    def _token(
        self, text: str, place: int, bare: re.Pattern[str], column: int, line: int
    ) -> tuple[str, bool, int, str]:
        """A value, whether it was quoted, the place behind it and what ends it, and what ends it: "" for the line."""
        place = GAP.match(text, place).end()  # type: ignore[union-attr]
        if text[place : place + 1] in {"'", '"'}:
            found = quoted(text, place)
            name = self._columns[min(column, len(self._columns) - 1)].name
            if found is None:
                raise self._error(line, "a quote that is not closed", field=name, found=shown(text[place:]))
            token, is_quoted = found[0], True
            place = GAP.match(text, found[1]).end()  # type: ignore[union-attr]
            if bare.match(text, place).end() != place:  # type: ignore[union-attr]
                raise self._error(line, "text behind a quoted value", field=name, found=shown(text[place:]))
        else:
            stop = bare.match(text, place).end()  # type: ignore[union-attr]
            token, is_quoted, place = text[place:stop].rstrip(" \t"), False, stop
        behind = text[place : place + 1]
        return token, is_quoted, place + 1, "" if behind == "%" else behind

    def _value(self, column: int, token: str, is_quoted: bool, line: int) -> float:
        """The value of a token: a number, a nominal value's position, NaN when missing."""
        if token == "?" and not is_quoted:
            return math.nan
        codes = self._plan.codes[column]
        if codes is None:
            return self._plan.number(column, token, line)
        value = codes.get(token)
        if value is None:
            raise self._error(
                line,
                "a value that is not declared",
                field=self._columns[column].name,
                expected="{" + listed(list(codes)) + "}",
                found=shown(token),
            )
        return value
