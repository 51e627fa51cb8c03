"""The loop: read, predict, publish, learn, and keep what must survive."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import orjson

from stream_ml.errors import ArtefactError, ConfigError, ServiceError
from stream_ml.evaluation import needs_gates, warm_up
from stream_ml.ihomer import IHomerClassifier
from stream_ml.jit import when_compiling
from stream_ml.serving.breaker import Breaker
from stream_ml.serving.broker import Broker, BrokerError, RecordsLostError, connect
from stream_ml.serving.checkpoints import CheckpointFolder, Copies, Writer
from stream_ml.serving.engine import Engine, EngineOptions, Outcome
from stream_ml.serving.lease import Lease, LeaseLostError
from stream_ml.serving.logs import log
from stream_ml.serving.positions import Positions
from stream_ml.serving.records import Record
from stream_ml.serving.settings import ServiceConfig
from stream_ml.serving.stop import StopFlag
from stream_ml.serving.telemetry import Telemetry
from stream_ml.states import FLAWS, told, whole
from stream_ml.streams.schema import Schema

__all__ = ["Service", "engine_for", "restored"]

POLL_SECONDS = 0.2
END_SECONDS = 6.0
"""Time for the last checkpoint: brokers that are away must not keep the process from ending."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
"""Before a new beginning, when brokers failed."""
STEADY_SECONDS = 60.0
"""After so long without a failure the next one is another outage."""
GAUGE_SECONDS = 1.0
PARTITION_SECONDS = 30.0
MOST_UNDELIVERED = 50_000
"""Messages on their way at which reading pauses, until half of them are gone."""


@dataclass(frozen=True, slots=True)
class _Restored:
    """Where a service begins."""

    engine: Engine
    positions: dict[tuple[str, int], int]
    number: int


def engine_for(config: ServiceConfig) -> Engine:
    """A service's engine without any state but a model's, if it is to begin with one.

    Raises
    ------
    ConfigError, ArtefactError
        The schema or the model cannot be read.
    """
    options = _options(config)
    if config.model.file is not None:
        model = IHomerClassifier.load(config.model.file)
        if model.schema is None:
            raise ArtefactError(f"{config.model.file}: has not learned anything: use model.parameters instead")
        schema = model.schema
        return Engine(model, schema, closed=not schema.sparse, options=options)
    if config.input.format is not None:
        schema = _pinned(Path(config.input.format))
        return Engine(IHomerClassifier(schema, **config.model.parameters), schema, closed=True, options=options)
    return Engine(IHomerClassifier(**config.model.parameters), options=options)


def restored(
    config: ServiceConfig, folder: CheckpointFolder, generation: str | None, tell: Callable[[str], None]
) -> _Restored | None:
    """The state of the newest whole checkpoint, or of the named one; None where there is none.

    Raises
    ------
    ArtefactError
        It cannot be read, or none of them can.
    """
    if generation is not None:
        path = folder.folder / generation
        found = path, folder.read(path)
    else:
        newest = folder.newest(tell)
        if newest is None:
            return None
        found = newest
    path, artefact = found
    engine = Engine.restored(artefact.arrays, artefact.facts, _options(config), source=str(path))
    try:
        positions = {(str(t), whole(p)): whole(offset) for t, p, offset in artefact.facts["positions"]}
    except FLAWS as error:
        raise ArtefactError(f"{path}: damaged: positions: {told(error)}") from error
    number = max((folder.number(p) for p in folder.generations()), default=0)
    tell(f"state of {path.name}: {engine.model.n_learned} instances learned")
    return _Restored(engine, positions, number)


def _options(config: ServiceConfig) -> EngineOptions:
    age = config.waiting.max_age_seconds
    return EngineOptions(
        frozen=config.mode == "frozen",
        probabilities=config.output.probabilities,
        most_waiting=config.waiting.max_instances,
        most_early=config.waiting.max_labels,
        max_age=None if age is None else int(age * 1000),
    )


def _pinned(path: Path) -> Schema:
    """A schema from a file: `{"sparse": false, "features": ["a", ["colour", ["red", "blue"]]], "labels": ["p"]}`."""
    try:
        data = orjson.loads(path.read_bytes())
        features = [[f, None] if isinstance(f, str) else f for f in data["features"]]
        return Schema.from_dict(
            {"name": path.stem, "sparse": bool(data.get("sparse")), "features": features, "labels": data["labels"]}
        )
    except OSError as error:
        raise ConfigError(f"input.format: {path}: cannot be read: {error.strerror}") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"input.format: {path}: not a schema with features and labels: {error}") from None


