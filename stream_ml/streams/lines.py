"""Text files read in chunks of whole lines: plain or gzip, in constant memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, cast

from stream_ml.errors import DataError

__all__ = ["MAX_FIELD", "MAX_LINE", "decode", "listed", "open_binary", "read_chunks", "shown"]

CHUNK = 1 << 20
MAX_LINE = 64 << 20
"""Longest line, in bytes: longer ones are no data but a wrong file."""
MAX_FIELD = 1 << 20
"""Longest single name or value, in characters."""
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
SHOWN = 60


def open_binary(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is a gzip file or is called one.

    Raises
    ------
    DataError
        It cannot be opened.
    """
    try:
        if path.is_dir():
            raise DataError("is a directory", source=str(path), expected="a file")
        file = path.open("rb")
        try:
            packed = path.suffix.lower() == ".gz" or file.read(len(GZIP)) == GZIP
        except BaseException:
            file.close()
            raise
        if packed:
            file.close()
            return cast(IO[bytes], gzip.open(path, "rb"))
        file.seek(0)
        return file
    except FileNotFoundError as error:
        raise DataError("no such file", source=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror or error}", source=str(path)) from error


def read_chunks(path: Path) -> Generator[tuple[int, bytes], None, None]:
    """Pairs (number of the first line, from 1; whole lines), each about a megabyte; the last line may lack its end.

    A byte order mark is left out. The file is closed when the iterator is exhausted, fails or is closed.

    Raises
    ------
    DataError
        The file cannot be opened or unpacked, or a line is longer than `MAX_LINE`.
    """
    line, size = 1, 0
    waiting: list[bytes] = []
    with open_binary(path) as file:
        block = _read(file, path, line).removeprefix(BOM)
        while block:
            cut = block.rfind(b"\n") + 1
            if cut:
                chunk = b"".join((*waiting, block[:cut]))
                waiting, size = [], 0
                yield line, chunk
                line += chunk.count(b"\n")
            if cut < len(block):
                waiting.append(block[cut:])
                size += len(block) - cut
            if size > MAX_LINE:
                raise DataError(f"a line of more than {MAX_LINE >> 20} MB", source=str(path), line=line)
            block = _read(file, path, line)
    if waiting:
        yield line, b"".join(waiting)


def _read(file: IO[bytes], path: Path, line: int) -> bytes:
    """The next block."""
    try:
        return file.read(CHUNK)
    except EOFError as error:
        raise DataError("the gzip file is truncated: it ends in the middle", source=str(path), line=line) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"damaged or not a gzip file ({error})", source=str(path), line=line) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", source=str(path), line=line) from error


def decode(text: bytes, *, source: str, line: int) -> str:
    """The text of a line: UTF-8, or Latin-1 where it is not.

    Raises
    ------
    DataError
        The line holds bytes that no text holds.

    Examples
    --------
    >>> decode("naïve".encode("latin-1"), source="f", line=1)
    'naïve'
    """
    if b"\0" in text:
        raise DataError("binary data", source=source, line=line, expected="text")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")
        if any(c < " " and c not in "\t\r\n" for c in decoded[:10_000]):
            raise DataError("binary data", source=source, line=line, expected="text") from None
        return decoded


def listed(values: Sequence[str], most: int = 8) -> str:
    """The first of some names or values as messages show them: separated by commas, unprintable characters escaped.

    Examples
    --------
    >>> listed(["a", "b", "c\\t"], 2), listed(["c\\t"])
    ('a, b, ...', 'c\\\\t')
    """
    some = [repr(value if len(value) <= 40 else value[:37] + "...")[1:-1] for value in values[:most]]
    return ", ".join(some) + (", ..." if len(values) > most else "")


def shown(text: str) -> str:
    """A value as messages show it: quoted, and cut where it is long."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
