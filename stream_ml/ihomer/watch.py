"""ADWIN on the loss of every cluster, of the whole instance, and on the dependence between labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import tuple_arrays
from stream_ml.drift import AdwinBank, adwin_reset, checked_bank, grow_bank, new_bank
from stream_ml.ihomer._kernels import watch_clusters, watch_losses
from stream_ml.ihomer.events import Event
from stream_ml.ihomer.parameters import DriftParameters
from stream_ml.ihomer.partition import Partition
from stream_ml.labels.cooccurrence import MAX_ROW_LABELS
from stream_ml.states import LARGEST, Part, Spec
from stream_ml.streams.batch import Batch, first_learned

__all__ = ["DEPENDENCE", "LARGE_RISE", "LOSS", "SETTLED", "Found", "LossWatch", "report"]

LOSS = -1
"""`Found.where` of the loss over all labels."""
DEPENDENCE = -2
"""`Found.where` of the share of co-occurring label pairs that the partition cuts."""
EXPLAINED_ROWS = 1000
"""So many instances before a drift of the whole at most, drifts of clusters explain it."""
LOCAL_SHARE = 2 / 3
"""Unless they hold more than this share of all labels: then the whole has drifted."""
LARGE_RISE = 0.1
"""Rise of a loss after which what was known before is better forgotten."""
SETTLED = 1000
"""Instances after which there is something to forget: until then steps are long anyway."""
ECHO = 0.6
"""Until a drift is acted on, it spoils the shared weights: a rise below this share of another's is its echo."""


@dataclass(frozen=True, slots=True)
class Found:
    """A rise of a loss: after which learned instance, where (a cluster's id, LOSS or DEPENDENCE), and how strong.

    `mean` and `width` are those of the window that is left, `rise` how far its mean is above the window's before.
    """

    instance: int
    where: int
    drift: bool
    mean: float
    width: float
    rise: float


