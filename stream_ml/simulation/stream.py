"""Streams made of concepts that replace each other, with the truth about when and what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stream_ml.simulation.concepts import GroupConcept
from stream_ml.streams.batch import Batch
from stream_ml.streams.schema import Feature, Schema
from stream_ml.streams.source import Stream
from stream_ml.streams.truth import Drift

__all__ = ["SimulatedStream", "default_stream"]

BLOCK = 1000
"""Rows drawn at once, each block from a random generator of its own: the batch size cannot change them."""


class SimulatedStream(Stream):
    """Rows drawn from concepts in turn.

    Parameters
    ----------
    schema
        Dense; numeric features are drawn from a standard normal distribution, nominal ones uniformly.
    phases
        Pairs (first row, concept), the first one from row 0, in order; of two from the same row the later one rules.
    drifts
        What changes between them.
    n_instances, seed, batch_size
        Rows; what fixes them; rows per batch.

    Raises
    ------
    ValueError
        No rows, no phase from row 0, phases out of order, or a concept whose number of labels is not the schema's.
    """

    def __init__(
        self,
        schema: Schema,
        phases: Sequence[tuple[int, GroupConcept]],
        *,
        drifts: Sequence[Drift] = (),
        n_instances: int,
        seed: int,
        batch_size: int = 1000,
    ) -> None:
        super().__init__(batch_size=batch_size)
        if n_instances < 1:
            raise ValueError(f"n_instances must be at least 1, not {n_instances}")
        starts = [start for start, _ in phases]
        if not starts or starts[0] != 0 or starts != sorted(starts):
            raise ValueError(f"phases must start at row 0 and be in order, not at {starts}")
        for start, concept in phases:
            if len(concept.group_of) != schema.n_labels:
                raise ValueError(
                    f"the concept from row {start} has {len(concept.group_of)} labels, the schema {schema.n_labels}"
                )
        self.schema, self.name = schema, schema.name
        self.phases, self.drifts = list(phases), list(drifts)
        self.n_instances, self.seed = n_instances, seed
        self._nominal = [(j, len(f.values)) for j, f in enumerate(schema.features) if f.values is not None]

    def pieces(self) -> Iterator[Batch]:
        """The rows, block by block."""
        assert self.n_instances is not None
        for first in range(0, self.n_instances, BLOCK):
            rng = np.random.default_rng([self.seed, first // BLOCK])
            x = rng.normal(size=(BLOCK, self.schema.n_features))
            for j, arity in self._nominal:
                x[:, j] = rng.integers(0, arity, BLOCK)
            y = np.zeros((BLOCK, self.schema.n_labels), dtype=np.bool_)
            bounds = [start for start, _ in self.phases[1:]] + [first + BLOCK]
            for (start, concept), stop in zip(self.phases, bounds, strict=True):
                a, b = max(start, first) - first, min(stop, first + BLOCK) - first
                if a < b:
                    y[a:b] = concept.labels(x[a:b], rng)
            rows = min(BLOCK, self.n_instances - first)
            yield Batch.from_dense(self.schema, x[:rows], y[:rows])


def default_stream(*, n_instances: int = 50_000, batch_size: int = 1000, seed: int = 42) -> SimulatedStream:
    """The embedded stream: 30 features, 12 labels in 4 groups that go together, two drifts.

    After 40% of the rows two of the four groups follow other rules (a sudden, local drift of the concept); after 70%
    the labels are regrouped, so that other labels go together (a drift of label dependence). `drifts` tells.

    Examples
    --------
    >>> stream = default_stream(n_instances=2500, batch_size=1000)
    >>> [len(batch) for batch in stream], [(d.instance, d.kind) for d in stream.drifts]
    ([1000, 1000, 500], [(1000, 'concept'), (1750, 'dependence')])
    """
    features = [Feature(f"number_{j}") for j in range(24)]
    features += [Feature(f"flag_{j}", ("no", "yes")) for j in range(4)]
    features += [Feature(f"region_{j}", ("north", "east", "south", "west")) for j in range(2)]
    names = [f"{group}_{i}" for group in ("red", "green", "blue", "grey") for i in range(3)]
    schema = Schema(features, names, name="default")
    rng = np.random.default_rng([seed, 1 << 32])
    first, other = (
        GroupConcept.random(
            rng, n_features=len(features), group_sizes=(3, 3, 3, 3), region_features=(28, 29), n_regions=2
        )
        for _ in range(2)
    )
    changed = (0, 1)
    second = first.with_rules_of(other, changed)
    third = second.with_groups(np.arange(12) % 4)
    before, after = (tuple(map(tuple, concept.groups())) for concept in (second, third))
    at, then = int(0.4 * n_instances), int(0.7 * n_instances)
    moved = tuple(np.flatnonzero(third.group_of != second.group_of).tolist())
    local = tuple(np.flatnonzero(np.isin(first.group_of, changed)).tolist())
    return SimulatedStream(
        schema,
        [(0, first), (at, second), (then, third)],
        drifts=[Drift(at, "concept", local), Drift(then, "dependence", moved, before=before, after=after)],
        n_instances=n_instances,
        seed=seed,
        batch_size=batch_size,
    )
