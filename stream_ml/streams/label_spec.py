"""Which columns of a file are labels."""

from __future__ import annotations

import csv
import difflib
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from stream_ml.errors import DataError, LabelSpecError

__all__ = ["label_columns", "mulan_labels", "sibling_xml"]

HOW_TO = "name them with --labels first:N | last:N | prefix:P | xml:FILE | name,name"


def label_columns(spec: str, columns: Sequence[str], *, source: str) -> list[int]:
    """Positions of the label columns, rising.

    Parameters
    ----------
    spec
        `first:N`, `last:N`, `prefix:P`, `xml:FILE` (a MULAN label list), or names separated by commas (a name that
        holds a comma in double quotes).
    columns
        All column names.

    Raises
    ------
    LabelSpecError
        The specification names no column, one that is not there, or all of them.
    """
    kind, _, argument = spec.partition(":")
    chosen: list[int]
    if kind in {"first", "last"} and argument and spec not in columns:
        if not argument.isdecimal() or not 1 <= int(argument) <= len(columns):
            raise LabelSpecError(
                f"labels {spec!r} cannot be",
                source=source,
                expected=f"a number from 1 to {len(columns)}",
                found=argument,
            )
        n = int(argument)
        chosen = list(range(n)) if kind == "first" else list(range(len(columns) - n, len(columns)))
    elif kind == "prefix" and argument and spec not in columns:
        chosen = [i for i, name in enumerate(columns) if name.startswith(argument)]
        if not chosen:
            raise LabelSpecError(
                f"no column begins with {argument!r}", source=source, hint=f"columns: {_some(columns)}"
            )
    elif kind == "xml" and argument and spec not in columns:
        chosen = _named(mulan_labels(Path(argument)), columns, source)
    else:
        chosen = _named(next(csv.reader([spec], skipinitialspace=True), []), columns, source)
    if not chosen:
        raise LabelSpecError("no label columns", source=source, hint=HOW_TO)
    return sorted(chosen)


def _named(names: Sequence[str], columns: Sequence[str], source: str) -> list[int]:
    """Positions of the columns called `names`."""
    where = {name: i for i, name in enumerate(columns)}
    missing = [name for name in names if name not in where]
    if missing:
        near = difflib.get_close_matches(missing[0], columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"columns: {_some(columns)}"
        raise LabelSpecError(f"no column for label {missing[0]!r}", source=source, hint=hint)
    return sorted({where[name] for name in names})


def _some(columns: Sequence[str]) -> str:
    return ", ".join(columns[:5]) + (", ..." if len(columns) > 5 else "")


def mulan_labels(path: Path) -> list[str]:
    """Label names of a MULAN label list, nested ones too, in document order.

    Raises
    ------
    DataError
        The file cannot be read, is no such list, or declares entities.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror or error}", source=str(path)) from error
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise DataError("declares a document type, which a label list has no use for", source=str(path))
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"not well-formed XML: {error}", source=str(path)) from error
    names = [e.get("name") for e in root.iter() if e.tag.rpartition("}")[2] == "label"]
    if root.tag.rpartition("}")[2] != "labels" or not names or any(name is None for name in names):
        raise DataError("not a MULAN label list", source=str(path), expected='<labels> of <label name="...">')
    return [name for name in names if name is not None]


def sibling_xml(path: Path) -> Path | None:
    """The MULAN label list of the same stem beside a file, if there is one."""
    stem = path.name.removesuffix(".gz")
    candidate = path.with_name(stem.rpartition(".")[0] + ".xml")
    return candidate if candidate.is_file() else None
