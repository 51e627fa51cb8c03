"""Small random streams as gates see them: design rows, neighbours, label sets, modes, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stream_ml.experts.design import DesignRows
from stream_ml.experts.neighbours import Nearest
from stream_ml.gating import GateRows, Gates
from stream_ml.streams.batch import Partial

MODES = [1, 2, 3, 6, 7]
"""Predict, learn, both; the latter again."""


@dataclass
class GateStream:
    """`cells`: per row (column, value, standardised, of unit length); `absent`: of rows `in_part` what is known."""

    cells: list[list[tuple[int, float, float, float]]]
    labels: list[list[int]]
    absent: list[list[int]]
    in_part: np.ndarray
    mode: np.ndarray
    nearest: Nearest
    centred: np.ndarray
    n_labels: int

    def __len__(self):
        return len(self.cells)

    def near(self, row):
        """The neighbours' label sets and votes."""
        slots, weights, _, _ = self.nearest
        pairs = zip(slots[row].tolist(), weights[row].tolist(), strict=True)
        return [(set(self.labels[slot]), weight) for slot, weight in pairs if slot >= 0]

    def arrays(self, start, stop):
        """The arguments of `Gates.process` but for the last."""
        cells = self.cells[start:stop]
        columns, *values = np.array([c for row in cells for c in row]).reshape(-1, 4).T
        design = DesignRows(_ends(cells), columns.astype(np.int32), *(v.astype(np.float32) for v in values))
        near = self.nearest._replace(slots=self.nearest.slots[start:stop], weights=self.nearest.weights[start:stop])
        y, absent = self.labels[start:stop], self.absent[start:stop]
        partial = Partial(self.in_part[start:stop], _ends(absent), _flat(absent))
        return design, near, (_ends(y), _flat(y)), self.mode[start:stop], partial, self.centred


def _ends(lists):
    return np.cumsum([0, *map(len, lists)]).astype(np.int64)


def _flat(lists):
    return np.array([value for values in lists for value in values], np.int32)


def gate_stream(seed, n, n_columns=8, n_labels=40, *, sparse=True, k=3, partial=True, modes=True):
    """Rows whose columns tell something of their labels; some without columns, some without labels."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 6, n)
    likely = rng.random((6, n_labels)) ** 6
    taste = rng.random((6, n_columns)) ** 2
    cells, labels, absent = [], [], []
    in_part = (rng.random(n) < 0.3) & partial
    centred = (rng.random(n_columns) < 0.5) & (not sparse)
    for row in range(n):
        there = np.flatnonzero(rng.random(n_columns) < taste[group[row]]) if sparse else np.arange(n_columns)
        there = there if rng.random() < 0.95 else there[:0]
        standard = np.clip(rng.normal(1 if sparse else 0, 1, len(there)), -5, 5).astype(np.float32)
        value = standard * (rng.random(len(there)) < 0.9)
        unit = (standard / max(1e-6, np.linalg.norm(standard))).astype(np.float32)
        cells.append(list(zip(there.tolist(), value.tolist(), standard.tolist(), unit.tolist(), strict=True)))
        y = np.flatnonzero(rng.random(n_labels) < likely[group[row]] * 0.5)
        y = y[:0] if rng.random() < 0.1 else y
        labels.append(y.tolist())
        others = np.setdiff1d(np.flatnonzero(rng.random(n_labels) < 0.3), y)
        absent.append(others.tolist() if in_part[row] else [])
    mode = rng.choice(MODES, n, p=[0.1, 0.1, 0.6, 0.1, 0.1] if modes else [0, 0, 1, 0, 0]).astype(np.uint8)
    return GateStream(cells, labels, absent, in_part, mode, _neighbours(rng, labels, k), centred, n_labels)


def _neighbours(rng, labels, k):
    """Some earlier rows of each row, fewer of early ones."""
    n, sizes = len(labels), np.array([len(y) for y in labels], np.int32)
    slots, held = np.full((n, k), -1, np.int32), np.zeros((n, max(1, sizes.max(initial=0))), np.int32)
    for row, y in enumerate(labels):
        held[row, : len(y)] = y
        slots[row, : min(k, row)] = rng.choice(row, min(k, row), replace=False) if row and k else []
    weights = np.where(slots >= 0, np.sort(rng.random((n, k)))[:, ::-1], 0.0)
    return Nearest(slots, np.ascontiguousarray(weights, np.float32), sizes, held)


def run(gates: Gates, stream: GateStream, cuts=(), most=64, start=0, stop=None) -> GateRows:
    """Process rows of a stream, cut into calls."""
    gates.grow(stream.n_labels)
    ends = [start, *cuts, len(stream) if stop is None else stop]
    parts = [gates.process(*stream.arrays(a, b), most) for a, b in pairwise(ends)]
    return GateRows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def saved(gates: Gates) -> dict[str, np.ndarray]:
    """A copy of the state."""
    return {name: array.copy() for name, array in gates.state_dict().items()}


def assert_same(a, b):
    """The same arrays, bit for bit."""
    for name, left, right in zip(a, a.values(), b.values(), strict=True) if isinstance(a, dict) else _pairs(a, b):
        np.testing.assert_array_equal(left, right, err_msg=name, strict=True)


def _pairs(a, b):
    return zip(a._fields, a, b, strict=True)
