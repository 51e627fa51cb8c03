"""`stream-ml simulate`: a stream whose drifts are known, to a file, into a Kafka topic, or through a model."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from stream_ml.cli.config import StreamSection, load_config
from stream_ml.cli.sources import knows_truth, open_source, truth_of, truth_path
from stream_ml.errors import ConfigError, DataError
from stream_ml.streams.batch import LEARN, PREDICT, Batch
from stream_ml.streams.messages import messages
from stream_ml.streams.truth import truth_lines

if TYPE_CHECKING:
    from stream_ml.streams import Stream

__all__ = ["feed_kafka", "outgoing", "split_overrides", "write_file"]

SLICES = 20
"""Pauses a second, when the rate is limited."""
RUN_SECTIONS = ("model.", "evaluation.", "output.", "stream.")


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of the scenario, and those of the run: the keys that begin with a section of a run's configuration.

    >>> split_overrides(["n_instances=500", "model.name=no_change"])
    (['n_instances=500'], ['model.name=no_change'])
    """
    of_run = [text for text in overrides if text.startswith(RUN_SECTIONS)]
    return [text for text in overrides if text not in of_run], of_run


def outgoing(batch: Batch, owed: deque[str], first: int) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Messages of a batch: the key, the message, and whether it is an instance (not labels that come late).

    Rows are numbered from `first`; `owed` holds the keys of the instances whose labels are still to come.
    """
    modes, labelled = batch.mode.tolist(), batch.labelled.tolist()
    number = first
    for row, (x, y) in enumerate(messages(batch)):
        if modes[row] & PREDICT:
            key = batch.ids[row] if batch.ids is not None else str(number)
            number += 1
            message: dict[str, Any] = {"id": key, "x": x}
            if modes[row] & LEARN:
                message["y"] = y
            elif labelled[row]:
                owed.append(key)
            yield key, message, True
        else:
            key = owed.popleft()
            yield key, {"id": key, "y": y}, False


def feed_kafka(
    options: Mapping[str, Any],
    *,
    topic: str,
    servers: Sequence[str],
    rate: float | None,
    partitions: int,
    create: Sequence[str],
    truth: str | None = None,
) -> None:
    """Send a stream's instances to a topic, with their labels, or with labels in messages of their own when they come.

    Raises
    ------
    ConfigError
        An option that means nothing.
    DataError
        The stream cannot be read.
    BrokerError
        The brokers refuse, or are not there.
    """
    if partitions < 1 or (rate is not None and not rate > 0):
        raise ConfigError("--partitions and --rate must be above 0")
    section = load_config(None, options).stream
    stream = open_source(section)
    if truth is not None and not knows_truth(stream, section):
        raise ConfigError("--truth: nothing is known about how this stream drifts")
    from stream_ml.serving.feeder import Feeder

    feeder = Feeder(servers)
    feeder.create(dict.fromkeys([topic, *create]), partitions)
    owed: deque[str] = deque()
    sent, began = 0, time.monotonic()
    for batch in stream:
        for key, message, is_instance in outgoing(batch, owed, sent):
            feeder.send(topic, key, orjson.dumps(message))
            sent += is_instance
            if rate is not None and is_instance and sent % max(1, int(rate / SLICES)) == 0:
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    feeder.close()
    seconds = time.monotonic() - began
    if truth is not None:
        _write_truth(stream, section, sent, Path(truth))
    print(f"{sent:,} instances to {topic} in {seconds:.1f} s ({sent / max(seconds, 1e-9):,.0f}/s)")  # noqa: T201


def write_file(options: Mapping[str, Any], path: Path, *, overwrite: bool, truth: str | None = None) -> None:
    """Write a stream to a file, every instance with its labels, and beside it what is known about its drifts.

    Raises
    ------
    ConfigError
        The file is there, its name tells no format, or an option means nothing.
    DataError
        The stream cannot be read, or the file cannot be written.
    """
    from stream_ml.streams.writers import write_stream

    section = load_config(None, options).stream
    stream = open_source(section)
    beside = Path(truth) if truth is not None else truth_path(path)
    known = knows_truth(stream, section)
    for file in (path, *([beside] if known else [])):
        if file.exists() and not overwrite:
            raise ConfigError(f"{file}: is there already; name another file, or say --overwrite")
    began = time.monotonic()
    rows = write_stream(stream, path)
    seconds = time.monotonic() - began
    labels = f"; read it with --labels last:{stream.schema.n_labels}" if ".csv" in path.suffixes else ""
    files = f"{path}" + (f" and {beside}" if known else "")
    if known:
        _write_truth(stream, section, rows, beside)
    print(f"{rows:,} instances to {files} in {seconds:.1f} s ({rows / max(seconds, 1e-9):,.0f}/s){labels}")  # noqa: T201


def _write_truth(stream: Stream, section: StreamSection, rows: int, path: Path) -> None:
    """What is known about the drifts of the rows that were sent or written."""
    drifts, names = truth_of(stream, section)
    try:
        path.write_bytes(truth_lines([drift for drift in drifts if drift.instance < rows], names))
    except OSError as error:
        raise DataError(f"cannot be written: {(error.strerror or str(error)).lower()}", source=str(path)) from None
