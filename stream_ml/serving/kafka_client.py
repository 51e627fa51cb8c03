"""The service's Kafka client by kafka-python: pure Python, nothing to compile."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from stream_ml.serving.broker import BrokerError, Deliveries, RecordsLostError, transaction_milliseconds, within
from stream_ml.serving.records import Place, Record
from stream_ml.serving.settings import KafkaSection, ServiceConfig

__all__ = ["KafkaPythonBroker", "client_settings", "told"]

FETCH_BYTES = 16 << 20
COMMIT_MILLISECONDS = 30_000
"""The client would wait as long as brokers may be away on a transaction that they have forgotten."""
CLOSE_SECONDS = 3.0


def client_settings(kafka: KafkaSection) -> dict[str, Any]:
    """Settings that every client of kafka-python is made with."""
    security = kafka.security
    security.check_files()
    secrets = security.secrets()
    given = {
        "bootstrap_servers": kafka.servers,
        "security_protocol": security.protocol,
        "bootstrap_timeout_ms": int(kafka.connect_timeout_seconds * 1000),
        "ssl_cafile": security.ca_file,
        "ssl_certfile": security.cert_file,
        "ssl_keyfile": security.key_file,
        "ssl_password": secrets.get("key_password"),
        "ssl_check_hostname": security.check_hostname,
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": secrets.get("password"),
    }
    return {name: value for name, value in given.items() if value is not None}


class _Problems(logging.Handler):
    """Keeps why connections fail, which the client's exceptions do not say, and keeps its log off the terminal."""

    FAILED = re.compile(r"(?:failed|lost|Abort)[: (]+(.*?)\)?(?: \(backoff.*)?$")
    SAYS_NOTHING = re.compile("socket disconnected|KafkaTimeoutError")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Note a reason; one that says nothing does not displace one that does."""
        found = self.FAILED.search(record.getMessage())
        if found and not (self.last and self.SAYS_NOTHING.search(found[1])):
            self.last = found[1]


PROBLEMS = _Problems()
logging.getLogger("kafka").addHandler(PROBLEMS)
logging.getLogger("kafka").propagate = False


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """The client's errors as ours, with what its log says of connections that failed."""
    PROBLEMS.last = ""
    try:
        yield
    except (KafkaError, OSError) as error:  # OSError: what ssl says of certificates
        because = f" ({PROBLEMS.last})" if PROBLEMS.last and PROBLEMS.last not in str(error) else ""
        raise BrokerError(f"{doing}: {error}{because}") from error


class KafkaPythonBroker:
    """See `Broker`. A later transactional producer of the same group fences an earlier one."""

    def __init__(self, config: ServiceConfig) -> None:
        common = client_settings(config.kafka)
        timeout = config.kafka.delivery_timeout_seconds
        self._group = config.input.group
        self._transactional = config.delivery == "transactional"
        if self._transactional:  # a longer one is given up by the brokers
            timeout = min(timeout, transaction_milliseconds(config) / 1000)
        self._deliveries = Deliveries(timeout + CLOSE_SECONDS)
        with told(f"connecting to {', '.join(config.kafka.servers)}"):
            self._consumer = KafkaConsumer(
                **common,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=FETCH_BYTES // 4,
                max_poll_records=config.input.max_records,
                fetch_max_wait_ms=100,
            )
            producer = dict(common, acks="all", enable_idempotence=True, linger_ms=5, batch_size=1 << 17)
            producer["delivery_timeout_ms"] = int(timeout * 1000)
            producer["max_block_ms"] = int(timeout * 1000)
            if self._transactional:
                producer["max_block_ms"] = COMMIT_MILLISECONDS
                producer["transactional_id"] = f"{self._group}-predictions"
                producer["transaction_timeout_ms"] = transaction_milliseconds(config)
            self._producer = KafkaProducer(**producer)
            if self._transactional:
                self._producer.init_transactions()

    def partitions(self, topic: str) -> list[int]:
        with told(f"looking for topic {topic!r}"):
            if topic not in self._consumer.topics():
                return []
            return sorted(self._consumer.partitions_for_topic(topic) or [])

    def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        wanted = [TopicPartition(*place) for place in places]
        with told("asking for the offsets of the input"):
            first, last = self._consumer.beginning_offsets(wanted), self._consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): (first[tp], last[tp]) for tp in wanted}

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        with told("asking for the group's offsets"):
            found = {place: self._consumer.committed(TopicPartition(*place)) for place in places}
        return {place: offset for place, offset in found.items() if offset is not None and offset >= 0}

    def assign(self, positions: Mapping[Place, int]) -> None:
        with told("beginning to read"):
            self._consumer.assign([TopicPartition(*place) for place in positions])
            for place, offset in positions.items():
                self._consumer.seek(TopicPartition(*place), offset)

    def poll(self, most: int, seconds: float) -> list[Record]:
        try:
            with told("reading"):
                found = self._consumer.poll(timeout_ms=int(seconds * 1000), max_records=most)
        except BrokerError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise RecordsLostError(str(error.__cause__)) from error
            raise
        return [record for records in found.values() for record in records]

    def position(self, place: Place) -> int | None:
        with contextlib.suppress(KafkaError):
            position = self._consumer.position(TopicPartition(*place), timeout_ms=0)
            return None if position is None else int(position)
        return None

    def end_of(self, place: Place) -> int | None:
        return self._consumer.highwater(TopicPartition(*place))

    def pause(self, paused: bool) -> None:
        places = self._consumer.assignment()
        (self._consumer.pause if paused else self._consumer.resume)(*places)

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        generation = self._deliveries.sent()
        done = self._deliveries.done
        try:
            future = self._producer.send(
                topic, value=value, key=key, headers=list(headers.items()), partition=partition
            )
        except (KafkaError, ValueError, AssertionError) as error:
            done(generation, f"a message to {topic!r} cannot be sent: {error}")
            raise BrokerError(f"a message to {topic!r} cannot be sent: {error}") from error
        future.add_callback(lambda _: done(generation))
        future.add_errback(lambda error: done(generation, f"a message to {topic!r} was not delivered: {error}"))

    @property
    def undelivered(self) -> int:
        return self._deliveries.undelivered

    def barrier(self) -> Callable[[], None]:
        return self._deliveries.barrier()

    def commit(self, offsets: Mapping[Place, int]) -> None:
        # for lag tools alone: the service's own offsets are in its checkpoints
        with contextlib.suppress(KafkaError):
            self._consumer.commit_async(_with_metadata(offsets))

    def begin(self) -> None:
        if self._transactional:
            with told("beginning a transaction"):
                self._producer.begin_transaction()

    def end(self, offsets: Mapping[Place, int]) -> None:
        if self._transactional:

            def commit() -> None:
                self._producer.send_offsets_to_transaction(_with_metadata(offsets), self._group)
                self._producer.commit_transaction()

            with told("committing a transaction"):
                within(COMMIT_MILLISECONDS / 1000, commit)

    def close(self, *, abandon: bool = False) -> None:
        if abandon:
            self._deliveries.abandon()
        with contextlib.suppress(KafkaError, RuntimeError):
            self._producer.close(timeout=0 if abandon else CLOSE_SECONDS)
        with contextlib.suppress(KafkaError, RuntimeError):
            self._consumer.close(autocommit=False, timeout_ms=int(CLOSE_SECONDS * 1000))


def _with_metadata(offsets: Mapping[Place, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
