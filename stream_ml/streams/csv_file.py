"""CSV files, read in batches."""

from __future__ import annotations

import csv
import io
import math
import re
import shlex
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams.batch import Batch
from stream_ml.streams.columns import Chunks, ColumnPlan, compiled_rows
from stream_ml.streams.label_lists import LabelLists, label_separator, listed_column
from stream_ml.streams.label_spec import choose_labels, ignored_columns
from stream_ml.streams.lines import MAX_FIELD, decode, listed, shown
from stream_ml.streams.schema import OTHER, Feature, Schema
from stream_ml.streams.source import FileStream, RowBuilder

__all__ = ["OTHER", "CsvStream"]

PROBE_ROWS, PROBE_CELLS = 1000, 1 << 20
MAX_COLUMNS = 1 << 20
MISSING = {"", "?", "NA"}
FALSE, TRUE = {"0", "0.0", "false", "f", "no", "n", "-1"}, {"1", "1.0", "true", "t", "yes", "y"}
QUOTED = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"')
WINDOW = 1 << 12
MANY = 20
"""Rows from which on it means something that all values of a column differ."""
FEW = 10
"""Different numbers up to which a column of numbers and texts may be one of names."""
DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?"
    r"|\d{1,2}:\d{2}(:\d{2})?"
)
"""A date, a date and a time, or a time of the day, however it is written."""
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


