"""What a classifier does between blocks: it answers drifts, lets experts sleep and wake, and follows its clusters."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions import JointPosterior
from stream_ml.experts import ROOT_EXPERTS, ExpertPool
from stream_ml.ihomer.events import Event
from stream_ml.ihomer.view import ModelView
from stream_ml.ihomer.watch import DEPENDENCE, LARGE_RISE, LOSS, SETTLED, Found, report
from stream_ml.threads import InOrder

__all__ = ["Restructuring"]


class Restructuring(ModelView):
    """The side of a classifier that changes its structure."""

    _behind: InOrder
    _events: deque[Event]
    _followed: NDArray[np.int64] | None
    _joint: JointPosterior
    _pool: ExpertPool

    @property
    @abstractmethod
    def n_labels(self) -> int:
        """Labels met in learning so far."""

    @property
    @abstractmethod
    def clusters(self) -> list[list[int]]:
        """Positions of the labels of each cluster."""

    def _restructure(self) -> None:
        """Act on the drifts found since the last time, then on what the clustering asks for."""
        if self._gated is not None:
            self._events += self._gated.restructure(self.n_learned)
            return
        reopened: Found | None = None
        learners = self._partition.learners
        for found in self._watch.take({cluster: len(x.labels) for cluster, x in learners.items()}):
            self._events.append(report(found))
            if found.where in learners:
                self._partition.start_background(found.where, self.n_learned)
                if found.drift:
                    labels = learners[found.where].labels
                    self._hurry(found, labels)
                    if self._watch.is_local(found):
                        rows = self.n_learned - found.instance + int(found.width)
                        self._stacking.set_aside(labels, self.settings.drift.keep, rows)
            elif found.drift and found.where == LOSS:
                self._hurry(found, np.arange(self.n_labels, dtype=np.int32), everywhere=True)
                self._stacking.forget_shared(self.settings.drift.keep)
            if found.drift and found.where in {LOSS, DEPENDENCE}:
                self._note("wake", self._sleep.wake_all(self.n_learned))
                reopened = found
        self._review_experts()
        if reopened is not None:
            self._partition.reopen()
        before = self.clusters if reopened is not None else []
        periods = max(1, self.settings.clusters.n_min // self.settings.period)
        due = self.n_learned // self.settings.period % periods == 0
        events = self._partition.settle(self.n_learned, test=due or reopened is not None)
        self._events += events
        if reopened is not None:
            after = self.clusters
            changed = {"before": [c for c in before if c not in after], "after": [c for c in after if c not in before]}
            self._events.append(
                Event("restructure", self.n_learned, "global", "", {"drift": reopened.instance}, changed)
            )
        self._watch.follow(self._partition.ids, changed=any(e.kind in {"split", "merge", "move"} for e in events))
        self._follow()

    def _review_experts(self) -> None:
        """Let experts sleep and wake; after the drifts of the period, which end all sleep."""
        if self._sleep.due(self.n_learned):
            asleep, woken = self._sleep.review(self.n_learned, self._stacking.gains()[: len(ROOT_EXPERTS)])
            self._note("sleep", asleep)
            self._note("wake", woken)

    def _note(self, kind: str, experts: list[int]) -> None:
        """Events of experts."""
        self._events += [Event(kind, self.n_learned, "global", ROOT_EXPERTS[expert]) for expert in experts]

    def _hurry(self, found: Found, labels: NDArray[np.int32], *, everywhere: bool = False) -> None:
        """Make what is known of labels that drift give way to what comes: by longer steps, or by letting go of it."""
        keep = self.settings.drift.keep
        self._pool.hurry(labels, keep)
        self._stacking.forget(labels, keep)
        if found.rise > LARGE_RISE and self.n_learned > SETTLED:
            if found.where in self._partition.learners:
                self._events += self._partition.restart(found.where, self.n_learned)
            rows = self.n_learned - found.instance + int(found.width)
            self._pool.forget(labels, rows, everywhere=everywhere)

    def _follow(self) -> None:
        """Tell the joint posterior which cluster each label is in."""
        partition = self._partition
        if partition.slot_of is not self._followed:
            self._followed = partition.slot_of  # changes make a new one
            self._behind.then(partial(self._joint.follow, partition.slot_of, partition.n_slots))
