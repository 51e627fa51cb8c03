"""Learning with more labels than can all be looked at: gates find the likely ones, and only these are decided on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import grown
from stream_ml.decisions import LIKELY, Deciders, JointPosterior, JointRows, Objective
from stream_ml.experts.design import Design, DesignRows
from stream_ml.experts.neighbours import BLOCK_ROWS, Nearest, Neighbours
from stream_ml.gating import GateRows, Gates
from stream_ml.ihomer._kernels import likely_losses, numbered
from stream_ml.ihomer.events import Event
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.ihomer.partition import event_of
from stream_ml.ihomer.watch import LARGE_RISE, LOSS, SETTLED, Found, LossWatch, report
from stream_ml.labels import Change, Groups, LabelClusters
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import LEARN, Batch, Likely, Partial, all_known, first_learned
from stream_ml.streams.schema import Schema
from stream_ml.threads import InOrder

__all__ = ["GatedLearner", "GatedResult"]


LABELS_A_PERIOD = 32
"""Clusters are tested every so many periods that each pays for this many labels: it costs what all labels cost."""


class GatedResult(NamedTuple):
    """What is said of a block of rows: the likely labels, and label sets by objective, CSR `(indptr, indices)`."""

    likely: Likely
    decided: dict[Objective, tuple[NDArray[np.int64], NDArray[np.int32]]]


class GatedLearner:
    """What stands in for root experts, trees and stacking above a label-space size.

    Labels are numbered in the order in which they are met, so that nothing is kept of those that never are. A tree of
    gates gives each row's likely labels; the joint posterior, the decisions and the clusters are the usual ones. The
    clusters serve the joint posterior: a label that moved between gates would lose what they know of it.
    """

    def __init__(self, settings: IHomerParameters, behind: InOrder, *, sparse: bool) -> None:
        experts, decisions, routing = settings.experts, settings.decisions, settings.routing
        self.settings, self.behind = settings, behind
        self.design = Design(sparse=sparse)
        self.neighbours = Neighbours(
            sparse=sparse,
            window=experts.window,
            neighbours=experts.neighbours,
            memory_limit_mb=settings.memory_of("neighbours"),
        )
        self.gates = Gates(
            prior_fading=experts.prior_fading,
            own_rate=experts.stacking_own_rate,
            decay=experts.stacking_decay,
            reach=routing.reach,
            memory_limit_mb=settings.memory_of("gates"),
        )
        options = settings.clusters.model_dump(exclude={"enabled", "n_min", "reopen_keep"})
        self.clusters = LabelClusters(0, memory_limit_mb=settings.memory_of("pairs"), **options)
        self.joint = JointPosterior(enabled=decisions.joint, fading=decisions.fading)
        self.deciders = Deciders(fading=decisions.fading)
        self.watch = LossWatch(settings.drift)
        self.outer = np.zeros(0, dtype=np.int32)
        """Position in the stream of each label met, in the order of their numbers."""
        self._inner = np.zeros(0, dtype=np.int32)
        self._followed: Groups | None = None
        self._companions: list[int] = []
        """Of labels that have no cluster yet, a label that each came with, or -1."""

    @property
    def n_labels(self) -> int:
        """Labels met."""
        return len(self.outer)

    def met(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of labels by position in the stream those that were met, and their numbers."""
        labels = labels[labels < len(self._inner)]
        numbers = self._inner[labels].astype(np.int64)
        return labels[numbers >= 0], numbers[numbers >= 0]

    @property
    def highest(self) -> int:
        """Highest position of a label met, -1 before any."""
        return int(self.outer.max(initial=-1))

    # -- the hot path ---------------------------------------------------------------------------------------------

    def grow_features(self, arities: NDArray[np.int32]) -> None:
        """Make room for new features."""
        self.design.grow(arities)
        if self.neighbours.n_neighbours:
            self.neighbours.grow(self.design.n_columns)

    def process(
        self, block: Batch, wanted: Sequence[Objective], n_learned: int, *, together: bool = False
    ) -> Callable[[], GatedResult]:
        """Predict, then learn each row as its mode says; `n_learned` instances were learned before.

        Gives what decides label sets, for `behind`; it may run `together` with the next block.
        """
        block = self._numbered(block)
        rows = self.design.rows(block)
        nearest = self._nearest(block, rows)
        return self._process(block, rows, nearest.kept() if together else nearest, wanted, n_learned)

    def _process(
        self, block: Batch, rows: DesignRows, nearest: Nearest, wanted: Sequence[Objective], n_learned: int | None
    ) -> Callable[[], GatedResult]:
        """The same of numbered labels and design rows; without `n_learned` no drift is looked for."""
        unknown, partial = block.unknown_labels(self.n_labels), block.partial or all_known(len(block))
        y = block.y_indptr, block.y_indices
        found = self.gates.process(rows, nearest, y, block.mode, partial, self.design.centred, LIKELY)
        if n_learned is not None:
            self._watch_block(block, found, n_learned)
        self.clusters.update(*y, block.mode, 0, len(block))
        outer = self.outer

        def decide() -> GatedResult:
            for part in (self.joint, self.deciders):
                if part.n_labels < len(outer):
                    part.grow(len(outer))
            joint = self.joint.process_likely(found.n_top, found.top, found.chances, nearest, block, unknown)
            decided = self.deciders.decide(wanted, None, joint, block, unknown)
            likely = Likely(found.n_top, outer[found.top] if len(outer) else found.top, found.chances)
            return GatedResult(likely, {name: _outward(outer, *sets) for name, sets in decided.items()})

        return decide

    def looked_at(
        self, block: Batch, objective: Objective
    ) -> tuple[GateRows, JointRows, tuple[NDArray[np.int64], NDArray[np.int32]]]:
        """What gates, joint posterior and decisions say of rows that are not learned; labels by number."""
        block = self._numbered(block)
        rows, y = self.design.rows(block), (block.y_indptr, block.y_indices)
        nearest = self._nearest(block, rows)
        found = self.gates.process(rows, nearest, y, block.mode, all_known(len(block)), self.design.centred, LIKELY)
        joint = self.joint.process_likely(found.n_top, found.top, found.chances, nearest, block)
        return found, joint, self.deciders.decide((objective,), None, joint, block)[objective]

    def take_over(self, design: Design, neighbours: Neighbours, schema: Schema) -> None:
        """Go on from a classifier that looked at all labels: what it saw last is learned again, with gates."""
        self.design, self.neighbours = design, neighbours
        recent = neighbours.recent()
        if recent is None:
            return
        rows, y_indptr, y_indices = recent
        n = len(y_indptr) - 1
        whole = Batch.of_rows(
            schema, rows.indptr, rows.indices, rows.standard, y_indptr, y_indices, np.ones(n, dtype=np.bool_)
        ).with_mode(LEARN)
        for start in range(0, n, BLOCK_ROWS):
            block = self._numbered(whole.rows(start, min(n, start + BLOCK_ROWS)))
            lo, hi = rows.indptr[start], rows.indptr[start + len(block)]
            part = DesignRows(block.x_indptr, rows.indices[lo:hi], *(array[lo:hi] for array in rows[2:]))
            self._process(block, part, _nobody(len(block)), (), None)()
        neighbours.renumber(self._inner)

    def _nearest(self, block: Batch, rows: DesignRows) -> Nearest:
        """Each row's nearest neighbours; rows are learned once, with the labels that are known to be there."""
        if not self.neighbours.n_neighbours:
            return _nobody(len(block))
        once = replace(block, mode=np.where(first_learned(block.mode), block.mode, block.mode & ~np.uint8(LEARN)))
        votes = np.zeros((len(block), 0), dtype=np.float32)
        return self.neighbours.process(once, rows, 0, votes, votes)

    def _numbered(self, block: Batch) -> Batch:
        """The block with labels by number; those that are new get theirs, and room, in the order of the rows."""
        y = block.y_indices
        room = int(y.max(initial=-1)) + 1
        if room > len(self._inner):
            self._inner = grown(self._inner, (max(room, block.schema.n_labels),), -1)
        numbers = np.empty(len(y), dtype=np.int32)
        if numbered(self._inner, block.y_indptr, y, numbers):
            (fresh,) = np.nonzero(self._inner[y] < 0)
            labels, first = np.unique(y[fresh], return_index=True)
            order = np.argsort(first, kind="stable")
            labels, entry = labels[order], fresh[first[order]]
            self._inner[labels] = np.arange(self.n_labels, self.n_labels + len(labels), dtype=np.int32)
            self._meet(labels, entry, block)
            numbered(self._inner, block.y_indptr, y, numbers)
        inner = replace(block, y_indices=numbers)
        if block.partial is None:
            return inner
        indptr, indices = block.partial.indptr, block.partial.indices
        number, inside = np.full(len(indices), -1, dtype=np.int32), indices < len(self._inner)
        number[inside] = self._inner[indices[inside]]
        kept = np.concatenate([[0], np.cumsum(number >= 0)]).astype(np.int64)
        return replace(inner, partial=Partial(block.partial.rows, kept[indptr], number[number >= 0]))

    def _meet(self, labels: NDArray[np.int32], entry: NDArray[np.int64], block: Batch) -> None:
        """Make room for labels that entries of the block's label sets bring, and note what each came with."""
        rows = np.searchsorted(block.y_indptr, entry, side="right") - 1
        for number, row in enumerate(rows.tolist(), self.n_labels):
            mates = self._inner[block.y_indices[block.y_indptr[row] : block.y_indptr[row + 1]]]
            earliest = int(mates.min())
            self._companions.append(earliest if earliest < number else -1)
        self.outer = np.concatenate([self.outer, labels.astype(np.int32)])
        self.gates.grow(self.n_labels)
        self.clusters.statistics.grow(self.n_labels)

    def _watch_block(self, block: Batch, found: GateRows, n_learned: int) -> None:
        """Feed the rows' losses to the detectors."""
        if not self.settings.drift.enabled:
            return
        losses = np.empty((len(block), 2))
        partial = block.partial.rows if block.partial is not None else np.zeros(len(block), dtype=np.bool_)
        y = block.y_indptr, block.y_indices
        likely_losses(found.n_top, found.top, found.chances, *y, block.mode, partial, losses)
        losses[:, 1] = self._dependence(block)
        self.watch.update(losses, block.mode, n_learned)

    def _dependence(self, block: Batch) -> NDArray[np.float64]:
        """Per row the share of its pairs of labels in different clusters; -1 where there is none, or not yet one."""
        clustered = self.clusters.n_labels
        if not clustered:
            return np.full(len(block), -1.0)
        waits = block.y_indices >= clustered
        if not waits.any():
            return self.clusters.dependence_loss(block.y_indptr, block.y_indices, block.mode, 0, len(block))
        known = np.where(waits, 0, block.y_indices).astype(np.int32)
        out = self.clusters.dependence_loss(block.y_indptr, known, block.mode, 0, len(block))
        out[np.repeat(np.arange(len(block)), np.diff(block.y_indptr))[waits]] = -1.0
        return out

    # -- structure ------------------------------------------------------------------------------------------------

    def restructure(self, n_learned: int) -> list[Event]:
        """Act on the drifts found since the last time, let new labels into clusters, and test these."""
        events, reopened = [], None
        for found in self.watch.take({}):
            events.append(report(found))
            if found.drift:
                reopened = found
                if found.where == LOSS:
                    self._hurry(found, n_learned)
        if reopened is not None:
            self.clusters.reopen(self.settings.clusters.reopen_keep)
        changes = self.clusters.admit(np.array(self._companions, dtype=np.int32), n_learned)
        self._companions = []
        periods = max(1, self.settings.clusters.n_min // self.settings.period, self.n_labels // LABELS_A_PERIOD)
        if self.settings.clusters.enabled and (n_learned // self.settings.period % periods == 0 or reopened):
            changes += self.clusters.check(n_learned)
        self.watch.follow([], changed=any(change.kind != "join" for change in changes))
        self._follow()
        return events + [self._event(change, n_learned) for change in changes]

    def _follow(self) -> None:
        """Tell the joint posterior which cluster each label is in."""
        groups = self.clusters.groups
        if groups is not self._followed:
            self._followed = groups
            self.behind.then(lambda: self.joint.follow(groups.slot_of, len(groups.ids)))

    def _hurry(self, found: Found, n_learned: int) -> None:
        """Make what is known give way to what comes."""
        self.gates.hurry(self.settings.drift.keep)
        if found.rise > LARGE_RISE and n_learned > SETTLED:
            self.gates.forget()
            rows = n_learned - found.instance + int(found.width)
            self.neighbours.forget(np.arange(self.n_labels, dtype=np.int32), rows, everywhere=True)

    def _event(self, change: Change, instance: int) -> Event:
        """A change of the clusters as an event, labels by position in the stream."""

        def outward(side: dict[int, list[int]]) -> dict[int, list[int]]:
            return {cluster: np.sort(self.outer[labels]).tolist() for cluster, labels in side.items()}

        return event_of(replace(change, before=outward(change.before), after=outward(change.after)), instance)

    # -- looking in -----------------------------------------------------------------------------------------------

    @property
    def partition(self) -> list[list[int]]:
        """Positions of the labels of each cluster."""
        return [np.sort(self.outer[labels]).tolist() for labels in self.clusters.partition.values()]

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part."""
        return {
            "design": self.design.nbytes,
            "neighbours": self.neighbours.nbytes,
            **self.gates.memory_usage(),
            "co_occurrence": sum(a.nbytes for a in self.clusters.state_dict().values()),
            "joint": self.joint.nbytes,
            "thresholds": self.deciders.nbytes,
            "labels": self.outer.nbytes + self._inner.nbytes,
        }

    # -- state ----------------------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        """The stateful parts by name, but for the neighbours."""
        return {
            "design": self.design,
            "gates": self.gates,
            "clusters": self.clusters,
            "joint": self.joint,
            "deciders": self.deciders,
            "watch": self.watch,
        }

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        state = {f"neighbours.{name}": a for name, a in self.neighbours.state_dict().items()}
        for name, part in self._parts().items():
            state |= {f"{name}.{key}": array for key, array in part.state_dict().items()}
        state["outer"], state["companions"] = self.outer, np.array(self._companions, dtype=np.int32)
        return state

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        n = part.length("outer")
        self.outer = part.array("outer", Spec(np.int32, (n,), 0))
        part.check(len(np.unique(self.outer)) == n, "outer", "a label twice")
        self._inner = np.full(int(self.outer.max(initial=-1)) + 1, -1, dtype=np.int32)
        self._inner[self.outer] = np.arange(n, dtype=np.int32)
        for name, own in self._parts().items():
            own.load_state_dict(part.part(f"{name}."))
        self.neighbours.load_state_dict(part.part("neighbours."), self.design.n_columns, n)
        waiting = part.length("companions")
        self._companions = part.array("companions", Spec(np.int32, (waiting,), -1, n - 1)).tolist()
        part.check(self.clusters.n_labels + waiting == n, "companions", "not those of the labels without a cluster")
        early = np.array(self._companions) < np.arange(n - waiting, n)
        part.check(early.all(), "companions", "a label that comes later")
        for name in ("gates", "joint", "deciders"):
            part.check(self._parts()[name].n_labels == n, f"{name}.n_labels", f"expected {n}")
        followed = not self.joint.enabled or (self.joint.slot_of[self.clusters.n_labels :] == -1).all()
        part.check(followed, "joint.slot_of", "a cluster of a label that has none")


def _outward(
    outer: NDArray[np.int32], indptr: NDArray[np.int64], indices: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Label sets by position in the stream, sorted within a row."""
    positions = np.empty(len(indices), dtype=np.int32)
    numbered(outer, indptr, indices, positions)
    return indptr, positions


def _nobody(n: int) -> Nearest:
    """Rows without neighbours."""
    none = np.zeros((n, 0), dtype=np.int32)
    return Nearest(none, none.astype(np.float32), np.zeros(0, dtype=np.int32), none)
