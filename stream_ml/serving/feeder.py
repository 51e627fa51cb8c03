"""A producer for streams that are made or replayed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, TopicAlreadyExistsError

from stream_ml.serving.broker import BrokerError, Deliveries

__all__ = ["Feeder"]

TIMEOUT = 60.0


class Feeder:
    """Creates topics and sends messages; a message's key decides its partition, so that of one id all come in order.

    Raises
    ------
    BrokerError
        From any method: the brokers refuse, or are not there.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._deliveries = Deliveries(TIMEOUT)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=self._servers, linger_ms=20, batch_size=1 << 18, acks="all", enable_idempotence=True
            )
        except KafkaError as error:
            raise BrokerError(f"no broker answers at {', '.join(servers)}: {error}") from error

    def create(self, topics: Iterable[str], partitions: int) -> None:
        """Make the topics that are not there."""
        try:
            admin = KafkaAdminClient(bootstrap_servers=self._servers)
            have = set(admin.list_topics())
            for topic in topics:
                if topic not in have:
                    try:
                        admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": -1}})
                    except TopicAlreadyExistsError:
                        continue
            admin.close()
        except KafkaError as error:
            raise BrokerError(f"topics cannot be made: {error}") from error

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Send a message."""
        generation = self._deliveries.sent()
        done = self._deliveries.done
        try:
            future = self._producer.send(topic, value=value, key=key.encode())
        except (KafkaError, AssertionError) as error:
            raise BrokerError(f"a message to {topic!r} cannot be sent: {error}") from error
        future.add_callback(lambda _: done(generation))
        future.add_errback(lambda error: done(generation, f"a message was not delivered: {error}"))

    def close(self) -> None:
        """Return when all is delivered."""
        self._deliveries.barrier()()
        self._producer.close()
