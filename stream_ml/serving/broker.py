"""What the service needs of a Kafka client; two clients give it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from stream_ml.errors import ServiceError
from stream_ml.serving.records import Place, Record
from stream_ml.serving.settings import ServiceConfig

__all__ = ["Broker", "BrokerError", "Deliveries", "RecordsLostError", "connect", "transaction_milliseconds", "within"]

LONGEST_TRANSACTION = 900_000
"""What brokers allow, unless they are told otherwise."""


class BrokerError(ServiceError):
    """The brokers refused something, or could not be reached for too long."""


class RecordsLostError(BrokerError):
    """A position is no longer, or not yet, in its partition."""


class Broker(Protocol):
    """A consumer and a producer. Methods raise `BrokerError` where nothing else is said."""

    def partitions(self, topic: str) -> list[int]:
        """Numbers of a topic's partitions; empty where there is no such topic."""
        ...

    def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        """Offsets of the first record and of the one that will come next, of each place."""
        ...

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """Offsets that the group has committed; places without one are left out."""
        ...

    def assign(self, positions: Mapping[Place, int]) -> None:
        """Read these places from these offsets on."""
        ...

    def poll(self, most: int, seconds: float) -> list[Record]:
        """Up to `most` records; none after `seconds` without any. `RecordsLostError` where a position is gone."""
        ...

    def position(self, place: Place) -> int | None:
        """Offset from which on will be polled: beyond the last record polled where only markers of transactions follow.

        None where it is not known yet; asks nobody.
        """
        ...

    def end_of(self, place: Place) -> int | None:
        """Offset of the record that will come next, as last heard; asks nobody."""
        ...

    def pause(self, paused: bool) -> None:
        """Stop or resume fetching; `poll` keeps the connection alive meanwhile."""
        ...

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        """Have a message delivered, some time."""
        ...

    @property
    def undelivered(self) -> int:
        """Messages on their way."""
        ...

    def barrier(self) -> Callable[[], None]:
        """Something to call, in any thread, that returns once all that was sent so far is delivered."""
        ...

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Tell the group's offsets, without waiting."""
        ...

    def begin(self) -> None:
        """Begin a transaction, where delivery is transactional."""
        ...

    def end(self, offsets: Mapping[Place, int]) -> None:
        """Commit the transaction, offsets included; returns when it is done."""
        ...

    def close(self, *, abandon: bool = False) -> None:
        """Leave; with `abandon` without waiting for what is on its way."""
        ...


class Deliveries:
    """Counts messages on their way, in generations that a barrier can wait for."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._changed = threading.Condition()
        self._left = {0: 0}
        self._generation = 0
        self._error: str | None = None

    @property
    def undelivered(self) -> int:
        """Messages on their way."""
        with self._changed:
            return sum(self._left.values())

    def sent(self) -> int:
        """Note a message; gives the generation to be told `done` with. Raises the first failure there was."""
        with self._changed:
            if self._error is not None:
                raise BrokerError(self._error)
            self._left[self._generation] += 1
            return self._generation

    def done(self, generation: int, error: str | None = None) -> None:
        """Note that a message was delivered, or was not."""
        with self._changed:
            self._left[generation] -= 1
            self._error = self._error or error
            if error is not None or not self._left[generation]:
                self._changed.notify_all()

    def abandon(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._error = self._error or "messages were abandoned"
            self._changed.notify_all()

    def barrier(self) -> Callable[[], None]:
        """Close the generation; what is given waits for it and all before it."""
        with self._changed:
            last = self._generation
            self._generation += 1
            self._left[self._generation] = 0

        def wait() -> None:
            with self._changed:
                arrived = self._changed.wait_for(
                    lambda: self._error is not None or not any(n for g, n in self._left.items() if g <= last),
                    self.timeout,
                )
                if self._error is not None:
                    raise BrokerError(self._error)
                if not arrived:
                    raise BrokerError(f"messages were not delivered within {self.timeout:.0f} seconds")
                for generation in [g for g in self._left if g <= last]:
                    del self._left[generation]

        return wait


def within(seconds: float, commit: Callable[[], None]) -> None:
    """Commit a transaction that may wait for ever.

    kafka-python has no timeout for the answer of a broker that was killed meanwhile, and librdkafka ignores its own
    where it sends the offsets (its issue 5456). A thread left behind is fenced off by the next client.

    Raises
    ------
    BrokerError
        It has not ended within `seconds`; or whatever `commit` raised.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            commit()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, name="transaction", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise BrokerError(f"committing a transaction: no answer within {seconds:.0f} seconds")
    if failures:
        raise failures[0]


def transaction_milliseconds(config: ServiceConfig) -> int:
    """How long a transaction may last: some checkpoints."""
    return min(LONGEST_TRANSACTION, max(60_000, int(4000 * config.checkpoint.every_seconds)))


def connect(config: ServiceConfig) -> Broker:
    """The client that a configuration names.

    Raises
    ------
    BrokerError
        No broker can be reached, or the client is not installed.
    """
    if config.kafka.client == "confluent":
        from stream_ml.serving.confluent_client import ConfluentBroker

        return ConfluentBroker(config)
    from stream_ml.serving.kafka_client import KafkaPythonBroker

    return KafkaPythonBroker(config)