class LossWatch:
    """Detectors by cluster id, two for each: one for warnings, one for drifts.

    Rises only: a loss that falls is learning, not drift. The confidence is divided by the number of detectors, so that
    many clusters do not mean many false alarms.
    """

    def __init__(self, settings: DriftParameters) -> None:
        self.settings = settings
        self.drift_bank: AdwinBank = new_bank(2)
        self.warning_bank: AdwinBank = new_bank(2)
        self.detector_of = {LOSS: 0, DEPENDENCE: 1}
        self.pending: list[Found] = []
        self.drifted: dict[int, int] = {}
        """By cluster: the instance of its last drift, while it may explain one of the whole."""
        self.held: Found | None = None
        """The last drift of the whole that clusters explain."""
        self.whole = -EXPLAINED_ROWS
        """The instance of the last drift of the whole that they do not."""

    def follow(self, clusters: Sequence[int], *, changed: bool) -> None:
        """Give every new cluster fresh detectors and free those of clusters that are gone.

        What the dependence loss was under another partition says nothing about this one: `changed` tells that it is
        another, be it with the same ids.
        """
        if changed:
            self._reset(self.detector_of[DEPENDENCE])
        elif len(clusters) + 2 == len(self.detector_of) and all(c in self.detector_of for c in clusters):
            return
        alive = {LOSS, DEPENDENCE, *clusters}
        for gone in [c for c in self.detector_of if c not in alive]:
            del self.detector_of[gone]
        free = sorted(set(range(len(alive))) - set(self.detector_of.values()))
        new = [c for c in clusters if c not in self.detector_of]
        highest = max([*self.detector_of.values(), *free[: len(new)]])
        self.drift_bank = grow_bank(self.drift_bank, highest + 1)
        self.warning_bank = grow_bank(self.warning_bank, highest + 1)
        for cluster, detector in zip(new, free, strict=False):
            self._reset(detector)
            self.detector_of[cluster] = detector

    def _reset(self, detector: int) -> None:
        adwin_reset(self.drift_bank, detector)
        adwin_reset(self.warning_bank, detector)

    def update(self, losses: NDArray[np.float64], mode: NDArray[np.uint8], n_learned: int) -> None:
        """Feed two losses, of the whole and of dependence (rows, 2), of the block after `n_learned` instances.

        They are negative where a row has none.
        """
        columns = [LOSS, DEPENDENCE]
        detectors, found, statistics = self._detectors(columns, len(mode))
        n = watch_losses(*detectors, losses, *self._rules(len(columns)), found, statistics)
        self._note(columns, mode, n_learned, found[:n], statistics)

    def update_clusters(
        self,
        block: Batch,
        probabilities: NDArray[np.float32],
        unknown: NDArray[np.bool_],
        partition: Partition,
        n_learned: int,
    ) -> None:
        """Feed the losses of the block after `n_learned` instances, given its probabilities (rows, labels)."""
        columns = [*partition.ids, LOSS, DEPENDENCE]
        detectors, found, statistics = self._detectors(columns, len(block))
        y, of = (block.y_indptr, block.y_indices), (partition.slot_of, partition.clusters.cluster_of)
        n = watch_clusters(
            probabilities,
            *y,
            block.mode,
            unknown,
            *of,
            MAX_ROW_LABELS,
            np.empty(len(columns) - 1),
            *detectors,
            *self._rules(len(columns)),
            np.empty((len(block), len(columns))),
            found,
            statistics,
        )
        self._note(columns, block.mode, n_learned, found[:n], statistics)

    def _detectors(
        self, columns: list[int], rows: int
    ) -> tuple[tuple[AdwinBank, AdwinBank, NDArray[np.int64]], NDArray[np.int64], NDArray[np.float64]]:
        """Those of some losses, and room for all that they may find in so many rows."""
        numbers = np.array([self.detector_of[c] for c in columns], dtype=np.int64)
        most = 2 * len(columns) * (rows // self.settings.clock + 2)
        return (self.drift_bank, self.warning_bank, numbers), np.empty((most, 3), dtype=np.int64), np.empty((most, 3))

    def _rules(self, n: int) -> tuple[float, float, int]:
        """The confidences of each of `n` detectors, and how often they look."""
        s = self.settings
        return s.drift_confidence / n, s.warning_confidence / n, s.clock

    def _note(
        self,
        columns: list[int],
        mode: NDArray[np.uint8],
        n_learned: int,
        found: NDArray[np.int64],
        statistics: NDArray[np.float64],
    ) -> None:
        """Keep what was found until it is asked for."""
        if not len(found):
            return
        numbers = n_learned + np.cumsum(first_learned(mode))
        for (row, column, kind), seen in zip(found.tolist(), statistics[: len(found)].tolist(), strict=True):
            self.pending.append(Found(int(numbers[row]), columns[column], kind == 2, *seen))

    def take(self, sizes: Mapping[int, int]) -> list[Found]:
        """What was found since the last call, in order; `sizes` tells the number of labels of each cluster.

        One cluster that drifts raises the loss of the whole. So the whole drifts when no cluster has done so lately, or
        when those that have hold most of the labels, then or later; else what was found of it is a warning. So is a
        cluster's much smaller rise after another's, unless the whole drifts.
        """
        if not self.pending:
            return []
        found, self.pending = self.pending, []
        self.drifted |= {f.where: f.instance for f in found if f.drift and f.where in sizes}
        taken = []
        for f in found:
            if f.drift and f.where == LOSS:
                explained = 0 < self._share(f.instance, sizes) <= LOCAL_SHARE
                self.held = f if explained else None
                f = replace(f, drift=not explained)
            taken.append(f)
        if self.held is not None and found:
            last = found[-1].instance
            if last - self.held.instance > EXPLAINED_ROWS:
                self.held = None
            elif self._share(last, sizes) > LOCAL_SHARE:
                taken.append(replace(self.held, instance=last))
                self.held = None
        if not any(f.drift and f.where == LOSS for f in taken):
            taken = _without_echoes(taken)
        self.whole = max([self.whole, *(f.instance for f in taken if f.drift and f.where == LOSS)])
        return taken

    def is_local(self, found: Found) -> bool:
        """Whether a drift of a cluster, just taken, is no part of one of the whole."""
        return found.instance - self.whole >= EXPLAINED_ROWS

    def _share(self, instance: int, sizes: Mapping[int, int]) -> float:
        """Of all labels, those of clusters that drifted lately."""
        self.drifted = {c: i for c, i in self.drifted.items() if c in sizes and instance - i <= EXPLAINED_ROWS}
        return sum(sizes[c] for c in self.drifted) / max(1, sum(sizes.values()))

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        state = {f"drift.{name}": a for name, a in tuple_arrays(self.drift_bank).items()}
        state |= {f"warning.{name}": a for name, a in tuple_arrays(self.warning_bank).items()}
        state["detectors"] = np.array(list(self.detector_of.items()), dtype=np.int64).reshape(-1, 2)
        state["pending"], state["held"] = _array(self.pending), _array([] if self.held is None else [self.held])
        state["drifted"] = np.array(list(self.drifted.items()), dtype=np.int64).reshape(-1, 2)
        state["whole"] = np.array([self.whole], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, rows = Part.of(state), self.drift_bank.totals.shape[1:]
        n = part.length("drift.sizes")
        self.drift_bank = checked_bank(part.part("drift."), n, *rows)
        self.warning_bank = checked_bank(part.part("warning."), n, *rows)
        pairs = part.array("detectors", Spec(np.int64, (part.length("detectors"), 2), DEPENDENCE, LARGEST))
        self.detector_of = dict(pairs.tolist())
        used = set(self.detector_of.values())
        good = len(used) == len(self.detector_of) == len(pairs) and min(used, default=0) >= 0
        part.check(good and max(used, default=0) < n, "detectors", "a detector twice, or one that is not there")
        self.pending, held = _found(part, "pending"), _found(part, "held")
        part.check(len(held) <= 1, "held", "more than one")
        self.held = held[0] if held else None
        pairs = part.array("drifted", Spec(np.int64, (part.length("drifted"), 2), 0, LARGEST))
        self.drifted = dict(pairs.tolist())
        self.whole = part.whole("whole", -EXPLAINED_ROWS)


def report(found: Found) -> Event:
    """A warning or a drift as an event."""
    scope, where = "cluster", str(found.where)
    if found.where in {LOSS, DEPENDENCE}:
        scope, where = "global", "loss" if found.where == LOSS else "dependence"
    reason = {"window_mean": found.mean, "window_width": found.width, "rise": found.rise}
    return Event("drift" if found.drift else "warning", found.instance, scope, where, reason)


def _without_echoes(found: Sequence[Found]) -> list[Found]:
    """Clusters that rise by much less than one before them are warned of."""
    largest, kept = 0.0, []
    for f in found:
        if f.drift and f.where >= 0:
            largest = max(largest, f.rise)
            f = replace(f, drift=f.rise >= ECHO * largest)
        kept.append(f)
    return kept


def _array(found: Sequence[Found]) -> NDArray[np.float64]:
    rows = [(f.instance, f.where, f.drift, f.mean, f.width, f.rise) for f in found]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


def _found(part: Part, name: str) -> list[Found]:
    rows = part.array(name, Spec(np.float64, (part.length(name), 6), -LARGEST, LARGEST))
    return [Found(int(i), int(w), bool(d), *seen) for i, w, d, *seen in rows.tolist()]
