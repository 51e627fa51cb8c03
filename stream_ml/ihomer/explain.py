"""Why a classifier predicts what it predicts, for one instance: the way of the instance, read off each stage."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions import FALLBACK, LIKELY, Deciders, JointRows, Objective
from stream_ml.errors import ConfigError, DataError
from stream_ml.experts import ROOT_EXPERTS
from stream_ml.gating import GATE_EXPERTS
from stream_ml.ihomer.explanation import (
    Candidate,
    ClusterPath,
    ExpertVote,
    Explanation,
    LabelExplanation,
    PathStep,
    Reason,
)
from stream_ml.ihomer.one import RowByRow
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.ihomer.rows import check_kinds, check_positions, without_scored_labels
from stream_ml.ihomer.view import EXPERTS, ModelView
from stream_ml.streams.batch import PREDICT, Batch
from stream_ml.streams.schema import Schema

__all__ = ["BlockResult", "Explaining"]

MOST_CANDIDATES = 5


class BlockResult(NamedTuple):
    """What the stages made of a block of rows.

    Attributes
    ----------
    probabilities
        Stacked, float32 (rows, labels).
    decided
        Label sets for each objective, CSR `(indptr, indices)`.
    logits
        The experts' log-odds as they were stacked, float32 (rows, experts, labels).
    rows
        The joint posterior; None before any label.
    """

    probabilities: NDArray[np.float32]
    decided: dict[Objective, tuple[NDArray[np.int64], NDArray[np.int32]]]
    logits: NDArray[np.float32]
    rows: JointRows | None


class Explaining(ModelView, RowByRow):
    """The side of a classifier that explains."""

    settings: IHomerParameters
    _arities: NDArray[np.int32]

    @property
    @abstractmethod
    def n_labels(self) -> int:
        """Labels met in learning so far."""

    @property
    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """What label sets are decided for, the objective first."""

    @abstractmethod
    def _learn_block(self, block: Batch, known: int, wanted: tuple[Objective, ...]) -> BlockResult:
        """What the stages make of a block; its rows are learned if their mode says so."""

    def explain(self, x: Batch | Mapping[Any, Any], row: int | None = None, *, most: int | None = 10) -> Explanation:
        """Why the model predicts what it predicts for one instance, for its objective; the model does not change.

        It costs what a prediction costs, and what is told of labels besides. Only where predicting would make room in
        the model (features that it does not know, a missing value in sparse data) is it the copy of the model that
        tells.

        Parameters
        ----------
        x
            A batch, in the columns of the model's schema; or `{feature: value}` as `predict_one` has it.
        row
            Which row of the batch, from 0; not needed of a batch of one row.
        most
            How many of the likeliest labels are told of, beside those that are decided; None: all.

        Raises
        ------
        ConfigError
            The model has learned no label yet, or `most` is below 0.
        DataError
            There is no such row, or the instance is not one of the model's stream.

        Examples
        --------
        >>> from stream_ml import IHomerClassifier
        >>> model = IHomerClassifier()
        >>> for length in range(200):
        ...     model.learn_one({"length": length % 10}, {"long": length % 10 > 4, "any": True})
        >>> told = model.explain({"length": 9})
        >>> told.decided, [label.reason for label in told.labels]
        (('long', 'any'), ['threshold', 'threshold'])
        """
        if self._schema is None or not self.n_labels:
            raise ConfigError("the model has learned no label yet: there is nothing to explain")
        if most is not None and most < 0:
            raise ConfigError(f"explain: most: expected 0 or more, or None, found {most}")
        if isinstance(x, Batch):
            one = _row_of(x, row)
        elif row is None:
            one = self._rows(self._schema).unlabelled(x)
        else:
            raise ConfigError(f"explain: row {row} of a mapping: expected a row of a batch, or no row")
        one = without_scored_labels(one.with_mode(PREDICT))
        check_positions(one)
        if one.schema.sparse != self._schema.sparse:
            raise ConfigError("a row of a sparse schema for a model of a dense one, or the reverse")
        check_kinds(one.schema.arities(one.n_features), self._arities)
        model = self
        if one.n_features > len(self._arities) or (self._schema.sparse and np.isnan(one.x_values).any()):
            model = copy.deepcopy(self)
            model.test_then_train(one)
        return (model._explained if model._gated is None else model._explained_behind_gates)(one, one.schema, most)

    def _explained(self, one: Batch, schema: Schema, most: int | None) -> Explanation:
        """The stages' own account of a row that changes nothing in them."""
        objective = self.objectives[0]
        result = self._learn_block(one, self._partition.n_labels, (objective,))
        names, stacked, decided = schema.labels, result.probabilities[0], result.decided[objective][1]
        shown = np.argsort(-stacked, kind="stable")
        if most is not None:
            shown = shown[(np.arange(len(shown)) < most) | np.isin(shown, decided)]
        judged = _judged(self._deciders, objective, result, one, shown)
        clusters = self._partition.clusters.cluster_of
        weights, awake = self._stacking.weights()[:, shown], self._awake()
        log_odds = weights[-1] + (weights[:-1] * result.logits[0][:, shown]).sum(axis=0)
        labels = []
        for at, label in enumerate(shown.tolist()):
            votes = zip(
                self.expert_names, result.logits[0, :, label].tolist(), weights[:-1, at].tolist(), awake, strict=True
            )
            labels.append(
                LabelExplanation(
                    names[label],
                    int(clusters[label]),
                    tuple(ExpertVote(*vote) for vote in votes),
                    float(weights[-1, at]),
                    float(log_odds[at]),
                    float(stacked[label]),
                    *judged[at],
                )
            )
        reached = {int(clusters[label]) for label in shown.tolist()}
        candidates, coverage = _candidates(result, names)
        return Explanation(
            self.n_learned,
            objective,
            tuple(names[label] for label in decided.tolist()),
            tuple(self._paths(one, schema, reached)),
            tuple(labels),
            candidates,
            coverage,
        )

    def _explained_behind_gates(self, one: Batch, schema: Schema, most: int | None) -> Explanation:
        """The same where only likely labels are looked at; labels go by their numbers until they are named."""
        gated, objective = self._gated, self.objectives[0]
        assert gated is not None
        found, rows, sets = gated.looked_at(one, objective)
        said, likely = gated.gates.said(found), found.top[0, : int(found.n_top[0])].astype(np.int64)
        stacked = np.zeros((1, gated.n_labels), dtype=np.float32)
        stacked[0, likely] = found.chances[0, : len(likely)]
        result = BlockResult(stacked, {objective: sets}, stacked[:, None], rows)
        names = [schema.labels[label] for label in gated.outer.tolist()]
        inside = sorted(sets[1].tolist(), key=lambda label: gated.outer[label])
        shown = likely if most is None else likely[(np.arange(len(likely)) < most) | np.isin(likely, sets[1])]
        clusters = gated.clusters.cluster_of
        labels = []
        for label, judged in zip(shown.tolist(), _judged(gated.deciders, objective, result, one, shown), strict=True):
            *above, (group, lane) = gated.gates.path(label)
            votes, (*weights, intercept) = (
                said[group][0][:, lane].tolist(),
                gated.gates.label_weights(np.array([label]))[:, 0],
            )
            told = zip(GATE_EXPERTS, votes, map(float, weights), [True] * len(votes), strict=True)
            labels.append(
                LabelExplanation(
                    names[label],
                    int(clusters[label]) if label < len(clusters) else -1,
                    tuple(ExpertVote(*vote) for vote in told),
                    intercept,
                    intercept + float(np.dot(weights, votes)),
                    float(stacked[0, label]),
                    *judged,
                    tuple(float(said[gate][1][child]) for gate, child in above),
                )
            )
        decided = tuple(names[label] for label in inside)
        return Explanation(self.n_learned, objective, decided, (), tuple(labels), *_candidates(result, names))

    def _awake(self) -> list[bool]:
        """Which experts were asked."""
        leaves = self.settings.tree.enabled
        return [
            *self._sleep.awake.tolist(),
            *[leaves] * (len(EXPERTS) - len(ROOT_EXPERTS)),
            *[True] * len(self._extra.names),
        ]

    def _paths(self, one: Batch, schema: Schema, clusters: set[int]) -> Iterator[ClusterPath]:
        """The way of the row through the trees of these clusters."""
        features, values = [f.name for f in schema.features], [f.values for f in schema.features]
        for cluster, learner in self._partition.learners.items():
            if cluster not in clusters:
                continue
            labels = [schema.labels[label] for label in learner.labels.tolist()]
            *tests, leaf = learner.tree.path(one.x_indices, one.x_values, features, labels, values)
            steps = tuple(PathStep(*(t[f] for f in ("feature", "test", "threshold", "value", "passed"))) for t in tests)
            yield ClusterPath(cluster, tuple(labels), steps, leaf["node"], leaf["weight"], leaf["rates"])


