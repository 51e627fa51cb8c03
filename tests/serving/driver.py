"""What the tests of the service do: topics, messages in, messages out, services as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from serving.nursery import Forked, Nursery

from stream_ml.serving.checkpoints import CheckpointFolder
from stream_ml.storage import Artefact

PATIENCE = 120.0


def make_topics(broker, partitions: int = 1, **names: str) -> dict[str, str]:
    """Fresh topics by role; roles without a name get one."""
    stamp = f"{time.monotonic_ns():x}"
    topics = {role: names.get(role) or f"{role}-{stamp}" for role in ("instances", "predictions", "dead")}
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_topics([NewTopic(t, partitions, 1) for t in topics.values()]).values():
        future.result()
    return topics


def send(broker, topic: str, messages: Iterable[Any], *, partitions: int = 1) -> int:
    """Messages, round robin; bytes are sent as they are. Gives how many."""
    producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 5, "queue.buffering.max.messages": 1 << 20})
    n = 0
    for message in messages:
        value = message if isinstance(message, bytes) else orjson.dumps(message)
        producer.produce(topic, value=value, partition=n % partitions)
        n += 1
        if n % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    return n


def read(broker, topic: str, *, committed: bool = False) -> list[Any]:
    """All messages of a topic, as confluent-kafka gives them."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "reader",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    numbers = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    ended, found = set(), []
    while len(ended) < len(numbers):
        for message in consumer.consume(10_000, 0.3):
            if message.error():
                ended.add(message.partition())
            else:
                found.append(message)
    consumer.close()
    return found


def by_key(messages: Iterable[Any]) -> dict[bytes, set[bytes]]:
    """The values that each key has."""
    found: dict[bytes, set[bytes]] = {}
    for message in messages:
        found.setdefault(message.key(), set()).add(message.value())
    return found


def small_instances(n: int, seed: int = 0) -> Iterable[dict[str, Any]]:
    """Dense instances of a drifting problem, labels included."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(6, 5))
    for start in range(0, n, 1000):
        if start % 20_000 == 0:
            weights = rng.normal(size=(6, 5))
        x = rng.normal(size=(min(1000, n - start), 6)).round(3)
        y = (x @ weights) > 0.8
        for i, (row, on) in enumerate(zip(x.tolist(), y, strict=True)):
            yield {"id": start + i, "x": row, "y": [f"l{m}" for m in np.flatnonzero(on)]}


class Running:
    """A `stream-ml consume` process, out of a nursery if there is one."""

    def __init__(
        self,
        config: Path,
        *options: str,
        before: Callable[[], None] | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        self.log = config.with_suffix(f".{time.monotonic_ns()}.log")
        self.process: subprocess.Popen[bytes] | Forked
        if nursery is not None:
            self.log.touch()
            self.process = nursery.start(self.log, "consume", str(config), *options)
            return
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_ml.cli", "consume", str(config), *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=before,
            )

    def lines(self) -> list[dict[str, Any]]:
        """What it has told; a line that it is about to write does not count yet."""
        written = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in written.splitlines() if line.startswith("{")]

    def text(self) -> str:
        return self.log.read_text()

    def told(self, event: str) -> dict[str, Any] | None:
        """The last line that begins with `event`."""
        found = None
        for line in self.lines():
            if line["event"].startswith(event):
                found = line
        return found

    def until(self, what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait for something to be true while it runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := what():
                return value
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.text()[-3000:]}"
            time.sleep(0.01)
        raise AssertionError(f"nothing for {seconds} s:\n{self.text()[-3000:]}")

    def reading(self) -> None:
        self.until(lambda: self.told("reading"))

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.end()


@contextmanager
def running(config: Path, *options: str, before: Callable[[], None] | None = None):
    service = Running(config, *options, before=before)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            os.kill(service.process.pid, signal.SIGCONT)
            service.kill()


def write_config(folder: Path, broker, topics: dict[str, str], name: str = "service", **sections: Any) -> Path:
    """A service's configuration; sections are merged into it."""
    settings: dict[str, Any] = {
        "kafka": {"servers": [broker.address], "client": "confluent"},
        "input": {"topics": [topics["instances"]], "group": f"{name}-{topics['instances']}"},
        "output": {"topic": topics["predictions"], "probabilities": 3},
        "dead_letters": {"topic": topics["dead"]},
        "model": {"parameters": {"experts": {"neighbours": 0}}},
        "checkpoint": {"dir": str(folder / f"{name}-state"), "every_seconds": 1.0, "lease_seconds": 2.0},
        "telemetry": {"port": None},
        "log": {"format": "json", "level": "debug"},
    }
    for section, values in sections.items():
        if isinstance(values, dict):
            settings.setdefault(section, {}).update(values)
        else:
            settings[section] = values
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def newest(config: Path) -> Artefact:
    """The newest checkpoint of a service."""
    folder = CheckpointFolder(Path(yaml.safe_load(config.read_text())["checkpoint"]["dir"]))
    found = folder.newest(print)
    assert found is not None
    return found[1]


def assert_equal_state(one: Artefact, two: Artefact) -> None:
    """Bit for bit."""
    assert one.facts == two.facts
    assert one.arrays.keys() == two.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == two.arrays[name].dtype, name
        assert array.shape == two.arrays[name].shape, name
        assert array.tobytes() == two.arrays[name].tobytes(), name
