"""The multi-label Hoeffding tree: one object per label cluster, driven block by block."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_ml.drift._kernels import AdwinBank, new_bank
from stream_ml.errors import ConfigError
from stream_ml.states import Part
from stream_ml.streams.batch import LEARN
from stream_ml.trees._allocation import bytes_per_slot, is_binary, new_nodes, new_slots, new_space, new_table
from stream_ml.trees._kernels import process_rows
from stream_ml.trees._layout import (
    ALTERNATE,
    MAX_SLOTS,
    N_AGENDA,
    N_FREE_NODES,
    N_FREE_SLOTS,
    ROOT,
    Nodes,
    Settings,
    Slots,
    Space,
    Table,
)
from stream_ml.trees.introspection import TreeView
from stream_ml.trees.parameters import TreeParameters
from stream_ml.trees.restructuring import Restructuring
from stream_ml.trees.saved import KEPT_OF_SPACE, SavedTree, agenda_room, saved_tree

__all__ = ["MultiLabelHoeffdingTree"]

FIRST_NODES = 8
NODE_NAMES, SLOT_NAMES, BANK_NAMES = (
    tuple(f"{part}.{name}" for name in kind._fields)
    for part, kind in (("nodes", Nodes), ("slots", Slots), ("bank", AdwinBank))
)
DETECTOR_ROWS = 32
"""Rows of a detector's histogram: room for five windows of 2**31 losses."""


