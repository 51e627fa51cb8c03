"""The multi-label meta-generator: label sets first, then features that fit them."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stream_ml.errors import ConfigError
from stream_ml.simulation._kernels import fit_rows
from stream_ml.simulation.binary_concepts import BASES, SAMPLE, random_concepts, sampled_scores, thresholds
from stream_ml.simulation.dependence import LabelSets, grouped, of_theta
from stream_ml.simulation.timeline import DriftSettings
from stream_ml.streams.batch import Batch
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.truth import Groups

__all__ = ["MultiLabelGenerator", "MultiLabelSettings"]

RARE, FREQUENT = 0.002, 0.9
"""Frequencies of labels that the generator can make."""
STATES_KEPT = 128


class MultiLabelSettings(BaseModel):
    """Of the multi-label meta-generator."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["multilabel"] = "multilabel"
    base: Literal["tree", "rbf", "hyperplane", "linear"] = Field(
        description="What a label asks of its features: a random tree, the nearer of some centres, a side of a "
        "hyperplane, or a random linear function with logistic noise."
    )
    n_features: int = Field(30, ge=1, le=100_000)
    n_nominal: int = Field(0, ge=0, description="How many of the features are nominal.")
    n_values: int = Field(3, ge=2, le=100, description="Values of a nominal feature.")
    n_labels: int = Field(8, ge=1, le=1_000)
    relevant: int | None = Field(
        None, ge=1, description="Features that each label depends on; null: all are shared out. The rest is irrelevant."
    )
    cardinality: float = Field(2.0, gt=0, description="Mean number of positive labels.")
    imbalance: float = Field(1.0, ge=1, le=1000, description="How much more frequent the first label is than the last.")
    n_groups: int | None = Field(None, ge=1, description="Groups of labels that go together; null: pairs at least.")
    together: float = Field(0.8, gt=0, lt=1, description="Chance of a label where another of its group is positive.")
    theta: list[list[float | None]] | None = Field(
        None, description="theta[j][k]: chance of label j where label k is; null: independent. Instead of groups."
    )
    noise: float = Field(0.0, ge=0, le=1, description="Share of labels that are drawn anew from their frequency.")
    depth: int = Field(4, ge=2, le=12, description="Of a random tree.")
    softness: float = Field(0.15, ge=0, description="linear: scale of the noise on scores of standard deviation 1.")

    @model_validator(mode="after")
    def _whole(self) -> MultiLabelSettings:
        if self.n_nominal > self.n_features:
            raise ValueError(f"n_nominal: expected at most n_features ({self.n_features}), found {self.n_nominal}")
        if self.n_labels * (self.relevant or 1) > self.n_features:
            raise ValueError(
                f"n_features: expected at least {self.n_labels * (self.relevant or 1)}, {self.relevant or 1} for each "
                f"label, found {self.n_features}"
            )
        if self.n_groups is not None and self.theta is not None:
            raise ValueError("expected n_groups or theta, not both")
        if self.n_groups is not None and self.n_groups > self.n_labels:
            raise ValueError(f"n_groups: expected at most n_labels ({self.n_labels}), found {self.n_groups}")
        return self


class _State(NamedTuple):
    """All that the rows of one moment are drawn from."""

    label_sets: LabelSets
    shares: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    moved: NDArray[np.float64]
    moved_rest: float
    present: NDArray[np.float64]
    noise: float


