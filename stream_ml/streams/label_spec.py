"""Which columns of a file are labels."""

from __future__ import annotations

import csv
import difflib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Sequence
from pathlib import Path

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams.lines import listed, shown

__all__ = ["HOW_TO", "choose_labels", "ignored_columns", "label_columns", "meka_count", "mulan_labels", "sibling_xml"]

HOW_TO = "name them with --labels first:N | last:N | prefix:P | xml:FILE | name,name (CSV: column:NAME, too)"


def choose_labels(
    spec: str | Collection[str] | None, columns: Sequence[str], path: Path, *, relation: str | None = None
) -> list[int]:
    """Positions of the label columns of a file, rising.

    They are those of `spec` (see `label_columns`; of a collection of names those that are there, perhaps none), else
    of a MULAN `.xml` of the same stem beside the file, else those of MEKA's `-C n` in the relation's name: the first n
    columns, the last n where n is negative.

    Raises
    ------
    LabelSpecError
        None of these tells, or what they tell cannot be: a column that is not there, no column, or all of them.
    """
    source = str(path)
    chosen: list[int] = []
    if isinstance(spec, str):
        chosen = label_columns(spec, columns, source=source)
    elif spec is not None:
        chosen = [place for place, name in enumerate(columns) if name in spec]
    elif (xml := sibling_xml(path)) is not None:
        chosen = _named(mulan_labels(xml), columns, source, f" of {xml.name}")
    else:
        n = meka_count(relation or "")
        if not n:
            looked = "no .xml beside the file" + (", no -C in the relation's name" if relation is not None else "")
            raise LabelSpecError(
                f"which columns are labels is not said: {looked}",
                source=source,
                hint=f"{HOW_TO}; columns: {listed(columns, 5)}",
            )
        if abs(n) >= len(columns):
            raise LabelSpecError(
                f"-C {n} leaves no features: the file has {len(columns)} columns", source=source, hint=HOW_TO
            )
        chosen = list(range(n)) if n > 0 else list(range(len(columns) + n, len(columns)))
    if len(chosen) == len(columns):
        raise LabelSpecError("every column is a label: no features are left", source=source, hint=HOW_TO)
    return chosen


def label_columns(spec: str, columns: Sequence[str], *, source: str) -> list[int]:
    """Positions of the label columns, rising.

    Parameters
    ----------
    spec
        `first:N`, `last:N`, `prefix:P`, `xml:FILE` (a MULAN label list), or names separated by commas (a name that
        holds a comma in double quotes). A specification that is itself a column's name is that column.
    columns
        All column names.

    Raises
    ------
    LabelSpecError
        The specification names no column, or one that is not there.

    Examples
    --------
    >>> label_columns('last:2', ["a", "b", "c"], source="f"), label_columns('"b, c",a', ["a", "b, c"], source="f")
    ([1, 2], [0, 1])
    """
    kind, _, argument = spec.partition(":")
    if spec in columns:
        return [columns.index(spec)]
    if kind in {"first", "last"}:
        if not re.fullmatch(r"[0-9]{1,9}", argument) or not 1 <= int(argument) <= len(columns):
            raise LabelSpecError(
                f"labels {shown(spec)} cannot be",
                source=source,
                expected=f"{kind}:N with N from 1 to {len(columns) - 1}",
                found=shown(argument),
            )
        n = int(argument)
        return list(range(n)) if kind == "first" else list(range(len(columns) - n, len(columns)))
    if kind == "prefix" and argument:
        chosen = [i for i, name in enumerate(columns) if name.startswith(argument)]
        if not chosen:
            raise LabelSpecError(
                f"no column begins with {shown(argument)}", source=source, hint=f"columns: {listed(columns, 5)}"
            )
        return chosen
    if kind == "xml" and argument:
        return _named(mulan_labels(Path(argument)), columns, source, f" of {Path(argument).name}")
    names = _listed_names(spec, "labels", source, HOW_TO)
    if not any(names):
        raise LabelSpecError("no label columns", source=source, hint=HOW_TO)
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise LabelSpecError(f"labels {shown(spec)} cannot be: {shown(twice)} stands there twice", source=source)
    return _named(names, columns, source)


