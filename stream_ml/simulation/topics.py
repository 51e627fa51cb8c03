"""Sparse documents with labels out of a hierarchy of topics: many features, many labels, few of each in a row."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stream_ml.errors import ConfigError
from stream_ml.simulation._topic_kernels import draw_documents, draw_topic_sets
from stream_ml.simulation.timeline import DriftSettings
from stream_ml.streams.batch import Batch
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.truth import Groups

__all__ = ["TopicGenerator", "TopicSettings"]

KINDS = {"concept", "imbalance", "appear", "vanish", "noise"}


class TopicSettings(BaseModel):
    """Of the sparse topic generator."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["topics"] = "topics"
    n_features: int = Field(20_000, ge=10, le=10_000_000, description="Words.")
    n_labels: int = Field(1_000, ge=2, le=100_000)
    n_groups: int | None = Field(None, ge=1, description="Topics that labels belong to; null: one for ten labels.")
    length: float = Field(40.0, ge=1, le=1_000, description="Mean number of words of a row, repeated ones included.")
    cardinality: float = Field(3.0, ge=1, le=20, description="Mean number of labels drawn for a row.")
    largest: int = Field(20, ge=1, le=20, description="Most labels of a row.")
    zipf: float = Field(1.0, ge=0, le=3, description="Exponent of the frequencies of labels and of background words.")
    together: float = Field(0.8, ge=0, le=1, description="Chance that a further label is of the first one's topic.")
    words_per_label: int = Field(12, ge=1, le=1_000)
    own: float = Field(0.5, ge=0, le=1, description="Share of words that a label of the row gives.")
    shared: float = Field(0.2, ge=0, le=1, description="Share of words that a label's topic gives; others: background.")
    noise: float = Field(0.0, ge=0, le=1, description="Share of labels replaced by random ones.")

    @model_validator(mode="after")
    def _whole(self) -> TopicSettings:
        if self.own + self.shared > 1:
            raise ValueError("own and shared are shares of one whole; expected a sum of at most 1")
        if self.cardinality > self.largest:
            raise ValueError(f"cardinality: expected at most largest ({self.largest}), found {self.cardinality}")
        if self.n_groups is not None and self.n_groups > self.n_labels:
            raise ValueError(f"n_groups: expected at most n_labels ({self.n_labels}), found {self.n_groups}")
        return self


class _State(NamedTuple):
    """What the rows of one moment are drawn from."""

    cumulative: NDArray[np.float64]
    present: NDArray[np.float64]
    noise: float