class MultiLabelGenerator:
    """Label sets with given frequencies and dependence; each label's features are drawn to fit the label.

    In the line of MOA's multi-label meta-generator (Read, Bifet, Holmes, Pfahringer: Scalable and efficient multi-label
    classification for evolving data streams, Machine Learning 2012): a prior over label sets, given by frequencies and
    by the conditional frequencies of pairs, over a binary generator. Each label has features of its own, and a binary
    concept over them: rows of the concept's domain, positive ones where the label is positive, negative ones elsewhere.
    The concept is positive for as large a share of its domain as the label is frequent, so that with another concept
    the features are distributed as before: what drifts is the concept alone.

    Parameters
    ----------
    settings
        See there.
    drifts
        What changes; how far each has come is told with every call.
    seed
        Fixes frequencies, concepts and what they drift to.

    Raises
    ------
    ConfigError
        Frequencies or dependence that cannot be, labels or groups that are not there.
    """

    def __init__(self, settings: MultiLabelSettings, drifts: list[DriftSettings], seed: int, name: str) -> None:
        self.settings, self.drifts = settings, drifts
        self._seed = seed
        self._softness = settings.softness if settings.base == "linear" else 0.0
        rng = self._rng(0)
        s = settings
        n_groups = s.n_groups or max(1, min(s.n_labels // 2, round(s.n_labels / 4)))
        self.group_of = np.arange(s.n_labels, dtype=np.int64) * n_groups // s.n_labels
        self.affected = [self._labels_of(drift) for drift in drifts]
        self._frequency = self._frequencies(rng)
        arities = np.zeros(s.n_features, dtype=np.int64)
        arities[np.linspace(0, s.n_features - 1, s.n_nominal).astype(np.int64)] = s.n_values
        self.schema = Schema(
            [
                Feature(f"c{j}", tuple(f"v{v}" for v in range(a))) if a else Feature(f"x{j}")
                for j, a in enumerate(arities)
            ],
            [f"y{label}" for label in range(s.n_labels)],
            name=name,
        )
        per_label = s.relevant or s.n_features // s.n_labels
        order = rng.permutation(s.n_features)
        self._features = np.sort(order[: per_label * s.n_labels].reshape(s.n_labels, per_label), axis=1)
        self._rest = np.sort(order[s.n_labels * per_label :])
        self._rest_arities = arities[self._rest]
        # before all drifts, and after each drift of concepts
        versions = 1 + sum(drift.kind == "concept" for drift in drifts)
        self._concepts = random_concepts(
            s.base, arities[self._features], self._frequency, versions=versions, depth=s.depth, seed=[seed, 1 << 34]
        )
        self._scores = sampled_scores(self._concepts, s.base, [seed, 1 << 35])
        self._jitter = self._rng(4).logistic(scale=self._softness, size=SAMPLE) if self._softness else 0.0
        self._base_sets = self._label_sets(self.group_of, first=True)
        self._regrouped = self._regroupings()
        self.state = lru_cache(STATES_KEPT)(self._state)

    # -- what the labels are ------------------------------------------------------------------------------------

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, 1 << 33, *key])

    def _labels_of(self, drift: DriftSettings) -> NDArray[np.int64]:
        """Positions of the labels that a drift is about."""
        if drift.groups is not None and self.settings.theta is not None:
            raise ConfigError(f"drifts: {drift.kind} at row {drift.at}: theta makes no groups; name labels")
        n, groups = self.settings.n_labels, int(self.group_of.max()) + 1
        for name, given, limit in (("labels", drift.labels, n), ("groups", drift.groups, groups)):
            if given and max(given) >= limit:
                raise ConfigError(
                    f"drifts: {drift.kind} at row {drift.at}: {name} go to {limit - 1}, found {max(given)}"
                )
        if drift.labels is not None:
            return np.unique(np.array(drift.labels, dtype=np.int64))
        if drift.groups is not None:
            return np.flatnonzero(np.isin(self.group_of, drift.groups))
        return np.arange(n)

    def _frequencies(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Frequencies that sum to the cardinality, the ratio of the highest to the lowest being the imbalance."""
        s = self.settings
        share = s.imbalance ** -np.linspace(0, 1, s.n_labels)
        frequency = share * s.cardinality / share.sum()
        self._check(frequency, "generator: with this cardinality and imbalance")
        return frequency if s.imbalance == 1 else rng.permutation(frequency)

    @staticmethod
    def _check(frequency: NDArray[np.float64], what: str) -> None:
        low, high = frequency.min(), frequency.max()
        if low < RARE or high > FREQUENT:
            raise ConfigError(
                f"{what} labels have frequencies from {low:.3g} to {high:.3g}; expected {RARE} to {FREQUENT}"
            )

    def _label_sets(self, group_of: NDArray[np.int64], *, first: bool = False) -> LabelSets:
        s = self.settings
        if s.theta is not None and first:
            return of_theta(self._frequency, s.theta)
        if len(np.unique(group_of)) == s.n_labels:
            return LabelSets(self._frequency, np.eye(s.n_labels))
        return grouped(self._frequency, group_of, s.together)

    def _regroupings(self) -> dict[int, NDArray[np.int64]]:
        """Groups after each drift of dependence: labels dealt out so that those of one group part."""
        groups, found = self.group_of, {}
        for d, drift in enumerate(self.drifts):
            if drift.kind != "dependence":
                continue
            n_groups = int(self.group_of.max()) + 1
            if self.settings.theta is not None or n_groups < 2 or n_groups == self.settings.n_labels:
                raise ConfigError("drifts: dependence needs groups of labels: no theta, n_groups of 2 or more")
            rng = self._rng(2, d)
            order = np.lexsort((rng.random(len(groups)), rng.permutation(n_groups)[groups]))
            dealt = np.empty_like(groups)
            dealt[order] = np.arange(len(groups)) % n_groups
            groups = found[d] = dealt
        return found

    # -- one moment ---------------------------------------------------------------------------------------------

    def groups(self, activation: tuple[float, ...]) -> Groups:
        """The labels that go together; those of a matrix theta are in no groups."""
        if self.settings.theta is not None:
            return ()
        groups = self.group_of
        for d, dealt in self._regrouped.items():
            groups = dealt if activation[d] >= 0.5 else groups
        return tuple(tuple(np.flatnonzero(groups == g).tolist()) for g in range(int(groups.max()) + 1))

    def _state(self, activation: tuple[float, ...]) -> _State:
        """What rows are drawn from when each drift has come so far; drifts build upon the ones before them."""
        s = self.settings
        sets, noise, moved_rest = self._base_sets, s.noise, 0.0
        frequency, present, moved = self._frequency, np.ones(s.n_labels), np.zeros(s.n_labels)
        shares = [np.ones(s.n_labels)]
        for d, (drift, share) in enumerate(zip(self.drifts, activation, strict=True)):
            labels = self.affected[d]
            within = np.isin(np.arange(s.n_labels), labels)
            if drift.kind == "concept":
                part = np.where(within, share, 0.0)
                shares = [*(before * (1 - part) for before in shares), part]
            elif drift.kind == "dependence":
                sets = sets.mixed(self._label_sets(self._regrouped[d]), share)
            elif drift.kind == "imbalance":
                frequency = np.where(within, frequency * (1 + share * ((drift.factor or 1) - 1)), frequency)
                self._check(frequency, f"drifts: after imbalance at row {drift.at}")
            elif drift.kind == "features":
                moved = np.where(within, np.maximum(moved, share), moved)
                moved_rest = max(moved_rest, share if len(labels) == s.n_labels else 0.0)
            elif drift.kind == "noise":
                noise = (1 - share) * noise + share * (drift.rate or 0.0)
            elif drift.kind in {"appear", "vanish"}:
                present = np.where(within, present * (share if drift.kind == "appear" else 1 - share), present)
        sets = LabelSets(frequency, sets.correlation)
        parts = np.stack(shares, axis=1)
        cuts = thresholds(np.einsum("lv,lvn->ln", parts, self._scores) + self._jitter, self._frequency)
        return _State(sets, parts, cuts, moved, moved_rest, present, noise)

    # -- rows -----------------------------------------------------------------------------------------------------

    def rows(self, rng: np.random.Generator, n: int, activation: tuple[float, ...]) -> Batch:
        """`n` rows, when each drift has come so far."""
        state = self.state(activation)
        y = state.label_sets.draw(rng, n)
        x = np.empty((n, self.settings.n_features))
        domain, rule = BASES[self.settings.base]
        stuck = fit_rows(
            rng,
            self._concepts,
            domain,
            rule,
            self._features,
            state.shares,
            state.thresholds,
            self._softness,
            state.moved,
            y,
            x,
        )
        if stuck >= 0:
            raise ConfigError(f"generator: label {stuck} has no features left that fit; expected smaller drifts")
        self._fill_rest(x, state.moved_rest, rng)
        if state.noise:
            anew = rng.random(y.shape) < state.noise
            y = np.where(anew, rng.random(y.shape) < state.label_sets.frequency, y)
        if (state.present < 1).any():
            y &= rng.random(y.shape) < state.present
        return _batch(self.schema, x, y)

    def _fill_rest(self, x: NDArray[np.float64], moved: float, rng: np.random.Generator) -> None:
        """Irrelevant features: uniform, all pushed up where the drift of features is of all labels."""
        if not len(self._rest):
            return
        chance = rng.random((len(x), len(self._rest))) ** (1.0 + moved)
        x[:, self._rest] = np.where(self._rest_arities > 0, np.floor(chance * self._rest_arities), chance)


def _batch(schema: Schema, x: NDArray[np.float64], y: NDArray[np.bool_]) -> Batch:
    """Rows of a dense schema."""
    n, d = x.shape
    return Batch.of_rows(
        schema,
        np.arange(n + 1, dtype=np.int64) * d,
        np.tile(np.arange(d, dtype=np.int32), n),
        np.ascontiguousarray(x, dtype=np.float32).ravel(),
        np.concatenate([[0], np.cumsum(y.sum(axis=1))]).astype(np.int64),
        np.nonzero(y)[1].astype(np.int32),
        np.ones(n, dtype=np.bool_),
    )