class CsvStream(FileStream):
    """A comma-, semicolon- or tab-separated file whose first line names its columns, quoted as in RFC 4180.

    With `header=False` there is no such line, and columns are called `x0`, `x1`, ...

    Labels are found as `label_spec.choose_labels` says; a label is 0 or 1, false or true, no or yes, or missing:
    not known. The first 1000 rows (a million cells, if that is less) tell which features
    are nominal: those of whose values a tenth or more are no numbers. Their values are those met there, in order of
    appearance, and, if the file goes on, `(other)` for any that comes later. Columns of features that are `known` are
    of the kinds that they have there. In a numeric column, what is no number is an error. Empty cells, `?` and `NA` are
    missing. Dense.

    With `labels="column:NAME"` the labels of a row stand together in that column, `red|late`, with `label_separator`
    between them: by default `|`, `;` or `,`, the first of these that is in a cell of the first rows. They appear as
    they come. An empty cell: none is positive; `?` or `NA`: they are not known.

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
        header: bool = True,
        separator: str | None = None,
        ignore: str | None = None,
        known: Schema | None = None,
    ) -> None:
        super().__init__(path, batch_size=batch_size, on_error=on_error)
        self._separator, self._limit = self._find_separator(), MAX_COLUMNS + 1
        with closing(self._records()) as records:
            first = next(records, [])
            names = self._read_names(first) if header else [f"x{i}" for i in range(len(first))]
            if not names:
                expected = "a header line and rows" if header else "rows"
                raise DataError("the file is empty", source=str(self.path), expected=expected)
            if len(names) > MAX_COLUMNS:
                raise self._error(1, f"more than {MAX_COLUMNS} columns")
            self._listed = listed_column(labels, names, source=str(path))
            chosen = choose_labels(labels, names, path) if self._listed is None else []
            self._ignored = self._find_ignored(ignore, names, chosen)
            self._header_lines, self._limit = self._lines_read if header else 0, len(names) + 1
            following = records if header else chain([first], records)
            rows = islice(following, max(1, min(PROBE_ROWS, PROBE_CELLS // len(names))))
            probe = [cells for cells in rows if len(cells) == len(names)]
            more = next(following, None) is not None
        labels_at = set(chosen)
        by_column: list[tuple[str, ...]] = list(zip(*probe, strict=True)) if probe else [()] * len(names)
        given = [None if known is None or i in labels_at else known.feature(name) for i, name in enumerate(names)]
        self._columns: list[Feature] = [
            feature.with_other()
            if feature is not None
            else Feature(name, _label_values(cells) if i in labels_at else _values(cells, more))
            for i, (name, cells, feature) in enumerate(zip(names, by_column, given, strict=True))
        ]
        self.notes = [
            f"{path}, column {shown(name)}: {note}; or leave it out: --ignore {_written(name)}"
            for i, (name, cells) in enumerate(zip(names, by_column, strict=True))
            if not (i in labels_at or i == self._listed or i in self._ignored or given[i])
            if self._columns[i].nominal
            for note in _doubts(cells)
        ]
        self._plan = ColumnPlan(self._columns, chosen, source=str(path), ignored=self._ignored)
        self.schema = self._plan.schema(self.name, sparse=False)
        if self._listed is not None:
            met = [cell for cell in by_column[self._listed] if cell.strip() not in MISSING]
            self._between = separator or label_separator(met, source=str(path), field=names[self._listed])
            self.grows, self.schema = True, self._without_list()

    def _find_ignored(self, ignore: str | None, names: list[str], labels: list[int]) -> list[int]:
        """Positions of the columns that are left out."""
        ignored = [] if ignore is None else ignored_columns(ignore, names, source=str(self.path))
        used = {*labels, self._listed} & set(ignored)
        if used:
            name = shown(names[min(place for place in used if place is not None)])
            raise LabelSpecError(f"column {name} is ignored, and holds labels", source=str(self.path))
        if len(ignored) + len(labels) + (self._listed is not None) == len(names):
            raise LabelSpecError("every column is ignored or holds labels: no features are left", source=str(self.path))
        return ignored

    # -- header and first rows ------------------------------------------------------------------------------------

    def _find_separator(self) -> str:
        with closing(self._file.chunks()) as file:
            _, chunk = next(file, (1, b""))
        head = QUOTED.sub(b"", chunk.lstrip(b"\r\n").split(b"\n", 1)[0])
        return max(",;\t", key=lambda separator: head.count(separator.encode()))

    def _read_names(self, cells: list[str]) -> list[str]:
        """The columns' names: the first record, whether bad rows are skipped or not."""
        names = [name.strip() for name in cells]
        numbers, missing = sum(map(_is_number, names)), sum(name in MISSING for name in names)
        if len(names) > 1 and numbers and numbers + missing == len(names):
            raise self._error(
                1,
                "the first line looks like data: every value is a number" + ", or missing" * (missing > 0),
                expected="the columns' names",
                hint="of a file without names say --no-header (header=False): its columns are called x0, x1, ...",
            )
        seen = set()
        for i, name in enumerate(names):
            if not name:
                raise self._error(1, f"column {i + 1} has no name", expected="a header line that names every column")
            if name in seen:
                raise self._error(1, "two columns of the same name", field=name)
            seen.add(name)
        return names

    def _records(self) -> Generator[list[str], None, None]:
        """Cells of each record; bad ones, but for the first, are left out here and reported when they are read."""
        with closing(self._file.chunks()) as file:
            chunks = Chunks(file)
            first = True
            while chunks:
                try:
                    cells = self._next_record(chunks)
                except DataError:
                    if first:
                        raise
                    continue
                if cells is not None:
                    first = False
                    self._lines_read = chunks.line - 1
                    yield cells

    # -- rows -----------------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[Batch]:
        """The rows in pieces of about a megabyte of text."""
        if self._listed is None:
            yield from self._rows(self.schema)
            return
        self.schema = self._without_list()
        self._plan = ColumnPlan(self._columns, [], source=str(self.path), ignored=self._ignored)
        self._lists = LabelLists(self._plan.targets[self._listed], self.schema, self._between)
        self._plan.list_labels(self._listed, self._lists.feature(self._columns[self._listed].name))
        with closing(self._rows(self._plan.schema(self.name, sparse=False))) as pieces:
            for piece in pieces:
                yield self._lists.taken(piece)

    def _without_list(self) -> Schema:
        """The schema of the features; labels are still to come."""
        left_out = {self._listed, *self._ignored}
        features = [feature for at, feature in enumerate(self._columns) if at not in left_out]
        return Schema(features, name=self.name)

    def _rows(self, schema: Schema) -> Generator[Batch, None, None]:
        """Them with the columns as they stand in the file."""
        with closing(self._file.chunks(rows=True)) as file:
            chunks = Chunks(file)
            chunks.skip_lines(self._header_lines)
            yield from compiled_rows(
                chunks, self._plan, schema, separator=self._separator, csv=True, careful=self._take_row
            )

    def _take_row(self, chunks: Chunks, builder: RowBuilder) -> None:
        """The next record into `builder`, unless it is bad and to be skipped."""
        line = chunks.line
        try:
            cells = self._next_record(chunks)
            if cells is None:
                return
            if len(cells) != len(self._columns):
                found = str(len(cells)) if len(cells) < len(self._columns) else f"{len(self._columns) + 1} or more"
                raise self._error(line, "wrong number of values", expected=f"{len(self._columns)} values", found=found)
            values = [
                (column, self._value(column, cell.strip(), line))
                for column, cell in enumerate(cells)
                if column != self._listed and column not in self._plan.ignored
            ]
            if self._listed is not None:  # last: labels of a bad row are not met
                values.append((self._listed, self._list_code(cells[self._listed].strip())))
            x, y, negative = self._plan.row(values, sparse=False)
        except DataError as error:
            self.bad_row(error)
            return
        builder.add(x, y, negative=negative)

    def _list_code(self, text: str) -> float:
        """What stands for a cell of labels while rows are read."""
        lists = self._lists
        code = lists.code(text, told=not text or text not in MISSING)
        if lists.outgrown:
            assert self._listed is not None
            self._plan.list_labels(self._listed, lists.feature(self._columns[self._listed].name))
        return code

    def _next_record(self, chunks: Chunks) -> list[str] | None:
        """Cells of the record here, at most one too many; None for an empty line. Goes behind it, bad or not."""
        line, size = chunks.line, WINDOW
        while True:
            window = chunks.window(size)
            ended = len(window) < size  # the file ends with this window
            try:
                found = _split(window, self._separator.encode(), self._limit)
            except DataError as error:
                chunks.take_line()
                raise self._error(line, error.problem, found=error.found) from None
            if found is not None:
                break
            if ended or size > MAX_FIELD:
                chunks.take_line()
                within = "" if ended else " within a megabyte"
                raise self._error(line, f"a quote that is not closed{within}", found=shown(_text(window)))
            size *= 4
        cells, length = found
        record = window[:length]
        chunks.advance(chunks.place + length, record.count(b"\n") + (not record.endswith(b"\n")))
        if not record.strip():
            return None
        if b"\0" in record:
            raise self._error(line, "binary data", expected="text")
        for i, cell in enumerate(cells):
            if len(cell) > MAX_FIELD:
                raise self._error(line, f"a value of more than {MAX_FIELD >> 20} MB in column {i + 1}")
        return [decode(cell, source=str(self.path), line=line) for cell in cells]

    def _value(self, column: int, text: str, line: int) -> float:
        if text in MISSING:
            return math.nan
        if self._plan.targets[column] < 0:
            truth = text.lower()
            if truth not in TRUE | FALSE:
                raise self._error(
                    line,
                    "a label that is neither 0 nor 1",
                    field=self._columns[column].name,
                    expected="0 or 1, false or true, no or yes",
                    found=shown(text),
                    hint=f"of labels that stand together in one column say --labels column:{self._columns[column].name}"
                    if any(map(str.isalpha, text))
                    else None,
                )
            positive = self._plan.positive[column]
            # negative: any other value than the one that counts as positive
            return positive if truth in TRUE else positive - 1.0
        codes = self._plan.codes[column]
        if codes is None:
            return self._plan.number(column, text, line)
        if text not in codes and OTHER not in codes:
            raise self._error(
                line, "a value that was not there before", field=self._columns[column].name, found=shown(text)
            )
        return codes.get(text, codes.get(OTHER, 0.0))


