"""One file of arrays and plain values: written whole or not at all, and checked when it is read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from stream_ml.errors import ArtefactError
from stream_ml.states import FLAWS, told
from stream_ml.storage.migrations import MIGRATIONS

__all__ = ["MIGRATIONS", "VERSION", "Artefact", "read_artefact", "write_artefact"]

FORMAT = "stream-ml"
VERSION = 4
"""Of the content, not of the container: raised whenever what is saved changes its meaning."""
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "int64": "I64",
    "int32": "I32",
    "uint64": "U64",
    "uint8": "U8",
    "bool": "BOOL",
}
"""What arrays may be, and how safetensors calls it."""
HEADER = 8
MAX_HEADER = 100_000_000
"""What safetensors allows; a larger claim is not even tried."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """What a file holds.

    Attributes
    ----------
    arrays
        By name.
    facts
        Plain JSON values.
    """

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def write_artefact(path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> int:
    """Write a file and have it on the disk before it gets its name: there is the old one, or the whole new one.

    The container is safetensors: a JSON header, then the arrays' bytes. The header holds a checksum of everything.
    Written from where the arrays are: the library's own writer takes room for the whole twice more.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    OSError
        It cannot be written; nothing is left behind, and what had that name is as it was.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))  # so that every array is aligned
    kept = {name: np.asarray(arrays[name], order="C") for name in order}
    text = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()
    header = {"format": FORMAT, "version": str(VERSION), "facts": text, "checksum": _checksum(kept, text)}
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(_container(kept, header))
            for array in kept.values():
                file.write(_bytes(array))
        _flush(aside)
        size = aside.stat().st_size
        os.replace(aside, path)
        _flush(path.parent)
    except BaseException:
        _remove(aside)
        raise
    return size


def read_artefact(path: Path) -> Artefact:
    """What a file holds, once it is known to be whole.

    Raises
    ------
    ArtefactError
        There is no such file, it is damaged or of another kind, or of a newer version; says which.
    """
    try:
        if path.stat().st_size < HEADER:
            raise ArtefactError(f"{path}: damaged: it is too short")
        with path.open("rb") as file:
            if int.from_bytes(file.read(HEADER), "little") > min(MAX_HEADER, path.stat().st_size):
                raise ArtefactError(f"{path}: damaged or not a model: its header cannot be that long")
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ArtefactError(f"{path}: not a model or checkpoint of stream-ml")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file") from None
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SafetensorError, *FLAWS) as error:
        raise ArtefactError(f"{path}: damaged or not a model: {told(error)}") from None
    version, text = header.get("version", ""), header.get("facts", "")
    if not version.isascii() or not version.isdigit() or len(version) > 6:
        raise ArtefactError(f"{path}: damaged: no version")
    if int(version) > VERSION:
        raise ArtefactError(f"{path}: of format version {version}; this program knows up to {VERSION}: update it")
    if any(array.dtype.name not in DTYPES for array in arrays.values()):
        raise ArtefactError(f"{path}: damaged: an array of a type that is never written")
    if _checksum(arrays, text) != header.get("checksum"):
        raise ArtefactError(f"{path}: damaged: its checksum is wrong")
    try:
        facts = orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise ArtefactError(f"{path}: damaged: its facts are not an object")
    artefact = Artefact(arrays, facts)
    for old in range(int(version), VERSION):
        if old not in MIGRATIONS:
            raise ArtefactError(f"{path}: of format version {version}, which this program no longer reads")
        try:
            artefact = Artefact(*MIGRATIONS[old](artefact.arrays, artefact.facts))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ArtefactError(f"{path}: damaged: its parts do not fit together: {error}") from None
    return artefact


def _checksum(arrays: Mapping[str, NDArray[Any]], facts: str) -> str:
    """BLAKE2b of names, types, shapes and bytes of all arrays, and of the facts."""
    digest = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(_bytes(array))
    return digest.hexdigest()


def _container(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """What stands before the arrays' bytes: the length of the header, and the header."""
    entries: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, array in arrays.items():
        code, end = DTYPES[array.dtype.name], at + array.nbytes
        entries[name] = {"dtype": code, "shape": array.shape, "data_offsets": [at, end]}
        at = end
    text = orjson.dumps(entries)
    text += b" " * (-len(text) % HEADER)
    return len(text).to_bytes(HEADER, "little") + text


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _flush(path: Path) -> None:
    """Have a file's or a folder's content on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
