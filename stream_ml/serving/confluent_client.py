"""The service's Kafka client by confluent-kafka (librdkafka): compiled, several times as fast; an optional extra."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stream_ml.errors import ConfigError
from stream_ml.serving.broker import BrokerError, Deliveries, RecordsLostError, transaction_milliseconds, within
from stream_ml.serving.records import Place, Record
from stream_ml.serving.settings import KafkaSection, ServiceConfig

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
except ImportError as error:  # pragma: no cover
    raise ConfigError("kafka.client: confluent is not installed; pip install 'stream-ml[confluent]'") from error

__all__ = ["ConfluentBroker"]

METADATA_SECONDS = 30.0
COMMIT_SECONDS = 30.0
CLOSE_SECONDS = 3.0
NO_ROOM_SECONDS = 0.05
PASSING = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._PARTITION_EOF)
"""What the library says of brokers that are away, and goes on trying."""


class _Message(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def client_settings(kafka: KafkaSection) -> dict[str, Any]:
    """Settings that every client of librdkafka is made with."""
    security = kafka.security
    security.check_files()
    secrets = security.secrets()
    given = {
        "bootstrap.servers": ",".join(kafka.servers),
        "security.protocol": security.protocol,
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.cert_file,
        "ssl.key.location": security.key_file,
        "ssl.key.password": secrets.get("key_password"),
        "ssl.endpoint.identification.algorithm": "https" if security.check_hostname else "none",
        "sasl.mechanism": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": secrets.get("password"),
    }
    return {name: value for name, value in given.items() if value is not None}


class _Problems:
    """Keeps why connections fail, which the library tells apart from its errors."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, error: KafkaError) -> None:
        """Note a reason; that all brokers are down says nothing."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.last = error.str()


class ConfluentBroker:
    """See `Broker`."""

    def __init__(self, config: ServiceConfig) -> None:
        self._problems = _Problems()
        common = client_settings(config.kafka) | {"log_level": 0, "error_cb": self._problems}
        timeout = config.kafka.delivery_timeout_seconds
        self._group = config.input.group
        self._transactional = config.delivery == "transactional"
        self._deliveries = Deliveries(timeout + CLOSE_SECONDS)
        with self._told(f"connecting to {', '.join(config.kafka.servers)}"):
            self._consumer = Consumer(
                common
                | {
                    "group.id": self._group,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "fetch.wait.max.ms": 100,
                    "enable.partition.eof": False,
                }
            )
            producer = common | {
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": int(timeout * 1000),
            }
            if self._transactional:
                producer["transactional.id"] = f"{self._group}-predictions"
                producer["transaction.timeout.ms"] = transaction_milliseconds(config)
                # the library wants no message to outlive its transaction
                producer["delivery.timeout.ms"] = min(int(timeout * 1000), transaction_milliseconds(config))
            self._producer = Producer(producer)
            self._consumer.list_topics(timeout=config.kafka.connect_timeout_seconds)
            if self._transactional:
                self._producer.init_transactions(METADATA_SECONDS)

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """The client's errors as ours, with the last reason it gave for connections that failed."""
        self._problems.last = ""
        try:
            yield
        except KafkaException as error:
            if hasattr(self, "_producer"):
                self._producer.poll(0)  # reasons are told when it is asked
            text = error.args[0].str()
            because = f" ({self._problems.last})" if self._problems.last not in text else ""
            raise BrokerError(f"{doing}: {text}{because}") from error

    def partitions(self, topic: str) -> list[int]:
        with self._told(f"looking for topic {topic!r}"):
            # all of them: to ask for one may create it
            found = self._consumer.list_topics(timeout=METADATA_SECONDS).topics.get(topic)
        return sorted(found.partitions) if found is not None and found.error is None else []

    def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        with self._told("asking for the offsets of the input"):
            return {
                place: self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=METADATA_SECONDS)
                for place in places
            }

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        with self._told("asking for the group's offsets"):
            found = self._consumer.committed([TopicPartition(*place) for place in places], timeout=METADATA_SECONDS)
        return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def assign(self, positions: Mapping[Place, int]) -> None:
        with self._told("beginning to read"):
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in positions.items()])

    def poll(self, most: int, seconds: float) -> list[Record]:
        self._producer.poll(0)
        with self._told("reading"):
            messages = self._consumer.consume(1, seconds)
            if messages and most > 1:  # with what is there; to ask for all at once would be to wait for the last
                messages += self._consumer.consume(most - 1, 0)
        records: list[Record] = []
        m: Any
        for m in messages:
            error = m.error()
            if error is None:
                kind, time = m.timestamp()
                records.append(_Message(m.topic(), m.partition(), m.offset(), time if kind else -1, m.key(), m.value()))
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise RecordsLostError(error.str())
            elif error.fatal() or not (error.retriable() or error.code() in PASSING):
                raise BrokerError(f"reading: {error.str()}")
        return records

    def position(self, place: Place) -> int | None:
        (found,) = self._consumer.position([TopicPartition(*place)])
        return int(found.offset) if found.offset >= 0 else None

    def end_of(self, place: Place) -> int | None:
        with contextlib.suppress(KafkaException):
            _, end = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            return int(end) if end >= 0 else None
        return None

    def pause(self, paused: bool) -> None:
        places = self._consumer.assignment()
        (self._consumer.pause if paused else self._consumer.resume)(places)

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        generation = self._deliveries.sent()
        done = self._deliveries.done

        def delivered(error: Any, _: Any) -> None:
            done(generation, None if error is None else f"a message to {topic!r} was not delivered: {error.str()}")

        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, partition=partition, headers=dict(headers), on_delivery=delivered
                )
                return
            except BufferError:
                self._producer.poll(NO_ROOM_SECONDS)
            except (KafkaException, ValueError) as error:
                done(generation, f"a message to {topic!r} cannot be sent: {error}")
                raise BrokerError(f"a message to {topic!r} cannot be sent: {error}") from error

    @property
    def undelivered(self) -> int:
        self._producer.poll(0)
        return self._deliveries.undelivered

    def barrier(self) -> Callable[[], None]:
        wait = self._deliveries.barrier()

        def flush_and_wait() -> None:
            self._producer.flush(self._deliveries.timeout)  # whoever waits drives the callbacks
            wait()

        return flush_and_wait

    def commit(self, offsets: Mapping[Place, int]) -> None:
        with contextlib.suppress(KafkaException):
            self._consumer.commit(offsets=_positions(offsets), asynchronous=True)

    def begin(self) -> None:
        if self._transactional:
            with self._told("beginning a transaction"):
                self._producer.begin_transaction()

    def end(self, offsets: Mapping[Place, int]) -> None:
        def commit() -> None:
            group = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(_positions(offsets), group, COMMIT_SECONDS)
            self._producer.commit_transaction(COMMIT_SECONDS)

        if self._transactional:
            with self._told("committing a transaction"):
                within(COMMIT_SECONDS, commit)

    def close(self, *, abandon: bool = False) -> None:
        with contextlib.suppress(KafkaException, RuntimeError):
            if abandon:
                self._deliveries.abandon()
                self._producer.purge()
            else:
                self._producer.flush(CLOSE_SECONDS)
            self._consumer.close()


def _positions(offsets: Mapping[Place, int]) -> list[TopicPartition]:
    return [TopicPartition(*place, offset) for place, offset in offsets.items()]