def _row_of(batch: Batch, row: int | None) -> Batch:
    """One row of a batch."""
    if row is None and len(batch) != 1:
        raise DataError("which row is to be explained?", expected=f"row, 0 to {len(batch) - 1}", found="none")
    at = 0 if row is None else row
    if not 0 <= at < len(batch):
        raise DataError("no such row", expected=f"0 to {len(batch) - 1}", found=str(at))
    return batch.rows(at, at + 1)


Judged = tuple[float, float | None, bool, Reason]
"""Of a label the probability that is decided on, its threshold, whether it is in, and why."""


def _judged(
    deciders: Deciders, objective: Objective, result: BlockResult, one: Batch, labels: NDArray[np.int64]
) -> list[Judged]:
    """How each of these labels was decided."""
    rows, stacked = result.rows, result.probabilities[0]
    assert rows is not None  # the model has labels
    chosen = set(result.decided[objective][1].tolist())
    if objective == "hamming_loss":
        return [(float(stacked[m]), 0.5, m in chosen, "threshold") for m in labels.tolist()]
    n = int(rows.n_top[0])
    cuts = deciders.cuts(objective, rows, one)
    marginals = dict(zip(rows.top[0, :n].tolist(), rows.marginals[0, :n].tolist(), strict=True))
    thresholds = {} if cuts is None else dict(zip(marginals, cuts[0, :n].tolist(), strict=True))
    alone = {m for m, cut in thresholds.items() if marginals[m] >= cut}
    likeliest = max(marginals, key=marginals.__getitem__, default=-1)
    fallback = objective == "balanced" and not alone and chosen == {likeliest} and marginals[likeliest] >= FALLBACK
    judged: list[Judged] = []
    for label in labels.tolist():
        p, cut, inside = marginals.get(label, float(stacked[label])), thresholds.get(label), label in chosen
        reason: Reason = "threshold"
        if label not in marginals:
            # beyond what a candidate can hold, labels are taken one by one; else they are in no candidate
            cut, reason = (0.5, "threshold") if n == LIKELY else (None, "unlikely")
        elif fallback and inside:
            reason = "fallback"
        elif cut is None or inside != (label in alone):
            reason = "joint"
        judged.append((p, cut, inside, reason))
    return judged


def _candidates(result: BlockResult, names: list[str]) -> tuple[tuple[Candidate, ...], float]:
    """The most probable label sets, and how often they have the true one."""
    rows = result.rows
    assert rows is not None  # the model has labels
    posterior, n_top = rows.posterior[0, : int(rows.n_sets[0])], int(rows.n_top[0])
    found = []
    for at in np.argsort(-posterior, kind="stable")[:MOST_CANDIDATES].tolist():
        mask = int(rows.sets[0, at])
        inside = sorted(rows.top[0, i].item() for i in range(n_top) if mask >> i & 1)
        found.append(Candidate(tuple(names[label] for label in inside), float(posterior[at])))
    return tuple(found), float(rows.coverage[0])
