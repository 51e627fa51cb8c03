"""Where the service stands in its input, and what of its output is already out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_ml.errors import ServiceError
from stream_ml.serving.broker import Broker, RecordsLostError
from stream_ml.serving.logs import log
from stream_ml.serving.records import Place, Record
from stream_ml.serving.settings import ServiceConfig

__all__ = ["Positions"]


class Positions:
    """The offset of the next record of every partition.

    Parameters
    ----------
    config
        Settings.
    broker
        Where the partitions are.
    known
        Offsets of a checkpoint; {} without one.
    """

    def __init__(self, config: ServiceConfig, broker: Broker, known: Mapping[Place, int]) -> None:
        self.config, self.broker = config, broker
        self._next = dict(known)
        self._started = bool(known)
        self._published: dict[Place, int] = {}
        self._goal: dict[Place, int] = {}
        self._widths: dict[str, int] = {}

    def begin(self) -> None:
        """Check topics and offsets, and begin to read.

        Raises
        ------
        ServiceError
            A topic is missing, or records are that have not been read.
        """
        places = self._places()
        self.width(self.config.dead_letters.topic)
        if self.config.output.topic is not None:
            self.width(self.config.output.topic)
        stray = sorted(set(self._next) - set(places))
        if stray:
            raise ServiceError(
                f"the state was made from {_shown(stray)}, which this service does not read: name its topics in "
                "input.topics, or give this service a folder of its own (checkpoint.dir)"
            )
        bounds = self.broker.bounds(places)
        late = self.config.input.start == "latest" and not self._started
        for place in places:
            first, end = bounds[place]
            if place not in self._next:
                self._next[place] = end if late else first
            elif not first <= self._next[place] <= end:
                self._next[place] = self._moved(place, first, end)
        self._goal = {place: end for place, (_, end) in bounds.items()}
        if self.config.delivery == "transactional":
            self._published = self.broker.committed(places)
        self.broker.assign(self._next)

    def _moved(self, place: Place, first: int, end: int) -> int:
        """Where to go on when what comes next is not there."""
        stood = self._next[place]
        what = (
            f"{first - stood} records were deleted before they were read"
            if stood < first
            else (f"it ends at {end}: it was made anew, or cut")
        )
        problem = f"{place[0]}/{place[1]}: the state stands at offset {stood}, and {what}"
        if self.config.input.on_lost == "stop":
            raise RecordsLostError(
                f"{problem}; set input.on_lost: continue to go on with what there is, from offset {first}"
            )
        log.warning("records lost", topic=place[0], partition=place[1], problem=problem, going_on_at=first)
        return first

    def look(self) -> bool:
        """Read new partitions, too, from their beginning; tells whether there were any."""
        try:
            new = [place for place in self._places() if place not in self._next]
            bounds = self.broker.bounds(new)
            widths = {topic: len(self.broker.partitions(topic)) for topic in self._widths}
        except ServiceError as error:  # the brokers are away: there is time
            log.warning("cannot look for new partitions", error=str(error))
            return False
        self._widths |= {topic: width for topic, width in widths.items() if width}
        if new:
            self._next |= {place: first for place, (first, _) in bounds.items()}
            self.broker.assign(self._next)
        return bool(new)

    def _places(self) -> list[Place]:
        places = []
        for topic in dict.fromkeys(self.config.input.topics):
            numbers = self.broker.partitions(topic)
            if not numbers:
                raise ServiceError(f"input.topics: there is no topic {topic!r}: create it, or correct its name")
            places += [(topic, number) for number in numbers]
        return places

    def width(self, topic: str) -> int:
        """Number of partitions of a topic that is written to."""
        if topic not in self._widths:
            width = len(self.broker.partitions(topic))
            if not width:
                raise ServiceError(f"there is no topic {topic!r} to write to: create it, or correct its name")
            self._widths[topic] = width
        return self._widths[topic]

    def advance(self, records: Sequence[Record]) -> None:
        """Note that records were taken."""
        for record in records:
            self._next[record.topic, record.partition] = record.offset + 1

    def published(self, record: Record) -> bool:
        """Whether what a record leads to was published by a transaction that the state does not know of."""
        return record.offset < self._published.get((record.topic, record.partition), 0)

    def offsets(self) -> dict[Place, int]:
        """All positions."""
        return dict(self._next)

    def at_end(self) -> bool:
        """Whether all that was there at the beginning has been read, and what was polled has been taken."""
        return all(self._reached(place) >= end for place, end in self._goal.items())

    def lags(self) -> dict[Place, int]:
        """Records that have not been read, as far as the brokers have told."""
        ends = {place: self.broker.end_of(place) for place in self._next}
        return {place: max(0, end - self._reached(place)) for place, end in ends.items() if end is not None}

    def _reached(self, place: Place) -> int:
        """Up to where there is nothing left to take: markers of transactions are no records, but have offsets."""
        return max(self._next[place], self.broker.position(place) or 0)

    def shown(self) -> str:
        """For people."""
        return ", ".join(f"{topic}/{partition}: {offset}" for (topic, partition), offset in self._next.items())


def _shown(places: Sequence[Place]) -> str:
    return ", ".join(f"{topic}/{partition}" for topic, partition in places)
