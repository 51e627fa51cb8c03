"""svmlight files with several labels a row, and the files of the extreme classification repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.columns import ROOM, Chunks, new_rows, plain_batch
from stream_ml.streams.lines import decode, shown
from stream_ml.streams.numbers import number
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import FileStream, RowBuilder

__all__ = ["SvmlightStream"]

PIECE = 1000
LARGEST = 1 << 28
"""Indices are below this."""
WHOLE = re.compile(r"0|[1-9][0-9]{0,8}")
HEADER = re.compile(rb"[ \t]*([0-9]{1,12})[ \t]+([0-9]{1,9})[ \t]+([0-9]{1,9})[ \t]*")


class SvmlightStream(FileStream):
    """Rows `label,label index:value index:value # comment`; a row that begins with white space has no label. Sparse.

    Where the first line is three whole numbers (instances, features, labels: the form of the extreme classification
    repository of Bhatia et al.), indices count from 0, are checked against them, and every further line is a row; there
    have to be as many as it says. Otherwise features are named by their indices as they stand, from 0 or from 1, and
    take columns in the order in which they appear; labels are named by what is written and take theirs likewise, the
    numbers of one row in order of size. `qid:n` is left out.

    Raises
    ------
    DataError
        The file cannot be read, is empty, or lacks the first line where `xmc` wants it.
    """

    def __init__(
        self,
        path: Path,
        *,
        xmc: bool = False,
        batch_size: int = 1000,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        super().__init__(path, batch_size=batch_size, on_error=on_error)
        self._header = self._read_header(xmc)
        self.grows = self._header is None
        self.schema = self._new_schema()

    def _read_header(self, wanted: bool) -> tuple[int, int, int] | None:
        """Instances, features and labels as the first line gives them, if it does."""
        with closing(self._file.chunks()) as file:
            _, chunk = next(file, (1, b""))
        if not chunk.strip():
            raise DataError("the file is empty", source=str(self.path), expected="rows of label,label index:value")
        first = chunk.split(b"\n", 1)[0].strip()
        match = HEADER.fullmatch(first)
        if match is not None:
            n, n_features, n_labels = map(int, match.groups())
            if max(n_features, n_labels) > LARGEST:
                raise DataError(
                    "too many features or labels", source=str(self.path), line=1, expected=f"at most {LARGEST}"
                )
            return n, n_features, n_labels
        if wanted:
            text = shown(first[:100].decode("utf-8", "replace"))
            raise DataError(
                "no header", source=str(self.path), line=1, expected="number of rows, features and labels", found=text
            )
        return None

    def _new_schema(self) -> Schema:
        if self._header is None:
            return Schema(sparse=True, name=self.name)
        self.n_instances, n_features, n_labels = self._header
        features = (Feature(str(i)) for i in range(n_features))
        return Schema(features, map(str, range(n_labels)), sparse=True, name=self.name)

    def pieces(self) -> Iterator[Batch]:
        """The rows in pieces of about a megabyte of text."""
        from stream_ml.streams._kernels import UNUSUAL, parse_pair_rows

        if self._header is None:
            self.schema = self._new_schema()
        expected, n_features, n_labels = self._header or (0, LARGEST, LARGEST)
        builder, out, found = RowBuilder(self.schema), new_rows(ROOM), 0
        with closing(self._file.chunks(rows=True)) as file:
            chunks = Chunks(file)
            chunks.skip_lines(0 if self._header is None else 1)
            while chunks:
                if len(chunks.text) // 2 + 2 > len(out.x_indices):
                    out = new_rows(len(chunks.text) // 2 + 2)
                text = np.frombuffer(chunks.text, dtype=np.uint8)
                blanks = max(0, expected - found - len(builder) - self.skipped.count)
                place, rows, lines, why = parse_pair_rows(
                    text, chunks.place, len(text), blanks, n_features, n_labels, out
                )
                if rows and len(builder):
                    found += len(builder)
                    yield builder.batch()
                chunks.advance(place, lines)
                if rows:
                    found += rows
                    yield self._named(plain_batch(self.schema, out, rows))
                if why == UNUSUAL:
                    self._take_row(chunks, builder, blank=rows < blanks)
                    if len(builder) == PIECE:
                        found += len(builder)
                        yield builder.batch()
        found += len(builder)
        if len(builder):
            yield builder.batch()
        if self._header is not None and found + self.skipped.count != expected:
            raise DataError(
                "another number of rows than the first line says",
                source=str(self.path),
                expected=str(expected),
                found=str(found + self.skipped.count),
            )

    # -- plain rows: indices to columns -----------------------------------------------------------------------------

    def _named(self, batch: Batch) -> Batch:
        """The batch with columns for indices, where the file has no header: new ones in order of appearance."""
        if self._header is not None:
            return batch
        x_at = _positions(batch.x_indices, self._feature)
        y_at = _positions(batch.y_indices, self._label)
        x_order, y_order = _row_order(batch.x_indptr, x_at), _row_order(batch.y_indptr, y_at)
        return replace(
            batch,
            n_features=self.schema.n_features,
            n_labels=self.schema.n_labels,
            x_indices=x_at[x_order],
            x_values=batch.x_values[x_order],
            y_indices=y_at[y_order],
        )

    def _feature(self, name: str) -> int:
        at = self.schema.feature_index(name)
        return self.schema.add_feature(Feature(name)) if at is None else at

    def _label(self, name: str) -> int:
        at = self.schema.label_index(name)
        return self.schema.add_label(name) if at is None else at

    # -- other rows -------------------------------------------------------------------------------------------------

    def _take_row(self, chunks: Chunks, builder: RowBuilder, *, blank: bool) -> None:
        """The row in the next line, which may be `blank`, into `builder`, unless it is bad and to be skipped."""
        line = chunks.line
        raw = chunks.take_line()
        try:
            text = decode(raw, source=str(self.path), line=line).partition("#")[0].rstrip()
            if not text and (not blank or raw.strip()):
                return  # a comment, or an empty line that is no row
            x, names = self._parse(text, line)
        except DataError as error:
            self.bad_row(error)
            return
        if self._header is not None:
            builder.add(x.items(), [int(name) for name in names])
        else:
            builder.add(
                [(self._feature(str(index)), value) for index, value in x.items()], [self._label(n) for n in names]
            )

    def _parse(self, text: str, line: int) -> tuple[dict[int, float], list[str]]:
        """Values by index, and labels as they are written."""
        words = text.split()
        names: list[str] = []
        if words and not text[0].isspace() and ":" not in words[0]:
            names = words.pop(0).split(",")
        self._check_labels(names, line)
        if all(map(WHOLE.fullmatch, names)):
            names.sort(key=int)  # as the kernel gives them
        x: dict[int, float] = {}
        limit = self._header[1] if self._header is not None else LARGEST
        for word in words:
            index, colon, value = word.partition(":")
            if index == "qid" and colon:
                continue
            if not colon or not (index.isascii() and index.isdecimal()):
                raise self._error(line, "not a feature", expected="INDEX:VALUE", found=shown(word))
            at = int(index) if len(index) < 19 else limit
            if at >= limit:
                raise self._error(
                    line, "index out of range", field=index, expected=f"0 to {limit - 1}", found=index[:20]
                )
            if at in x:
                raise self._error(line, "an index twice", field=index)
            x[at] = number(value, source=str(self.path), line=line, field=index, missing=False)
        return x, names

    def _check_labels(self, names: list[str], line: int) -> None:
        if "" in names:
            raise self._error(line, "a label without a name", found=shown(",".join(names[:20])))
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise self._error(line, "a label twice", found=shown(twice))
        if self._header is None:
            return
        for name in names:
            if not re.fullmatch(r"[0-9]{1,9}", name) or int(name) >= self._header[2]:
                raise self._error(line, "label out of range", expected=f"0 to {self._header[2] - 1}", found=shown(name))


def _positions(numbers: NDArray[np.int32], position_of: Callable[[str], int]) -> NDArray[np.int32]:
    """Column of each number, new ones in order of appearance."""
    unique, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    columns = np.empty(len(unique), dtype=np.int32)
    for k in np.argsort(first, kind="stable").tolist():
        columns[k] = position_of(str(unique[k]))
    return columns[inverse]


def _row_order(indptr: NDArray[np.int64], columns: NDArray[np.int32]) -> NDArray[np.int64]:
    """The order that sorts every row's columns."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return np.lexsort((columns, rows))
