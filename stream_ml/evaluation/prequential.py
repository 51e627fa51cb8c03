"""The prequential loop: every instance is predicted, scored, then learned, beside the baselines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ArtefactError, DataError
from stream_ml.evaluation.baselines import MajorityLabelset, NoChange
from stream_ml.evaluation.calibration import Calibration
from stream_ml.evaluation.fingerprint import Fingerprint
from stream_ml.evaluation.looks import LABELS_TOGETHER, Looks, frequent, resources_of, structure_of
from stream_ml.evaluation.metrics import Metrics
from stream_ml.evaluation.ranking import RANKED, PrecisionAtK
from stream_ml.evaluation.run_summary import summary_of
from stream_ml.ihomer.events import Event
from stream_ml.ihomer.state import json_array
from stream_ml.streams.batch import PREDICT, Batch, Predictions, first_learned
from stream_ml.streams.schema import Schema

__all__ = ["Model", "Progress", "Result", "RunState", "part_of", "prequential"]

COUNTS = ("n_rows", "n_predicted", "n_learned", "n_scored", "in_window", "n_labels", "n_features")


@runtime_checkable
class Model(Protocol):
    """What the loop needs of a model.

    `clusters`, `drain_events`, `glance`, `structure` and `memory_usage` are read where a model has them.
    """

    def test_then_train(self, batch: Batch) -> Predictions:
        """Predict each row of the batch before learning it."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """All settings, JSON-ready."""
        ...


class Source(Protocol):
    """What the loop needs of a stream: batches, and a name."""

    name: str
    schema: Schema

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What a callback is told after every batch.

    Attributes
    ----------
    n_rows, n_instances, n_scored
        Rows, instances (one whose labels come late makes two rows) and scored instances so far.
    seconds
        Time the model took so far.
    recent, overall
        Metrics of the last windows (fading) and of all scored instances.
    n_events
        Events so far.
    windows, events
        Those of the result so far: they grow with the run.
    """

    n_rows: int
    n_instances: int
    n_scored: int
    seconds: float
    recent: dict[str, float]
    overall: dict[str, float]
    n_events: int
    windows: Sequence[dict[str, float | None]] = ()
    events: Sequence[Event] = ()


