"""Text files read in chunks of whole lines: plain or gzip, in constant memory."""

from __future__ import annotations

import gzip
import io
import weakref
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from stream_ml.errors import DataError

__all__ = ["MAX_FIELD", "MAX_LINE", "TextFile", "decode", "listed", "shown"]

CHUNK = 1 << 20
MAX_LINE = 64 << 20
"""Longest line, in bytes: longer ones are no data but a wrong file."""
MAX_FIELD = 1 << 20
"""Longest single name or value, in characters."""
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
OTHER_BOMS = {"UTF-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"), "UTF-16": (b"\xff\xfe", b"\xfe\xff")}
LOOKED_AT = 1 << 10
"""Bytes that tell how a text is encoded where no mark does."""
SHOWN = 60


class TextFile:
    """A text file, plain or gzip, that is read in chunks of whole lines; again and again, or once if it is a pipe.

    Of a pipe the beginning is kept, as far as headers are read from it, until its rows are read.

    Raises
    ------
    DataError
        The file cannot be opened; from `chunks`, also when the rows of a pipe are wanted a second time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_pipe = path.exists() and not path.is_file() and not path.is_dir()
        self._pipe: IO[bytes] | None = None
        self._kept: list[bytes] = []
        self._used = False

    def chunks(self, *, rows: bool = False) -> Generator[tuple[int, bytes], None, None]:
        """Pairs (number of the first line, from 1; whole lines), each about a megabyte; the last line may lack its end.

        A byte order mark is left out. The file is closed when the iterator is exhausted, fails or is closed.

        Parameters
        ----------
        rows
            Whether it is read for its rows: a pipe cannot be read again then.

        Raises
        ------
        DataError
            The file cannot be opened or unpacked, is UTF-16 or UTF-32, or a line is longer than `MAX_LINE`.
        """
        line, size, first = 1, 0, True
        waiting: list[bytes] = []
        with closing(self._of_pipe(rows) if self._is_pipe else self._of_file()) as blocks:
            while block := self._next(blocks, line):
                if first:
                    self._check_encoding(block)
                    block, first = block.removeprefix(BOM), False
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
                    raise self._error(f"a line of more than {MAX_LINE >> 20} MB", line)
        if waiting:
            yield line, b"".join(waiting)

    def _open(self) -> IO[bytes]:
        """The file's bytes, unpacked if it is a gzip file or is called one."""
        try:
            if self.path.is_dir():
                raise DataError("is a directory", source=str(self.path), expected="a file")
            file = self.path.open("rb")
            try:
                if self._is_pipe:
                    file = io.BufferedReader(_Whole(file.read(len(GZIP)), file))  # peek might see a single byte
                packed = self.path.suffix.lower() == ".gz" or file.peek(len(GZIP))[: len(GZIP)] == GZIP
            except BaseException:
                file.close()
                raise
            if not packed:
                return file
            unpacked: Any = gzip.GzipFile(fileobj=file)
            unpacked.myfileobj = file  # closed with it
            return unpacked
        except FileNotFoundError as error:
            raise DataError("no such file", source=str(self.path)) from error
        except OSError as error:
            raise DataError(f"cannot be opened: {error.strerror or error}", source=str(self.path)) from error

    def _of_file(self) -> Generator[bytes, None, None]:
        with self._open() as file:
            while block := file.read(CHUNK):
                yield block

    def _of_pipe(self, rows: bool) -> Generator[bytes, None, None]:
        """What was kept, then what comes, which is kept unless rows are read."""
        if self._used:
            raise DataError(
                "a pipe can be read only once", source=str(self.path), hint="write it to a file to read it again"
            )
        if self._pipe is None:
            self._pipe = self._open()
            weakref.finalize(self, self._pipe.close)  # a bad header is an error before any rows are read
        self._used, kept = rows, self._kept
        if rows:
            self._kept = []
        try:
            yield from list(kept)
            del kept
            while block := self._pipe.read(CHUNK):
                if not rows:
                    self._kept.append(block)
                yield block
        finally:
            if rows:
                self._pipe.close()  # whoever writes is told, when there are more rows than wanted

    def _next(self, blocks: Iterator[bytes], line: int) -> bytes:
        """The next block, b"" at the end."""
        try:
            return next(blocks, b"")
        except EOFError as error:
            raise self._error("the gzip file is truncated: it ends in the middle", line) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._error(f"damaged or not a gzip file ({error})", line) from error
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}", line) from error

    def _check_encoding(self, block: bytes) -> None:
        """Refuse what begins like a text that is not in UTF-8, by its mark or by every second byte being 0."""
        found = next((name for name, marks in OTHER_BOMS.items() if block.startswith(marks)), None)
        head = block[: min(LOOKED_AT, len(block) // 2 * 2)]
        zeros = [half.count(0) / max(1, len(half)) for half in (head[::2], head[1::2])]
        if found is None and len(head) >= 16 and max(zeros) > 0.9 and min(zeros) == 0.0:
            found = "UTF-16LE" if zeros[1] else "UTF-16BE"
        if found is not None:
            name, ending = self.path.name, self.path.suffix
            how = "" if ending.lower() == ".gz" else f": iconv -f {found} -t UTF-8 {name} > utf8{ending}"
            raise DataError(
                "is encoded in another way",
                source=str(self.path),
                expected="UTF-8",
                found=found,
                hint=f"save it as UTF-8{how}",
            )

    def _error(self, problem: str, line: int) -> DataError:
        return DataError(problem, source=str(self.path), line=line)


class _Whole(io.RawIOBase):
    """A file whose first bytes were read already, from its beginning."""

    def __init__(self, head: bytes, file: io.BufferedReader) -> None:
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._head:
            return self._file.readinto1(buffer)
        n = min(len(buffer), len(self._head))
        buffer[:n], self._head = self._head[:n], self._head[n:]
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


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