class TopicGenerator:
    """Rows with a few labels, most of them of one topic, and words that labels, topic and background give.

    Labels are drawn by Zipf frequencies, further ones of a row from the topic of its first or from all; words by slot:
    one of a label's own, one of its topic's, or one of the background's Zipf frequencies. A value counts how often a
    word fell. Cost follows the words and labels of a row, whatever the number of features and labels.
    A drift of concept gives the labels concerned other words; one between two states draws each word from either.
    """

    def __init__(self, settings: TopicSettings, drifts: list[DriftSettings], seed: int, name: str) -> None:
        for drift in drifts:
            if drift.kind not in KINDS:
                known = ", ".join(sorted(KINDS))
                raise ConfigError(f"drifts: {drift.kind} at row {drift.at}: topics know {known}")
        self.settings, self.drifts = settings, drifts
        s = settings
        self.schema = Schema(
            (Feature(f"w{j}") for j in range(s.n_features)),
            (f"t{label}" for label in range(s.n_labels)),
            sparse=True,
            name=name,
        )
        rng = np.random.default_rng([seed, 1 << 33])
        n_groups = s.n_groups or max(1, s.n_labels // 10)
        self.group_of = np.arange(s.n_labels, dtype=np.int64) * n_groups // s.n_labels
        self._starts = np.searchsorted(self.group_of, np.arange(n_groups + 1))
        self._weight = (1.0 + rng.permutation(s.n_labels)) ** -s.zipf
        # by rank, the most frequent first: a search among many words stays where most of the draws fall
        self._background = np.cumsum((1.0 + np.arange(s.n_features)) ** -s.zipf)
        self._ranked = rng.permutation(s.n_features).astype(np.int32)
        self._topic_words = rng.integers(0, s.n_features, (n_groups, s.words_per_label), dtype=np.int32)
        versions = [d for d, drift in enumerate(drifts) if drift.kind == "concept"]
        shape = (1 + len(versions), s.n_labels, s.words_per_label)
        self._words = rng.integers(0, s.n_features, shape, dtype=np.int32)
        self._versions = versions
        self.affected = [self._labels_of(drift) for drift in drifts]
        self._within = np.zeros((1 + len(versions), s.n_labels), dtype=np.bool_)
        for version, d in enumerate(versions, 1):
            self._within[version, self.affected[d]] = True
        # cardinality - 1 further labels, geometric, cut off at the largest
        self._sizes = np.cumsum(_sizes(s.cardinality, s.largest))
        self.state = lru_cache(64)(self._state)

    def _labels_of(self, drift: DriftSettings) -> NDArray[np.int64]:
        n, groups = self.settings.n_labels, int(self.group_of.max()) + 1
        for name, given, limit in (("labels", drift.labels, n), ("groups", drift.groups, groups)):
            if given and max(given) >= limit:
                raise ConfigError(
                    f"drifts: {drift.kind} at row {drift.at}: {name} go to {limit - 1}, found {max(given)}"
                )
        if drift.labels is not None:
            return np.unique(np.array(drift.labels, dtype=np.int64))
        return np.flatnonzero(np.isin(self.group_of, drift.groups)) if drift.groups is not None else np.arange(n)

    def groups(self, activation: tuple[float, ...]) -> Groups:
        """The labels of each topic; they stay."""
        return tuple(
            tuple(range(a, b)) for a, b in zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True)
        )

    def _state(self, activation: tuple[float, ...]) -> _State:
        weight, present, noise = self._weight.copy(), np.ones(len(self._weight)), self.settings.noise
        for drift, labels, share in zip(self.drifts, self.affected, activation, strict=True):
            if drift.kind == "imbalance":
                weight[labels] *= 1 + share * ((drift.factor or 1) - 1)
            elif drift.kind == "noise":
                noise = (1 - share) * noise + share * (drift.rate or 0.0)
            elif drift.kind in {"appear", "vanish"}:
                present[labels] *= share if drift.kind == "appear" else 1 - share
        return _State(np.cumsum(weight), present, noise)

    def rows(self, rng: np.random.Generator, n: int, activation: tuple[float, ...]) -> Batch:
        """`n` rows, when each drift has come so far."""
        state = self.state(activation)
        sizes = np.minimum(1 + np.searchsorted(self._sizes, rng.random(n), side="right"), self.settings.largest)
        places, sizes_found = np.empty(int(sizes.sum()), dtype=np.int64), np.empty(n, dtype=np.int64)
        together = self.settings.together
        n_drawn = draw_topic_sets(
            rng, sizes, state.cumulative, self._starts, self.group_of, together, places, sizes_found
        )
        drawn = places[:n_drawn]
        x_indptr, columns, counts = self._documents(rng, sizes_found, drawn, activation)
        row_of = np.repeat(np.arange(n), sizes_found)
        if state.noise:
            anew = rng.random(len(drawn)) < state.noise
            drawn = np.where(anew, rng.integers(0, self.settings.n_labels, len(drawn)), drawn)
        if (state.present < 1).any():
            stays = rng.random(len(drawn)) < state.present[drawn]
            row_of, drawn = row_of[stays], drawn[stays]
        keys = np.unique(row_of * self.settings.n_labels + drawn)
        return Batch.of_rows(
            self.schema,
            x_indptr,
            columns,
            counts,
            np.searchsorted(keys, np.arange(n + 1) * self.settings.n_labels).astype(np.int64),
            (keys % self.settings.n_labels).astype(np.int32),
            np.ones(n, dtype=np.bool_),
        )

    def _documents(
        self,
        rng: np.random.Generator,
        sizes: NDArray[np.int64],
        drawn: NDArray[np.int64],
        activation: tuple[float, ...],
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Features of rows whose label sets are drawn, as CSR."""
        s = self.settings
        lengths = np.maximum(1, rng.poisson(s.length, len(sizes)))
        x_indptr, total = np.empty(len(sizes) + 1, dtype=np.int64), int(lengths.sum())
        columns, counts = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.float32)
        n = draw_documents(
            rng,
            lengths,
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            drawn,
            self.group_of,
            self._words,
            self._within,
            np.array([1.0, *(activation[d] for d in self._versions)]),
            self._topic_words,
            self._background,
            self._ranked,
            s.own,
            s.shared,
            x_indptr,
            columns,
            counts,
        )
        return x_indptr, columns[:n], counts[:n]


def _sizes(cardinality: float, largest: int) -> NDArray[np.float64]:
    """Chances of 1 .. largest labels, geometric, with the mean asked for (as near as the limit allows)."""
    sizes = np.arange(1, largest + 1)
    low, high = 1e-9, 2.0
    for _ in range(100):
        ratio = (low + high) / 2
        chance = ratio ** (sizes - 1.0)
        if (chance * sizes).sum() / chance.sum() < cardinality:
            low = ratio
        else:
            high = ratio
    return np.asarray(chance / chance.sum())
