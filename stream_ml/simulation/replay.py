"""Files replayed: repeated, shuffled, and with drifts put on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from stream_ml.errors import ConfigError, DataError
from stream_ml.simulation.timeline import DriftSettings
from stream_ml.streams.batch import Batch
from stream_ml.streams.files import open_stream
from stream_ml.streams.source import concatenate
from stream_ml.streams.truth import Groups

__all__ = ["ReplayGenerator", "ReplaySettings"]

KINDS = {"concept", "appear", "vanish", "noise"}


class ReplaySettings(BaseModel):
    """Of a file that is replayed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["file"] = "file"
    path: str = Field(description="ARFF, CSV, JSON Lines, svmlight or XMC file; relative to the scenario's folder.")
    format: str | None = Field(None, description="arff, csv, jsonl, svmlight, xmc; null: by the file's name.")
    labels: str | None = Field(None, description="Which columns are labels: as for `stream-ml evaluate --labels`.")
    shuffle: bool = Field(False, description="Whether every pass over the file is in an order of its own.")
    noise: float = Field(0.0, ge=0, le=1, description="Share of labels that are flipped into another row's.")


class ReplayGenerator:
    """The rows of a file again and again, held in memory.

    Drifts are put on: of concept, where labels concerned swap their names in a circle (`how: labels`) or features of
    one kind swap their columns (`how: features`); of labels that appear or vanish; of noise, where a label is taken
    from a random row of the file, so that frequencies stay.
    """

    def __init__(self, settings: ReplaySettings, drifts: list[DriftSettings], seed: int, folder: Path) -> None:
        for drift in drifts:
            if drift.kind not in KINDS:
                raise ConfigError(f"drifts: {drift.kind} at row {drift.at}: a file knows {', '.join(sorted(KINDS))}")
            if drift.shape == "incremental" and drift.kind == "concept":
                raise ConfigError(f"drifts: at row {drift.at}: what is swapped has no in-between; expected gradual")
            if drift.groups is not None:
                raise ConfigError(f"drifts: at row {drift.at}: a file has no groups; name labels")
        self.settings, self.drifts, self._seed = settings, drifts, seed
        pieces = list(open_stream(folder / settings.path, labels=settings.labels, format=settings.format))
        if not pieces:
            raise DataError("holds no instances", source=str(folder / settings.path))
        self.data = concatenate(pieces)
        self.schema = self.data.schema
        n_labels = self.schema.n_labels
        self.affected = []
        for drift in drifts:
            if drift.labels and max(drift.labels) >= n_labels:
                raise ConfigError(f"drifts: labels go to {n_labels - 1}, found {max(drift.labels)}")
            labels = np.arange(n_labels) if drift.labels is None else np.unique(np.array(drift.labels))
            self.affected.append(labels.astype(np.int64))
            if drift.kind == "concept" and drift.how == "labels" and len(labels) < 2:
                raise ConfigError(f"drifts: concept at row {drift.at}: one label has none to swap with")
        self._columns = {
            d: self._swapped_columns(d) for d, x in enumerate(drifts) if x.kind == "concept" and x.how == "features"
        }
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        """Rows of the file."""
        return len(self.data)

    def groups(self, activation: tuple[float, ...]) -> Groups:
        """Which labels go together in a file is not known."""
        return ()

    def _swapped_columns(self, d: int) -> NDArray[np.int32]:
        """Where each feature's values go: to another of as many values."""
        rng, target = np.random.default_rng([self._seed, 1 << 33, d]), np.arange(self.schema.n_features, dtype=np.int32)
        arities = self.schema.arities()
        for arity in np.unique(arities):
            circle = rng.permutation(np.flatnonzero(arities == arity))
            target[circle] = np.roll(circle, 1)
        return target

    def _sources(self, first: int, n: int) -> NDArray[np.int64]:
        """Which row of the file each row is."""
        places = np.arange(first, first + n)
        passes, rows = np.divmod(places, len(self.data))
        if not self.settings.shuffle:
            return rows
        out = np.empty(n, dtype=np.int64)
        for number in np.unique(passes).tolist():
            if self._order[0] != number:
                rng = np.random.default_rng([self._seed, 1 << 34, number])
                self._order = number, rng.permutation(len(self.data))
            chosen = passes == number
            out[chosen] = self._order[1][rows[chosen]]
        return out

    def replayed(self, rng: np.random.Generator, first: int, activation: NDArray[np.float64]) -> Batch:
        """Rows from `first` on, one for each row of `activation` (rows, drifts)."""
        batch = self.data.take(self._sources(first, len(activation)))
        n = len(batch)
        noise = np.full(n, self.settings.noise)
        y = batch.y_dense()
        for d, (drift, labels) in enumerate(zip(self.drifts, self.affected, strict=True)):
            share = activation[:, d]
            if drift.kind == "concept" and drift.how == "labels":
                on = share >= 0.5
                y[np.ix_(on, labels)] = y[np.ix_(on, np.roll(labels, 1))]
            elif drift.kind == "concept":
                batch = _recolumned(batch, np.flatnonzero(share >= 0.5), self._columns[d])
            elif drift.kind == "noise":
                noise = (1 - share) * noise + share * (drift.rate or 0.0)
        flipped = rng.random(y.shape) < noise[:, None]
        other = self.data.take(rng.integers(0, len(self.data), n)).y_dense()
        y = np.where(flipped, other, y)
        for drift, labels, share in zip(self.drifts, self.affected, activation.T, strict=True):
            if drift.kind in {"appear", "vanish"}:
                chance = share if drift.kind == "appear" else 1 - share
                y[:, labels] &= rng.random((n, len(labels))) < chance[:, None]
        y[~batch.labelled] = False
        rows, columns = np.nonzero(y)
        return Batch.of_rows(
            self.schema,
            batch.x_indptr,
            batch.x_indices,
            batch.x_values,
            np.searchsorted(rows, np.arange(n + 1)).astype(np.int64),
            columns.astype(np.int32),
            batch.labelled,
        )


def _recolumned(batch: Batch, rows: NDArray[np.int64], target: NDArray[np.int32]) -> Batch:
    """The batch with the features of some rows in other columns."""
    row_of = np.repeat(np.arange(len(batch)), np.diff(batch.x_indptr))
    indices = np.where(np.isin(row_of, rows), target[batch.x_indices], batch.x_indices).astype(np.int32)
    order = np.lexsort((indices, row_of))
    return replace(batch, x_indices=indices[order], x_values=batch.x_values[order])
