"""What a service would find and do, without doing it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from stream_ml.errors import ServiceError, StreamMLError
from stream_ml.serving.broker import Broker, connect
from stream_ml.serving.checkpoints import CheckpointFolder
from stream_ml.serving.permissions import check_permissions
from stream_ml.serving.service import engine_for, restored
from stream_ml.serving.settings import ServiceConfig

__all__ = ["dry_run"]


def dry_run(config: ServiceConfig, generation: str | None, console: Console) -> None:
    """Check settings, model, folder, brokers and topics, and tell each.

    Raises
    ------
    ServiceError
        Something is wrong; all checks that are possible have been made by then.
    """
    failed = 0
    broker: Broker | None = None
    # nothing that a running member would notice: no lease, no transaction, no commit
    looking = config.model_copy(update={"delivery": "at_least_once"})

    def check(name: str, found: Iterator[str]) -> None:
        nonlocal failed
        try:
            for text in found:
                console.print(f"[green]ok[/]      {name}: {text}", highlight=False, soft_wrap=True)
        except (StreamMLError, OSError) as error:
            failed += 1
            console.print(f"[red]failed[/]  {name}: {error}", highlight=False, markup=True, soft_wrap=True)

    def connected() -> Iterator[str]:
        nonlocal broker
        broker = connect(looking)
        yield f"{', '.join(config.kafka.servers)} answer ({config.kafka.client}, {config.kafka.security.protocol})"

    folder = CheckpointFolder(Path(config.checkpoint.dir), config.checkpoint.keep)
    check("model", _model(config))
    check("state", _state(config, folder, generation))
    check("brokers", connected())
    if broker is not None:
        check("permissions", _permissions(config))
        check("input", _input(config, broker, folder, generation))
        check("output", _outputs(config, broker))
        broker.close(abandon=True)
    if failed:
        raise ServiceError(f"{failed} check{'s' if failed > 1 else ''} failed")


def _model(config: ServiceConfig) -> Iterator[str]:
    engine = engine_for(config)
    if config.model.file is not None:
        yield f"{config.model.file}: {engine.model.n_learned} instances learned"
    else:
        yield "a new one" + (f", schema of {config.input.format}" if config.input.format else "")
    yield {
        "learn": "it predicts and learns",
        "frozen": "it predicts and does not learn",
        "shadow": "it predicts and learns, and publishes nothing",
    }[config.mode]


def _state(config: ServiceConfig, folder: CheckpointFolder, generation: str | None) -> Iterator[str]:
    place = folder.folder
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        raise ServiceError(f"checkpoint.dir: {place} cannot be written")
    yield f"{folder.folder} can be written"
    told: list[str] = []
    found = restored(config, folder, generation, told.append)
    yield from told
    if found is None:
        yield "no checkpoint yet: it would begin anew"


def _permissions(config: ServiceConfig) -> Iterator[str]:
    yield check_permissions(config)


def _input(config: ServiceConfig, broker: Broker, folder: CheckpointFolder, generation: str | None) -> Iterator[str]:
    found = restored(config, folder, generation, lambda _: None)
    positions = {} if found is None else found.positions
    for topic in config.input.topics:
        numbers = broker.partitions(topic)
        if not numbers:
            raise ServiceError(f"there is no topic {topic!r}: create it, or correct its name")
        for place, (first, end) in broker.bounds([(topic, number) for number in numbers]).items():
            begin = positions.get(place, end if config.input.start == "latest" and not positions else first)
            if not first <= begin <= end and config.input.on_lost == "stop":
                raise ServiceError(f"{topic}/{place[1]}: the state stands at {begin}, the records are {first} to {end}")
            yield f"{topic}/{place[1]}: would begin at offset {begin}, {end - begin} records to read"


def _outputs(config: ServiceConfig, broker: Broker) -> Iterator[str]:
    for name, topic in (("predictions", config.output.topic), ("dead letters", config.dead_letters.topic)):
        if topic is None or (name == "predictions" and config.mode == "shadow"):
            yield f"{name} would not be published"
            continue
        numbers = broker.partitions(topic)
        if not numbers:
            raise ServiceError(f"there is no topic {topic!r} for {name}: create it, or correct its name")
        partitions = "1 partition" if len(numbers) == 1 else f"{len(numbers)} partitions"
        yield f"{name} would go to {topic} ({partitions}, {config.delivery})"