def _text(raw: bytes) -> str:
    return raw[:100].decode("utf-8", "replace")


def _split(text: bytes, separator: bytes, limit: int) -> tuple[list[bytes], int] | None:
    """Cells of the first record in `text`, `limit` at most, and its length with the line end; None: a quote is open.

    Raises
    ------
    DataError
        Text behind a closing quote.
    """
    line_end = text.find(b"\n")
    line_end = len(text) if line_end < 0 else line_end
    if b'"' not in text[:line_end]:
        cells = text[:line_end].removesuffix(b"\r").split(separator, limit)
        return cells[:limit], min(len(text), line_end + 1)
    cells, place = [], 0
    while True:
        if text[place : place + 1] == b'"':
            match = QUOTED.match(text, place)
            if match is None:
                return None
            cell, end = match.group(1).replace(b'""', b'"'), match.end()
            if text[end : end + 1] == b"\r":
                end += 1
            if text[end : end + 1] not in (separator, b"\n", b""):
                raise DataError("text behind a quoted value", found=shown(_text(text[end:])))
        else:
            newline = text.find(b"\n", place)
            newline = len(text) if newline < 0 else newline
            end = text.find(separator, place, newline)
            end = newline if end < 0 else end
            cell = text[place:end].removesuffix(b"\r") if end == newline else text[place:end]
        if len(cells) < limit:
            cells.append(cell)
        place = end + 1
        if text[end : end + 1] != separator:
            return cells, min(len(text), place)


