"""What became of some clusters, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from stream_ml.states import StateError, whole

__all__ = ["Change"]

KINDS = ("split", "merge", "move", "join")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of some clusters.

    Attributes
    ----------
    kind
        `split`, `merge`, `move` (labels between clusters) or `join` (new labels).
    instance
        Instances learned when it was decided.
    before, after
        Cluster ids and their labels (sorted positions). A cluster that only gains or loses single labels keeps its id.
    reason
        The statistics behind it; all but those of a join hold `kept_before` and `kept_after`, the share of all pairwise
        Jaccard similarity inside clusters.
    """

    kind: Literal["split", "merge", "move", "join"]
    instance: int
    before: dict[int, list[int]]
    after: dict[int, list[int]]
    reason: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description, which shares what it holds; `from_dict` reads it back."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Change:
        """The change that `to_dict` described; cluster ids may have become strings on the way."""
        before, after = (
            {int(cluster): [whole(label) for label in labels] for cluster, labels in data[side].items()}
            for side in ("before", "after")
        )
        kind, reason = data["kind"], dict(data["reason"])
        if kind not in KINDS:
            raise StateError(f"no change of clusters is called {kind!r}")
        return cls(kind, whole(data["instance"]), before, after, reason)
