"""What the service does with records: predict, wait for labels, learn, score. It knows no clock and no network.

The same records in the same order give the same outputs, byte for byte, and the same state, bit for bit, however they
are cut into calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.errors import ArtefactError, DataError
from stream_ml.evaluation import Metrics
from stream_ml.ihomer import IHomerClassifier
from stream_ml.ihomer.events import Event
from stream_ml.serving.outputs import output_values
from stream_ml.serving.records import DeadLetter, Output, Record, place_of
from stream_ml.serving.waiting import NOTHING, EarlyLabels, Waiting, WaitingInstances, Watermark
from stream_ml.states import FLAWS, Part, StateError, shown, told
from stream_ml.states import whole as whole_number
from stream_ml.streams.batch import AGAIN, LEARN, PREDICT, Batch, Predictions, first_learned
from stream_ml.streams.json_lines import JsonRow, JsonRows, Told, checked_labels, parse_record
from stream_ml.streams.schema import Schema

__all__ = ["COUNTED", "Engine", "EngineOptions", "Outcome"]

COUNTED = (
    "records",
    "instances",
    "labelled",
    "late_labels",
    "early_labels",
    "learned",
    "bad",
    "orphan_labels",
    "expired",
    "repeated_labels",
    "replaced",
    "without_id",
)
"""What is counted since the model was new."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings.

    Attributes
    ----------
    frozen
        Predict and score, learn nothing.
    probabilities
        Labels whose probability an output tells, at most.
    most_waiting, most_early
        Instances that wait for labels, and labels that wait for their instance, at most.
    max_age
        Milliseconds of the records' own time after which either is given up; None: never.
    """

    frozen: bool = False
    probabilities: int = 10
    most_waiting: int = 100_000
    most_early: int = 10_000
    max_age: int | None = None


@dataclass(slots=True)
class Outcome:
    """What some records led to."""

    outputs: list[Output] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    learned: int = 0


class _Rows(NamedTuple):
    """The rows of a call under way."""

    records: list[Record | None]  # None: a row that is only learned
    modes: list[int]
    keys: list[str | None]
    late: dict[int, Waiting]  # row -> what was predicted of it in an earlier call
    same_call: dict[int, int]  # row -> row of this call that predicted it
    waiting: dict[str, tuple[int, Waiting]]  # id -> row of this call, what waits


class Engine:
    """A model, the schema of its stream, what waits for labels, and the figures of how well it does.

    Messages are JSON objects: an instance `{"id"?, "ts"?, "x": {...} or [...], "y": [...]?}` is predicted, and learned
    if its labels are there; else it waits for `{"id", "y"}`, before or after it, on any topic. `y: []` says that there
    are no labels, an absent or null `y` that they are not known.

    `y` as an object, `{label: true or false}`, tells labels in part. They are learned at once, and the instance waits
    on for the others, which more objects may tell; a list tells all that is left and ends the waiting. A label is told
    once: what is told of it later changes nothing. What was predicted of the instance is scored with each message, on
    the labels told by it. The instance counts as learned once, with its first labels.

    Parameters
    ----------
    model
        Fresh, or trained on this schema.
    schema
        The columns, if they are pinned or the model knows them; None: as the first instance has them.
    closed
        The schema does not grow: what it lacks is a bad record.
    options
        Settings.
    """

    def __init__(
        self,
        model: IHomerClassifier,
        schema: Schema | None = None,
        *,
        closed: bool = False,
        options: EngineOptions | None = None,
    ) -> None:
        self.model, self.options, self.closed = model, options or EngineOptions(), closed
        self.rows = None if schema is None else JsonRows(schema, closed=closed)
        self.waiting = WaitingInstances(self.options.most_waiting, self.options.max_age)
        self.early = EarlyLabels(self.options.most_early)
        self.watermark = Watermark()
        self.overall, self.recent = Metrics(), Metrics(fading=0.999)
        self.counts = dict.fromkeys(COUNTED, 0)

    @property
    def schema(self) -> Schema | None:
        """The columns met so far."""
        return None if self.rows is None else self.rows.schema

    # -- records --------------------------------------------------------------------------------------------------

    def process(self, records: Sequence[Record]) -> Outcome:
        """Take records in order: predict instances, learn what has labels, put the rest by."""
        outcome = Outcome()
        rows = _Rows([], [], [], {}, {}, {})
        known = (0, 0) if self.schema is None else (self.schema.n_features, self.schema.n_labels)
        counts: Counter[str] = Counter(records=len(records))
        for record in records:
            self.watermark.note(record.timestamp)
            place = place_of(record)
            try:
                message = parse_record(record.value or b"", source=place, line=None)
                if isinstance(message, dict) and "x" not in message and "id" in message and "y" in message:
                    outcome.dead += self._labels(message, record, rows, counts)
                else:
                    self._instance(message, record, rows, counts)
            except DataError as error:
                counts["bad"] += 1
                outcome.dead.append(DeadLetter(record, place, record.value, "bad record", str(error)))
            self._expire(record, outcome, counts)
        if self.rows is not None and rows.records:
            self._run(self.rows.builder.batch(), rows, known, outcome)
        for name, n in counts.items():
            self.counts[name] += n
        return outcome

    def _instance(self, message: Any, record: Record, rows: _Rows, counts: Counter[str]) -> None:
        """A row to be predicted; learned, too, when its labels are there or came before it."""
        schema_rows = self.rows
        if schema_rows is None:  # the first good instance tells
            sparse = isinstance(message, dict) and isinstance(message.get("x"), dict)
            schema_rows = JsonRows(Schema(sparse=sparse, name=record.topic))
        row = schema_rows.row(message, source=place_of(record), line=None)
        self.rows = schema_rows
        labels, negative = row.labels, row.negative
        whole = labels is not None and negative is None
        if not whole and row.key is not None and (early := self.early.take(row.key)) is not None:
            counts["late_labels"] += 1
            others, absent = self._news([*(labels or ()), *(negative or ())], early, counts)
            labels, negative = [*(labels or ()), *(others or ())], [*(negative or ()), *(absent or ())]
            if isinstance(early, list) or self._are_all(len(labels) + len(negative)):
                negative = None
        learns = labels is not None and not self.options.frozen
        at = len(rows.records)
        self.rows.builder.add(row.cells, labels, negative=negative)
        rows.records.append(record)
        rows.modes.append(PREDICT | LEARN if learns else PREDICT)
        rows.keys.append(row.key)
        counts["instances"] += 1
        counts["learned"] += learns
        counts["labelled"] += labels is not None
        if labels is not None and negative is None:
            return
        if row.key is None:
            counts["without_id"] += labels is None
            return
        counts["replaced"] += row.key in self.waiting
        waiting = self._waiting_of(row, [*(labels or ()), *(negative or ())])
        self.waiting.put(row.key, waiting)
        rows.waiting[row.key] = at, waiting

    def _waiting_of(self, row: JsonRow, told: list[int]) -> Waiting:
        cells = sorted(row.cells)
        return Waiting(
            np.array([index for index, _ in cells], dtype=np.int32),
            np.array([value for _, value in cells], dtype=np.float32),
            NOTHING,
            self.watermark.stamp,
            np.unique(np.array(told, dtype=np.int32)),
        )

    def _news(
        self, before: Sequence[int], told: Told, counts: Counter[str]
    ) -> tuple[list[int] | None, list[int] | None]:
        """Positions of labels as `JsonRows.positions` gives them, but for those told `before`."""
        assert self.rows is not None
        labels, negative = self.rows.positions(told)
        if labels is None or not before:
            return labels, negative
        known = set(before)
        counts["repeated_labels"] += len(known.intersection([*labels, *(negative or ())]))
        if negative is None:
            negative = sorted(set(range(self.rows.schema.n_labels)).difference(labels))
        return [m for m in labels if m not in known], [m for m in negative if m not in known]

    def _labels(self, message: dict[str, Any], record: Record, rows: _Rows, counts: Counter[str]) -> list[DeadLetter]:
        """Labels of an instance that waits, or is still to come; gives what has no room any longer."""
        place = place_of(record)
        key, told = _checked_labels(message, place, self.rows)
        if told == {}:
            return []
        instance = self.waiting.get(key)
        if instance is None or self.rows is None:
            counts["early_labels"] += 1
            gone, repeated = self.early.put(key, told, place, self.watermark.stamp)
            counts["repeated_labels"] += repeated
            return self._orphans(gone, record, counts)
        counts["late_labels"] += 1
        labels, negative = self._news(instance.told.tolist(), told, counts)
        left = self._tell(key, instance, isinstance(told, list), [*(labels or ()), *(negative or ())])
        before, same = rows.waiting.get(key, (-1, None))
        if same is instance:
            rows.waiting[key] = before, left
        if negative is not None and not labels and not negative:
            return []
        at = len(rows.records)
        cells = zip(instance.indices.tolist(), instance.values.tolist(), strict=True)
        self.rows.builder.add(cells, labels, negative=negative)
        rows.records.append(None)
        first = not len(instance.told)
        rows.modes.append(0 if self.options.frozen else LEARN if first else LEARN | AGAIN)
        rows.keys.append(key)
        if same is instance:
            rows.same_call[at] = before
        else:
            rows.late[at] = instance
        counts["learned"] += first and not self.options.frozen
        return []

    def _are_all(self, n_labels: int) -> bool:
        """Whether so many labels are all that there can be."""
        return self.closed and self.schema is not None and n_labels == self.schema.n_labels

    def _tell(self, key: str, instance: Waiting, whole: bool, labels: list[int]) -> Waiting:
        """Note that labels of an instance are told; it waits on unless these are all."""
        told = instance._replace(told=np.union1d(instance.told, np.array(labels, dtype=np.int32)))
        if whole or self._are_all(len(told.told)):
            self.waiting.take(key)
        else:
            self.waiting.update(key, instance, told)
        return told

    def _expire(self, record: Record, outcome: Outcome, counts: Counter[str]) -> None:
        counts["expired"] += self.waiting.expire(self.watermark.now)
        outcome.dead += self._orphans(self.early.expire(self.watermark.now, self.options.max_age), record, counts)

    def _orphans(self, gone: Sequence[tuple[str, Any, str]], cause: Record, counts: Counter[str]) -> list[DeadLetter]:
        """Labels whose instance never came."""
        counts["orphan_labels"] += len(gone)
        return [
            DeadLetter(
                cause, place, orjson.dumps({"id": key, "y": labels}), "orphan labels", f"no instance {key!r} waits"
            )
            for key, labels, place in gone
        ]

    def _run(self, built: Batch, rows: _Rows, known: tuple[int, int], outcome: Outcome) -> None:
        """Predict, learn and score the rows put together."""
        modes = np.array(rows.modes, dtype=np.uint8)
        before = self.model.n_learned
        batch = replace(built, mode=modes, known=known)
        predictions = self.model.test_then_train(batch)
        outcome.learned = self.model.n_learned - before
        outcome.events = self.model.drain_events()
        for key, (row, waiting) in rows.waiting.items():
            self.waiting.update(key, waiting, waiting._replace(predicted=_set_of(predictions, row)))
        versions = before + np.concatenate([[0], np.cumsum(first_learned(modes))])
        instances = [row for row, record in enumerate(rows.records) if record is not None]
        values = output_values(
            rows.records, rows.keys, instances, batch, predictions, versions, self.options.probabilities
        )
        outcome.outputs = [
            Output(record, value)
            for record, value in zip((rows.records[row] for row in instances), values, strict=True)
            if record is not None
        ]
        self._score(batch, predictions, rows)

    def _score(self, batch: Batch, predictions: Predictions, rows: _Rows) -> None:
        """Score, in order, what was predicted of every row on the labels that are known now, whenever that was."""
        late = {row: waiting.predicted for row, waiting in rows.late.items()}
        late |= {row: _set_of(predictions, earlier) for row, earlier in rows.same_call.items()}
        scored = np.flatnonzero(batch.labelled)
        if not len(scored):
            return
        if not late:
            for metrics in (self.overall, self.recent):
                metrics.update(batch, predictions, scored)
            return
        sets = [late[row] if row in late else _set_of(predictions, row) for row in range(len(batch))]
        indptr = np.concatenate([[0], np.cumsum([len(s) for s in sets])]).astype(np.int64)
        joined = Predictions(indptr, np.concatenate(sets))
        for metrics in (self.overall, self.recent):
            metrics.update(batch, joined, scored)

    # -- state ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, NDArray[Any]], Callable[[], tuple[dict[str, NDArray[Any]], dict[str, Any]]]]:
        """The state as of now: live arrays, to be copied before the next call; and the rest, which can wait.

        The rest is arrays and plain values; what gives it may be called at any time, in any thread.
        """
        arrays = {f"model.{name}": array for name, array in self.model.live_state().items()}
        for name, metrics in (("overall", self.overall), ("recent", self.recent)):
            arrays |= {f"{name}.{key}": array for key, array in metrics.state_dict().items()}
        waiting, schema = self.waiting.snapshot(), self.schema
        size = (0, 0) if schema is None else (schema.n_features, schema.n_labels)
        facts = {
            "settings": self.model.settings.model_dump(mode="json"),
            "texts": {}
            if self.rows is None
            else {name: list(texts.values()) for name, texts in self.rows.texts.items()},
            "closed": self.closed,
            "counts": dict(self.counts),
            "watermark": self.watermark.facts(),
            "early": self.early.facts(),
        }

        def rest() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
            columns = None if schema is None else schema.to_dict(*size)
            return {f"waiting.{name}": array for name, array in waiting().items()}, {**facts, "schema": columns}

        return arrays, rest

    @classmethod
    def restored(
        cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], options: EngineOptions, *, source: str
    ) -> Engine:
        """The engine whose state these are.

        Raises
        ------
        ArtefactError
            They do not fit together.
        """

        whole = Part(arrays)
        try:
            schema = None if facts["schema"] is None else Schema.from_dict(facts["schema"])
            size = (0, 0) if schema is None else (schema.n_features, schema.n_labels)
            model = IHomerClassifier.from_saved(whole.part("model."), facts, source=source, schema=schema)
            engine = cls(model, schema, closed=facts["closed"] is True, options=options)
            if engine.rows is not None:
                engine.rows.texts = _texts(facts["texts"], engine.rows.schema)
            for name, metrics in (("overall", engine.overall), ("recent", engine.recent)):
                metrics.load_state_dict(whole.part(f"{name}."))
                whole.check(metrics.n_labels <= size[1], f"{name}.counts", f"the schema has {size[1]} labels")
            engine.waiting.load(whole.part("waiting."), *size)
            engine.early.load(facts["early"])
            engine.watermark.take(facts["watermark"])
            engine.counts |= {name: whole_number(facts["counts"][name]) for name in COUNTED}
        except (DataError, *FLAWS) as error:
            raise ArtefactError(f"{source}: its parts do not fit together: {told(error)}") from error
        return engine


def _texts(facts: Mapping[str, Any], schema: Schema) -> dict[str, dict[str, int]]:
    """The features made of texts, by the name they came under and the text."""
    found: dict[str, dict[str, int]] = {}
    for name, places in facts.items():
        for at in places:
            feature = schema.features[whole_number(at, 0, schema.n_features - 1)].name
            if not feature.startswith(f"{name}="):
                raise StateError(f"texts: feature {shown(feature)} is not one of {shown(name)}")
            found.setdefault(name, {})[feature[len(name) + 1 :]] = at
    return found


def _checked_labels(message: dict[str, Any], place: str, rows: JsonRows | None) -> tuple[str, Told]:
    """Id and labels of a label message; labels that are null are not told."""

    def bad(problem: str, field: str | None, expected: str, found: Any) -> DataError:
        return DataError(problem, source=place, field=field, expected=expected, found=str(found)[:60])

    key = message["id"]
    if type(key) not in (str, int):
        raise bad("an id of the wrong type", "id", "text or a whole number", key)
    told = checked_labels(message["y"], bad)
    if unknown := next((k for k in message if k not in ("id", "y", "ts")), None):
        raise bad("an unknown key", unknown, "id, y, ts", message[unknown])
    if rows is not None:
        rows.check_known(told, bad)
    return str(key), told if isinstance(told, list) else {name: on for name, on in told.items() if on is not None}


def _set_of(predictions: Predictions, row: int) -> NDArray[np.int32]:
    """The label set of a row."""
    return predictions.label_indices[predictions.label_indptr[row] : predictions.label_indptr[row + 1]].copy()
