"""Checkpoints made by hand to do harm: genuine ones, changed somewhere, and signed anew.

    python tests/storage/attacks.py FOLDER < seeds

reads seeds and, for each, damages a checkpoint of the folder, loads it and, if that goes, serves two batches with it.
Prints one line a seed: refused, worked, or what went wrong. It may crash: that is for the parent to see.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))

from serving.records import records_of

from stream_ml.errors import ArtefactError
from stream_ml.ihomer import IHomerClassifier
from stream_ml.serving.checkpoints import CheckpointFolder
from stream_ml.serving.engine import Engine, EngineOptions
from stream_ml.storage import artefact, read_artefact, write_artefact

MEMORY = 2 << 30
"""Bytes that loading and serving may take beyond what the program takes by itself."""
OPTIONS = EngineOptions(most_waiting=50, most_early=20)
QUICK = {"period": 20, "clusters": {"n_min": 20, "max_size": 4}, "tree": {"grace_period": 30}, "drift": {"clock": 8}}
KINDS: dict[str, dict[str, Any]] = {
    "dense": {**QUICK, "experts": {"window": 200}},
    "sparse": {**QUICK, "experts": {"window": 200}},
    "young": {},
    "plain": {**QUICK, "experts": {"neighbours": 0}, "decisions": {"joint": False}, "tree": {"enabled": False}},
}
NUMBERS = [-1, 0, 1, 2, 3, 7, 63, 64, 127, 128, 255, 1 << 20, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63)]
REALS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e300, -1e300, 1e-320, 1e30, -3.0, 1e9]
DTYPES = ["float64", "float32", "int64", "int32", "uint64", "uint8", "bool"]


def served(kind: str, n: int, *, seed: int, first: int = 0) -> list[Any]:
    """Messages of four clusters of three labels; some instances wait for labels, some labels for instances."""
    rng = np.random.default_rng(seed)
    out: list[Any] = []
    for i in range(first, first + n):
        x = rng.normal(size=6).round(3)
        groups = np.flatnonzero(x[:4] * (1 if i < 400 else -1) > 0.7)
        y = [f"l{3 * g + j}" for g in groups for j in range(3) if rng.random() < 0.8]
        features: Any = x.tolist()
        if kind != "dense":
            features = {f"f{j}": float(v) for j, v in enumerate(x) if v > -0.3} | {
                f"g{rng.integers(0, 3 + i // 40)}": 1.0
            }
            if rng.random() < 0.05:
                features["colour"] = str(rng.choice(["red", "blue"]))
            if rng.random() < 0.05:
                y.append(f"new{i // 50}")
        late, labels = rng.random(), {"id": f"i{i}", "y": y}
        if late < 0.1:
            out.append({"id": f"i{i}", "x": features})
            out += [labels] if late < 0.05 else []
        elif late < 0.13:
            out.append({"id": f"early{i}", "y": y})
        else:
            out.append({**labels, "x": features})
    return out


def make(folder: Path, kinds: Iterable[str] = KINDS) -> None:
    """The genuine checkpoints."""
    for kind in kinds:
        engine = Engine(IHomerClassifier(**KINDS[kind]), options=OPTIONS)
        engine.process(records_of(served(kind, 3 if kind == "young" else 700, seed=1)))
        arrays, rest = engine.snapshot()
        others, facts = rest()
        facts = {**facts, "positions": [["t", 0, 700]], "kind": "checkpoint"}
        write_artefact(folder / f"{kind}.safetensors", arrays | others, facts)


# -- what is done to them ---------------------------------------------------------------------------------------------


def changed_values(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Other values of the same type in the same shape."""
    array = np.array(array)
    flat = array.reshape(-1)
    if not flat.size:
        return array
    near = [int(flat.size), int(array.shape[0]) if array.ndim else 0]
    for _ in range(rng.choice([1, 1, 1, 2, 5, flat.size])):
        at = rng.randrange(flat.size)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                flat[at] = np.array(rng.choice([*REALS, rng.gauss(0, 100)])).astype(array.dtype)
        elif array.dtype == np.bool_:
            flat.view(np.uint8)[at] = rng.choice([0, 1, 2, 255])
        else:
            limits = np.iinfo(array.dtype)
            value = rng.choice([*NUMBERS, *near, int(flat[at]) + rng.choice([-2, -1, 1, 2]), int(rng.choice(flat))])
            flat[at] = min(limits.max, max(limits.min, value))
    return array


