"""Opening a file as a stream, whatever its format."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Literal

from stream_ml.errors import DataError, LabelSpecError
from stream_ml.streams.label_lists import COLUMN
from stream_ml.streams.lines import TextFile, shown
from stream_ml.streams.schema import Schema
from stream_ml.streams.source import Stream
from stream_ml.streams.transforms import Delayed, Limited, Shuffled

__all__ = ["FORMATS", "open_stream"]

NOT_READ = dict.fromkeys((".parquet", ".feather", ".xlsx", ".xls", ".ods"), "save it as CSV") | {
    ".json": "of one object a line say --format jsonl; a list of objects is not read"
}
"""What to do about files of other formats, by their endings."""
LOOKED_AT = 20
"""Lines that tell whether a text file is svmlight."""
PAIR = re.compile(r"([0-9]+|qid):[^\s,;:]+")

FORMATS = {
    "arff": (".arff",),
    "csv": (".csv", ".tsv"),
    "jsonl": (".jsonl", ".ndjson"),
    "svmlight": (".svm", ".svmlight", ".libsvm", ".xmc", ".txt"),
    "xmc": (),
}
"""File name endings of each format; each may be followed by .gz. `xmc` is svmlight with a first line of sizes."""


def open_stream(
    path: str | PathLike[str],
    *,
    batch_size: int = 1000,
    labels: str | Collection[str] | None = None,
    format: str | None = None,
    limit: int | None = None,
    shuffle: int | None = None,
    delay: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
    header: bool = True,
    label_separator: str | None = None,
    ignore: str | None = None,
    known: Schema | None = None,
) -> Stream:
    """A file as a stream of batches, read in constant memory (but for `shuffle`).

    Parameters
    ----------
    path
        ARFF, CSV, JSON Lines, svmlight or XMC file, plain or .gz.
    batch_size
        Rows per batch.
    labels
        Which columns are labels: `first:N`, `last:N`, `prefix:P`, `xml:FILE` or `name,name`; ARFF and CSV files only.
        `column:NAME` of a CSV file: the labels of a row stand together in that column, `red|late`.
        A collection of names: those of them that are there, perhaps none; other formats name labels in every row.
        Default: a MULAN `.xml` of the same stem beside the file, else MEKA's `-C`.
    format
        `arff`, `csv`, `jsonl`, `svmlight` or `xmc`, where the name does not tell.
    limit
        Rows to read; of a shuffled stream, the first of the new order.
    shuffle
        Seed of a random order.
    delay
        Rows after which labels arrive.
    on_error
        `raise`, or `skip` to leave bad rows out and count them in `.skipped`.
    header
        Whether the first line of a CSV file names its columns; else they are called `x0`, `x1`, ...
    label_separator
        What stands between the labels of `column:NAME`; by default found by looking.
    ignore
        Columns of a CSV file that are left out: `name,name`.
    known
        Says which features are nominal where the format does not (CSV, JSON Lines): those of these names are of the
        kinds they have here, and values that they lack are `(other)`.

    Raises
    ------
    DataError
        The file cannot be read, or a row is bad: says line, field, what was expected and found. Errors of rows are
        raised while iterating.
    LabelSpecError
        The label columns cannot be told.
    ValueError
        `batch_size`, `limit` or `delay` is too small, or `on_error` is neither of the two.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = pathlib.Path(place, "toy.csv")
    ...     _ = file.write_text("length,colour,urgent,spam\\n1.5,red,0,1\\n2,blue,1,1\\n")
    ...     stream = open_stream(file, labels="urgent,spam")
    ...     [(len(batch), batch.y_dense().tolist()) for batch in stream]
    [(2, [[False, True], [True, True]])]
    """
    file = Path(path)
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', not {on_error!r}")
    if format is not None and format not in FORMATS:
        raise DataError(f"no format is called {format!r}", expected=" | ".join(FORMATS))
    if not file.exists():
        raise DataError("no such file", source=str(file))
    if file.is_dir():
        raise DataError("is a directory", source=str(file), expected="a file")
    kind = format or _format_of(file)
    if format is None and file.name.lower().removesuffix(".gz").endswith(".txt") and file.is_file():
        _check_svmlight(file)
    if isinstance(labels, str) and kind not in {"arff", "csv"}:
        raise DataError(f"a {kind} file names its labels in every row", source=str(file), hint="leave --labels out")
    if not header and kind != "csv":
        raise DataError(f"a {kind} file needs no line of names", source=str(file), hint="leave --no-header out")
    if ignore is not None and kind != "csv":
        raise DataError(f"columns of a {kind} file are not left out", source=str(file), hint="leave --ignore out")
    in_one = isinstance(labels, str) and labels.startswith(COLUMN)
    if in_one and kind != "csv":
        raise LabelSpecError("only of a CSV file may labels stand together in one column", source=str(file))
    if label_separator is not None and not in_one:
        raise LabelSpecError("a label separator is one of --labels column:NAME", source=str(file))
    if label_separator == "":
        raise LabelSpecError("an empty label separator", source=str(file), expected="such as '|'")
    stream = _opened(file, kind, labels, batch_size, on_error, header, label_separator, ignore, known)
    if shuffle is not None:
        stream = Shuffled(stream, shuffle)
    if limit is not None:
        stream = Limited(stream, limit)
    return Delayed(stream, delay) if delay else stream


def _opened(
    file: Path,
    kind: str,
    labels: str | Collection[str] | None,
    batch_size: int,
    on_error: Literal["raise", "skip"],
    header: bool,
    label_separator: str | None,
    ignore: str | None,
    known: Schema | None,
) -> Stream:
    """The reader of a format; those that are not used are not loaded."""
    if kind == "arff":
        from stream_ml.streams.arff import ArffStream

        return ArffStream(file, labels=labels, batch_size=batch_size, on_error=on_error)
    if kind == "csv":
        from stream_ml.streams.csv_file import CsvStream

        return CsvStream(
            file,
            labels=labels,
            batch_size=batch_size,
            on_error=on_error,
            header=header,
            separator=label_separator,
            ignore=ignore,
            known=known,
        )
    if kind == "jsonl":
        from stream_ml.streams.json_lines import JsonStream

        return JsonStream(file, batch_size=batch_size, on_error=on_error, known=known)
    from stream_ml.streams.svmlight import SvmlightStream

    return SvmlightStream(file, xmc=kind == "xmc", batch_size=batch_size, on_error=on_error)


def _check_svmlight(path: Path) -> None:
    """Refuse a text file that is of another format than its ending stands for.

    Raises
    ------
    DataError
        It does not begin as such a file, or none of its first lines has a feature.
    """
    with closing(TextFile(path).chunks()) as chunks:
        _, chunk = next(chunks, (1, b""))
    lines = [line for line in chunk[: 1 << 16].decode("utf-8", "replace").splitlines() if line.strip()][:LOOKED_AT]
    words = [line.partition("#")[0].split() for line in lines]
    sizes = bool(lines) and len(words[0]) == 3 and all(map(str.isdigit, words[0]))
    begins = bool(lines) and all(map(PAIR.fullmatch, words[0][1:]))
    is_svmlight = sizes or (begins and any(PAIR.fullmatch(word) for line in words for word in line))
    first = lines[0].lstrip()[:1] if lines else ""
    if not lines or (is_svmlight and first not in "{@%"):
        return
    like = {"{": "jsonl", "@": "arff", "%": "arff"}.get(first, "csv" if set(",;\t") & set(lines[0]) else None)
    names = " | ".join(FORMATS)
    raise DataError(
        "svmlight by its ending, but not by its first lines",
        source=str(path),
        expected="label,label index:value ...",
        found=shown(lines[0]),
        hint=f"it looks like {like}: say --format {like}" if like else f"name its format: --format {names}",
    )


def _format_of(path: Path) -> str:
    """The format that a file's name tells."""
    name = path.name.lower().removesuffix(".gz")
    for kind, endings in FORMATS.items():
        if name.endswith(endings):
            return kind
    known = ", ".join(ending for endings in FORMATS.values() for ending in endings)
    raise DataError(
        "what format it has cannot be told from its name",
        source=str(path),
        expected=f"an ending of {known} (and .gz), or --format {' | '.join(FORMATS)}",
        hint=next((hint for ending, hint in NOT_READ.items() if name.endswith(ending)), None),
    )
