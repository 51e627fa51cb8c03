"""Checkpoints: what the service is at some place of its input, in generations, written beside the running stream."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ArtefactError
from stream_ml.serving._kernels import copy_rows
from stream_ml.states import shown
from stream_ml.storage import Artefact, read_artefact, write_artefact

__all__ = ["CheckpointFolder", "Copies", "Writer", "Written"]

NAME = re.compile(r"checkpoint-(\d{6,})-(\d{9,})\.safetensors")
KIND = "checkpoint"
SPARE = 1.25
"""Room for the copy of the state beyond what it takes now, so that it can grow for a while."""
ALIGNED = 64
_Piece = tuple[Callable[[NDArray[Any], NDArray[Any]], None], NDArray[Any], NDArray[Any]]
"""What copies, to where, and what."""
SMALL = 1 << 14
"""Bytes up to which an array is copied apart."""
PIECE = 1 << 24
"""Bytes that a thread copies at a time: memory has more bandwidth than one core can use."""


class CheckpointFolder:
    """Files `checkpoint-EPOCH-NUMBER.safetensors`; the highest epoch counts, then the highest number.

    Parameters
    ----------
    folder
        Where they are.
    keep
        Generations that are kept.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self.keep = folder, keep

    def generations(self) -> list[Path]:
        """All checkpoints, the newest first."""
        if not self.folder.is_dir():
            return []
        found = [(int(m[1]), int(m[2]), path) for path in self.folder.iterdir() if (m := NAME.fullmatch(path.name))]
        return [path for _, _, path in sorted(found, reverse=True)]

    def newest(self, damaged: Callable[[str], None]) -> tuple[Path, Artefact] | None:
        """The newest checkpoint that is whole; `damaged` is told of each one that is not. None where there is none.

        Raises
        ------
        ArtefactError
            There are some, and none can be read.
        """
        generations = self.generations()
        for path in generations:
            try:
                return path, self.read(path)
            except ArtefactError as error:
                damaged(str(error))
        if generations:
            raise ArtefactError(f"{self.folder}: none of {len(generations)} checkpoints can be read")
        return None

    def read(self, path: Path) -> Artefact:
        """One checkpoint."""
        artefact = read_artefact(path)
        if artefact.facts.get("kind") != KIND:
            raise ArtefactError(f"{path}: holds a {shown(artefact.facts.get('kind'))}, not a checkpoint")
        return artefact

    def write(self, epoch: int, number: int, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> int:
        """Write a generation and drop those beyond `keep`; gives its bytes."""
        size = write_artefact(self.path(epoch, number), arrays, {**facts, "kind": KIND})
        for old in self.generations()[self.keep :]:
            with contextlib.suppress(OSError):
                old.unlink()
        return size

    def path(self, epoch: int, number: int) -> Path:
        """The file of a generation."""
        return self.folder / f"checkpoint-{epoch:06d}-{number:09d}.safetensors"

    @staticmethod
    def number(path: Path) -> int:
        """The number of a generation."""
        match = NAME.fullmatch(path.name)
        return int(match[2]) if match else 0

    def clear_leavings(self) -> None:
        """Remove what a process that was killed while it wrote has left behind."""
        if self.folder.is_dir():
            for path in self.folder.glob(".checkpoint-*.part"):
                with contextlib.suppress(OSError):
                    path.unlink()


class Copies:
    """One block of memory that states are copied into, over and over: fresh memory costs thirty times the copying."""

    def __init__(self) -> None:
        self._block = np.zeros(0, dtype=np.uint8)
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="copy")

    def make_room(self, size: int) -> None:
        """Have room for a state of so many bytes, touched, so that copying meets no page fault. Takes its time."""
        bytes_ = np.zeros((2, 3), dtype=np.uint8)
        for some in (bytes_, bytes_[:, :2]):  # the kernel is there when it is needed
            copy_rows(some.copy(), some)
        if size > len(self._block):
            block = np.empty(int(size * SPARE), dtype=np.uint8)
            block.fill(0)
            self._block = block

    def fits(self, size: int) -> bool:
        """Whether a state of so many bytes can be copied now."""
        return size <= len(self._block)

    def copy(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The arrays as they are now; good until the next copy."""
        copies: dict[str, NDArray[Any]] = {}
        small: list[str] = []
        large: deque[_Piece] = deque()
        at = 0
        for name, array in arrays.items():
            size = array.nbytes
            if size <= SMALL:
                small.append(name)
                continue
            copies[name] = part = self._block[at : at + size].view(array.dtype).reshape(array.shape)
            at += size + -size % ALIGNED
            large.extend(_pieces(part, array))
        helper = self._helper.submit(_copy_from, large) if at > PIECE else None
        _copy_from(large)
        for name in small:  # there are thousands of these: room of their own is quicker than a place in the block
            copies[name] = arrays[name].copy()
        if helper is not None:
            helper.result()
        return copies

    @staticmethod
    def size(arrays: Mapping[str, NDArray[Any]]) -> int:
        """Bytes that a state takes."""
        return sum(size + -size % ALIGNED for size in (array.nbytes for array in arrays.values()))


def _pieces(to: NDArray[Any], source: NDArray[Any]) -> Iterator[_Piece]:
    """What a copy consists of, in pieces of rows of bytes where that can be."""
    if not source.flags.writeable or source.strides[-1] != source.itemsize:
        yield np.copyto, to, source
    elif source.flags.c_contiguous:
        one, two = to.reshape(-1).view(np.uint8), source.reshape(-1).view(np.uint8)
        for start in range(0, len(two), PIECE):
            yield copy_rows, one[None, start : start + PIECE], two[None, start : start + PIECE]
    elif source.ndim == 2:
        one, two = to.view(np.uint8), source.view(np.uint8)
        rows = max(1, PIECE // (two.size // len(two)))
        for start in range(0, len(two), rows):
            yield copy_rows, one[start : start + rows], two[start : start + rows]
    else:
        yield np.copyto, to, source


def _copy_from(pieces: deque[_Piece]) -> None:
    """Copy pieces until there are none left; two threads share them."""
    with contextlib.suppress(IndexError):
        while True:
            copy, to, source = pieces.popleft()
            copy(to, source)


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint that was written, or was not.

    Attributes
    ----------
    positions
        What it stands for: the caller's own value.
    size, seconds
        Bytes and time it took.
    error
        Why it was not written; None when it was.
    """

    positions: Any
    size: int
    seconds: float
    error: Exception | None


class Writer:
    """Writes checkpoints in a thread of its own, one at a time."""

    def __init__(self) -> None:
        self.copies = Copies()
        self._thread: threading.Thread | None = None
        self._done: list[Written] = []

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._thread is not None and self._thread.is_alive()

    def prepare(self, size: int) -> None:
        """Make room for a state of so many bytes, beside the stream."""
        self._start(lambda: self.copies.make_room(size))

    def write(self, write: Callable[[], int], positions: Any) -> None:
        """Write beside the stream; `write` gives the bytes. What came of it is for `take`."""

        def run() -> None:
            start = time.perf_counter()
            size, error = 0, None
            try:
                size = write()
            except Exception as problem:  # whatever it is, whoever asked is told
                error = problem
            self._done.append(Written(positions, size, time.perf_counter() - start, error))

        self._start(run)

    def take(self) -> list[Written]:
        """What was written since the last call."""
        done, self._done = self._done, []
        return done

    def wait(self, seconds: float | None = None) -> bool:
        """Until nothing is being written, or so many seconds; tells whether nothing is."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.busy

    def _start(self, run: Callable[[], None]) -> None:
        self.wait()
        self._thread = threading.Thread(target=run, name="checkpoint", daemon=True)
        self._thread.start()