def shuffled(array: np.ndarray, rng: random.Random) -> np.ndarray:
    flat = np.array(array).reshape(-1)
    np.random.default_rng(rng.randrange(1 << 30)).shuffle(flat)
    return flat.reshape(array.shape)


def reshaped(array: np.ndarray, rng: random.Random) -> np.ndarray:
    ways: list[Any] = [
        lambda a: a.reshape(-1),
        lambda a: a[None],
        lambda a: a.T,
        lambda a: a[:-1] if a.ndim else a,
        lambda a: a[:0] if a.ndim else a,
        lambda a: np.concatenate([a, a[-1:]]) if a.ndim else a[None],
        lambda a: np.concatenate([a, a]) if a.ndim else a[None],
        lambda a: a[..., :-1] if a.ndim else a,
        lambda a: a.reshape(-1)[0] if a.size else a,
        lambda a: np.zeros((0, 1 << 40), a.dtype),
        lambda a: np.zeros((*a.shape, 0), a.dtype),
    ]
    return np.asarray(rng.choice(ways)(array))


def strange(rng: random.Random) -> Any:
    """A plain value that is unlikely to be the right one."""
    deep: Any = []
    for _ in range(rng.choice([3, 200])):
        deep = [deep]
    values = [
        None,
        True,
        False,
        -1,
        0,
        1,
        2**31,
        2**53 + 1,
        2**63,
        -(2**63),
        1e300,
        0.5,
        "",
        "x" * 1000,
        "\n",
        [],
        {},
        deep,
    ]
    return rng.choice([*values, ["a"], [0], {"a": 1}, "../../etc/passwd", "l1", "sparse"])