def ignored_columns(spec: str, columns: Sequence[str], *, source: str) -> list[int]:
    """Positions of the columns that are to be left out, rising; `spec` names them, separated by commas, or is a name.

    Raises
    ------
    LabelSpecError
        It names no column, or one that is not there.

    Examples
    --------
    >>> ignored_columns('"b, c",a', ["a", "b, c", "d"], source="f"), ignored_columns("b, c", ["a", "b, c"], source="f")
    ([0, 1], [1])
    """
    names = [spec] if spec in columns else _listed_names(spec, "ignored columns", source, None)
    where = {name: i for i, name in enumerate(columns)}
    for name in names:
        if name not in where:
            near = difflib.get_close_matches(name[:100], columns, n=1)
            hint = f"did you mean {shown(near[0])}?" if near else f"columns: {listed(columns, 5)}"
            raise LabelSpecError(f"no column {shown(name)} that could be ignored", source=source, hint=hint)
    if not names:
        raise LabelSpecError("no ignored columns", source=source, expected="name,name")
    return sorted({where[name] for name in names})


def _listed_names(spec: str, what: str, source: str, hint: str | None) -> list[str]:
    """Names separated by commas; one that holds a comma in double quotes."""
    try:
        return next(csv.reader([spec], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise LabelSpecError(f"{what} {shown(spec)} cannot be: {error}", source=source, hint=hint) from error


def _named(names: Sequence[str], columns: Sequence[str], source: str, whence: str = "") -> list[int]:
    """Positions of the columns called `names`."""
    where = {name: i for i, name in enumerate(columns)}
    missing = [name for name in names if name not in where]
    if missing:
        near = difflib.get_close_matches(missing[0][:100], columns, n=1)
        hint = f"did you mean {shown(near[0])}?" if near else f"{HOW_TO}; columns: {listed(columns, 5)}"
        raise LabelSpecError(f"no column for label {shown(missing[0])}{whence}", source=source, hint=hint)
    return sorted({where[name] for name in names})


def meka_count(relation: str) -> int:
    """The n of MEKA's option `-C n` in a relation's name, 0 where there is none.

    As in MEKA, options are the words behind the first colon, so that a -C in the filter text that WEKA puts into names
    is none. The text of a filter that was applied later may stick to the number.

    Examples
    --------
    >>> meka_count("x-weka.filters.Remove-C 3: -C 6"), meka_count("x: -C -2-weka.filters.Remove-R9")
    (6, -2)
    """
    name, colon, options = relation.partition(":")
    words = options.split() if colon and name else []
    for flag in ("-C", "-c"):
        if flag in words[:-1]:
            match = re.fullmatch(r"([+-]?[0-9]{1,9})(?:-weka\..*)?", words[words.index(flag) + 1])
            return int(match.group(1)) if match else 0
    return 0


def mulan_labels(path: Path) -> list[str]:
    """Label names of a MULAN label list, nested ones too, in document order.

    Raises
    ------
    DataError
        The file cannot be read, is no such list, or declares a document type (and with it, perhaps, entities).
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("no such file", source=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror or error}", source=str(path)) from error
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise DataError("declares a document type or is binary", source=str(path), expected="a plain MULAN label list")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"not well-formed XML: {error}", source=str(path)) from error
    names = [e.get("name") for e in root.iter() if e.tag.rpartition("}")[2] == "label"]
    if root.tag.rpartition("}")[2] != "labels" or not names or None in names:
        raise DataError("not a MULAN label list", source=str(path), expected='<labels> of <label name="...">')
    found = [name for name in names if name is not None]
    if len(set(found)) != len(found):
        twice = next(name for i, name in enumerate(found) if name in found[:i])
        raise DataError("a label twice", source=str(path), field=twice)
    return found


def sibling_xml(path: Path) -> Path | None:
    """The MULAN label list of the same stem beside a file, if there is one."""
    stem = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    candidate = path.with_name(stem.rpartition(".")[0] + ".xml")
    return candidate if candidate.is_file() else None
