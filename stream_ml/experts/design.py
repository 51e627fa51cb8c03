"""Design rows: what the linear and Bayes experts see of an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, trimmed, tuple_arrays
from stream_ml.experts import _kernels as k
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import Batch

__all__ = ["Design", "DesignRows"]

MEMORY = 10_000.0
"""Learned values of a column after which its moments begin to fade."""


class DesignRows(NamedTuple):
    """A block in design columns, CSR: the values raw, standardised, and standardised to unit length."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    standard: NDArray[np.float32]
    unit: NDArray[np.float32]


class Design:
    """Maps features to design columns and keeps the columns' running moments.

    A nominal feature of more than two values takes a column per value; any other feature takes one. Columns of dense
    numeric features are centred; those of sparse ones are only scaled, so that zeros stay zeros.
    """

    def __init__(self, *, sparse: bool, memory: float = MEMORY) -> None:
        self.sparse, self.memory = sparse, memory
        self.arities = np.zeros(0, dtype=np.int32)
        self.offsets = np.zeros(0, dtype=np.int64)
        self.centred = np.zeros(0, dtype=np.bool_)
        self.n_columns = 0
        self.scale = k.ScaleState(np.zeros(0), np.zeros(0), np.zeros(0))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(a.nbytes for a in (self.arities, self.offsets, self.centred, *self.scale))

    def grow(self, arities: NDArray[np.int32]) -> None:
        """Append columns for the features beyond those known; a known feature keeps its columns."""
        new = arities[len(self.arities) :]
        if not len(new):
            return
        widths = np.where(new > 2, new, 1).astype(np.int64)
        starts = self.n_columns + np.concatenate([[0], np.cumsum(widths)[:-1]])
        self.arities = np.concatenate([self.arities, new]).astype(np.int32)
        self.offsets = np.concatenate([self.offsets, starts]).astype(np.int64)
        centred = np.repeat((new <= 2) & (not self.sparse), widths)
        self.centred = np.concatenate([self.centred, centred]).astype(np.bool_)
        self.n_columns = int(widths.sum()) + self.n_columns
        room = capacity(self.n_columns, len(self.scale.counts))
        self.scale = k.ScaleState(*(grown(a, (room,)) for a in self.scale))

    def rows(self, block: Batch) -> DesignRows:
        """The block's rows; moments learn from those whose mode says so."""
        nnz, f4 = len(block.x_values), np.float32
        out = DesignRows(
            np.empty(len(block) + 1, dtype=np.int64),
            np.empty(nnz, dtype=np.int32),
            np.empty(nnz, f4),
            np.empty(nnz, f4),
            np.empty(nnz, f4),
        )
        k.design_rows(
            block.x_indptr,
            block.x_indices,
            block.x_values,
            block.mode,
            self.arities,
            self.offsets,
            self.centred,
            self.memory,
            self.scale,
            *out,
        )
        return out

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        scale = {name: trimmed(a, (self.n_columns,)) for name, a in tuple_arrays(self.scale).items()}
        return {"arities": self.arities, **scale}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part = Part.of(state)
        arities = part.array("arities", Spec(np.int32, (part.length("arities"),), 0))
        n_columns = int(np.where(arities > 2, arities, 1).sum(dtype=np.int64))
        scale = part.load(k.ScaleState, dict.fromkeys(k.ScaleState._fields, Spec(np.float64, (n_columns,))))
        self.__init__(sparse=self.sparse, memory=self.memory)  # type: ignore[misc]
        self.grow(arities)
        self.scale = scale
