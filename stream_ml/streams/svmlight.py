"""svmlight files of several labels, and the format of the extreme classification repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from stream_ml.errors import DataError
from stream_ml.streams.batch import Batch
from stream_ml.streams.lines import decode, read_chunks
from stream_ml.streams.numbers import number
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import RowBuilder, Stream

__all__ = ["SvmlightStream"]

PIECE = 1000
LARGEST_INDEX = 1 << 28


class SvmlightStream(Stream):
    """Rows `label,label index:value index:value # comment`; a row that begins with a space has no label.

    Where the first line is three whole numbers (the repository of Bhatia et al.: instances, features, labels), indices
    are checked against them and count from 0. Otherwise they are taken as they stand, and columns appear as they are
    met: a file that counts from 1 just never uses feature 0. Labels are whole numbers or names. Sparse.
    """

    def __init__(self, path: Path, *, batch_size: int = 1000, on_error: Literal["raise", "skip"] = "raise") -> None:
        super().__init__(batch_size=batch_size, on_error=on_error)
        self.path = path
        self.name = path.name.removesuffix(".gz").rpartition(".")[0]
        self._header = self._read_header()
        self.schema = self._new_schema()

    def _read_header(self) -> tuple[int, int, int] | None:
        """Instances, features and labels as the first line gives them, if it does."""
        first = next(iter(read_chunks(self.path)), None)
        if first is None:
            raise DataError("the file is empty", source=str(self.path), expected="rows of label,label index:value")
        words = decode(first[1].split(b"\n", 1)[0], source=str(self.path), line=1).split()
        if len(words) == 3 and all(word.isdecimal() for word in words):
            return int(words[0]), int(words[1]), int(words[2])
        return None

    def _new_schema(self) -> Schema:
        if self._header is None:
            return Schema(sparse=True, name=self.name)
        n, n_features, n_labels = self._header
        self.n_instances = n
        features = (Feature(str(i)) for i in range(n_features))
        return Schema(features, map(str, range(n_labels)), sparse=True, name=self.name)

    def pieces(self) -> Iterator[Batch]:
        """The rows, a thousand at a time."""
        self.schema = self._new_schema()
        builder = RowBuilder(self.schema)
        for first, chunk in read_chunks(self.path):
            for line, raw in enumerate(chunk.split(b"\n"), first):
                if not raw.strip() or (line == 1 and self._header is not None):
                    continue
                try:
                    text = decode(raw, source=str(self.path), line=line).partition("#")[0].rstrip()
                    if text:
                        builder.add(*self._parse(text, line))
                except DataError as error:
                    self.bad_row(error)
                if len(builder) == PIECE:
                    yield builder.batch()
        if len(builder):
            yield builder.batch()

    def _parse(self, text: str, line: int) -> tuple[list[tuple[int, float]], list[int]]:
        """Features and labels of a row; the schema grows only when all of it is good."""
        words = text.split()
        names: list[str] = []
        if not text[0].isspace() and ":" not in words[0]:
            names = [name for name in words.pop(0).split(",") if name]
        x: dict[int, float] = {}
        for word in words:
            index, colon, value = word.partition(":")
            if index == "qid":
                continue
            if not colon or not index.isdecimal():
                raise DataError(
                    "not a feature", source=str(self.path), line=line, expected="INDEX:VALUE", found=repr(word)
                )
            limit = self._header[1] if self._header is not None else LARGEST_INDEX
            if int(index) >= limit:
                raise DataError(
                    "index out of range",
                    source=str(self.path),
                    line=line,
                    field=index,
                    expected=f"0 to {limit - 1}",
                    found=index,
                )
            if int(index) in x:
                raise DataError("an index twice", source=str(self.path), line=line, field=index)
            x[int(index)] = number(value, source=str(self.path), line=line, field=index)
        return self._features(x), self._labels(names, line)

    def _features(self, x: dict[int, float]) -> list[tuple[int, float]]:
        if self._header is not None:
            return list(x.items())
        cells = []
        for index, value in x.items():
            at = self.schema.feature_index(str(index))
            cells.append((self.schema.add_feature(Feature(str(index))) if at is None else at, value))
        return cells

    def _labels(self, names: list[str], line: int) -> list[int]:
        labels = []
        for name in names:
            at = self.schema.label_index(name)
            if at is None and self._header is not None:
                raise DataError(
                    "label out of range",
                    source=str(self.path),
                    line=line,
                    expected=f"0 to {self._header[2] - 1}",
                    found=repr(name),
                )
            labels.append(self.schema.add_label(name) if at is None else at)
        return labels
