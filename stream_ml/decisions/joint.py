"""The joint posterior over label sets: what makes decisions more than one label at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, trimmed, tuple_arrays
from stream_ml.decisions import _joint_kernels as k
from stream_ml.decisions._layout import FEATURES, LARGEST, LIKELY, MOST, JointRows, JointState
from stream_ml.decisions._set_kernels import SetTables, project_sets
from stream_ml.decisions.saved import buckets, joint_state
from stream_ml.experts.neighbours import Nearest
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import ALL_KNOWN, Batch

__all__ = ["JointPosterior"]

WHOLE_SETS = 2048
CLUSTER_SETS = 256
ALL_CLUSTER_SETS = 1 << 16
WIDTH = 32
NO_EVIDENCE = -9.2
FIRST_COVERAGE = 0.5
FIRST_WEIGHTS = (1.0, 0.25, 0.1, 0.0, 0.2, 0.1, 0.0, 0.0)
ROW_FIELDS = JointRows._fields


class JointPosterior:
    """Probabilities of whole label sets, out of the labels' own probabilities and of what sets were seen.

    Each row gets a list of candidate sets: those of its most probable labels, sets seen before, the sets of its nearest
    neighbours, the set of the row before, and the union of what each label cluster likes best. A candidate's score is
    linear in features: the log-odds of its labels; the log frequency of the set beyond that of its labels (their
    pointwise mutual information, smoothed by cardinality); its cardinality's; the same within each label cluster; the
    neighbours' vote for it; whether it is the last set. The weights are learned online from the rows whose true set
    was a candidate, so that what does not help is left unused. A conditional random field over candidates, in the terms
    of the literature (Ghamrawi and McCallum, CIKM 2005); sets kept are bounded and fade.

    Parameters
    ----------
    enabled
        When false, labels count as independent: candidates are the sets of the most probable labels.
    fading
        Factor per learned row on all counts.
    """

    def __init__(self, *, enabled: bool = True, fading: float = 0.9998) -> None:
        self.enabled, self.fading = enabled, fading
        self.n_labels, self.n_clusters = 0, 0
        self.slot_of = np.zeros(0, dtype=np.int64)
        self.codes = np.zeros(0, dtype=np.uint64)
        self.state = JointState(
            np.ones(1),
            np.zeros(1),
            np.zeros(1, dtype=np.int64),
            np.zeros(0),
            np.zeros(LARGEST + 1),
            np.zeros(1, dtype=np.int32),
            np.full(1, 0.5),
            np.full(1, FIRST_COVERAGE),
            np.array(FIRST_WEIGHTS),
            np.ones(FEATURES),
            np.array([0.5, 0.5, 0.0]),
            np.eye(3) * k.MIX_RIDGE,
            np.zeros(0),
            np.zeros(3),
            np.zeros((0, 2)),
            np.zeros(0),
            _tables(1, WHOLE_SETS),
            _tables(0, CLUSTER_SETS),
        )

    def follow(self, slot_of: NDArray[np.int64], n_clusters: int) -> None:
        """Take over the partition: `slot_of` (labels,) gives each label's cluster, -1 where it has none yet.

        Where old labels changed clusters, the clusters' sets are made anew out of the whole sets that are known.
        """
        if not self.enabled:
            self.n_labels = len(slot_of)
            return
        old, known = self.slot_of, len(self.slot_of)
        self._grow(len(slot_of))
        moved = n_clusters != self.n_clusters or not np.array_equal(old, slot_of[:known])
        joined = not moved and len(slot_of) > known
        self.slot_of, self.n_clusters = np.array(slot_of, dtype=np.int64), n_clusters
        if moved:
            self._project()
        if moved or joined:
            k.refresh_priors(self.state, self.n_labels, self.slot_of, self.n_clusters)

    def grow(self, n_labels: int) -> None:
        """Make room for labels that have no cluster yet; `follow` tells of it when they do."""
        if not self.enabled:
            self.n_labels = n_labels
            return
        self._grow(n_labels)
        self.slot_of = np.concatenate([self.slot_of, np.full(n_labels - len(self.slot_of), -1, dtype=np.int64)])

    def _grow(self, n_labels: int) -> None:
        self.n_labels = n_labels
        room = capacity(n_labels, len(self.codes))
        if room > len(self.codes):
            self.codes = _codes(room)
            self.state = self.state._replace(
                label_counts=grown(self.state.label_counts, (room,)),
                last=grown(self.state.last, (room + 1,)),
                prior_odds=grown(self.state.prior_odds, (room,), NO_EVIDENCE),
            )

    def _project(self) -> None:
        """The clusters' tables, out of the table of whole sets."""
        n, whole = self.n_clusters, self.state.sets
        tables, mass = _tables(n, _cluster_sets(n)), np.zeros(n)
        project_sets(whole, self.codes, self.slot_of, tables, mass)
        self.state = self.state._replace(cluster_sets=tables, cluster_mass=mass, silence=np.zeros((n, 2)))

    def process(
        self,
        probabilities: NDArray[np.float32],
        nearest: Nearest,
        block: Batch,
        unknown: NDArray[np.bool_] = ALL_KNOWN,
    ) -> JointRows:
        """The posterior of each row given its labels' probabilities (rows, labels); rows are then learned.

        `unknown` is the block's own (`Batch.unknown_labels`).
        """
        return self._posterior(_new_rows(len(block)), probabilities, nearest, block, unknown)

    def process_likely(
        self,
        n_top: NDArray[np.int32],
        top: NDArray[np.int32],
        chances: NDArray[np.float32],
        nearest: Nearest,
        block: Batch,
        unknown: NDArray[np.bool_] = ALL_KNOWN,
    ) -> JointRows:
        """The same given each row's most probable labels alone, and their probabilities: (rows, LIKELY), best first."""
        rows = _new_rows(len(block))._replace(n_top=n_top, top=top, chances=chances)
        return self._posterior(rows, chances[:0], nearest, block, unknown)

    def _posterior(
        self,
        rows: JointRows,
        probabilities: NDArray[np.float32],
        nearest: Nearest,
        block: Batch,
        unknown: NDArray[np.bool_],
    ) -> JointRows:
        """The posterior, written to `rows`, where the likely labels are unless there are `probabilities`."""
        if not self.enabled:
            k.independent_block(probabilities, self.n_labels, rows)
            return rows
        if len(probabilities):
            k.likely_block(probabilities, self.n_labels, rows.n_top, rows.top, rows.chances)
        k.joint_block(
            self.state,
            self.codes,
            *nearest,
            block.y_indptr,
            block.y_indices,
            block.mode,
            unknown,
            self.n_labels,
            self.slot_of,
            self.n_clusters,
            self.fading,
            rows,
        )
        return rows

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        marks = self.state.sets.marks.nbytes + self.state.cluster_sets.marks.nbytes
        return marks + sum(array.nbytes for array in self.state_dict().values())

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        own = tuple_arrays(self.state)
        whole, clusters = own.pop("sets"), own.pop("cluster_sets")
        n = self.n_labels if self.enabled else 0
        used = {"label_counts": n, "prior_odds": n, "last": n + 1}
        state: dict[str, NDArray] = {name: trimmed(a, (used[name],)) if name in used else a for name, a in own.items()}
        for kind, tables in (("sets", whole), ("cluster_sets", clusters)):
            state |= {f"{kind}.{name}": array for name, array in tuple_arrays(tables).items() if name != "marks"}
        state["slot_of"] = self.slot_of
        state["n_labels"] = np.array([self.n_labels], dtype=np.int64)
        state["n_clusters"] = np.array([self.n_clusters], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        self.n_labels, self.n_clusters = part.whole("n_labels", 0), part.whole("n_clusters", 0)
        n = self.n_labels if self.enabled else 0
        self.slot_of = part.array("slot_of", Spec(np.int64, (n,), -1, self.n_clusters - 1))
        capacity_of = CLUSTER_SETS if not self.n_clusters else _cluster_sets(self.n_clusters)
        self.state = joint_state(part, n, self.n_clusters, WHOLE_SETS, capacity_of, WIDTH)
        self.codes = _codes(n)


def _new_rows(n: int) -> JointRows:
    """Room for the posterior of so many rows; what their labels and candidates do not fill stays as it is."""
    return JointRows(
        np.empty(n, dtype=np.int32),
        np.empty((n, LIKELY), dtype=np.int32),
        np.empty((n, LIKELY), dtype=np.float32),
        np.empty((n, LIKELY), dtype=np.float32),
        np.empty(n, dtype=np.int32),
        np.empty((n, MOST), dtype=np.uint64),
        np.empty((n, MOST), dtype=np.float32),
        np.zeros(n, dtype=np.float32),
    )


def _cluster_sets(n_clusters: int) -> int:
    """Sets kept of each cluster."""
    return max(16, min(CLUSTER_SETS, ALL_CLUSTER_SETS // max(1, n_clusters)))


def _tables(n: int, size: int) -> SetTables:
    """Empty tables of label sets."""
    return SetTables(
        np.zeros((n, size), dtype=np.uint64),
        np.zeros((n, size)),
        np.zeros((n, size)),
        np.zeros((n, size), dtype=np.int32),
        np.zeros((n, size, WIDTH), dtype=np.int32),
        np.full((n, buckets(size)), -1, dtype=np.int32),
        np.full((n, size), -1, dtype=np.int32),
        np.zeros(n, dtype=np.int64),
        np.zeros((n, size), dtype=np.uint64),
    )


def _codes(n: int) -> NDArray[np.uint64]:
    """A fixed code per label, for hashes of sets: SplitMix64 of its position (Steele, Lea, Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
