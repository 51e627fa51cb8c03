"""Records as Kafka would give them, made up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import orjson


class FakeRecord(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def records_of(messages: list[Any], *, first_time: int = 0, step: int = 10, topic: str = "t") -> list[FakeRecord]:
    """One record a message, one partition; bytes are taken as they are."""
    return [
        FakeRecord(topic, 0, i, first_time + i * step, None, m if isinstance(m, bytes) else orjson.dumps(m))
        for i, m in enumerate(messages)
    ]


def messages(
    n: int, *, seed: int, late: float = 0.0, early: float = 0.0, bad: float = 0.0, partial: float = 0.0
) -> list[Any]:
    """Instances of a small drifting problem; some with labels that come later or before them, some broken.

    Of the share `partial` labels come in part: with the instance, then or before, and some of them twice.
    """
    rng = np.random.default_rng(seed)
    out: list[Any] = []
    owed: list[dict[str, Any]] = []
    some = np.random.default_rng(seed + 1)
    for i in range(n):
        x = rng.normal(size=4).round(3)
        y = [name for name, on in zip("abcd", x > (0.2 if i < n // 2 else -0.5), strict=True) if on]
        if rng.random() < 0.05:
            y.append(f"new{int(rng.integers(0, 6))}")
        features = {f"f{j}": float(v) for j, v in enumerate(x) if v > -1}
        if rng.random() < 0.1:
            features[f"g{int(rng.integers(0, 9))}"] = 1.0
        kind = rng.random()
        if kind < bad:
            out.append(b'{"x": {"f0": ' if rng.random() < 0.5 else {"x": {"f0": "a"}, "y": 3})
        if some.random() < partial:
            told = {name: name in y for name in [*"abcd", *y[4:]]}
            parts = [{"id": i, "y": {m: told[m] for m in told if some.random() < 0.5}} for _ in range(3)]
            parts += [{"id": i, "y": y}] * int(some.random() < 0.3)
            for part in parts:
                (owed if some.random() < 0.6 else out).append(part)
            out.append({"id": i, "x": features} | ({"y": {"a": told["a"], "d": None}} if some.random() < 0.5 else {}))
            out.append(owed.pop(int(some.integers(0, len(owed))))) if owed else None
        elif kind < late:
            out.append({"id": i, "x": features})
            owed.append({"id": i, "y": y})
        elif kind < late + early:
            out += [{"id": i, "y": y}, {"id": i, "x": features}]
        else:
            out.append({"id": i, "x": features, "y": y})
        if owed and rng.random() < late:
            out.append(owed.pop(int(rng.integers(0, len(owed)))))
    return out