@dataclass(slots=True)
class Result:
    """Outcome of a run.

    Attributes
    ----------
    summary
        The content of `summary.json`.
    windows
        One dict per window of scored instances: `instance` (rows scored at its end), the model's metrics (those of its
        rankings, too, None where it has no probabilities), its fading metrics with the prefix `fading_`, and the
        baselines' with `no_change_` and `majority_labelset_`.
    events
        All events in order.
    structure
        The labels one by one, and what the model has become: see `structure_of`.
    resources
        What the run had cost at its looks (see `Looks`) and at its end.
    """

    summary: dict[str, Any]
    windows: list[dict[str, float | None]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    structure: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, float | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunState:
    """All that the rest of a run depends on, as of the end of a batch.

    Attributes
    ----------
    arrays
        By name: the model's with the prefix `model.` (see `part_of`), those of baselines and tallies, windows and
        events so far. Live: they are to be copied or written before the next batch.
    facts
        Plain values: the model's `settings` where it has them, `schema`, counts, `fingerprint` of the rows read, and
        `finished`: whether the stream has ended.
    """

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def part_of(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


class _Scored:
    """A predictor with its tallies: overall, fading, and of the window under way."""

    def __init__(self, model: Model, fading: float) -> None:
        self.model = model
        self.overall, self.faded, self.window = Metrics(), Metrics(fading=fading), Metrics()
        self.ranked, self.calibration = PrecisionAtK(), Calibration()
        self.alternatives: dict[str, Metrics] = {}
        self.seconds = 0.0

    def predict(self, batch: Batch) -> Predictions:
        start = time.perf_counter()
        predictions = self.model.test_then_train(batch)
        self.seconds += time.perf_counter() - start
        self.calibration.update(batch, predictions)
        return predictions

    def score(self, batch: Batch, predictions: Predictions, rows: np.ndarray) -> None:
        for metrics in (self.overall, self.faded, self.window):
            metrics.update(batch, predictions, rows)
        self.ranked.update(batch, predictions, rows)
        for name, alternative in predictions.alternatives.items():
            self.alternatives.setdefault(name, Metrics()).update(batch, alternative, rows)

    def tallies(self) -> dict[str, Any]:
        """All that is counted, by name."""
        own = {"overall": self.overall, "faded": self.faded, "window": self.window}
        others = {f"alternatives.{name}": metrics for name, metrics in self.alternatives.items()}
        return {**own, "ranked": self.ranked, "calibration": self.calibration, **others}


def prequential(
    stream: Source | Iterable[Batch],
    model: Model,
    *,
    window: int = 1000,
    fading: float = 0.999,
    baselines: bool = True,
    name: str | None = None,
    on_batch: Callable[[Progress], None] | None = None,
    on_predictions: Callable[[Batch, Predictions], None] | None = None,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_checkpoint: Callable[[RunState], None] | None = None,
    checkpoint_every: int | None = None,
    start: RunState | None = None,
) -> Result:
    """Run a model over a stream, beside the no-change and majority-labelset baselines.

    Every row that is to be predicted and whose labels are known is scored, once, before it is learned. Reading, scoring
    and the baselines are not part of the model's `seconds`.

    Parameters
    ----------
    stream
        Batches in order.
    model
        Anything with `test_then_train`; see `Model`.
    window
        Scored instances per window.
    fading
        Factor per scored instance of the fading metrics.
    baselines
        Whether to run the baselines too.
    name
        The model's name in the summary; by default that of its class.
    on_batch, on_predictions
        Called after each batch: with the progress; with the batch and what was predicted of it.
    guard
        Gives a context that is entered for the work on each batch, and may put an interrupt off until it is done.
    on_checkpoint
        Called with the state of the run when it ends or is interrupted between two batches.
    checkpoint_every
        Instances after which it is called, too: at the end of the batch that reaches a multiple.
    start
        Go on from this state, of a run of the same settings over the same stream, with a model that has its arrays:
        what comes is what would have come. The rows that the run had read are read again, and passed over.

    Raises
    ------
    ValueError
        `window` below 1, or `fading` outside (0, 1].
    DataError
        The stream does not begin with the rows that the run of `start` had read.
    KeyboardInterrupt
        Only while rows are passed over: else an interrupted run gives the result so far, with
        `summary["interrupted"]` true.

    Examples
    --------
    >>> from stream_ml.evaluation import MajorityLabelset
    >>> from stream_ml.simulation import default_stream
    >>> result = prequential(default_stream(n_instances=3000), MajorityLabelset(), window=1000)
    >>> result.summary["n_scored"], len(result.windows), result.summary["model"]["name"]
    (3000, 3, 'MajorityLabelset')
    """
    if window < 1 or not 0 < fading <= 1:
        raise ValueError("window must be at least 1, fading in (0, 1]")
    scored = {"model": _Scored(model, fading)}
    if baselines:
        scored["no_change"] = _Scored(NoChange(), fading)
        scored["majority_labelset"] = _Scored(MajorityLabelset(), fading)
    result = Result({})
    state = _Run(scored, window, result)
    began = time.perf_counter()
    batches = iter(stream)
    if start is not None:
        state.restore(start)
        began -= start.facts["wall_seconds"]
        batches = _after(batches, state, start, getattr(stream, "name", "the stream"))
    batches = _cut_at_looks(batches, state)
    interrupted, whole = False, True

    def checkpoint(finished: bool) -> None:
        if on_checkpoint is not None:
            facts = {"finished": finished, "wall_seconds": time.perf_counter() - began}
            on_checkpoint(state.state(facts))

    try:
        for batch in batches:
            with guard():
                whole, before = False, state.n_instances
                predictions = state.take(batch)
                if on_predictions is not None:
                    on_predictions(batch, predictions)
                whole = True
                if checkpoint_every and state.n_instances // checkpoint_every > before // checkpoint_every:
                    checkpoint(finished=False)
                if on_batch is not None:
                    on_batch(state.progress())
    except KeyboardInterrupt:
        interrupted = True
    if whole:  # without a guard, an interrupt may have come in the middle of a batch
        with suppress(KeyboardInterrupt), guard():
            checkpoint(finished=not interrupted)
    state.end()
    result.summary = summary_of(state, stream, model, name or type(model).__name__)
    result.summary["wall_seconds"] = time.perf_counter() - began
    result.summary["interrupted"] = interrupted
    return result


class _Run:
    """Scores the model and the baselines batch by batch and closes windows where they end."""

    def __init__(self, scored: dict[str, _Scored], window: int, result: Result) -> None:
        self.scored, self.window, self.result = scored, window, result
        self.n_rows = self.n_predicted = self.n_learned = self.n_scored = self.in_window = 0
        self.schema: Schema | None = None
        self.n_labels = self.n_features = 0
        self.fingerprint = Fingerprint()
        self.looks = Looks(window)

    def take(self, batch: Batch) -> Predictions:
        """One batch through all predictors."""
        predictions = {key: s.predict(batch) for key, s in self.scored.items()}
        self.schema, self.n_labels, self.n_features = batch.schema, batch.n_labels, batch.n_features
        self.fingerprint.update(batch)
        to_predict = (batch.mode & PREDICT) != 0
        self.n_rows += len(batch)
        self.n_predicted += int(np.count_nonzero(to_predict))
        self.n_learned += int(np.count_nonzero(first_learned(batch.mode)))
        rows = np.flatnonzero(to_predict & batch.labelled)
        start = 0
        while start < len(rows):
            part = rows[start : start + self.window - self.in_window]
            for key, s in self.scored.items():
                s.score(batch, predictions[key], part)
            start += len(part)
            self.n_scored += len(part)
            self.in_window += len(part)
            if self.in_window == self.window:
                self.close_window()
        model = self.scored["model"].model
        if hasattr(model, "drain_events"):
            self.result.events += model.drain_events()
        if len(rows) and self.looks.left(self.n_scored) == self.looks.every:
            own = self.scored["model"]
            self.looks.take(model, self.n_scored, own.seconds, frequent(own.overall.label_counts(), LABELS_TOGETHER))
        return predictions["model"]

    @property
    def n_instances(self) -> int:
        """Instances met; one whose labels come late makes two rows, a predicted one and a learned one."""
        return max(self.n_predicted, self.n_learned)

    def close_window(self) -> None:
        """Note the metrics of the window under way, unless it is empty."""
        if not self.in_window:
            return
        row: dict[str, float | None] = {"instance": self.n_scored, "rows": self.in_window}
        for key, s in self.scored.items():
            prefix = "" if key == "model" else f"{key}_"
            row |= {prefix + metric: value for metric, value in s.window.result().items()}
            if key == "model":
                row |= dict.fromkeys(RANKED) | s.ranked.recent()
            s.window.clear()
            s.ranked.mark()
        row |= {f"fading_{metric}": value for metric, value in self.scored["model"].faded.result().items()}
        self.result.windows.append(row)
        self.in_window = 0

    def end(self) -> None:
        """Note the last window, and what the model has become."""
        self.close_window()
        own, labels = self.scored["model"], self.schema.labels if self.schema is not None else []
        self.result.structure = structure_of(self.looks, own.model, own.overall.label_counts(), labels)
        self.result.resources = self.looks.resources
        if not self.result.resources or self.result.resources[-1]["instance"] != self.n_scored:
            self.result.resources.append(resources_of(own.model, self.n_scored, own.seconds))

    def state(self, more: dict[str, Any]) -> RunState:
        """Where the run is, to go on from it."""
        arrays: dict[str, NDArray[Any]] = {}
        for key, s in self.scored.items():
            prefix = "model" if key == "model" else f"baseline.{key}"
            held: Any = s.model
            state = held.live_state() if hasattr(held, "live_state") else held.state_dict()
            arrays |= {f"{prefix}.{name}": array for name, array in state.items()}
            for part, tally in s.tallies().items():
                arrays |= {f"scored.{key}.{part}.{name}": array for name, array in tally.state_dict().items()}
        model = self.scored["model"].model
        settings, schema = getattr(model, "settings", None), getattr(model, "schema", None)
        # whole: a model may have made room for columns that were read ahead
        schema = schema if self.schema is None else self.schema
        facts = {
            "settings": None if settings is None else settings.model_dump(mode="json"),
            "schema": None if schema is None else schema.to_dict(),
            "fingerprint": self.fingerprint.facts(),
            "alternatives": list(self.scored["model"].alternatives),
            "seconds": {key: s.seconds for key, s in self.scored.items()},
        }
        # as text: plain values of an artefact lose the order of their keys
        arrays["windows"] = json_array(self.result.windows)
        arrays["events"] = json_array([event.to_dict() for event in self.result.events])
        arrays |= self.looks.state_dict()
        return RunState(arrays, facts | {name: getattr(self, name) for name in COUNTS} | more)

    def restore(self, start: RunState) -> None:
        """Take over all but the model's own state."""
        try:
            self._restore(start)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ArtefactError(f"the run's state: its parts do not fit together: {error}") from error

    def _restore(self, start: RunState) -> None:
        facts = start.facts
        self.scored["model"].alternatives = {name: Metrics() for name in facts["alternatives"]}
        for key, s in self.scored.items():
            if key != "model":
                held: Any = s.model
                held.load_state_dict(part_of(start.arrays, f"baseline.{key}."))
            for part, tally in s.tallies().items():
                tally.load_state_dict(part_of(start.arrays, f"scored.{key}.{part}."))
            s.seconds = float(facts["seconds"][key])
        for name in COUNTS:
            setattr(self, name, int(facts[name]))
        self.schema = None if facts["schema"] is None else Schema.from_dict(facts["schema"])
        self.fingerprint = Fingerprint()
        self.looks.load_state_dict(start.arrays)
        self.result.windows = json.loads(start.arrays["windows"].tobytes())
        self.result.events = [Event(**event) for event in json.loads(start.arrays["events"].tobytes())]

    def progress(self) -> Progress:
        """Where the run is."""
        model = self.scored["model"]
        return Progress(
            self.n_rows,
            self.n_instances,
            self.n_scored,
            model.seconds,
            model.faded.result(),
            model.overall.result(),
            len(self.result.events),
            self.result.windows,
            self.result.events,
        )


def _cut_at_looks(batches: Iterator[Batch], run: _Run) -> Iterator[Batch]:
    """The batches, cut behind the rows that end the distance to the next look."""
    for whole in batches:
        batch = whole
        while True:
            scored = np.flatnonzero(((batch.mode & PREDICT) != 0) & batch.labelled)
            left = run.looks.left(run.n_scored)
            stop = int(scored[left - 1]) + 1 if len(scored) >= left else len(batch)
            yield batch if stop == len(batch) else batch.rows(0, stop)
            if stop == len(batch):
                break
            batch = batch.rows(stop, len(batch))


def _after(batches: Iterator[Batch], run: _Run, start: RunState, name: str) -> Iterator[Batch]:
    """What follows the rows that the run has read already, once it is known that these are the same."""
    left, last = run.n_rows, None
    while left:
        batch = next(batches, None)
        if batch is None:
            found = f"{run.n_rows - left:,}"
            raise _changed(name, "fewer rows than the run had read", f"at least {run.n_rows:,}", found)
        last = batch.rows(0, min(left, len(batch)))
        run.fingerprint.update(last)
        left -= len(last)
        if len(last) < len(batch):
            batches = chain([batch.rows(len(last), len(batch))], batches)
    if last is not None:
        columns_now = last.schema.to_dict(last.n_features, last.n_labels)
        for columns, n in (("features", run.n_features), ("labels", run.n_labels)):
            now, then = columns_now[columns], start.facts["schema"][columns][:n]
            if len(now) != len(then):
                problem = f"another number of {columns} than the run had met"
                raise _changed(name, problem, f"{len(then):,}", f"{len(now):,}")
            for new, old in zip(now, then, strict=True):
                if new != old:
                    raise _changed(name, f"other {columns} than the run had met", f"{old}", f"{new}")
    if run.fingerprint != Fingerprint(start.facts["fingerprint"]):
        raise _changed(name, f"its first {run.n_rows:,} rows are not those that the run had read", None, None)
    return batches


def _changed(name: str, problem: str, expected: str | None, found: str | None) -> DataError:
    """The stream is not the one that the run was of."""
    hint = "the stream changed since; a new run begins anew"
    return DataError(problem, source=name, expected=expected, found=found, hint=hint)
