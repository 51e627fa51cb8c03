"""Two million instances: memory and checkpoints stay what they were, and a burst is caught up with."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import orjson
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from serving.driver import make_topics, newest, running, write_config

INSTANCES = int(os.environ.get("SOAK_INSTANCES", "2000000"))
LATE, NEVER = 0.2, 0.05
"""Shares of the instances whose labels come later, and never."""
DELAY = 2000
STORE = 10_000
RATE = 2000
"""Instances a second in quiet times; ten times as many in the burst."""
QUIET_SECONDS, BURST_SECONDS = 20, 15
CATCH_UP_SECONDS = 300
CHUNK = 2000
MODEL = {"experts": {"neighbours": 0}, "decisions": {"joint": False}, "tree": {"max_depth": 4}}
"""Cheap, and its trees are as large as they get within the first tenth: what grows later is not the model."""


def stream(n: int) -> Iterator[bytes]:
    """A drifting problem of 8 features and 6 labels; labels with the instance, after it, or never."""
    rng = np.random.default_rng(7)
    owed: deque[tuple[int, bytes]] = deque()
    for start in range(0, n, CHUNK):
        if start % 100_000 == 0:
            weights = rng.normal(size=(8, 6))
        x = rng.normal(size=(CHUNK, 8)).round(2)
        y, kind = (x @ weights) > 2.0, rng.random(CHUNK)
        for i in range(min(CHUNK, n - start)):
            row = {"id": start + i, "x": x[i].tolist()}
            labels = [f"l{m}" for m in np.flatnonzero(y[i]).tolist()]
            if kind[i] < LATE:
                owed.append((start + i + DELAY, orjson.dumps({"id": start + i, "y": labels})))
            elif kind[i] > LATE + NEVER:
                row["y"] = labels
            yield orjson.dumps(row)
            while owed and owed[0][0] <= start + i:
                yield owed.popleft()[1]
    yield from (labels for _, labels in owed)


class Sample(NamedTuple):
    """What the service tells of itself."""

    time: float
    taken: float
    memory: float
    lag: float
    write: float
    pause: float
    size: float


class Watch:
    """Asks a service for its figures once a second."""

    def __init__(self, port: int) -> None:
        self.port, self.samples = port, [Sample(time.monotonic(), 0, 0, 0, 0, 0, 0)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            found = {
                (s.name, s.labels.get("kind")): s.value for f in text_string_to_metric_families(text) for s in f.samples
            }
            names = ("lag_records", "checkpoint_write_seconds", "checkpoint_pause_seconds", "checkpoint_bytes")
            self.samples.append(
                Sample(
                    time.monotonic(),
                    found["stream_ml_records_total", "instances"],
                    found["process_resident_memory_bytes", None],
                    *(found.get((f"stream_ml_{name}", None), 0.0) for name in names),
                )
            )

    @property
    def now(self) -> Sample:
        return self.samples[-1]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def between(self, low: float, high: float) -> list[Sample]:
        """Samples by the share of the instances that were taken."""
        return [s for s in self.samples if low * INSTANCES <= s.taken < high * INSTANCES and s.memory]


class Sender:
    """Sends the stream at any pace."""

    def __init__(self, broker, topic: str) -> None:
        self.producer = Producer(
            {"bootstrap.servers": broker.address, "linger.ms": 5, "queue.buffering.max.messages": 1 << 20}
        )
        self.topic, self.messages, self.sent = topic, stream(INSTANCES), 0

    def send(self, n: int) -> int:
        """The next `n` messages, or what is left of them; gives how many."""
        done = 0
        for message in self.messages:
            self.producer.produce(self.topic, value=message, partition=0)
            done += 1
            if done == n:
                break
        self.producer.poll(0)
        self.sent += done
        return done

    def pace(self, rate: int, seconds: float) -> None:
        """So many messages a second for a while."""
        start, sent = time.monotonic(), 0
        while (passed := time.monotonic() - start) < seconds:
            sent += self.send(max(1, int(rate * passed) - sent))
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.soak
def test_two_million_instances(broker, tmp_path, capsys):
    topics, port = make_topics(broker), free_port()
    config = write_config(
        tmp_path,
        broker,
        topics,
        model={"parameters": MODEL},
        waiting={"max_instances": STORE},
        checkpoint={"dir": str(tmp_path / "state"), "every_seconds": 2.0},
        telemetry={"port": port},
        log={"format": "json", "level": "info"},
    )
    sender = Sender(broker, topics["instances"])
    with running(config) as service:
        service.reading()
        watch = Watch(port)
        try:
            # in haste, but never farther ahead than a million: a backlog, as after a night without a consumer
            burst = RATE * (2 * QUIET_SECONDS + 10 * BURST_SECONDS)
            while sender.sent < INSTANCES * 1.2 - 2 * burst and sender.send(CHUNK):
                service.until(lambda: sender.sent - watch.now.taken * 1.2 < 1_000_000, 600)
            service.until(lambda: watch.now.lag == 0 and watch.now.taken * 1.2 > sender.sent - 3 * CHUNK, 600)
            sender.pace(RATE, QUIET_SECONDS)
            quiet = max(s.lag for s in watch.samples[-QUIET_SECONDS // 2 :])
            sender.pace(10 * RATE, BURST_SECONDS)
            high, begun = watch.now.lag, time.monotonic()
            while watch.now.lag > max(RATE, quiet) and time.monotonic() < begun + CATCH_UP_SECONDS:
                sender.pace(RATE, 1.0)
            behind = time.monotonic() - begun
            while sender.send(CHUNK):
                pass
            sender.producer.flush(60)
            service.until(lambda: watch.now.taken >= INSTANCES and watch.now.lag == 0, 600)
        finally:
            watch.stop()
        assert service.stop() == 0, service.text()[-3000:]
    facts = newest(config).facts
    assert facts["counts"]["instances"] == INSTANCES
    assert facts["counts"]["bad"] == 0
    tenth = watch.between(0.08, 0.12)[-1].memory
    later = [s.memory for s in watch.between(0.1, 1.1)]
    second, last = (watch.between(*at) for at in ((0.1, 0.2), (0.9, 1.1)))
    # the quicker quarter: writing waits for deliveries, which take longer after a burst, and for other programs
    writes = [float(np.quantile([s.write for s in part], 0.25)) for part in (second, last)]
    pauses = [float(np.quantile([s.pause for s in part], 0.25)) for part in (second, last)]
    spent = watch.samples[-1].time - watch.samples[0].time
    by_tenth = [max((s.memory for s in watch.between(t / 10, (t + 1) / 10)), default=0.0) / 1e6 for t in range(10)]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{INSTANCES:,} instances in {spent:.0f} s; memory {tenth / 1e6:.0f} MB after a tenth, then "
            f"{min(later) / 1e6:.0f} to {max(later) / 1e6:.0f} MB, at most by tenth "
            f"{' '.join(f'{m:.0f}' for m in by_tenth)}; checkpoints of "
            f"{second[0].size / 1e6:.1f} to {last[-1].size / 1e6:.1f} MB, written in {writes[0] * 1e3:.0f} ms in the "
            f"second tenth and {writes[1] * 1e3:.0f} ms in the last, pauses {pauses[0] * 1e3:.1f} and "
            f"{pauses[1] * 1e3:.1f} ms; lag {quiet:.0f} in quiet, {high:.0f} after the burst, gone in {behind:.0f} s\n"
        )
    assert behind < CATCH_UP_SECONDS
    assert max(later) <= 1.05 * tenth
    assert writes[1] <= 1.5 * writes[0] + 0.1
    assert pauses[1] <= 1.5 * pauses[0] + 0.02
