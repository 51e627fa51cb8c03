"""Streams into files that `open_stream` reads back: ARFF, JSON Lines, CSV; and Parquet, for others."""

from __future__ import annotations

import contextlib
import gzip
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.errors import ConfigError, DataError
from stream_ml.streams.batch import PREDICT, Batch
from stream_ml.streams.messages import messages
from stream_ml.streams.schema import Schema
from stream_ml.streams.source import Stream

__all__ = ["WRITERS", "write_stream"]

ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
DIGITS = "%.9g"
"""As many digits as single precision needs to be read back as it was."""


def write_stream(stream: Stream, path: str | Path) -> int:
    """Write the rows that are to be predicted, with their labels, to a file; gives how many.

    The name tells the format; `.arff`, `.jsonl` and `.csv` may be followed by `.gz`. The same rows make the same bytes.
    In ARFF, labels are the first columns, and the relation's name says so as MEKA does; in CSV and Parquet they are the
    last ones. Labels that are not known, all or some, are missing. A stream whose columns appear as they come is read
    twice for ARFF, CSV and Parquet, which name all of them first.

    Raises
    ------
    ConfigError
        A name that tells none of these, a sparse stream for a table, or pyarrow is not there for Parquet.
    DataError
        The file cannot be written, or the stream is a pipe and is to be read twice.
    """
    path = Path(path)
    name = path.name.lower()
    ending = next((e for e in WRITERS if name.removesuffix(".gz").endswith(e)), None)
    if ending is None or (ending == ".parquet" and name.endswith(".gz")):
        raise ConfigError(f"{path}: expected a name that ends in {', '.join(WRITERS)} (all but the last with .gz, too)")
    if stream.schema.sparse and ending in {".csv", ".parquet"}:
        raise ConfigError(f"{path}: a sparse stream has too many columns for a table; expected .arff or .jsonl")
    try:
        return WRITERS[ending](stream, path)
    except OSError as error:
        raise DataError(f"cannot be written: {(error.strerror or str(error)).lower()}", source=str(path)) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, compressed where its name says so, with no time in it."""
    with path.open("wb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield file


def _batches(stream: Stream) -> Iterator[Batch]:
    """Batches of the rows that are to be predicted: of late labels, those with the row."""
    for batch in stream:
        asked = np.flatnonzero(batch.mode & PREDICT)
        yield batch if len(asked) == len(batch) else batch.take(asked)


def _with_columns(stream: Stream) -> tuple[Schema, Iterator[Batch]]:
    """All columns that there will be, and the batches."""
    batches = _batches(stream)
    first = next(batches, None)
    if first is None:
        return stream.schema, batches
    if not stream.grows:
        return first.schema, chain([first], batches)
    for _ in batches:
        pass  # the schema grows
    again = _batches(stream)
    return Schema.from_dict(first.schema.to_dict()), chain([next(again)], again)  # a pipe fails here, nothing written


def _write_json(stream: Stream, path: Path) -> int:
    rows = 0
    with _opened(path) as file:
        for batch in _batches(stream):
            lines = [orjson.dumps({"x": x, "y": y}, option=orjson.OPT_APPEND_NEWLINE) for x, y in messages(batch)]
            file.write(b"".join(lines))
            rows += len(batch)
    return rows


def _write_arff(stream: Stream, path: Path) -> int:
    schema, batches = _with_columns(stream)
    n_labels = schema.n_labels
    header = [f"@relation {_quoted(f'{stream.name}: -C {n_labels}')}", ""]
    header += [f"@attribute {_quoted(label)} {{0,1}}" for label in schema.labels]
    for feature in schema.features:
        kind = "numeric" if feature.values is None else "{" + ",".join(map(_quoted, feature.values)) + "}"
        header.append(f"@attribute {_quoted(feature.name)} {kind}")
    texts = _texts(schema, _quoted)
    rows = 0
    with _opened(path) as file:
        file.write("\n".join([*header, "", "@data", ""]).encode())
        for batch in batches:
            batch = _widened(batch, schema)
            lines = _sparse_lines(batch, texts) if schema.sparse else _dense_lines(batch, texts, "?", labels_first=True)
            file.write("".join(lines).encode())
            rows += len(batch)
    return rows


def _write_csv(stream: Stream, path: Path) -> int:
    schema, batches = _with_columns(stream)
    names = [*(feature.name for feature in schema.features), *schema.labels]
    texts = _texts(schema, _csv_cell)
    rows = 0
    with _opened(path) as file:
        file.write((",".join(map(_csv_cell, names)) + "\n").encode())
        for batch in batches:
            file.write("".join(_dense_lines(_widened(batch, schema), texts, "", labels_first=False)).encode())
            rows += len(batch)
    return rows


def _write_parquet(stream: Stream, path: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(f"{path}: writing Parquet needs pyarrow: pip install 'stream-ml[parquet]'") from None
    schema, batches = _with_columns(stream)
    kinds = [pa.float32() if f.values is None else pa.dictionary(pa.int32(), pa.string()) for f in schema.features]
    fields = [pa.field(f.name, kind) for f, kind in zip(schema.features, kinds, strict=True)]
    fields += [pa.field(label, pa.bool_()) for label in schema.labels]
    rows = 0
    with pq.ParquetWriter(path, pa.schema(fields)) as writer:
        for batch in batches:
            batch = _widened(batch, schema)
            columns: list[Any] = []
            for feature, cells in zip(schema.features, batch.x_dense().T, strict=True):
                absent = np.isnan(cells)
                if feature.values is None:
                    columns.append(pa.array(cells, mask=absent))
                else:
                    codes = pa.array(np.where(absent, 0, cells).astype(np.int32), mask=absent)
                    columns.append(pa.DictionaryArray.from_arrays(codes, list(feature.values)))
            columns += [
                pa.array(cells, mask=absent) for cells, absent in zip(batch.y_dense().T, _untold(batch).T, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)))
            rows += len(batch)
    return rows


WRITERS: dict[str, Callable[[Stream, Path], int]] = {
    ".arff": _write_arff,
    ".jsonl": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""What writes files of each ending."""


