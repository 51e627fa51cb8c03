"""The nearest-neighbour expert: votes of the most similar rows among the recent ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, tuple_arrays
from stream_ml.experts import _neighbour_kernels as k
from stream_ml.experts.design import DesignRows
from stream_ml.states import LARGEST, Part, Spec
from stream_ml.streams.batch import Batch

__all__ = ["BLOCK_ROWS", "Nearest", "Neighbours"]

MIN_WINDOW = 2 * k.SEGMENT
BLOCK_ROWS = k.SEGMENT
"""Most rows of a block: what the neighbours of its rows refer to stays until the block is done."""


class Nearest(NamedTuple):
    """The nearest rows of each row of a block, and what labels they had."""

    slots: NDArray[np.int32]  # (rows, k): nearest first, -1 where there are fewer
    weights: NDArray[np.float32]  # (rows, k): their votes
    sizes: NDArray[np.int32]  # (slots,)
    labels: NDArray[np.int32]  # (slots, most labels of a row)

    def kept(self) -> Nearest:
        """The same for later, when the window has gone on."""
        return self._replace(sizes=self.sizes.copy(), labels=self.labels.copy())


class Neighbours:
    """Weighted vote of the `k` nearest of about `window` recent rows.

    Sparse rows are compared by cosine similarity with inverse document frequencies, dense ones by the Euclidean
    distance of standardised values; a missing value counts as the mean. Rows leave the window in segments.

    Parameters
    ----------
    sparse
        Whether absent features are zeros.
    window
        Rows looked at, rounded up to whole segments.
    neighbours
        Rows that vote.
    memory_limit_mb
        The window of wide dense rows is cut so that it takes no more (but 256 rows at least).
    """

    def __init__(
        self, *, sparse: bool, window: int = 2048, neighbours: int = 20, memory_limit_mb: float = 64.0
    ) -> None:
        self.sparse, self.window, self.n_neighbours = sparse, window, neighbours
        self.memory_limit = memory_limit_mb * 2**20
        self.state: k.NeighbourState | None = None
        self._votes = np.zeros(0)
        self._columns = 0
        self._query, self._scattered = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
        self._sets = _grown_sets(None, 0, 0)

    def grow(self, n_columns: int) -> None:
        """Make room for design columns."""
        if self.state is None:
            self.state = self._empty(self._storages(n_columns))
        self._columns = max(self._columns, n_columns)
        known = len(self.state.frequency)
        columns = capacity(n_columns, known)
        if columns == known:
            return
        storages = len(self.state.norms) // k.SEGMENT
        column_ptr, tiles = self.state.column_ptr, self.state.tiles
        if self.sparse:
            column_ptr = grown(column_ptr, (storages, columns + 1))
            column_ptr[:, known + 1 :] = column_ptr[:, known : known + 1]  # new columns have no postings yet
        else:
            tiles = grown(tiles, (storages, columns, k.SEGMENT))
        self.state = self.state._replace(
            frequency=grown(self.state.frequency, (columns,)), column_ptr=column_ptr, tiles=tiles
        )
        self._sets = _grown_sets(self._sets, columns if self.sparse else 0, storages)
        self._query, self._scattered = np.zeros(columns, dtype=np.float32), np.zeros(columns, dtype=np.float32)

    def _storages(self, n_columns: int) -> int:
        """Segments of the window, one that is filled and one that rows of the same block may still refer to."""
        window = self.window
        if not self.sparse:
            window = max(MIN_WINDOW, min(window, int(self.memory_limit / (4 * max(1, n_columns)))))
        return -(-window // k.SEGMENT) + 2

    def _empty(self, storages: int) -> k.NeighbourState:
        f4, i4, i8 = np.float32, np.int32, np.int64
        slots = storages * k.SEGMENT
        return k.NeighbourState(
            np.zeros(1, i8),
            np.zeros(0, i8),
            np.zeros(slots, f4),
            np.zeros(slots, i4),
            np.zeros((slots, 4), i4),
            np.zeros(k.SEGMENT + 1, i8),
            np.zeros(0, i4),
            np.zeros(0, f4),
            np.zeros((storages if self.sparse else 0, 1), i4),
            np.zeros((storages if self.sparse else 0, 0), np.uint8),
            np.zeros((storages if self.sparse else 0, 0), f4),
            np.zeros((0 if self.sparse else storages, 0, k.SEGMENT), f4),
            np.zeros(1, i8),
            np.zeros(0, i8),
        )

    def _make_room(self, block: Batch, entries: int) -> None:
        """Room for the labels and non-zeros that the block may bring."""
        assert self.state is not None
        state = self.state
        widest = int(np.diff(block.y_indptr).max(initial=0))
        width = 1 << (widest - 1).bit_length() if widest > 1 else 1
        if width > state.labels.shape[1]:
            state = state._replace(labels=grown(state.labels, (len(state.labels), width)))
        if self.sparse:
            held = int(state.open_indptr[int(state.learned[0]) % k.SEGMENT])
            room = capacity(held + entries, len(state.open_indices))
            if room > len(state.open_indices):
                shape = (len(state.post_rows), room)
                state = state._replace(
                    open_indices=grown(state.open_indices, (room,)),
                    open_values=grown(state.open_values, (room,)),
                    post_rows=grown(state.post_rows, shape),
                    post_values=grown(state.post_values, shape),
                )
        self.state = state

    def process(
        self, block: Batch, rows: DesignRows, n_labels: int, prior: NDArray[np.float32], out: NDArray[np.float32]
    ) -> Nearest:
        """Predict, then learn each row of a block of at most `SEGMENT` rows; log-odds go to `out` (rows, labels).

        `prior` holds the log-odds that the vote of no neighbour amounts to, in the same shape.
        """
        assert self.state is not None
        if n_labels > len(self._votes):
            self._votes = np.zeros(capacity(n_labels, len(self._votes)))
        self._know(n_labels)
        self._make_room(block, len(rows.indices))
        first = max(int(self.state.since[0]), self._first_row())
        outdated = np.flatnonzero(self.state.valid[:n_labels] > first)
        slots = np.empty((len(block), self.n_neighbours), dtype=np.int32)
        weights = np.empty((len(block), self.n_neighbours), dtype=np.float32)
        k.neighbours_block(
            self.state,
            self._sets,
            rows.indptr,
            rows.indices,
            rows.standard,
            block.y_indptr,
            block.y_indices,
            block.mode,
            self.sparse,
            n_labels,
            prior,
            outdated,
            self._query,
            self._scattered,
            self._votes,
            slots,
            weights,
            out,
        )
        return Nearest(slots, weights, self.state.sizes, self.state.labels)

    def _first_row(self) -> int:
        """Number of the first row in the window."""
        assert self.state is not None
        storages = len(self.state.norms) // k.SEGMENT
        return max(0, int(self.state.learned[0]) // k.SEGMENT - (storages - 2)) * k.SEGMENT

    def recent(self) -> tuple[DesignRows, NDArray[np.int64], NDArray[np.int32]] | None:
        """The rows of the window, oldest first, as far as they are kept (standardised), and their labels as CSR."""
        state = self.state
        if state is None or not int(state.learned[0]):
            return None
        learned, storages = int(state.learned[0]), len(state.norms) // k.SEGMENT
        columns, values, slots = [], [], []
        for number in range(max(self._first_row(), int(state.since[0])), learned):
            storage, place = number // k.SEGMENT % storages, number % k.SEGMENT
            slots.append(storage * k.SEGMENT + place)
            if not self.sparse:
                columns.append(np.arange(self._columns, dtype=np.int32))
                values.append(state.tiles[storage, : self._columns, place])
            elif number // k.SEGMENT == learned // k.SEGMENT:
                own = slice(state.open_indptr[place], state.open_indptr[place + 1])
                columns.append(state.open_indices[own])
                values.append(state.open_values[own])
            else:
                end = int(state.column_ptr[storage, -1])
                (own_entries,) = np.nonzero(state.post_rows[storage, :end] == place)
                column = np.searchsorted(state.column_ptr[storage], own_entries, side="right") - 1
                columns.append(column.astype(np.int32))
                values.append(state.post_values[storage, own_entries])
        if not slots:
            return None
        indptr = np.concatenate([[0], np.cumsum([len(x) for x in columns])]).astype(np.int64)
        standard = np.concatenate(values).astype(np.float32)
        rows = np.repeat(np.arange(len(slots)), np.diff(indptr))
        length = np.sqrt(np.bincount(rows, standard.astype(np.float64) ** 2, len(slots)))
        unit = (standard / np.maximum(length, 1e-12)[rows]).astype(np.float32)
        sizes = state.sizes[slots]
        y_indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        y_indices = state.labels[slots][np.arange(state.labels.shape[1]) < sizes[:, None]]
        return DesignRows(indptr, np.concatenate(columns), standard, standard, unit), y_indptr, y_indices

    def renumber(self, numbers: NDArray[np.int32]) -> None:
        """Call every label of the window by its number: (labels,)."""
        if self.state is None:
            return
        inside = np.arange(self.state.labels.shape[1]) < self.state.sizes[:, None]
        numbers = np.append(numbers, np.int32(-1))
        named = np.where(inside, numbers[np.minimum(self.state.labels, len(numbers) - 1)], -1)
        self.state.sizes[(inside & (named < 0)).any(axis=1)] = 0  # of rows that have left the window
        self.state.labels[:] = np.maximum(named, 0)
        self.state = self.state._replace(valid=np.zeros(0, dtype=np.int64))

    def forget(self, labels: NDArray[np.int32], rows: int, *, everywhere: bool = False) -> None:
        """After a drift of `labels`, only the last `rows` rows tell anything of them; if `everywhere`, of anything."""
        if self.state is None or not len(labels):
            return
        self._know(int(labels.max()) + 1)
        first = max(0, int(self.state.learned[0]) - rows)
        if everywhere:
            self.state.since[0] = max(int(self.state.since[0]), first)
        else:
            self.state.valid[labels] = np.maximum(self.state.valid[labels], first)

    def _know(self, n_labels: int) -> None:
        """Room for so many labels: all that rows say of a new one is up to date."""
        assert self.state is not None
        room = capacity(n_labels, len(self.state.valid))
        if room > len(self.state.valid):
            self.state = self.state._replace(valid=grown(self.state.valid, (room,)))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 0 if self.state is None else sum(a.nbytes for a in (*self.state, *self._sets))

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name; posting lists without the room they have beyond their entries."""
        state = self.state
        if state is None:
            return {}
        n = self._columns
        arrays = tuple_arrays(state) | {
            "frequency": state.frequency[:n],
            "column_ptr": state.column_ptr[:, : n + 1],
            "tiles": state.tiles[:, :n],
            "valid": np.trim_zeros(state.valid, "b"),
        }
        if self.sparse:
            held = int(state.open_indptr[int(state.learned[0]) % k.SEGMENT])
            arrays |= {name: arrays[name][:held] for name in ("open_indices", "open_values")}
            sizes = state.column_ptr[:, -1].tolist()
            for name in ("post_rows", "post_values"):
                parts = [row[:size] for row, size in zip(arrays[name], sizes, strict=True)]
                arrays[name] = np.concatenate(parts) if parts else arrays[name].reshape(-1)
        return arrays

    def load_state_dict(self, state: Mapping[str, NDArray], n_columns: int, n_labels: int) -> None:
        """Take over a state that `state_dict` gave, of rows of so many design columns and labels."""
        part = Part.of(state)
        self.state = (
            None if not self.n_neighbours or "learned" not in part else self._checked(part, n_columns, n_labels)
        )
        if self.state is not None and self.sparse:
            self.state = self.state._replace(**_postings(self.state))
            self._sets = _grown_sets(None, n_columns, len(self.state.column_ptr))
            k.fill_sets(self.state, self._sets)
        columns = self._columns = n_columns if self.state is not None else 0
        self._query, self._scattered = np.zeros(columns, dtype=np.float32), np.zeros(columns, dtype=np.float32)

    def _checked(self, part: Part, n_columns: int, n_labels: int) -> k.NeighbourState:
        """The arrays, every pointer of which points to something."""
        f4, i4, i8, u1 = np.float32, np.int32, np.int64, np.uint8
        slots = part.length("norms")
        most = -(-(self.window if self.sparse else max(MIN_WINDOW, self.window)) // k.SEGMENT) + 2
        storages = slots // k.SEGMENT
        part.check(
            slots % k.SEGMENT == 0 and (storages == most if self.sparse else 3 <= storages <= most),
            "norms",
            "no window",
        )
        part.check(part["labels"].ndim == 2, "labels", "expected two axes")
        width, held = max(1, part["labels"].shape[-1]), part.length("open_indices")
        entries, s = part.length("post_rows"), storages if self.sparse else 0
        lists = (entries,) if self.sparse else (0, 0)
        state = part.load(
            k.NeighbourState,
            {
                "learned": Spec(i8, (1,), 0, LARGEST),
                "frequency": Spec(i8, (n_columns,), 0, LARGEST),
                "norms": Spec(f4, (slots,)),
                "sizes": Spec(i4, (slots,), 0, width if n_labels else 0),
                "labels": Spec(i4, (slots, width), 0, max(0, n_labels - 1)),
                "open_indptr": Spec(i8, (k.SEGMENT + 1,), 0),
                "open_indices": Spec(i4, (held if self.sparse else 0,), 0, n_columns - 1),
                "open_values": Spec(f4, (held,)),
                "column_ptr": Spec(i4, (s, n_columns + 1 if self.sparse else 1), 0),
                "post_rows": Spec(u1, lists, 0, k.SEGMENT - 1),
                "post_values": Spec(f4, lists),
                "tiles": Spec(f4, (0 if self.sparse else storages, 0 if self.sparse else n_columns, k.SEGMENT)),
                "since": Spec(i8, (1,), 0, LARGEST),
                "valid": Spec(i8, (part.length("valid"),), 0, LARGEST),
            },
        )
        part.check(len(state.valid) <= n_labels, "valid", "more than there are labels")
        if self.sparse:
            place = int(state.learned[0]) % k.SEGMENT
            part.pointers("open_indptr", state.open_indptr[: place + 1], held)
            for pointers in state.column_ptr:
                part.pointers("column_ptr", pointers, int(pointers[-1]))
            part.check(int(state.column_ptr[:, -1].sum(dtype=i8)) == entries, "column_ptr", "lists that do not add up")
        return state


def _grown_sets(old: k.RowSets | None, columns: int, storages: int) -> k.RowSets:
    """Room for so many columns, holding what `old` held."""
    if old is None:
        old = k.RowSets(np.zeros((0, 0, 0), dtype=np.int64), np.zeros((0, 0), dtype=np.float32))
    shape = (columns, storages, k.SEGMENT // k.WORD)
    return k.RowSets(grown(old.rows, shape), grown(old.values, shape[:2]))


def _postings(state: k.NeighbourState) -> dict[str, NDArray]:
    """Posting lists that were saved one after the other, a row of room each."""
    sizes = state.column_ptr[:, -1].tolist()
    room = max([len(state.open_indices), *sizes], default=0)
    lists: dict[str, NDArray] = {}
    for name in ("post_rows", "post_values"):
        flat, start = getattr(state, name), 0
        lists[name] = np.zeros((len(sizes), room), dtype=flat.dtype)
        for storage, size in enumerate(sizes):
            lists[name][storage, :size] = flat[start : start + size]
            start += size
    lists |= {name: grown(getattr(state, name), (room,)) for name in ("open_indices", "open_values")}
    return lists