def _label_values(cells: tuple[str, ...]) -> tuple[str, ...] | None:
    """The texts that say no and yes in a label column, None where it holds 0 and 1."""
    met = {cell.strip() for cell in cells} - MISSING
    no, yes = sorted(met - {v for v in met if v.lower() not in FALSE}), sorted(v for v in met if v.lower() in TRUE)
    if not met or met <= {"0", "1", "0.0", "1.0"} or len(no) > 1 or len(yes) > 1:
        return None
    return (*no, *yes) if no or yes else None


def _values(cells: tuple[str, ...], more: bool) -> tuple[str, ...] | None:
    """The values of a nominal column in order of appearance, None where it holds numbers."""
    given = [cell.strip() for cell in cells]
    given = [cell for cell in given if cell not in MISSING]
    texts = sum(not _is_number(cell) for cell in given)
    if 10 * texts < len(given) or not given:
        return None
    met = tuple(dict.fromkeys(given))
    return (*met, OTHER) if more and OTHER not in met else met


def _doubts(cells: tuple[str, ...]) -> Iterator[str]:
    """Why a column that is read as one of texts may hold none, or none to learn from; and what to do about it."""
    given = [cell for cell in map(str.strip, cells) if cell not in MISSING]
    later = f"are read as texts, and those that are not in the first {len(cells):,} rows as {OTHER}"
    most = 0.9 * max(1, len(given))
    commas = sum(DECIMAL_COMMA.fullmatch(cell) is not None for cell in given)
    numbers, others = (list(filter(test, given)) for test in (_is_number, lambda cell: not _is_number(cell)))
    if sum(DATE.fullmatch(cell) is not None for cell in given) >= most:
        yield f"dates or times {later}; make numbers of them before (see docs/streams.md)"
    elif commas and commas + sum(_is_number(cell) for cell in given) >= most:
        yield f"numbers with a decimal comma {later}; write them with a point"
    elif 2 * len(numbers) >= len(given) and len(set(numbers)) > FEW:
        told = listed(sorted(set(others)), 3)
        yield f"numbers beside {told} {later}; where these stand for nothing known, leave them out, or write ? or NA"
    elif len(given) >= MANY and len(set(given)) >= most:
        yield (
            f"{len(set(given)):,} different texts in {len(given):,} rows, as an identifier or free text has them; "
            "nothing can be learned of values that never come again; make features of them before"
        )


def _written(name: str) -> str:
    """A name as it stands in a list of names, and on a command line."""
    text = io.StringIO()
    csv.writer(text).writerow([name])
    return shlex.quote(text.getvalue().removesuffix("\r\n"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
