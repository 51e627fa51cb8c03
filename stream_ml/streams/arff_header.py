"""The header of an ARFF file, and the quoting rules that its rows share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from stream_ml.errors import DataError
from stream_ml.streams.lines import MAX_FIELD, TextFile, decode, shown
from stream_ml.streams.schema import Feature

__all__ = ["Header", "quoted", "read_header"]

# possessive: a long text between quotes takes linear time and no stack
QUOTED = re.compile(r"""'([^'\\]*+(?:\\.[^'\\]*+)*+)'|"([^"\\]*+(?:\\.[^"\\]*+)*+)\"""")
BARE = re.compile(r"[^\s,{}'\"%][^\s,{}]*")
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
MEANINGS = {"n": "\n", "r": "\r", "t": "\t"}
KEYWORD = re.compile(r"@(\w+)\s*(.*)", re.DOTALL)
NUMERIC = {"numeric", "real", "integer"}
OTHER_TYPES = {"string", "date", "relational"}


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above the rows.

    Attributes
    ----------
    relation
        The relation's name.
    columns
        All attributes in order, labels too.
    data_line
        Number of the line of `@data`, from 1.
    sparse
        Whether the first row is sparse.
    """

    relation: str
    columns: list[Feature]
    data_line: int
    sparse: bool


def quoted(text: str, place: int) -> tuple[str, int] | None:
    """The text between the quotes that open at `place`, escapes resolved, and the place behind; None: not closed.

    Examples
    --------
    >>> quoted(r"'it\\'s' 1", 0)
    ("it's", 7)
    """
    match = QUOTED.match(text, place)
    if match is None:
        return None
    inner = match.group(1) if match.group(1) is not None else match.group(2)
    return (ESCAPE.sub(_meaning, inner) if "\\" in inner else inner), match.end()


def _meaning(match: re.Match[str]) -> str:
    escaped = match.group(1)
    return chr(int(escaped[1:], 16)) if len(escaped) == 5 else MEANINGS.get(escaped, escaped)


def read_header(file: TextFile) -> Header:
    """Read an ARFF file up to its first row.

    Raises
    ------
    DataError
        The file is empty or not ARFF, an attribute is declared twice, has no values, or is text, a date or a relation.
    """
    return _HeaderReader(str(file.path)).read(file)


class _HeaderReader:
    """Takes the header's lines one by one."""

    def __init__(self, source: str) -> None:
        self.source, self.line = source, 0
        self.relation: str | None = None
        self.columns: list[Feature] = []
        self.declared: dict[str, int] = {}

    def read(self, file: TextFile) -> Header:
        data_line = 0
        for self.line, text in _lines(file):
            if data_line:
                return Header(self.relation or "", self.columns, data_line, text.startswith("{"))
            match = KEYWORD.match(text)
            keyword, rest = (match.group(1).lower(), match.group(2)) if match else ("", "")
            if keyword == "relation" and self.relation is None:
                self.relation = self._relation(rest)
            elif keyword == "attribute":
                self._attribute(rest)
            elif keyword == "data" and self.columns:
                data_line = self.line
            elif keyword == "data":
                raise self.error("no attributes before @data")
            else:
                expected = "@relation" if self.relation is None else "@attribute or @data"
                raise self.error("not an ARFF header", expected=expected, found=shown(text))
        if not data_line:
            empty = self.relation is None and not self.columns
            what = "the file is empty" if empty else "no @data: the file ends in its header"
            raise DataError(what, source=self.source, expected="an ARFF header, @data, and rows")
        return Header(self.relation or "", self.columns, data_line, False)

    def _relation(self, rest: str) -> str:
        """The name: between quotes, or else the rest of the line."""
        if rest[:1] in {"'", '"'}:
            found = quoted(rest, 0)
            if found is None:
                raise self.error("a quote that is not closed", found=shown(rest))
            return found[0]
        return rest.strip()

    def _attribute(self, text: str) -> None:
        """A column from what follows `@attribute`."""
        name, place = self._token(text, 0, "@attribute NAME TYPE")
        if len(name) > MAX_FIELD:
            raise self.error("a name of more than a megabyte")
        kind = text[place:].lstrip()
        if name in self.declared:
            raise self.error(
                "two attributes of the same name", field=name, hint=f"the first is on line {self.declared[name]}"
            )
        self.declared[name] = self.line
        if kind.startswith("{"):
            self.columns.append(Feature(name, self._values(name, kind)))
            return
        word = re.split(r"[\s\[{%]", kind, maxsplit=1)[0].lower()
        if word in OTHER_TYPES:
            raise self.error(
                f"a {word.upper()} attribute, which cannot be learned from",
                field=name,
                expected="NUMERIC, REAL, INTEGER or nominal values {a, b, ...}",
                hint="remove it, or turn it into numbers first",
            )
        if word not in NUMERIC:
            raise self.error(
                "an unknown type",
                field=name,
                expected="NUMERIC, REAL, INTEGER or nominal values {a, b, ...}",
                found=shown(kind),
            )
        self.columns.append(Feature(name))

    def _values(self, name: str, kind: str) -> tuple[str, ...]:
        """The values between braces, separated by commas or white space."""
        values: list[str] = []
        place = 1
        while True:
            while place < len(kind) and kind[place] in ", \t":
                place += 1
            if place >= len(kind):
                raise self.error("nominal values that are not closed", field=name, expected="'}'", found=shown(kind))
            if kind[place] == "}":
                break
            value, place = self._token(kind, place, "{value, value, ...}")
            values.append(value)
        if not values:
            raise self.error("a nominal attribute without values", field=name)
        if len(set(values)) != len(values):
            twice = next(value for i, value in enumerate(values) if value in values[:i])
            raise self.error("a nominal value twice", field=name, found=shown(twice))
        return tuple(values)

    def _token(self, text: str, place: int, expected: str) -> tuple[str, int]:
        """A name or value, quoted or bare, and the place behind it."""
        if text[place : place + 1] in {"'", '"'}:
            found = quoted(text, place)
            if found is None:
                raise self.error("a quote that is not closed", expected=expected, found=shown(text[place:]))
            return found
        match = BARE.match(text, place)
        if match is None:
            raise self.error("not a name or value", expected=expected, found=shown(text[place:]))
        return match.group(), match.end()

    def error(
        self,
        problem: str,
        *,
        field: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> DataError:
        """An error at the current line."""
        return DataError(
            problem, source=self.source, line=self.line, field=field, expected=expected, found=found, hint=hint
        )


def _lines(file: TextFile) -> Iterator[tuple[int, str]]:
    """Numbered lines that are neither empty nor comments."""
    with closing(file.chunks()) as chunks:
        for first, chunk in chunks:
            place, line = 0, first
            while place < len(chunk):
                end = (chunk.find(b"\n", place) + 1) or len(chunk)
                text = decode(chunk[place:end], source=str(file.path), line=line).strip()
                if text and not text.startswith("%"):
                    yield line, text
                place, line = end, line + 1