class MultiLabelHoeffdingTree(Restructuring, TreeView):
    """Incremental multi-label decision tree over one label cluster (Domingos & Hulten 2000; Read et al. 2012).

    A leaf observes, per feature and label, the class-conditional distribution (Gaussian or counts). Every grace period
    it searches the binary tests of all features for the one with the largest information gain, summed over labels'
    Bernoulli entropies, and splits when that test is better than none and, by the Hoeffding bound, than the others.
    Tests are watched by ADWIN; on a rise of the loss an alternate subtree grows beside the old one, and replaces it
    when significantly better (Esteban et al. 2024).

    Parameters
    ----------
    arities
        int32 (n_features,): 0 for a numeric feature, else the number of values (stored as positions).
    n_labels
        Labels of the cluster, at least 1; rows name them by local positions 0 .. n_labels - 1.
    sparse
        Whether an absent feature is 0 (a nominal one: its first value) rather than missing.
    parameters
        See `TreeParameters`; single ones can be given as keywords.

    Raises
    ------
    ConfigError
        A parameter out of range; river mode with more than one label.
    ValueError
        No labels; negative arities.

    Examples
    --------
    >>> import numpy as np
    >>> from stream_ml.streams import Batch, Feature, Schema
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=(2000, 2))
    >>> batch = Batch.from_dense(Schema([Feature("a"), Feature("b")], ["p", "q"]), x, x > [[0.2, 1.0]])
    >>> tree = MultiLabelHoeffdingTree([0, 0], 2, sparse=False)
    >>> logits = tree.process_batch(batch)
    >>> logits.shape, tree.n_leaves > 1, tree.drain_events()[0]["kind"]
    ((2000, 3, 2), True, 'split')
    """

    _settings_of: tuple[TreeParameters | None, Table | None, Settings | None] = None, None, None
    """The settings made last, and what of."""

    def __init__(
        self,
        arities: ArrayLike,
        n_labels: int,
        *,
        sparse: bool,
        parameters: TreeParameters | None = None,
        **changes: Any,
    ) -> None:
        chosen = {f.name: getattr(parameters, f.name) for f in fields(TreeParameters)} if parameters else {}
        self.parameters = TreeParameters(**(chosen | changes))
        # river is fed every feature: zeros are then values like others
        self.sparse = bool(sparse) and not self.parameters.river
        self._fill = bool(sparse) and self.parameters.river
        kinds = np.ascontiguousarray(arities, dtype=np.int32)
        if n_labels < 1 or (kinds < 0).any():
            raise ValueError("a tree needs at least one label, and arities of 0 or more")
        if self.parameters.river and n_labels != 1:
            raise ConfigError("tree parameter river: only for one label")
        self._missing_cells = 0
        self._table: Table = new_table(kinds, sparse=self.sparse, missing_cells=0)
        self._events: list[dict[str, Any]] = []
        self._nodes: Nodes = new_nodes(FIRST_NODES, n_labels)
        self._slots: Slots = self._new_slots(1, n_labels, self._table)
        self._space: Space = self._new_space(n_labels)
        self._bank: AdwinBank = new_bank(FIRST_NODES if self.parameters.drift else 1, max_rows=DETECTOR_ROWS)
        self._space.counters[[N_FREE_NODES, N_FREE_SLOTS]] = FIRST_NODES, 1
        self._fit_memory()
        self._space.counters[ROOT] = self._new_node(-1, 0)
        self._take_slot(int(self._space.counters[ROOT]), 0.0, -1, 0)

    # -- sizes

    @property
    def bytes_per_leaf(self) -> int:
        """Bytes that one leaf's observers take."""
        p = self.parameters
        return bytes_per_slot(self.n_labels, self._table, naive_bayes=p.naive_bayes, river=p.river)

    @property
    def n_labels(self) -> int:
        """Labels of the cluster."""
        return int(self._nodes.positives.shape[1])

    @property
    def n_features(self) -> int:
        """Features known to the tree."""
        return len(self._table.arities)

    @property
    def arities(self) -> NDArray[np.int32]:
        """Per feature its number of nominal values, 0 for a numeric one."""
        return self._table.arities

    def _slots_allowed(self, n_labels: int, table: Table) -> int:
        p = self.parameters
        each = bytes_per_slot(n_labels, table, naive_bayes=p.naive_bayes, river=p.river)
        return max(1, int(p.memory_limit_mb * 2**20 / each)) if p.memory_limit_mb else 0

    def _new_slots(self, capacity: int, n_labels: int, table: Table) -> Slots:
        p = self.parameters
        return new_slots(capacity, n_labels, table, naive_bayes=p.naive_bayes, river=p.river)

    def _new_space(self, n_labels: int) -> Space:
        return new_space(len(self._nodes.ints), len(self._slots.owner), n_labels, agenda_room(self.parameters))

    def _fit_memory(self) -> None:
        """Translate the memory limit into slots; leaves past it stop observing, the least promising first."""
        allowed = self._slots_allowed(self.n_labels, self._table)
        if allowed < len(self._slots.owner):
            self._fit_slots(allowed, self.n_learned)
        self._space.counters[MAX_SLOTS] = allowed

    def _settings(self) -> Settings:
        """Made anew when the parameters or the features have changed."""
        p, table, settings = self._settings_of
        if p is not self.parameters or table is not self._table or settings is None:
            settings = self._new_settings()
            self._settings_of = self.parameters, self._table, settings
        return settings

    def _new_settings(self) -> Settings:
        p = self.parameters
        return Settings(
            grace_period=float(p.grace_period),
            log_inverse_confidence=float(np.log(1.0 / p.split_confidence)),
            tie_threshold=float(p.tie_threshold),
            min_branch_fraction=float(p.min_branch_fraction),
            max_share_to_split=float(p.max_share_to_split),
            max_depth=int(p.max_depth),
            inherited_rows=float(p.inherited_rows),
            sparse=self.sparse,
            missing_cells=self._missing_cells,
            river=p.river,
            naive_bayes=p.naive_bayes and not p.river,
            naive_bayes_at_root=p.naive_bayes_at_root,
            drift=p.drift,
            warning_delta=float(p.warning_delta),
            watch_depth=int(p.watch_depth),
            comparison_rows=float(p.comparison_rows),
            binary=is_binary(self._table, sparse=self.sparse),
        )

    # -- the hot call

    def process(
        self,
        x_indptr: NDArray[np.int64],
        x_indices: NDArray[np.int32],
        x_values: NDArray[np.float32],
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
        start: int,
        stop: int,
        first_instance: int,
        out_logits: NDArray[np.float32],
        *,
        checked: bool = False,
    ) -> None:
        """Predict, then learn, rows `start .. stop`, one after the other.

        Parameters
        ----------
        x_indptr, x_indices, x_values
            Features in CSR as in `Batch`.
        y_indptr, y_indices
            Positive labels in CSR, in local positions.
        mode
            Per row `PREDICT`, `LEARN`, or both. A row without `LEARN` changes nothing in the tree.
        first_instance
            Instances learned before these rows; events name instances by how many were learned before them.
        out_logits
            float32 (stop - start, 3, n_labels), C-contiguous: row `start` comes first. Rows with `PREDICT` are
            written, others left alone. Log-odds in [-8, 8], 0 where an expert has no opinion: [0] the leaf's prior,
            [1] the leaf's naive Bayes, [2] the leaf's most frequent labelset.
        checked
            Rows are known to have no missing value and no feature or label that the tree does not know.

        Raises
        ------
        IndexError
            A feature or label that the tree does not know: see `grow_features`, `extend`.
        """
        if not checked:
            self._check(x_indptr, x_indices, y_indptr, y_indices, start, stop)
            if self.sparse and not self._missing_cells and np.isnan(x_values[x_indptr[start] : x_indptr[stop]]).any():
                self._count_missing()
        if self._fill:
            x_indptr, x_indices, x_values = _filled(x_indptr, x_indices, x_values, self.n_features)
        settings = self._settings()
        row = start
        while row < stop:
            row_after = process_rows(
                self._nodes,
                self._slots,
                self._table,
                self._space,
                self._bank,
                settings,
                x_indptr,
                x_indices,
                x_values,
                y_indptr,
                y_indices,
                mode,
                row,
                stop,
                out_logits,
                row - start,
            )
            if self._space.counters[N_AGENDA]:
                learned = int(np.count_nonzero(mode[start:row_after] & LEARN))
                self._work_off(settings, first_instance + max(0, learned - 1))
            row = row_after

    def process_batch(self, batch: Any, labels: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """`process` a whole `Batch`; `labels` (int32) are the stream's labels of this cluster, by default all."""
        y_indptr, y_indices = batch.y_indptr, batch.y_indices
        if labels is not None:
            local = np.full(batch.n_labels, -1, dtype=np.int32)
            local[labels] = np.arange(len(labels), dtype=np.int32)
            kept = local[y_indices] >= 0
            y_indptr = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)[y_indptr]
            y_indices = local[y_indices[kept]]
        out = np.zeros((len(batch), 3, self.n_labels), dtype=np.float32)
        self.process(
            batch.x_indptr,
            batch.x_indices,
            batch.x_values,
            y_indptr,
            y_indices,
            batch.mode,
            0,
            len(batch),
            batch.first,
            out,
        )
        return out

    def _check(
        self,
        x_indptr: NDArray[np.int64],
        x_indices: NDArray[np.int32],
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        start: int,
        stop: int,
    ) -> None:
        features = x_indices[x_indptr[start] : x_indptr[stop]]
        labels = y_indices[y_indptr[start] : y_indptr[stop]]
        if len(features) and int(features.max()) >= self.n_features:
            raise IndexError(f"feature {int(features.max())} in a row, but the tree knows {self.n_features}")
        if len(labels) and int(labels.max()) >= self.n_labels:
            raise IndexError(f"label {int(labels.max())} in a row, but the tree knows {self.n_labels}")

    def start_alternate(self, instance: int) -> None:
        """Start an alternate of the whole tree, as on a warning at the root, unless one grows already."""
        if self._nodes.ints[self.root, ALTERNATE] < 0:
            self._warn(self.root, instance)

    def limit_memory(self, megabytes: float) -> None:
        """Set `memory_limit_mb` anew; where leaves observe more than that, the least promising ones stop.

        One leaf always may observe, unless the limit is 0.
        """
        self.parameters = replace(self.parameters, memory_limit_mb=megabytes)
        self._fit_memory()

    # -- events

    def drain_events(self) -> list[dict[str, Any]]:
        """What happened since the last call, in order.

        Every event has `instance`, `kind` and `node` (its number in the tree). Besides:

        - `split`: feature, threshold (of a nominal feature: the value's position), merit, second_merit, bound, weight
          (rows of the leaf), depth
        - `deactivate`, `activate`: promise; a leaf loses or wins observers
        - `restart`: weight; river mode, a leaf whose best split is none
        - `warning` (an alternate subtree starts): feature, weight, alternate; `drift` (while one grows): feature,
          weight
        - `swap`, `drop`: alternate, loss, alternate_loss, rows; the alternate subtree won or lost
        """
        events, self._events = self._events, []
        return events

    # -- state

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything that `load_state_dict` needs to continue bit for bit, parameters apart.

        Arrays are the live ones: copy them to keep them.
        """
        state: dict[str, NDArray[Any]] = {"missing_cells": np.array(self._missing_cells)}
        for names, group in ((NODE_NAMES, self._nodes), (SLOT_NAMES, self._slots), (BANK_NAMES, self._bank)):
            state.update(zip(names, group, strict=True))
        state |= {f"space.{name}": getattr(self._space, name) for name in KEPT_OF_SPACE}
        state["table.arities"] = self._table.arities
        events = json.dumps(self._events).encode() if self._events else b"[]"
        state["events"] = np.frombuffer(events, dtype=np.uint8)
        return state

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that `state_dict` gave; the tree's parameters must be those it was made with."""
        self._take(saved_tree(Part.of(state), self.parameters, sparse=self.sparse, detector_rows=DETECTOR_ROWS))

    def _take(self, saved: SavedTree) -> None:
        self._missing_cells, self._table, self._nodes, self._slots, self._space, self._bank, self._events = saved

    def copy(self) -> Self:
        """An independent tree in the same state."""
        twin = object.__new__(type(self))
        twin.parameters, twin.sparse, twin._fill = self.parameters, self.sparse, self._fill

        def copied(group: Any) -> Any:
            return type(group)(*(array.copy() for array in group))

        twin._take(
            SavedTree(
                self._missing_cells,
                copied(self._table),
                copied(self._nodes),
                copied(self._slots),
                copied(self._space),
                copied(self._bank),
                [dict(event) for event in self._events],
            )
        )
        return twin

    # -- features

    def grow_features(self, arities: ArrayLike) -> None:
        """Append features, or values to nominal ones: `arities` (int32) is the whole new list.

        Features so far unseen count as missing in the rows observed, or as 0 in sparse data.
        """
        kinds = np.ascontiguousarray(arities, dtype=np.int32)
        old = self._table.arities
        kept = kinds[: len(old)]
        if len(kinds) < len(old) or ((kept == 0) != (old == 0)).any() or (kept < old).any():
            raise ValueError("features can be appended and nominal values added; nothing else can change")
        if not np.array_equal(kinds, old):
            self._lay_out(new_table(kinds, sparse=self.sparse, missing_cells=self._missing_cells), 0)

    def _count_missing(self) -> None:
        """Give each feature a cell that counts its missing values: the first one was met in sparse data."""
        self._missing_cells = 1
        self._lay_out(new_table(self._table.arities, sparse=self.sparse, missing_cells=1), 1)

    def _lay_out(self, table: Table, shift: int) -> None:
        """Move each feature's cells to where `table` wants them, `shift` cells on."""
        old, slots = self._table, self._slots
        target = np.concatenate(
            [
                np.arange(b - a, dtype=np.int64) + start + shift
                for a, b, start in zip(old.offsets[:-1], old.offsets[1:], table.offsets, strict=False)
            ]
            or [np.zeros(0, dtype=np.int64)]
        )
        moved = self._new_slots(len(slots.owner), self.n_labels, table)
        moved.cells[:, target] = slots.cells
        moved.coefs[:, target] = slots.coefs
        moved.low[:] = np.inf
        moved.high[:] = -np.inf
        n = len(old.arities)
        for name in ("low", "high", "center"):
            getattr(moved, name)[:, :n] = getattr(slots, name)
        self._slots = moved._replace(positives=slots.positives, reals=slots.reals, owner=slots.owner, base=slots.base)
        self._table = table
        self._fit_memory()


def _filled(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], values: NDArray[np.float32], n_features: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Sparse rows with every feature stored."""
    n = len(indptr) - 1
    full = np.zeros((n, n_features), dtype=np.float32)
    full[np.repeat(np.arange(n), np.diff(indptr)), indices] = values
    return np.arange(n + 1) * n_features, np.tile(np.arange(n_features, dtype=np.int32), n), full.reshape(-1)
