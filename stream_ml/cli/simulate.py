"""`stream-ml simulate`: a stream into a Kafka topic."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from stream_ml.cli.config import load_config
from stream_ml.cli.sources import open_source
from stream_ml.errors import ConfigError
from stream_ml.streams.batch import Batch

__all__ = ["feed_kafka", "messages"]

SLICES = 20
"""Pauses a second, when the rate is limited."""


def messages(batch: Batch, first: int) -> Iterator[tuple[dict[str, Any], list[str] | dict[str, bool] | None]]:
    """Each row as a message without its labels, and its labels (None: not known); ids count from `first`.

    `x` is a list where the schema is dense and numeric, else an object: zeros left out, nominal values as texts.
    """
    schema = batch.schema
    numeric = all(not f.nominal for f in schema.features)
    names = [f.name for f in schema.features]
    x_ends, indices, values = batch.x_indptr.tolist(), batch.x_indices.tolist(), batch.x_values.tolist()
    for row, labels in enumerate(batch.labels_told()):
        lo, hi = x_ends[row], x_ends[row + 1]
        x: Any
        if numeric and not schema.sparse:
            x = [None if math.isnan(v) else v for v in values[lo:hi]]
        else:
            x = {}
            for j, v in zip(indices[lo:hi], values[lo:hi], strict=True):
                kinds = schema.features[j].values
                if math.isnan(v):
                    x[names[j]] = None
                elif kinds is not None:
                    x[names[j]] = kinds[int(v)]
                elif v:
                    x[names[j]] = v
        key = batch.ids[row] if batch.ids is not None else str(first + row)
        yield {"id": key, "x": x}, labels


def feed_kafka(
    options: Mapping[str, Any],
    *,
    to: str,
    topic: str,
    servers: Sequence[str],
    delay: int,
    rate: float | None,
    partitions: int,
    create: Sequence[str],
) -> None:
    """Send a stream's instances to a topic, with their labels, or with the labels `delay` instances later.

    Raises
    ------
    ConfigError
        An option that means nothing.
    DataError
        The stream cannot be read.
    BrokerError
        The brokers refuse, or are not there.
    """
    if to != "kafka":
        raise ConfigError(f"--to {to}: expected kafka")
    if delay < 0 or partitions < 1 or (rate is not None and not rate > 0):
        raise ConfigError("--delay must be 0 or more, --partitions and --rate above 0")
    stream = open_source(load_config(None, {key: v for key, v in options.items() if v is not None}).stream)
    from stream_ml.serving.feeder import Feeder

    feeder = Feeder(servers)
    feeder.create(dict.fromkeys([topic, *create]), partitions)
    owed: deque[tuple[str, list[str] | dict[str, bool] | None]] = deque()
    sent, began = 0, time.monotonic()

    def pay(key: str, late: list[str] | dict[str, bool] | None) -> None:
        if late is not None:
            feeder.send(topic, key, orjson.dumps({"id": key, "y": late}))

    for batch in stream:
        for message, labels in messages(batch, batch.first):
            if delay:
                owed.append((message["id"], labels))
            else:
                message["y"] = labels
            feeder.send(topic, message["id"], orjson.dumps(message))
            if len(owed) > delay:
                pay(*owed.popleft())
            sent += 1
            if rate is not None and sent % max(1, int(rate / SLICES)) == 0:
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    for key, late in owed:
        pay(key, late)
    feeder.close()
    seconds = time.monotonic() - began
    print(f"{sent:,} instances to {topic} in {seconds:.1f} s ({sent / max(seconds, 1e-9):,.0f}/s)")  # noqa: T201