def _quoted(name: str) -> str:
    """A name as ARFF has it."""
    plain = name.isascii() and name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum()
    return name if plain else f"'{name.translate(ESCAPES)}'"


def _csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',;\t"\n\r') or text != text.strip() else text


def _texts(schema: Schema, written: Callable[[str], str]) -> list[list[str] | None]:
    """How the values of nominal features are written; None for numeric ones."""
    return [None if f.values is None else [written(value) for value in f.values] for f in schema.features]


def _cell(value: float, texts: list[str] | None, missing: str) -> str:
    if math.isnan(value):
        return missing
    return DIGITS % value if texts is None else texts[int(value)]


def _widened(batch: Batch, schema: Schema) -> Batch:
    """The batch with all columns, those that appear later, too."""
    return replace(batch, schema=schema, n_features=schema.n_features, n_labels=schema.n_labels, known=None)


def _untold(batch: Batch) -> NDArray[np.bool_]:
    """Which labels of which rows are not known, (rows, labels)."""
    n_labels = batch.schema.n_labels
    untold = np.repeat(~batch.labelled[:, None], n_labels, axis=1)
    unknown = batch.unknown_labels(n_labels)
    return untold | unknown if len(unknown) else untold


def _dense_lines(batch: Batch, texts: list[list[str] | None], missing: str, *, labels_first: bool) -> Iterator[str]:
    for cells, truth, untold in zip(
        batch.x_dense().tolist(), batch.y_dense().tolist(), _untold(batch).tolist(), strict=True
    ):
        x = [_cell(value, kind, missing) for value, kind in zip(cells, texts, strict=True)]
        y = [missing if absent else str(int(positive)) for positive, absent in zip(truth, untold, strict=True)]
        yield ",".join([*y, *x] if labels_first else [*x, *y]) + "\n"


def _sparse_lines(batch: Batch, texts: list[list[str] | None]) -> Iterator[str]:
    n_labels = batch.schema.n_labels
    x_ends, indices, values = batch.x_indptr.tolist(), batch.x_indices.tolist(), batch.x_values.tolist()
    y_ends, positive = batch.y_indptr.tolist(), batch.y_indices.tolist()
    hidden = ~batch.labelled if batch.partial is None else ~batch.labelled | batch.partial.rows
    for row, some in enumerate(hidden.tolist()):
        told = dict.fromkeys(positive[y_ends[row] : y_ends[row + 1]], "1")
        if some:
            told |= dict.fromkeys(np.flatnonzero(_untold(batch.rows(row, row + 1))[0]).tolist(), "?")
        cells = [f"{m} {told[m]}" for m in sorted(told)]
        lo, hi = x_ends[row], x_ends[row + 1]
        cells += [
            f"{n_labels + j} {_cell(v, texts[j], '?')}" for j, v in zip(indices[lo:hi], values[lo:hi], strict=True) if v
        ]
        yield "{" + ",".join(cells) + "}\n"
