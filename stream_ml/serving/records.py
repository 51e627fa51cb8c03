"""What comes in and goes out, whatever carries it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["DeadLetter", "Output", "Place", "Record", "place_of"]

Place = tuple[str, int]
"""A topic and the number of one of its partitions."""


class Record(Protocol):
    """A message as Kafka gives it."""

    @property
    def topic(self) -> str:
        """Where it stands."""
        ...

    @property
    def partition(self) -> int:
        """Number of the partition."""
        ...

    @property
    def offset(self) -> int:
        """Its place there."""
        ...

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970; negative when it has none."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key."""
        ...

    @property
    def value(self) -> bytes | None:
        """What it says."""
        ...


class Output(NamedTuple):
    """A prediction to be published; `record` is what it answers to."""

    record: Record
    value: bytes


class DeadLetter(NamedTuple):
    """A record that could not be used as it is, and why; `place` is where it stood (see `place_of`).

    `cause` is the record at which that was found out: labels are orphans long after they were read.
    """

    cause: Record
    place: str
    value: bytes | None
    reason: str
    error: str


def place_of(record: Record) -> str:
    """Where a record stands, as messages and keys of outputs have it: `topic/partition/offset`."""
    return f"{record.topic}/{record.partition}/{record.offset}"
