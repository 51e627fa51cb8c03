"""The stream that a configuration names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from stream_ml.cli.config import StreamSection
from stream_ml.errors import ConfigError

if TYPE_CHECKING:
    from stream_ml.streams import Stream

__all__ = ["expected_rows", "open_source"]

COUNTED_BYTES = 256 << 20
"""Larger files are not read twice to tell the time left."""
DATA_LINE = re.compile(rb"^[ \t]*@data\b", re.IGNORECASE | re.MULTILINE)


def open_source(section: StreamSection) -> Stream:
    """The file of a configuration, or the built-in stream, as a re-iterable of batches.

    Raises
    ------
    ConfigError
        A setting that means nothing for the built-in stream.
    DataError
        The file cannot be read; which lines are malformed shows when it is iterated over.
    """
    if section.source is not None:
        from stream_ml.streams import open_stream

        return open_stream(
            section.source,
            batch_size=section.batch_size,
            labels=section.labels,
            format=section.format,
            limit=section.limit,
            shuffle=section.shuffle,
            delay=section.delay,
            on_error=section.on_error,
            header=section.header,
        )
    for name in ("labels", "format"):
        if getattr(section, name) is not None:
            raise ConfigError(f"stream.{name} is given, but no stream.source: the built-in stream has its own")
    from stream_ml.simulation import default_stream
    from stream_ml.streams import Delayed, Limited, Shuffled

    stream: Stream = default_stream(batch_size=section.batch_size, seed=section.seed)
    if section.shuffle is not None:
        stream = Shuffled(stream, section.shuffle)
    if section.limit is not None:
        stream = Limited(stream, section.limit)
    return Delayed(stream, section.delay) if section.delay else stream


def expected_rows(stream: Stream, section: StreamSection) -> int | None:
    """About how many rows will come, for the time left: as the stream, else the limit, else the file's lines say."""
    if stream.n_instances is not None:
        return stream.n_instances
    rows = section.limit
    file = None if section.source is None else Path(section.source)
    if rows is None and file is not None and file.is_file() and file.stat().st_size <= COUNTED_BYTES:
        rows = _lines_of_data(file)
    return rows * (2 if section.delay else 1) if rows is not None else None


def _lines_of_data(path: Path) -> int:
    """Lines of a text file, less those of an ARFF header."""
    from stream_ml.streams.lines import TextFile

    lines, header = 0, 0
    for first, chunk in TextFile(path).chunks():
        if not header and (match := DATA_LINE.search(chunk)):
            header = first + chunk.count(b"\n", 0, match.start())
        lines = first - 1 + chunk.count(b"\n") + (not chunk.endswith(b"\n"))
    return lines - header
