"""Text files read in chunks of whole lines: plain or gzip, in constant memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from stream_ml.errors import DataError

__all__ = ["MAX_LINE", "decode", "open_binary", "read_chunks"]

CHUNK = 1 << 20
MAX_LINE = 64 << 20
"""Longest line, in bytes: longer ones are no data but a wrong file."""


def open_binary(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if its name ends in .gz.

    Raises
    ------
    DataError
        It cannot be opened.
    """
    try:
        if path.is_dir():
            raise DataError("is a directory", source=str(path), expected="a file")
        return cast(IO[bytes], gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror or error}", source=str(path)) from error


def read_chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Pairs (number of the first line, from 1; whole lines), each about a megabyte; the last line may lack its end.

    Raises
    ------
    DataError
        The file cannot be opened or unpacked, or a line is longer than `MAX_LINE`.
    """
    line, rest = 1, b""
    with open_binary(path) as file:
        while True:
            try:
                block = file.read(CHUNK)
            except EOFError as error:
                raise DataError(
                    "the gzip file is truncated: it ends in the middle", source=str(path), line=line
                ) from error
            except (gzip.BadGzipFile, zlib.error) as error:
                raise DataError(f"damaged or not a gzip file ({error})", source=str(path), line=line) from error
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror or error}", source=str(path), line=line) from error
            if not block:
                break
            cut = block.rfind(b"\n") + 1
            if not cut:
                rest += block
                if len(rest) > MAX_LINE:
                    raise DataError(f"a line of more than {MAX_LINE >> 20} MB", source=str(path), line=line)
                continue
            chunk, rest = rest + block[:cut], block[cut:]
            yield line, chunk
            line += chunk.count(b"\n")
    if rest:
        yield line, rest


def decode(text: bytes, *, source: str, line: int) -> str:
    """The text of a line: UTF-8, or Latin-1 where it is not.

    Raises
    ------
    DataError
        The line holds bytes that no text holds.
    """
    if b"\0" in text:
        raise DataError("binary data", source=source, line=line, expected="text")
    try:
        return text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")
        strange = sum(c < " " and c not in "\t\r\n" for c in decoded[:1000])
        if strange:
            raise DataError("binary data", source=source, line=line, expected="text") from None
        return decoded
