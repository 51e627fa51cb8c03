"""ARFF files as MEKA, MULAN and WEKA write them, read in batches."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams.batch import LEARN, PREDICT, Batch
from stream_ml.streams.label_spec import HOW_TO, label_columns, mulan_labels, sibling_xml
from stream_ml.streams.lines import decode, read_chunks
from stream_ml.streams.numbers import number
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import RowBuilder, Stream

__all__ = ["ArffStream"]

TOKEN = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,{}'"%][^\s,{}]*)""")
ESCAPE = re.compile(r"\\(.)")
MEANINGS = {"n": "\n", "r": "\r", "t": "\t"}
POSITIVE = ({"0", "1"}, {"false", "true"}, {"f", "t"}, {"no", "yes"}, {"n", "y"}, {"-1", "1"})
"""Pairs of values that a label may have, the positive one last in the alphabet's order."""


@dataclass(frozen=True, slots=True)
class _Header:
    relation: str
    columns: list[Feature]
    data_line: int


def _unquote(match: re.Match[str]) -> str:
    """A name or value without its quotes and escapes."""
    quoted = match.group(1) if match.group(1) is not None else match.group(2)
    if quoted is None:
        return match.group(3)
    return ESCAPE.sub(lambda m: MEANINGS.get(m.group(1), m.group(1)), quoted)


