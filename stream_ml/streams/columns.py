"""Rows of columns: compiled where they are plain, read with care where they are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.lines import listed
from stream_ml.streams.numbers import number
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import RowBuilder

__all__ = ["Chunks", "ColumnPlan", "compiled_rows", "new_rows", "plain_batch"]

if TYPE_CHECKING:
    from stream_ml.streams._kernels import Columns, Rows

NEGATIVE = {"0", "0.0", "false", "f", "no", "n", "-1"}
LISTED, LEFT_OUT = -2.0, -3.0
"""As of the kernels, which are not loaded yet."""
POSITIVE = {"1", "1.0", "true", "t", "yes", "y"}
ACCEPTED = "{0,1}, {false,true}, {f,t}, {no,yes}, {n,y} or {-1,1} in any order and case, or numeric 0 and 1"
TRICKY = re.compile(r"""[,;{}'"\\%\t\r\n]|^\s|\s$|^\?$|^NA$|^$""")
MANY_ROWS = 1 << 14
ROOM = 1 << 18


class Chunks:
    """A place in a file that is read chunk by chunk."""

    def __init__(self, chunks: Iterator[tuple[int, bytes]]) -> None:
        self._chunks = chunks
        self.text, self.place, self.line = b"", 0, 1

    def __bool__(self) -> bool:
        """Whether there is text; reads the next chunk where this one is used up."""
        return self.place < len(self.text) or self._more()

    def _more(self) -> bool:
        following = next(self._chunks, None)
        if following is None:
            return False
        self.text, self.place = self.text[self.place :] + following[1], 0
        return True

    def skip_lines(self, last: int) -> None:
        """Go behind the line of that number."""
        while self.line <= last and self:
            self.take_line()

    def take_line(self) -> bytes:
        """The line here, its end included; goes behind it."""
        end = (self.text.find(b"\n", self.place) + 1) or len(self.text)
        line = self.text[self.place : end]
        self.place, self.line = end, self.line + 1
        return line

    def window(self, size: int) -> bytes:
        """At least the line here, and whole lines up to about `size` bytes, read on where needed; goes nowhere."""
        while len(self.text) - self.place < size and self._more():
            pass
        end = (self.text.find(b"\n", min(len(self.text), self.place + size)) + 1) or len(self.text)
        return self.text[self.place : end]

    def advance(self, place: int, lines: int) -> None:
        """Go on to a place of the present text."""
        self.place, self.line = place, self.line + lines


class ColumnPlan:
    """What each column becomes: a feature or a label, and which value makes a label positive.

    Parameters
    ----------
    columns
        All columns, labels too, in the order of the file.
    labels
        Positions of the label columns, rising.
    source
        The file, for messages.
    ignored
        Positions of columns that are neither: `row` is not given their cells.

    Raises
    ------
    DataError
        A nominal label column that is not binary.
    """

    def __init__(
        self, columns: Sequence[Feature], labels: Sequence[int], *, source: str, ignored: Sequence[int] = ()
    ) -> None:
        self.columns, self.source, self.ignored = columns, source, frozenset(ignored)
        self.n_labels = len(labels)
        is_label = np.zeros(len(columns), dtype=np.bool_)
        is_label[list(labels)] = True
        is_feature = ~is_label
        is_feature[list(ignored)] = False
        targets = np.zeros(len(columns), dtype=np.int64)
        targets[is_feature] = np.arange(np.count_nonzero(is_feature))
        targets[is_label] = -1 - np.arange(len(labels))
        self.targets: list[int] = targets.tolist()
        self.positive = [1.0] * len(columns)
        for i in labels:
            values = columns[i].values
            if values is not None:
                self.positive[i] = self._positive(columns[i].name, values)
        for i in ignored:
            self.positive[i] = LEFT_OUT
        # in a sparse row an absent value is the first one declared
        self.inverted = [i for i in labels if columns[i].values is not None and self.positive[i] == 0.0]
        self.codes = [{v: float(k) for k, v in enumerate(c.values)} if c.values is not None else None for c in columns]
        self.changed = False

    def list_labels(self, column: int, texts: Feature) -> None:
        """Make a feature one of label lists, or tell which of their texts are known by now."""
        self.columns = [*self.columns[:column], texts, *self.columns[column + 1 :]]
        self.positive[column], self.changed = LISTED, True

    def schema(self, name: str, *, sparse: bool) -> Schema:
        """Features and labels in the order of the file."""
        placed = enumerate(zip(self.columns, self.targets, strict=True))
        kept = [column for i, column in placed if i not in self.ignored]
        features = [c for c, target in kept if target >= 0]
        labels = [c.name for c, target in kept if target < 0]
        return Schema(features, labels, sparse=sparse, name=name)

    def _positive(self, name: str, values: tuple[str, ...]) -> float:
        """Position of the value that makes the label positive, -1 where none does."""
        positive = [k for k, value in enumerate(values) if value.lower() in POSITIVE]
        negative = [k for k, value in enumerate(values) if value.lower() in NEGATIVE]
        if len(positive) > 1 or len(negative) > 1 or len(positive) + len(negative) != len(values):
            raise DataError(
                "a label that is not binary",
                source=self.source,
                field=name,
                expected=ACCEPTED,
                found="{" + listed(values, 5).replace(", ", ",") + "}",
            )
        return float(positive[0]) if positive else -1.0

    def compiled(self) -> Columns:
        """The same for the kernels; values that need quotes or escapes are left to the careful reader."""
        from stream_ml.streams._kernels import Columns

        texts = [
            [b"" if TRICKY.search(v) else v.encode() for v in c.values] if c.values is not None else []
            for c in self.columns
        ]
        flat = [text for column in texts for text in column]
        return Columns(
            targets=np.array(self.targets, dtype=np.int64),
            positive=np.array(self.positive, dtype=np.float64),
            inverted=np.array(self.inverted, dtype=np.int64),
            first_value=np.cumsum([0] + [len(column) for column in texts]).astype(np.int64),
            spans=np.cumsum([0] + [len(text) for text in flat]).astype(np.int64),
            texts=np.frombuffer(b"".join(flat) or b"\0", dtype=np.uint8),
        )

    def row(
        self, cells: Iterable[tuple[int, float]], *, sparse: bool
    ) -> tuple[list[tuple[int, float]], list[int] | None, list[int] | None]:
        """Features, labels and, where some labels are missing, those that are absent, from (column, value) pairs.

        Labels are None where none is known.
        """
        x: list[tuple[int, float]] = []
        y = {-1 - self.targets[i] for i in self.inverted} if sparse else set()
        unknown: set[int] = set()
        for column, value in cells:
            target = self.targets[column]
            if target >= 0:
                x.append((target, value))
                continue
            if value != value:
                unknown.add(-1 - target)
            if value == self.positive[column]:
                y.add(-1 - target)
            else:
                y.discard(-1 - target)
        if not unknown:
            return x, sorted(y), None
        if len(unknown) == self.n_labels:
            return x, None, None
        return x, sorted(y), sorted(set(range(self.n_labels)) - unknown - y)

    def number(self, column: int, text: str, line: int) -> float:
        """The number in a cell; 0 or 1 in a label column."""
        name = self.columns[column].name
        value = number(text, source=self.source, line=line, field=name)
        if self.targets[column] < 0 and value not in (0.0, 1.0):
            raise DataError(
                "a label that is neither 0 nor 1",
                source=self.source,
                line=line,
                field=name,
                expected="0 or 1",
                found=repr(text),
            )
        return value


def compiled_rows(
    chunks: Chunks,
    plan: ColumnPlan,
    schema: Schema,
    *,
    separator: str = ",",
    csv: bool = False,
    careful: Callable[[Chunks, RowBuilder], None],
) -> Generator[Batch, None, None]:
    """The rows of a file in pieces; `careful` takes a row that is not plain and puts it, if good, into a builder."""
    from stream_ml.streams._kernels import UNUSUAL, parse_rows  # numba is loaded when a file is read, not on import

    columns = plan.compiled()
    out = new_rows(max(ROOM, 4 * len(plan.columns)))
    builder = RowBuilder(schema)
    sparse = schema.sparse and not csv
    while chunks:
        if plan.changed:
            columns, plan.changed = plan.compiled(), False
        text = np.frombuffer(chunks.text, dtype=np.uint8)
        place, rows, lines, why = parse_rows(
            text, chunks.place, len(text), sparse, ord(separator), csv, columns, plan.n_labels, out
        )
        if rows and len(builder):
            yield builder.batch()
        chunks.advance(place, lines)
        if rows:
            yield plain_batch(schema, out, rows)
        if why == UNUSUAL:
            careful(chunks, builder)
            if len(builder) >= MANY_ROWS or builder.n_cells > ROOM:
                yield builder.batch()
    if len(builder):
        yield builder.batch()


def new_rows(room: int) -> Rows:
    """Empty arrays for the kernels: `room` features and labels, fewer rows."""
    from stream_ml.streams._kernels import Rows

    return Rows(
        np.empty(MANY_ROWS, dtype=np.int64),
        np.empty(room, dtype=np.int32),
        np.empty(room, dtype=np.float32),
        np.empty(MANY_ROWS, dtype=np.int64),
        np.empty(room, dtype=np.int32),
        np.empty(MANY_ROWS, dtype=np.bool_),
    )


def plain_batch(schema: Schema, out: Rows, rows: int) -> Batch:
    """A batch of the first rows of what a kernel wrote."""
    n_x, n_y = int(out.x_ends[rows - 1]), int(out.y_ends[rows - 1])
    return Batch.of_rows(
        schema,
        np.concatenate([[0], out.x_ends[:rows]]),
        out.x_indices[:n_x].copy(),
        out.x_values[:n_x].copy(),
        np.concatenate([[0], out.y_ends[:rows]]),
        out.y_indices[:n_y].copy(),
        out.labelled[:rows].copy(),
    )
