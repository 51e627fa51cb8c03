"""Small files with random damage are read, or give one clear line: never another exception."""

from __future__ import annotations

import gzip
import random

import pytest

from stream_ml.errors import StreamMLError
from stream_ml.streams import open_stream

FILES = {
    "x.arff": b"@relation 'x: -C -1'\n@attribute 'a b' numeric\n@attribute b {u,'v w'}\n@attribute l {0,1}\n@data\n"
    b"1.5,u,0\n{0 2,1 'v w',2 1}\n?,\"u\",1 % c\n",
    "x.csv": b'a,"b ""c",l\n1.5,x,0\n"2\n",y,1\n,z,\n',
    "x.jsonl": b'{"x": {"a": 1, "c": "red"}, "y": ["p", 3], "id": 1, "ts": 5}\n'
    b'{"x": {"a": null}, "y": null}\n{"x": [1]}\n',
    "x.svm": b"1,2 0:1 3:2.5e1\n 4:1\nx qid:1 5:1 # c\n",
    "x.txt": b"3 9 4\n1,2 0:1 3:2.5e1\n 4:1\n\n",
}
PUT_IN = [b"'", b'"', b"{", b"}", b",", b"\n", b"9" * 21, b"\0", b"\xff", b"@data\n", b"\\", b"1e999", b"::", b"[["]


def damaged(data, rng):
    """The bytes, some of them changed, put in or taken out."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place, what = rng.randrange(len(data) + 1), rng.random()
        if what < 0.4 and data:
            data[place % len(data)] = rng.choice([rng.randrange(256), *b"'\"\\,{}%?:0-+e. \t\r\n@"])
        elif what < 0.7:
            data[place:place] = rng.choice(PUT_IN)
        else:
            del data[place : place + rng.randint(1, 12)]
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_damage(name, tmp_path):
    rng = random.Random(name)
    labels = "last:1" if name in {"x.arff", "x.csv"} else None
    read, messages = 0, []
    for i in range(400):
        data = damaged(FILES[name], rng)
        if i % 10 == 0:
            data = gzip.compress(data)
            data = damaged(data, rng) if i % 20 == 0 else data
        path = tmp_path / (name + ".gz" * (i % 10 == 0))
        path.write_bytes(data)
        for on_error in ("raise", "skip"):
            try:
                stream = open_stream(path, labels=labels, on_error=on_error, batch_size=1 + i % 3, delay=i % 2)
                for batch in stream:
                    assert len(batch.x_indices) == batch.x_indptr[-1]
                    assert batch.x_indices.max(initial=-1) < batch.n_features
                    assert batch.y_indices.max(initial=-1) < batch.n_labels
                read += 1
            except StreamMLError as error:
                messages.append(str(error))
    assert min(read, len(messages)) > 50
    assert all(message.isprintable() and len(message) < 400 + len(str(tmp_path)) for message in messages)
