"""When drifts happen: how far each has come at each row, and the truth that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["DriftSettings", "Timeline"]

STEP, STEPS = 100, 40
"""An incremental drift goes on every STEP rows, or, a long one, in STEPS steps."""
STEEPNESS = 8.0
"""The sigmoid of a gradual drift goes from 2% to 98% over its width."""
LARGEST = 2**53

Kind = Literal["concept", "features", "dependence", "imbalance", "appear", "vanish", "noise"]
Shape = Literal["sudden", "gradual", "incremental", "recurring"]
Row = Annotated[int, Field(ge=0, le=LARGEST)]


class DriftSettings(BaseModel):
    """One drift of a scenario."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Kind = Field(
        description="concept: labels follow other rules; features: these alone move; dependence: other labels go "
        "together; imbalance: other frequencies; appear, vanish: of labels; noise."
    )
    shape: Shape = Field("sudden", description="sudden, gradual, incremental, or recurring: there and back.")
    at: Row = Field(description="The first row that is not as before.")
    width: Row = Field(
        0, description="Rows that a gradual or incremental drift, or each turn of a recurring one, takes."
    )
    period: Row | None = Field(None, description="Rows between two turns of a recurring drift.")
    labels: list[Row] | None = Field(None, description="Positions of the labels concerned; null: all.")
    groups: list[Row] | None = Field(None, description="Groups of labels concerned, instead of labels.")
    factor: float | None = Field(None, gt=0, le=1000, description="imbalance: what frequencies are multiplied by.")
    rate: float | None = Field(None, ge=0, le=1, description="noise: the new share of labels drawn anew.")
    how: Literal["labels", "features"] = Field(
        "labels", description="concept, of a replayed file: labels swap their names, or features their columns."
    )

    @model_validator(mode="after")
    def _whole(self) -> DriftSettings:
        if self.shape in {"gradual", "incremental"} and self.width < 1:
            raise ValueError(f"a {self.shape} drift needs a width of at least 1 row")
        if self.shape == "sudden" and self.width:
            raise ValueError("a sudden drift has no width; expected shape gradual or incremental")
        if (self.shape == "recurring") != (self.period is not None):
            raise ValueError("a recurring drift, and no other, needs a period")
        if self.period is not None and not self.width < self.period:
            raise ValueError("a recurring drift needs a period above its width")
        if self.labels is not None and self.groups is not None:
            raise ValueError("expected labels or groups, not both")
        if self.kind in {"appear", "vanish"} and self.labels is None and self.groups is None:
            raise ValueError(f"{self.kind} needs labels or groups")
        if self.kind == "dependence" and (self.labels is not None or self.groups is not None):
            raise ValueError("a drift of dependence is of all labels; leave labels and groups out")
        if (self.kind == "imbalance") != (self.factor is not None):
            raise ValueError("imbalance, and no other kind, needs a factor")
        if (self.kind == "noise") != (self.rate is not None):
            raise ValueError("noise, and no other kind, needs a rate")
        return self


class Timeline:
    """How far each of some drifts has come.

    Parameters
    ----------
    drifts
        In any order.
    n_instances
        Rows of the stream; drifts and turns behind its end have no truth.
    """

    def __init__(self, drifts: Sequence[DriftSettings], n_instances: int) -> None:
        self.drifts, self.n_instances = list(drifts), n_instances

    def turns(self, drift: DriftSettings) -> list[tuple[int, int, bool]]:
        """First row, first row from which all is new, and whether it is on then, of each turn within the stream."""
        if drift.period is None:
            starts = [drift.at]
        else:
            starts = list(range(drift.at, self.n_instances, drift.period))
        return [(a, a + drift.width, i % 2 == 0) for i, a in enumerate(starts) if a < self.n_instances]

    def activations(self, first: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """How far each drift has come at rows `first .. first + n`: (n, drifts), 0 for not begun, 1 for complete.

        In a gradual drift every row is of the old kind or of the new; what `rng` gives decides, and as much is drawn
        from it whether the drift is under way or not.
        """
        rows = np.arange(first, first + n)
        out = np.empty((n, len(self.drifts)))
        for d, drift in enumerate(self.drifts):
            chance = rng.random(n)
            place, back = rows - drift.at, np.zeros(n, dtype=np.bool_)
            if drift.period is not None:
                back = (place // drift.period) % 2 == 1
                place = np.where(place < 0, place, place % drift.period)
            width = max(drift.width, 1)
            if drift.shape == "incremental":
                step = max(STEP, width // STEPS)
                share = (place // step * step + step / 2) / width
            elif drift.width:
                share = (chance < 1 / (1 + np.exp(-STEEPNESS * (place / width - 0.5)))).astype(np.float64)
            else:
                share = np.ones(n)
            share = np.where(place >= drift.width, 1.0, np.minimum(share, 1.0))
            share = np.where(back, 1.0 - share, share)
            out[:, d] = np.where(rows < drift.at, 0.0, share)
        return out
