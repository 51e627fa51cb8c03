"""Pipes are read once, whatever the format and however slowly they are written."""

from __future__ import annotations

import gc
import gzip
import json
import os
import sys
import threading
import time

import pytest

from stream_ml import open_stream
from stream_ml.errors import DataError, LabelSpecError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no named pipes there")

ROWS = [(i, i % 7, i % 2) for i in range(3000)]
TEXTS = {
    "arff": "@relation 'x: -C -1'\n@attribute a numeric\n@attribute b numeric\n@attribute l {0,1}\n@data\n"
    + "".join(f"{a},{b},{y}\n" for a, b, y in ROWS),
    "csv": "a,b,l\n" + "".join(f"{a},{b},{y}\n" for a, b, y in ROWS),
    "jsonl": "".join(json.dumps({"x": {"a": a, "b": b}, "y": ["l"] * y}) + "\n" for a, b, y in ROWS),
    "svmlight": "".join(f"{'l' * y} 1:{a} 2:{b}\n" for a, b, y in ROWS),
}


def pipe_of(path, *parts, broken=None):
    """A named pipe that something writes the parts to, with pauses; it sets `broken` when its reader leaves early."""
    os.mkfifo(path)

    def write():
        try:
            with open(path, "wb", buffering=0) as file:
                for i, part in enumerate(parts):
                    time.sleep(0.1 * (i > 0))
                    while part:  # a write that the reader cuts short is no error, the next one is
                        part = part[file.write(part) :]
        except BrokenPipeError:
            broken.set()

    threading.Thread(target=write, daemon=True).start()
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("format", TEXTS)
def test_a_pipe_gives_the_rows_of_the_file(format, packed, tmp_path):
    labels = "last:1" if format == "csv" else None
    (tmp_path / "file").write_text(TEXTS[format])
    data = TEXTS[format].encode()
    pipe = pipe_of(tmp_path / "pipe", gzip.compress(data) if packed else data)
    expected = list(open_stream(tmp_path / "file", format=format, labels=labels))
    stream = open_stream(pipe, format=format, labels=labels)
    got = list(stream)
    assert [b.x_values.tolist() for b in got] == [b.x_values.tolist() for b in expected]
    assert [b.y_indices.tolist() for b in got] == [b.y_indices.tolist() for b in expected]
    assert sum(map(len, got)) == 3000
    with pytest.raises(DataError, match="a pipe can be read only once"):
        list(stream)


@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_that_begins_with_a_single_byte(packed, tmp_path):
    data = gzip.compress(TEXTS["csv"].encode()) if packed else TEXTS["csv"].encode()
    stream = open_stream(pipe_of(tmp_path / "pipe", data[:1], data[1:5], data[5:]), format="csv", labels="l")
    assert sum(map(len, stream)) == 3000


def test_a_pipe_without_anything_or_with_a_damaged_gzip_file(tmp_path):
    with pytest.raises(DataError, match="the file is empty"):
        open_stream(pipe_of(tmp_path / "a"), format="jsonl")
    packed = gzip.compress(TEXTS["jsonl"].encode())
    with pytest.raises(DataError, match="the gzip file is truncated"):
        list(open_stream(pipe_of(tmp_path / "b", packed[:-20]), format="jsonl"))


def test_a_pipe_is_closed_when_enough_was_read(tmp_path):
    text = b"a,l\n" + b"1,0\n" * 3_000_000
    for name, options in {"limit": {"labels": "l", "limit": 5}, "bad header": {"labels": "no such label"}}.items():
        broken = threading.Event()
        pipe = pipe_of(tmp_path / name, text, broken=broken)
        if name == "limit":
            stream = open_stream(pipe, format="csv", **options)
            assert sum(map(len, stream)) == 5
        else:
            with pytest.raises(LabelSpecError):
                open_stream(pipe, format="csv", **options)
            gc.collect()
        assert broken.wait(10)  # else it would write for ever