class Service:
    """One member of a group: active, or standing by.

    Parameters
    ----------
    config
        Settings.
    stop
        Asked between any two batches.
    generation
        Checkpoint to begin with; None: the newest.
    stop_at_end
        Whether to end when all that was there at the start has been read.
    """

    def __init__(
        self,
        config: ServiceConfig,
        stop: StopFlag,
        *,
        generation: str | None = None,
        stop_at_end: bool = False,
    ) -> None:
        self.config, self.stop, self.generation, self.stop_at_end = config, stop, generation, stop_at_end
        self.telemetry = Telemetry()
        folder = Path(config.checkpoint.dir)
        self.folder = CheckpointFolder(folder, config.checkpoint.keep)
        self.lease = Lease(folder, config.checkpoint.lease_seconds)
        self.writer = Writer()
        dead = config.dead_letters
        self.breaker = Breaker(dead.max_consecutive, dead.max_share, dead.window)
        self.engine: Engine
        self.broker: Broker
        self.positions: Positions
        self._number = self._since = self._taken = 0
        self._last_checkpoint = self._last_gauges = self._last_look = time.monotonic()
        self._written_at = self._began = self._failing_since = time.monotonic()
        self._paused = self._gates_ready = False
        self._reported: Counter[str] = Counter()

    # -- a life ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Wait for the turn, go on from the last checkpoint, and serve until asked to stop.

        Raises
        ------
        ServiceError
            It cannot begin or go on; what was learned since the last checkpoint will be learned again.
        """
        self.stop.leave = self._leave
        telemetry = self.config.telemetry
        if telemetry.port is not None:
            port = self.telemetry.serve(telemetry.host, telemetry.port)
            log.info("telemetry", url=f"http://{telemetry.host}:{port}/metrics")
        try:
            self._compile()
            if self.stop.asked or not self.lease.acquire(stopped=self._standing_by, waits=log.info):
                return
            self.telemetry.active.set(1)
            log.info("active", epoch=self.lease.epoch, folder=str(self.folder.folder))
            self._begin()
            while (failure := self._served()) is not None:
                self._recover(failure)
            self._end()
        except LeaseLostError:
            self.lease.epoch = 0  # it is another's to release
            raise
        finally:
            self.telemetry.ready = False
            if self.lease.epoch:
                self.lease.release()
            self.telemetry.close()

    def _leave(self) -> None:
        """Time is up: the next one may take over at once, from the last checkpoint."""
        log.warning("no last checkpoint: what was under way took too long; the one before stands")
        if self.lease.epoch:
            self.lease.release()

    def _served(self) -> BrokerError | None:
        """Serve until asked to stop, or until the brokers failed in a way that a new beginning may mend."""
        try:
            with self._telling("compiling what the stream needs besides: once per install, up to a minute"):
                self._loop()
        except RecordsLostError:
            self.broker.close(abandon=True)
            raise
        except BrokerError as error:
            self.broker.close(abandon=True)
            return error
        except BaseException:
            self.broker.close(abandon=True)
            raise
        return None

    def _recover(self, failure: BrokerError) -> None:
        """Begin anew from the last checkpoint: what was not delivered, or not committed, will be made again.

        Raises
        ------
        BrokerError
            They fail for longer than they may be away.
        """
        self.telemetry.ready = False
        self.telemetry.recoveries.inc()
        self._since = 0
        now, error, pause = time.monotonic(), failure, FIRST_PAUSE_SECONDS
        if self._written_at > self._began or now - self._began > STEADY_SECONDS:
            self._failing_since = now
        while not self.stop.asked:
            if time.monotonic() - self._failing_since > self.config.kafka.delivery_timeout_seconds:
                raise error
            log.error("the brokers failed; beginning anew from the last checkpoint", error=str(error))
            end = time.monotonic() + pause
            while time.monotonic() < end and not self.stop.asked:
                self.lease.check()
                self.telemetry.turn()
                time.sleep(min(POLL_SECONDS, pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                self.writer.wait()
                self.writer.take()  # whatever came of it: the folder tells
                self._begin()
                return
            except RecordsLostError:
                raise
            except BrokerError as problem:
                error = problem

    def _standing_by(self) -> bool:
        self.telemetry.turn()
        return self.stop.asked

    def _compile(self) -> None:
        """Have the kernels ready before anything is read."""
        start = time.perf_counter()
        with self._telling("compiling: once per install, about a minute"):
            for sparse in (True, False):
                warm_up(IHomerClassifier(**self.config.model.parameters), sparse=sparse)
                self.telemetry.turn()
        log.debug("kernels ready", seconds=round(time.perf_counter() - start, 2))

    def _compile_gates(self, model: IHomerClassifier) -> None:
        """Have what gates run ready, too, where it is known that there will be gates."""
        if not self._gates_ready and model.schema is not None and needs_gates(model, model.schema):
            with self._telling("compiling for gates: once per install, up to a minute"):
                parameters = self.config.model.parameters
                warm_up(IHomerClassifier(**parameters), sparse=model.schema.sparse, gates=True)
            self._gates_ready = True

    def _telling(self, message: str) -> AbstractContextManager[None]:
        """Say so, and go on telling how the service is, while kernels are compiled."""
        return when_compiling(lambda: log.info(message), self.telemetry.turn)

    def _begin(self) -> None:
        """Restore the state and begin to read where it stands."""
        self.folder.clear_leavings()
        found = restored(self.config, self.folder, self.generation, log.info)
        self.engine = engine_for(self.config) if found is None else found.engine
        self._compile_gates(self.engine.model)
        self._number = 0 if found is None else found.number
        self.broker = connect(self.config)
        self.positions = Positions(self.config, self.broker, {} if found is None else found.positions)
        self.positions.begin()
        self.broker.begin()
        self.telemetry.ready = True
        self._last_checkpoint = self._written_at = self._began = time.monotonic()
        self._paused = False
        self._reported = Counter(self.engine.counts)
        if found is None and self.config.input.start == "latest":
            # where the end was must survive, too
            self.writer.copies.make_room(Copies.size(self.engine.snapshot()[0]))
            self._checkpoint()
        log.info("reading", positions=self.positions.shown(), learned=self.engine.model.n_learned)

    def _loop(self) -> None:
        while not self.stop.asked:
            self.lease.check()
            self.telemetry.turn()
            with self.telemetry.stage("poll"):
                records = self.broker.poll(self.config.input.max_records, POLL_SECONDS)
            if records:
                self._take(records)
            self._keep_house()
            if self.stop_at_end and self.positions.at_end():
                return

    def _take(self, records: Sequence[Record]) -> None:
        """One batch, from having it to having handed on what it led to."""
        start = time.perf_counter()
        with self.telemetry.stage("process"):
            outcome = self.engine.process(records)
        self.lease.check()  # a process that was paused must not publish what another has published
        with self.telemetry.stage("publish"):
            self._publish(outcome)
        self.positions.advance(records)
        self._since += len(records)
        self._taken += len(records)
        self.telemetry.latency.observe(time.perf_counter() - start)
        for event in outcome.events:
            self.telemetry.note(event)
            log.debug("model event", **event.to_dict())
        places = {id(record): at for at, record in enumerate(records)}
        bad = [places[id(letter.cause)] for letter in outcome.dead if letter.reason == "bad record"]
        self.breaker.note(len(records), bad)

    def _publish(self, outcome: Outcome) -> None:
        output, send = self.config.output.topic, self.broker.send
        if output is not None and self.config.mode != "shadow":
            width = self.positions.width(output)
            for record, value in outcome.outputs:
                if not self.positions.published(record):
                    key = b"%s/%d/%d" % (record.topic.encode(), record.partition, record.offset)
                    send(output, record.partition % width, key, value, {})
        topic = self.config.dead_letters.topic
        for letter in outcome.dead:
            self.telemetry.dead.labels(letter.reason).inc()
            if self.positions.published(letter.cause):
                continue
            source, partition, offset = letter.place.rsplit("/", 2)
            headers = {
                "reason": letter.reason.encode(),
                "error": letter.error.encode(),
                "topic": source.encode(),
                "partition": partition.encode(),
                "offset": offset.encode(),
            }
            send(topic, int(partition) % self.positions.width(topic), letter.place.encode(), letter.value, headers)
        if outcome.dead:
            first = outcome.dead[0]
            log.warning("dead letters", count=len(outcome.dead), reason=first.reason, first=first.error)

    # -- beside the records ---------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        """What is done now and then: checkpoints, gauges, new partitions, backpressure."""
        now = time.monotonic()
        self._note_written()
        checkpoint = self.config.checkpoint
        due = now - self._last_checkpoint >= checkpoint.every_seconds
        due = due or (checkpoint.every_records is not None and self._since >= checkpoint.every_records)
        if due and self._since and not self.writer.busy:
            with self.telemetry.stage("checkpoint"):
                self._checkpoint()
        if now - self._last_gauges >= GAUGE_SECONDS:
            self._last_gauges = now
            self._show()
        if now - self._last_look >= PARTITION_SECONDS:
            self._last_look = now
            if self.positions.look():
                log.info("new partitions", positions=self.positions.shown())
        undelivered = self.broker.undelivered
        if self._paused != (undelivered > MOST_UNDELIVERED // (2 if self._paused else 1)):
            self._paused = not self._paused
            self.broker.pause(self._paused)
            log.info("reading paused" if self._paused else "reading resumed", undelivered=undelivered)

    def _checkpoint(self) -> None:
        """Copy the state, and have it written beside the stream once all that was published so far is delivered."""
        start = time.perf_counter()
        arrays, rest = self.engine.snapshot()
        size = Copies.size(arrays)
        if not self.writer.copies.fits(size):
            self.writer.prepare(size)
            return
        copies = self.writer.copies.copy(arrays)
        self.telemetry.checkpoint_pause.set(time.perf_counter() - start)
        offsets = self.positions.offsets()
        delivered = self.broker.barrier()
        if self.config.delivery == "transactional":
            self.broker.end(offsets)
            self.broker.begin()
        self._number += 1
        number = self._number

        def write() -> int:
            delivered()
            self.lease.check()
            others, facts = rest()
            places = [[topic, partition, offset] for (topic, partition), offset in offsets.items()]
            return self.folder.write(self.lease.epoch, number, copies | others, {**facts, "positions": places})

        self.writer.write(write, offsets)
        self._since, self._last_checkpoint = 0, time.monotonic()

    def _note_written(self) -> None:
        """What became of checkpoints that were being written."""
        for written in self.writer.take():
            self.telemetry.checkpoints.labels("written" if written.error is None else "failed").inc()
            if isinstance(written.error, ServiceError):
                raise written.error
            if written.error is not None:
                log.error(
                    "checkpoint not written; the one before stands, and it will be tried again",
                    error=str(written.error),
                )
                self._since = max(1, self._since)
                continue
            self._written_at, self.generation = time.monotonic(), None
            self.telemetry.checkpoint_seconds.set(written.seconds)
            self.telemetry.checkpoint_bytes.set(written.size)
            if self.config.delivery == "at_least_once":
                self.broker.commit(written.positions)
            log.debug("checkpoint", number=self._number, bytes=written.size, seconds=round(written.seconds, 3))

    def _end(self) -> None:
        """Finish what is under way: a last checkpoint, then leave."""
        log.info("stopping", signal=self.stop.signal)
        self.telemetry.ready = False
        until = time.monotonic() + END_SECONDS
        written = self.writer.wait(END_SECONDS)
        self._note_written()
        if self._since and written:
            arrays, _ = self.engine.snapshot()
            self.writer.copies.make_room(Copies.size(arrays))
            self._checkpoint()
            written = self.writer.wait(max(0.0, until - time.monotonic()))
            self._note_written()
        if not written:
            log.warning("no last checkpoint: the brokers or the disk took too long; the one before stands")
        self.broker.close(abandon=not written)
        seconds = time.monotonic() - self._began
        log.info(
            "stopped",
            learned=self.engine.model.n_learned,
            records=self.engine.counts["records"],
            taken=self._taken,
            seconds=round(seconds, 2),
            stages={name: round(spent, 2) for name, spent in self.telemetry.spent.items()},
        )

    def _show(self) -> None:
        """Renew the gauges."""
        t, engine, model = self.telemetry, self.engine, self.engine.model
        for name, n in engine.counts.items():
            t.counted.labels(name).inc(n - self._reported[name])
            self._reported[name] = n
        for (topic, partition), lag in self.positions.lags().items():
            t.lag.labels(topic, str(partition)).set(lag)
        t.undelivered.set(self.broker.undelivered)
        t.bad_run.set(self.breaker.in_a_row)
        t.bad_recent.set(self.breaker.recent)
        t.waiting.set(len(engine.waiting))
        t.early.set(len(engine.early))
        for span, metrics in (("overall", engine.overall), ("recent", engine.recent)):
            for name, value in metrics.result().items():
                t.quality.labels(name, span).set(value)
        t.version.set(model.n_learned)
        t.cluster_sizes = [len(cluster) for cluster in model.clusters]
        t.clusters.set(len(t.cluster_sizes))
        t.nodes.set(model.n_tree_nodes)
        for part, size in model.memory_usage().items():
            t.memory.labels(part).set(size)
        if engine.schema is not None:
            t.labels.set(engine.schema.n_labels)
            t.features.set(engine.schema.n_features)
        t.checkpoint_age.set(time.monotonic() - self._written_at)