class ArffStream(Stream):
    """An ARFF file.

    Labels are the columns of `labels` (see `label_columns`), else of a MULAN `.xml` of the same stem beside the file,
    else those of MEKA's `-C n` in the relation's name (the first n columns, the last n where n is negative).
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
        header, sparse = self._read_header()
        self._columns, self._data_line = header.columns, header.data_line
        names = [c.name for c in header.columns]
        chosen = set(self._choose_labels(labels, header.relation, names))
        features = [c for i, c in enumerate(header.columns) if i not in chosen]
        if not features:
            raise LabelSpecError("every column is a label", source=str(path), hint=HOW_TO)
        self.schema = Schema(features, [names[i] for i in sorted(chosen)], sparse=sparse, name=self.name)
        self._plan(sorted(chosen))

    # -- header ---------------------------------------------------------------------------------------------------

    def _read_header(self) -> tuple[_Header, bool]:
        """The header, and whether the first row is sparse."""
        relation, data_line = "", 0
        columns: list[Feature] = []
        seen: dict[str, int] = {}
        for first, chunk in read_chunks(self.path):
            for number_, raw in enumerate(chunk.splitlines(), first):
                text = decode(raw, source=str(self.path), line=number_).strip()
                if not text or text.startswith("%"):
                    continue
                if data_line:
                    return _Header(relation, columns, data_line), text.startswith("{")
                keyword, _, rest = text.partition(" ") if " " in text.split("\t")[0] else text.partition("\t")
                keyword = keyword.lower()
                if keyword == "@relation":
                    match = TOKEN.match(rest.strip())
                    relation = _unquote(match) if match and rest.strip()[0] in "'\"" else rest.strip()
                elif keyword == "@attribute":
                    column = self._attribute(rest.strip(), number_)
                    if column.name in seen:
                        raise self._error(
                            number_,
                            "two attributes of the same name",
                            field=column.name,
                            hint=f"the first is on line {seen[column.name]}",
                        )
                    seen[column.name] = number_
                    columns.append(column)
                elif keyword == "@data":
                    data_line = number_
                    if not columns:
                        raise self._error(number_, "no attributes before @data")
                else:
                    raise self._error(number_, "not an ARFF header", expected="@attribute or @data", found=repr(text))
        if not data_line:
            what = "no @data: the file ends in its header" if columns or relation else "the file is empty"
            raise DataError(what, source=str(self.path), expected="an ARFF header, @data, and rows")
        return _Header(relation, columns, data_line), False

    def _attribute(self, text: str, line: int) -> Feature:
        """A column from what follows `@attribute`."""
        match = TOKEN.match(text)
        if not match:
            raise self._error(line, "an attribute without a name", expected="@attribute NAME TYPE", found=repr(text))
        name, kind = _unquote(match), text[match.end() :].strip()
        if kind.startswith("{"):
            inner = kind[1 : kind.rfind("}")] if "}" in kind else None
            values = tuple(_unquote(m) for m in TOKEN.finditer(inner)) if inner is not None else ()
            if not values:
                raise self._error(line, "a nominal attribute without values", field=name, found=repr(kind))
            if len(set(values)) != len(values):
                raise self._error(line, "a nominal value twice", field=name, found=repr(kind))
            return Feature(name, values)
        word = kind.split("%")[0].split("[")[0].strip().lower()
        if word in {"numeric", "real", "integer"}:
            return Feature(name)
        raise self._error(
            line,
            "a type that cannot be learned from",
            field=name,
            expected="NUMERIC or nominal {a, b, ...}",
            found=repr(kind),
        )

    def _choose_labels(self, spec: str | None, relation: str, names: list[str]) -> list[int]:
        """Positions of the label columns."""
        source = str(self.path)
        if spec is not None:
            return label_columns(spec, names, source=source)
        xml = sibling_xml(self.path)
        if xml is not None:
            wanted = mulan_labels(xml)
            where = {name: i for i, name in enumerate(names)}
            missing = [name for name in wanted if name not in where]
            if missing:
                raise LabelSpecError(f"no column for label {missing[0]!r} of {xml.name}", source=source)
            return [where[name] for name in wanted]
        words = relation.partition(":")[2].split() if ":" in relation else relation.split()
        counts = [b for a, b in pairwise(words) if a == "-C" and re.fullmatch(r"-?\d+", b)]
        if not counts or int(counts[-1]) == 0:
            raise LabelSpecError(
                "which columns are labels is not said: no .xml beside the file, no -C in the relation",
                source=source,
                hint=HOW_TO,
            )
        n = int(counts[-1])
        if abs(n) >= len(names):
            raise LabelSpecError(
                f"-C {n} leaves no features", source=source, expected=f"fewer than {len(names)} labels"
            )
        return list(range(n)) if n > 0 else list(range(len(names) + n, len(names)))

    def _plan(self, labels: list[int]) -> None:
        """What each column becomes: a feature's or a label's position, and which value makes a label positive."""
        n = len(self._columns)
        self._targets = np.zeros(n, dtype=np.int64)
        self._positive = np.ones(n)
        is_label = np.zeros(n, dtype=np.bool_)
        is_label[labels] = True
        self._targets[~is_label] = np.arange(n - len(labels))
        self._targets[is_label] = -1 - np.arange(len(labels))
        for i in labels:
            values = self._columns[i].values
            if values is None:
                continue
            lowered = [v.lower() for v in values]
            if set(lowered) not in POSITIVE and set(lowered) not in ({"0"}, {"1"}):
                raise self._error(
                    None,
                    "a label that is not binary",
                    field=self._columns[i].name,
                    expected="{0,1} or numeric 0 and 1",
                    found="{" + ",".join(values) + "}",
                )
            self._positive[i] = lowered.index(max(lowered)) if lowered != ["0"] else -1.0
        # in sparse rows an absent value is the first one declared: such a label is positive unless said otherwise
        self._inverted = [i for i in labels if self._columns[i].values is not None and self._positive[i] == 0]
        tokens = [[v.encode() for v in c.values] if c.values is not None else [] for c in self._columns]
        flat = [token for column in tokens for token in column]
        self._first_value = np.cumsum([0] + [len(column) for column in tokens]).astype(np.int64)
        self._spans = np.cumsum([0] + [len(token) for token in flat]).astype(np.int64)
        self._values = np.frombuffer(b"".join(flat) or b"\0", dtype=np.uint8)

    # -- rows -----------------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[Batch]:
        """The rows in pieces of about a megabyte of text."""
        from stream_ml.streams._kernels import parse_rows  # numba is loaded when a file is read, not on import

        room = max(1 << 18, 4 * len(self._columns))
        x_indices, x_values = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float32)
        y_indices = np.empty(room, dtype=np.int32)
        x_ends, y_ends = np.empty(1 << 14, dtype=np.int64), np.empty(1 << 14, dtype=np.int64)
        done = np.zeros(3, dtype=np.int64)
        careful = bool(self._inverted)
        for first, chunk in read_chunks(self.path):
            text = np.frombuffer(chunk, dtype=np.uint8)
            line, place = first, 0
            while line <= self._data_line and place < len(chunk):
                place = (chunk.find(b"\n", place) + 1) or len(chunk)
                line += 1
            while place < len(chunk):
                if careful:
                    done[:] = 0, 0, 1
                else:
                    place = int(
                        parse_rows(
                            text,
                            place,
                            len(chunk),
                            self._targets,
                            self._positive,
                            self._values,
                            self._first_value,
                            self._spans,
                            x_indices,
                            x_values,
                            y_indices,
                            x_ends,
                            y_ends,
                            done,
                        )
                    )
                rows, lines, why = done.tolist()
                line += lines
                if rows:
                    yield self._batch(rows, x_ends, x_indices, x_values, y_ends, y_indices)
                if why == 1:
                    end = (chunk.find(b"\n", place) + 1) or len(chunk)
                    piece = self._careful_row(chunk[place:end], line)
                    if piece is not None:
                        yield piece
                    place, line = end, line + 1

    def _batch(
        self,
        rows: int,
        x_ends: NDArray[np.int64],
        x_indices: NDArray[np.int32],
        x_values: NDArray[np.float32],
        y_ends: NDArray[np.int64],
        y_indices: NDArray[np.int32],
    ) -> Batch:
        """A batch of what the kernel wrote."""
        n_x, n_y = int(x_ends[rows - 1]), int(y_ends[rows - 1])
        return Batch(
            schema=self.schema,
            first=0,
            n_features=self.schema.n_features,
            n_labels=self.schema.n_labels,
            x_indptr=np.concatenate([[0], x_ends[:rows]]),
            x_indices=x_indices[:n_x].copy(),
            x_values=x_values[:n_x].copy(),
            y_indptr=np.concatenate([[0], y_ends[:rows]]),
            y_indices=y_indices[:n_y].copy(),
            mode=np.full(rows, PREDICT | LEARN, dtype=np.uint8),
            labelled=np.ones(rows, dtype=np.bool_),
        )

    def _careful_row(self, raw: bytes, line: int) -> Batch | None:
        """The row in a line that is not plain, or None: an empty line, or a bad one that is skipped."""
        try:
            text = decode(raw, source=str(self.path), line=line).strip()
            if not text or text.startswith("%"):
                return None
            cells = self._sparse_cells(text, line) if text.startswith("{") else self._dense_cells(text, line)
            x: list[tuple[int, float]] = []
            y = {-1 - int(self._targets[i]) for i in self._inverted} if text.startswith("{") else set()
            for column, token, quoted in cells:
                value = self._value(column, token, quoted, line)
                target = int(self._targets[column])
                if target >= 0:
                    if value or not text.startswith("{"):
                        x.append((target, value))
                elif value:
                    y.add(-1 - target)
                else:
                    y.discard(-1 - target)
        except DataError as error:
            self.bad_row(error)
            return None
        builder = RowBuilder(self.schema)
        builder.add(x, y)
        return builder.batch()

    def _tokens(self, text: str, line: int) -> list[tuple[str, bool]]:
        """Values between commas, and whether they were quoted."""
        tokens, place, bare = [], 0, text.rstrip()
        while True:
            while place < len(bare) and bare[place] in " \t":
                place += 1
            if place < len(bare) and bare[place] in "'\"":
                match = TOKEN.match(bare, place)
                if not match:
                    raise self._error(line, "a quote that is not closed", found=repr(bare[place : place + 40]))
                token, quoted, end = _unquote(match), True, match.end()
                while end < len(bare) and bare[end] in " \t":
                    end += 1
                if end < len(bare) and bare[end] != ",":
                    raise self._error(line, "text behind a quoted value", found=repr(bare[end : end + 40]))
            else:
                end = bare.find(",", place)
                end = len(bare) if end < 0 else end
                token, quoted = bare[place:end].strip(), False
            tokens.append((token, quoted))
            if end >= len(bare):
                return tokens
            place = end + 1

    def _dense_cells(self, text: str, line: int) -> list[tuple[int, str, bool]]:
        tokens = self._tokens(text, line)
        if len(tokens) != len(self._columns):
            raise self._error(
                line, "wrong number of values", expected=f"{len(self._columns)} values", found=str(len(tokens))
            )
        return [(i, token, quoted) for i, (token, quoted) in enumerate(tokens)]

    def _sparse_cells(self, text: str, line: int) -> list[tuple[int, str, bool]]:
        if not text.endswith("}"):
            raise self._error(
                line, "a sparse row that is not closed", expected="'}' at its end", found=repr(text[-20:])
            )
        inner, cells, seen = text[1:-1].strip(), [], set()
        pieces = re.findall(r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,'"])+""", inner) if inner else []
        if inner and inner.count(",") and (inner.endswith(",") or inner.startswith(",")):
            raise self._error(line, "an empty entry", expected="INDEX VALUE", found=repr(inner[-20:]))
        for piece in pieces:
            index, _, rest = piece.strip().partition(" ") if " " in piece.strip() else piece.strip().partition("\t")
            if not index.isdecimal() or not rest.strip():
                raise self._error(line, "not a sparse entry", expected="INDEX VALUE", found=repr(piece.strip()))
            column = int(index)
            if column >= len(self._columns):
                raise self._error(
                    line, "index out of range", field=index, expected=f"0 to {len(self._columns) - 1}", found=index
                )
            if column in seen:
                raise self._error(line, "an index twice", field=self._columns[column].name, found=index)
            seen.add(column)
            token, quoted = self._tokens(rest.strip(), line)[0]
            cells.append((column, token, quoted))
        return cells

    def _value(self, column: int, token: str, quoted: bool, line: int) -> float:
        """The value of a token: a number, a nominal value's position, NaN when missing; for a label 0 or 1."""
        feature, is_label = self._columns[column], self._targets[column] < 0
        if token == "?" and not quoted:
            if is_label:
                raise self._error(line, "a missing label", field=feature.name, expected="0 or 1", found="'?'")
            return math.nan
        if feature.values is not None:
            if token not in feature.values:
                some = ", ".join(feature.values[:8]) + (", ..." if len(feature.values) > 8 else "")
                raise self._error(
                    line,
                    "a value that is not declared",
                    field=feature.name,
                    expected="{" + some + "}",
                    found=repr(token),
                )
            place = feature.values.index(token)
            return float(place == self._positive[column]) if is_label else float(place)
        value = number(token, source=str(self.path), line=line, field=feature.name)
        if is_label and value not in (0.0, 1.0):
            raise self._error(
                line, "a label that is neither 0 nor 1", field=feature.name, expected="0 or 1", found=repr(token)
            )
        return value

    def _error(self, line: int | None, problem: str, **parts: str | None) -> DataError:
        return DataError(problem, source=str(self.path), line=line, **parts)
