"""What a saved state must agree with, and plain values as arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ConfigError
from stream_ml.experts import ExtraExperts
from stream_ml.ihomer.watch import DEPENDENCE, LOSS
from stream_ml.states import Part, shown
from stream_ml.streams.schema import Schema

__all__ = ["EXTRA", "PickledByState", "check_extra", "check_parts", "check_schema", "check_settings", "json_array"]

EXTRA = "extra"
"""Name of what experts of one's own have in a state."""
DECIDED_ONLY = {"decisions.objective", "decisions.alternatives"}


def check_settings(saved: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Refuse a state of a model of other settings; for what label sets are decided may differ, as nothing learns it."""
    theirs, ours = _flat(saved), _flat(mine)
    for name in sorted((theirs.keys() | ours.keys()) - DECIDED_ONLY):
        if theirs.get(name) != ours.get(name):
            raise ConfigError(
                f"the state is of a model with {name} = {theirs.get(name)!r}; this has {ours.get(name)!r}"
            )


def check_schema(schema: Schema, sparse: bool, arities: NDArray[np.int32], n_labels: int) -> None:
    """Refuse a schema that is not that of the saved model, or a later one of the same stream."""
    found = schema.arities()
    if schema.sparse != sparse:
        raise ConfigError(f"the state is of a {'sparse' if sparse else 'dense'} schema, this one is not")
    mine = found[: len(arities)]  # values may have come since
    if len(mine) < len(arities) or ((mine > 0) != (arities > 0)).any() or (mine < arities).any():
        raise ConfigError(f"the state knows {len(arities)} features, and this schema's {len(found)} are not the same")
    if schema.n_labels < n_labels:
        raise ConfigError(f"the state knows {n_labels} labels, this schema has {schema.n_labels}")


def check_parts(whole: Part, arities: NDArray[np.int32], parts: Mapping[str, Any]) -> None:
    """Fail where parts that are good by themselves are not those of one model of these features."""
    if "gated" in parts:
        _check_columns(whole, "gated.design", parts["gated"].design.arities, arities)
        return
    pool, partition, joint = parts["pool"], parts["partition"], parts["joint"]
    for name in ("pool", "stacking", "joint", "deciders"):
        whole.check(parts[name].n_labels == partition.n_labels, f"{name}.n_labels", f"expected {partition.n_labels}")
    known, columns = partition.arities, pool.design.arities
    whole.check(not len(known) or np.array_equal(known, arities), "partition.arities", "not those of the model")
    _check_columns(whole, "pool.design", columns, known)
    followed = joint.n_clusters == partition.n_slots and np.array_equal(joint.slot_of, partition.slot_of)
    whole.check(followed or not joint.enabled, "joint.slot_of", "other clusters")
    watched = set(parts["watch"].detector_of)
    whole.check(watched == {LOSS, DEPENDENCE, *partition.ids}, "watch.detectors", "other clusters")


def check_extra(saved: Sequence[str], mine: Sequence[str]) -> None:
    """Refuse a state of a model with other experts of one's own."""
    if list(saved) != list(mine):
        given = f"given: {shown(list(mine))} (extra_experts={{name: expert}}, in order)"
        raise ConfigError(f"the model's extra experts: {shown(list(saved))}; {given}")


def _check_columns(whole: Part, name: str, columns: NDArray[np.int32], known: NDArray[np.int32]) -> None:
    """Fail unless design columns are of those features; values may have come since."""
    same = len(columns) == len(known) and ((columns > 0) == (known > 0)).all() and (columns <= known).all()
    whole.check(same, f"{name}.arities", "other features")


def json_array(value: Any) -> NDArray[np.uint8]:
    """Plain values as bytes of JSON in an array."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8).copy()


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


class PickledByState:
    """Pickles and copies of a model are made of what `save` writes, and of the names that `learn_one` was given.

    Experts of one's own go along as they are.
    """

    settings: Any
    _schema: Schema | None
    _dicts: Any
    _extra: ExtraExperts

    def own_state(self) -> dict[str, NDArray]:
        """All that the future depends on, but for experts of one's own; live."""
        raise NotImplementedError

    def load_own_state(self, schema: Schema, state: Mapping[str, NDArray]) -> None:
        """Take it over."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        state = {name: np.array(array) for name, array in self.own_state().items()}
        saved = {"settings": self.settings, "schema": self._schema, "dicts": self._dicts, "state": state}
        return saved | ({"extra": self._extra} if self._extra.names else {})

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.settings, self._dicts = saved["settings"], saved["dicts"]
        self._extra = saved.get("extra", ExtraExperts({}))
        # copies: what was pickled may come back as memory that cannot be written to
        state = {name: np.array(array) for name, array in saved["state"].items()}
        self.load_own_state(Schema() if saved["schema"] is None else saved["schema"], state)
