"""What happened to the structure of a model, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from stream_ml.states import StateError, whole

__all__ = ["EVENT_KINDS", "Event"]

EVENT_KINDS = (
    "warning",
    "drift",
    "split",
    "merge",
    "move",
    "join",
    "swap",
    "drop",
    "restart",
    "restructure",
    "gate",
    "sleep",
    "wake",
    "tree_split",
    "tree_warning",
    "tree_drift",
    "tree_swap",
    "tree_drop",
    "tree_memory",
)
"""`split`, `merge`, `move`, `join` are of clusters; `warning`, `drift`, `swap`, `drop` of a cluster's learner or of the
whole; `restart` of a learner that starts anew after a large drift; `restructure` says that the partition was opened
anew; `gate` says that gates find the likely labels from here on; `sleep` and `wake` are of experts; those with `tree_`
happen inside one tree."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    kind
        One of `EVENT_KINDS`.
    instance
        Instances learned when it was decided.
    scope
        `global`, `cluster` or `tree`.
    where
        The cluster's id or ids; empty for a global event.
    reason
        The statistics that led to it.
    changed
        What is different now.
    """

    kind: str
    instance: int
    scope: str
    where: str = ""
    reason: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, which shares what it holds.

        >>> Event("drift", 1200, "global", reason={"mean": 0.4}).to_dict()["reason"]
        {'mean': 0.4}
        """
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """The event that `to_dict` described.

        Raises
        ------
        StateError
            It is none.
        """
        event = cls(**data)
        kinds = {"kind": str, "scope": str, "where": str, "reason": dict, "changed": dict}
        if event.kind not in EVENT_KINDS or any(type(getattr(event, n)) is not kind for n, kind in kinds.items()):
            raise StateError("events: no event of a model")
        whole(event.instance)
        return event
