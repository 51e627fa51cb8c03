"""Scenarios: a generator, drifts, and what becomes of labels, as one validated description."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from stream_ml.configuration import Document, override, put, read_yaml, validate
from stream_ml.errors import ConfigError
from stream_ml.simulation.multilabel import MultiLabelGenerator, MultiLabelSettings
from stream_ml.simulation.replay import ReplayGenerator, ReplaySettings
from stream_ml.simulation.timeline import DriftSettings, Timeline
from stream_ml.simulation.topics import TopicGenerator, TopicSettings
from stream_ml.streams.batch import LEARN, PREDICT, Batch
from stream_ml.streams.schema import Schema
from stream_ml.streams.source import Stream, concatenate
from stream_ml.streams.transforms import Delayed
from stream_ml.streams.truth import Drift, Groups

__all__ = ["Scenario", "ScenarioSettings", "ScenarioStream"]

BLOCK = 1000
"""Rows that one random generator makes: one may start at any of them, and the batch size changes nothing."""
LARGEST = 2**53
GENERATORS: dict[str, type[BaseModel]] = {
    "multilabel": MultiLabelSettings,
    "topics": TopicSettings,
    "file": ReplaySettings,
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FeedbackSettings(_Section):
    """What a learner is told of the labels, and when."""

    delay: int = Field(0, ge=0, le=LARGEST, description="Rows that pass before a row's labels are known.")
    missing: float = Field(0.0, ge=0, lt=1, description="Share of rows whose labels are never known.")


class ScenarioSettings(_Section):
    """A scenario file."""

    name: str | None = Field(None, description="null: the file's name.")
    description: str = Field("", description="What it is for.")
    n_instances: int | None = Field(None, ge=1, le=LARGEST, description="Rows; null: of a replayed file all, once.")
    generator: dict[str, Any] = Field(description="kind: multilabel, topics or file; and that one's settings.")
    drifts: list[DriftSettings] = Field([], description="What changes, and when.")
    feedback: FeedbackSettings = FeedbackSettings()
    variants: dict[str, dict[str, Any]] = Field(
        {}, description="Names, each with keys (dotted) that it sets: FILE#NAME is that variant."
    )


class Scenario:
    """A stream whose drifts are known.

    Attributes
    ----------
    name, description, seed
        What it is called, what it is for, what fixes it.
    settings
        All it was made from.
    schema
        Its columns.
    n_instances
        Its rows.
    drifts
        What changes, when, and for which labels; every turn of a recurring drift is one.

    Examples
    --------
    >>> scenario = Scenario.load(
    ...     {
    ...         "n_instances": 2000,
    ...         "generator": {"kind": "multilabel", "base": "hyperplane", "n_features": 8, "n_labels": 4},
    ...         "drifts": [{"kind": "concept", "at": 1000, "labels": [0, 1]}],
    ...     },
    ...     seed=1,
    ... )
    >>> [len(batch) for batch in scenario.stream(batch_size=800)], scenario.drifts[0].instance
    ([800, 800, 400], 1000)
    """

    def __init__(self, settings: ScenarioSettings, generator: BaseModel, *, seed: int, name: str, folder: Path) -> None:
        self.settings, self.seed = settings, seed
        self.name, self.description = settings.name or name, settings.description
        self._generator: MultiLabelGenerator | TopicGenerator | ReplayGenerator
        drifts = list(settings.drifts)
        if isinstance(generator, ReplaySettings):
            self._generator = ReplayGenerator(generator, drifts, seed, folder)
        elif isinstance(generator, TopicSettings):
            self._generator = TopicGenerator(generator, drifts, seed, self.name)
        elif isinstance(generator, MultiLabelSettings):
            self._generator = MultiLabelGenerator(generator, drifts, seed, self.name)
        else:
            raise TypeError(f"no generator has settings of type {type(generator).__name__}")
        if settings.n_instances is not None:
            self.n_instances = settings.n_instances
        elif isinstance(self._generator, ReplayGenerator):
            self.n_instances = len(self._generator)
        else:
            raise ConfigError("n_instances is not given; only a replayed file has a length of its own")
        self.schema: Schema = self._generator.schema
        self._timeline = Timeline(drifts, self.n_instances)
        if not isinstance(self._generator, ReplayGenerator):
            for row in [0, *(last for drift in drifts for _, last, _ in self._timeline.turns(drift))]:
                self._generator.state(self._expected(row))  # what cannot be is told at once
        self.drifts = self._truth()

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any], *, seed: int = 42, overrides: Iterable[str] = ()) -> Scenario:
        """A scenario from a YAML file, `FILE#VARIANT`, or a mapping of the same keys.

        Parameters
        ----------
        source
            Where it stands.
        seed
            Fixes the stream, bit for bit.
        overrides
            `KEY.PATH=VALUE`, taken over the file and its variant.

        Raises
        ------
        ConfigError
            An unknown key (with the nearest valid name), a wrong type or value, frequencies or drifts that cannot be.
        DataError
            A file to be replayed cannot be read.
        """
        document, name, folder, variant = _document(source)
        if variant is not None:
            _apply_variant(document, variant)
        for text in overrides:
            override(document, text)
        settings = validate(ScenarioSettings, document)
        kind = settings.generator.get("kind")
        if kind not in GENERATORS:
            where = document.where(("generator", "kind"))
            raise ConfigError(f"{where}: generator.kind: expected {' or '.join(GENERATORS)}, found {kind!r}")
        generator = validate(GENERATORS[kind], document, ("generator",))
        try:
            return cls(settings, generator, seed=seed, name=name, folder=folder)
        except ConfigError as error:
            raise ConfigError(f"{document.name}: {error}") from None

    def stream(self, *, batch_size: int = 1000, start: int = 0) -> Stream:
        """The rows from `start` on, in batches; labels come late where the scenario says so.

        Raises
        ------
        ValueError
            `start` is not one of the rows, or the batch size is below 1.
        """
        rows = ScenarioStream(self, batch_size=batch_size, start=start)
        return Delayed(rows, self.settings.feedback.delay) if self.settings.feedback.delay else rows

    def rows(self, *, batch_size: int = 1000) -> ScenarioStream:
        """All rows with their labels at once, as for a file that is written."""
        return ScenarioStream(self, batch_size=batch_size)

    def groups(self, row: int) -> Groups:
        """The labels that go together at a row; () where the generator does not know."""
        return self._generator.groups(self._expected(row))

    def block(self, number: int) -> Batch:
        """The rows from `number * BLOCK` on, BLOCK of them."""
        first = number * BLOCK
        rng = np.random.default_rng([self.seed, number])
        activation = self._timeline.activations(first, BLOCK, rng)
        if isinstance(self._generator, ReplayGenerator):
            batch = self._generator.replayed(rng, first, activation)
        else:
            batch = _drawn(self._generator, rng, activation)
        missing = self.settings.feedback.missing
        return _without_labels(batch, rng.random(BLOCK) < missing) if missing else batch

    def _expected(self, row: int) -> tuple[float, ...]:
        """How far each drift has come at a row, gradual ones told by their middle."""
        rng = _Certain()
        return tuple(self._timeline.activations(row, 1, rng)[0].tolist())  # type: ignore[arg-type]

    def _truth(self) -> list[Drift]:
        found = []
        for drift, labels in zip(self._timeline.drifts, self._generator.affected, strict=True):
            for first, last, _ in self._timeline.turns(drift):
                before = after = None
                if drift.kind == "dependence":
                    before, after = self.groups(first - 1) if first else None, self.groups(last)
                found.append(Drift(first, drift.kind, tuple(labels.tolist()), drift.shape, last, before, after))
        return sorted(found, key=lambda drift: (drift.instance, drift.kind))


class ScenarioStream(Stream):
    """The rows of a scenario.

    Attributes
    ----------
    scenario, drifts
        What it is a stream of, and what is known about it.
    start
        The row it begins with; its own rows are numbered from 0.
    """

    def __init__(self, scenario: Scenario, *, batch_size: int = 1000, start: int = 0) -> None:
        super().__init__(batch_size=batch_size)
        if not 0 <= start < scenario.n_instances:
            raise ValueError(f"start must be a row from 0 to {scenario.n_instances - 1}, not {start}")
        self.scenario, self.start = scenario, start
        self.schema, self.name = scenario.schema, scenario.name
        self.n_instances = scenario.n_instances - start
        self.drifts = [replace(d, instance=d.instance - start, last=d.end - start) for d in scenario.drifts]

    def pieces(self) -> Iterator[Batch]:
        """The rows, block by block."""
        last = self.scenario.n_instances
        for number in range(self.start // BLOCK, -(-last // BLOCK)):
            first = number * BLOCK
            block = self.scenario.block(number)
            a, b = max(0, self.start - first), min(BLOCK, last - first)
            yield block if (a, b) == (0, BLOCK) else block.rows(a, b)


class _Certain:
    """Stands for a random generator where the likelier case is asked for."""

    def random(self, n: int) -> NDArray[np.float64]:
        return np.full(n, 0.5)


def _drawn(
    generator: MultiLabelGenerator | TopicGenerator, rng: np.random.Generator, activation: NDArray[np.float64]
) -> Batch:
    """Rows of a block: those of the same moment together, then put in order."""
    if not activation.size or (activation == activation[0]).all():
        return generator.rows(rng, len(activation), tuple(activation[0].tolist()))
    moments, which = np.unique(activation, axis=0, return_inverse=True)
    which = which.reshape(-1)
    parts = [
        generator.rows(rng, int(np.count_nonzero(which == m)), tuple(moment.tolist()))
        for m, moment in enumerate(moments)
    ]
    order = np.empty(len(which), dtype=np.int64)
    order[np.argsort(which, kind="stable")] = np.arange(len(which))
    return concatenate(parts).take(order)


def _without_labels(batch: Batch, missing: NDArray[np.bool_]) -> Batch:
    """The batch with the labels of some rows not known: they are only predicted."""
    labelled = batch.labelled & ~missing
    sizes = np.where(labelled, np.diff(batch.y_indptr), 0)
    kept = np.repeat(labelled, np.diff(batch.y_indptr))
    return replace(
        batch,
        y_indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        y_indices=batch.y_indices[kept],
        labelled=labelled,
        mode=np.where(labelled, PREDICT | LEARN, PREDICT).astype(np.uint8),
    )


def _document(source: str | Path | Mapping[str, Any]) -> tuple[Document, str, Path, str | None]:
    """The description, its name, the folder that paths in it are relative to, and the variant asked for."""
    if isinstance(source, Mapping):
        return Document(copy.deepcopy(dict(source)), name="scenario"), "scenario", Path(), None
    path, _, variant = str(source).partition("#")
    document = read_yaml(path)
    return document, Path(path).stem + (f"-{variant}" if variant else ""), Path(path).parent, variant or None


def _apply_variant(document: Document, variant: str) -> None:
    """Set the keys of a variant."""
    variants = document.data.get("variants")
    known = list(variants) if isinstance(variants, dict) else []
    if not isinstance(variants, dict) or variant not in variants or not isinstance(variants[variant], dict):
        raise ConfigError(f"{document.name}: no variant is called {variant!r}; known: {', '.join(known) or 'none'}")
    for key, value in variants[variant].items():
        put(document, str(key), value, f"{document.name}, variant {variant}")