def changed_facts(value: Any, rng: random.Random) -> Any:
    """Plain values, one of them changed."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        if type(value) is int and rng.random() < 0.6:
            return value + rng.choice([-1, 1, 100, -1000])
        return strange(rng)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, way = rng.choice(keys), rng.random()
    value = value.copy()
    if way < 0.15:
        del value[key]
    elif way < 0.25 and isinstance(value, list):
        value.append(value[key])
    elif way < 0.3 and isinstance(value, dict):
        value["more"] = strange(rng)
    else:
        value[key] = changed_facts(value[key], rng)
    return value


def damaged(arrays: dict[str, np.ndarray], facts: Any, rng: random.Random) -> tuple[dict[str, np.ndarray], Any]:
    """A state with one thing changed."""
    arrays = dict(arrays)
    if rng.random() < 0.2:
        return arrays, changed_facts(facts, rng)
    parts = sorted({name.split(".")[0] + name.split(".")[1] for name in arrays if "." in name})
    part = rng.choice(parts)  # the trees would have all the attention else
    name = rng.choice([n for n in sorted(arrays) if "".join(n.split(".")[:2]) == part])
    array, way = arrays[name], rng.random()
    if (
        array.dtype == np.uint8
        and array.ndim == 1
        and array.size
        and name.endswith(("events", "settings", "history", "ids"))
    ):
        value = changed_facts(json.loads(array.tobytes()), rng)
        arrays[name] = np.frombuffer(json.dumps(value).encode(), np.uint8)
    elif way < 0.6:
        arrays[name] = changed_values(array, rng)
    elif way < 0.7:
        arrays[name] = shuffled(array, rng)
    elif way < 0.83:
        arrays[name] = reshaped(array, rng)
    elif way < 0.9:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays[name] = array.astype(rng.choice(DTYPES))
    elif way < 0.94:
        del arrays[name]
    elif way < 0.96:
        arrays[rng.choice(["../../x", "/etc/passwd", "", "\n", "model.pool"]) + name] = arrays.pop(name)
    else:
        arrays[name] = arrays[rng.choice(sorted(arrays))]
    return arrays, facts


def damaged_bytes(raw: bytes, rng: random.Random) -> bytes:
    """A file damaged as a file: its header above all."""
    size = int.from_bytes(raw[:8], "little")
    header, body, way = raw[8 : 8 + size], raw[8 + size :], rng.randrange(8)
    if way == 0:
        return raw[: rng.randrange(len(raw))]
    if way == 1:
        claim = rng.choice([0, 1, size - 1, size + 8, len(raw), len(raw) + 1, 1 << 30, 1 << 40, 2**63, 2**64 - 1])
        return claim.to_bytes(8, "little") + raw[8:]
    if way == 2:
        at = rng.randrange(len(raw))
        return raw[:at] + bytes([raw[at] ^ rng.randrange(1, 256)]) + raw[at + 1 :]
    told = json.loads(header)
    name = rng.choice([n for n in told if n != "__metadata__"])
    entry = told[name]
    if way == 3:  # a key twice
        twice = json.dumps({name: {**entry, "shape": [1 << rng.randrange(40)]}})
        header = header.rstrip()[:-1] + b"," + twice.encode()[1:]
    elif way == 4:  # overlapping, or beyond the end
        start, stop = entry["data_offsets"]
        entry["data_offsets"] = [
            max(0, start + rng.choice([-8, 0, 8, -(1 << 40)])),
            stop + rng.choice([-8, 8, 1 << 40]),
        ]
        header = json.dumps(told).encode()
    elif way == 5:
        told["../../" + name] = told.pop(name)
        header = json.dumps(told).encode()
    elif way == 6:
        depth = rng.choice([100, 5000, 200_000])
        header = header.rstrip()[:-1] + b',"deep":' + b"[" * depth + b"]" * depth + b"}"
    else:
        told["__metadata__"]["facts"] = "[" * rng.choice([100, 500_000])
        header = json.dumps(told).encode()
    return len(header).to_bytes(8, "little") + header + body


# -- what comes of it -------------------------------------------------------------------------------------------------


def outcome(folder: Path, seed: int, kinds: list[str]) -> str:
    """What a damaged checkpoint leads to."""
    rng = random.Random(seed)
    kind = rng.choice(kinds)
    genuine, path = folder / f"{kind}.safetensors", folder / f"damaged-{os.getpid()}.safetensors"
    if rng.random() < 0.1:
        path.write_bytes(damaged_bytes(genuine.read_bytes(), rng))
    else:
        found = read_artefact(genuine)
        arrays, facts = found.arrays, found.facts
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            arrays, facts = damaged(arrays, facts, rng)
        try:
            write_artefact(path, arrays, facts)
        except (TypeError, ValueError, OverflowError):  # what is no JSON cannot be signed
            return "refused"
    try:
        found = CheckpointFolder(folder).read(path)
        engine = Engine.restored(found.arrays, found.facts, OPTIONS, source=str(path))
    except ArtefactError as error:
        text = str(error)
        if "\n" in text or str(path) not in text or len(text) > 600:
            return f"told badly: {text!r}"
        return "refused"
    sparse = engine.schema is None or engine.schema.sparse
    for start in (700, 800):
        lines = records_of(served("sparse" if sparse else "dense", 60, seed=seed, first=start))
        for output in engine.process(lines).outputs:
            orjson.loads(output.value)
    for metrics in (engine.overall, engine.recent):
        metrics.result()
    arrays, rest = engine.snapshot()
    others, facts = rest()
    write_artefact(path, arrays | others, {**facts, "kind": "checkpoint"})
    return "worked"


def answer(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer seeds until there are no more."""
    folder = Path(sys.argv[1])
    kinds = sys.argv[2].split(",")
    warnings.simplefilter("ignore")
    artefact._flush = lambda path: None  # nothing here must outlive the machine
    for kind in KINDS:  # whatever is to be compiled or loaded is, before memory is limited
        found = read_artefact(folder / f"{kind}.safetensors")
        engine = Engine.restored(found.arrays, found.facts, OPTIONS, source=kind)
        for start in (700, 800):
            engine.process(records_of(served("dense" if kind == "dense" else "sparse", 60, seed=0, first=start)))
    IHomerClassifier(routing={"gated_above": 0}).learn_one({"x": 1.0}, {"y": True})  # what is changed may open gates
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    answer("ready")
    for line in sys.stdin:
        try:
            result = outcome(folder, int(line), kinds)
        except BaseException as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            result = f"{type(error).__name__} at {place}: {error}".replace("\n", " ")
        answer(result)


if __name__ == "__main__":
    main()
