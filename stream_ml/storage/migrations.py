"""What older files lack, added as they are read: from each format version to the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIGRATIONS"]

Content = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""Arrays by name, and facts."""


def _labels_known_in_part(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Content:
    """1 to 2: all labels of all rows were known, and those that instances wait for came at once.

    Nothing was outdated, nothing set aside, and drifts of clusters explained none of the whole.
    """
    new = dict(arrays)
    for name, array in arrays.items():
        stem, _, last = name.rpartition(".")
        if name.endswith(("pool.prior.weight", "pool.recency.weight")):
            weights = np.zeros_like(arrays[f"{stem}.counts"])
            weights[: int(arrays[f"{stem.rpartition('.')[0]}.n_labels"][0])] = array[0]
            new[f"{stem}.weights"] = weights
        elif name.endswith("pool.neighbours.learned"):
            new[f"{stem}.since"], new[f"{stem}.valid"] = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        elif name.endswith("stacking.own_squares"):
            shared, information = arrays[f"{stem}.shared"], arrays[f"{stem}.information"]
            new[f"{stem}.aside"] = np.zeros(array.shape[1], dtype=np.int64)
            new[f"{stem}.apart"], new[f"{stem}.apart_gradient"] = np.zeros_like(shared), np.zeros_like(shared)
            new[f"{stem}.apart_information"] = information.copy()
            new[f"{stem}.kept"] = np.stack([shared, shared])
            new[f"{stem}.kept_information"] = np.stack([information, information])
        elif name.endswith("watch.pending"):
            new[name] = np.concatenate([array, np.zeros((len(array), 1))], axis=1)
            new[f"{stem}.held"], new[f"{stem}.drifted"] = np.zeros((0, 6)), np.zeros((0, 2), dtype=np.int64)
            new[f"{stem}.whole"] = np.array([-1000], dtype=np.int64)
        elif name.endswith("deciders.own_total"):
            new[f"{stem}.missed"] = np.zeros_like(array)
        elif name in ("overall.sums", "recent.sums"):
            new[name] = np.concatenate([array, np.zeros(2)])
        elif stem == "waiting" and last == "p_indptr":
            new["waiting.t_indptr"] = np.zeros_like(array)
            new["waiting.t_indices"] = np.zeros(0, dtype=np.int32)
    if "counts" in facts:
        facts = {**facts, "counts": {**facts["counts"], "repeated_labels": 0}}
    return new, facts


def _no_gates(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Content:
    """2 to 3: all labels were looked at, however many; from here on gates open where the defaults have them open."""
    routing = {"gated_above": 1000, "all_labels_mb": 256.0, "reach": 0.1, "memory_limit_mb": 1024.0}
    new = dict(arrays)
    for name, array in arrays.items():
        stem = name.removesuffix("settings")
        if name in ("settings", "model.settings"):
            settings = {**json.loads(array.tobytes()), "routing": routing}
            new[name] = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy()
            if f"{stem}arities" in arrays:
                new[f"{stem}columns"] = np.array([len(arrays[f"{stem}arities"])], dtype=np.int64)
    if isinstance(facts.get("settings"), dict):
        facts = {**facts, "settings": {**facts["settings"], "routing": routing}}
    return new, facts


def _no_limit_on_the_whole(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Content:
    """3 to 4: what the model may hold in all was not bounded."""
    new = dict(arrays)
    for name in {"settings", "model.settings"} & set(arrays):
        settings = {"memory_limit_mb": None, **json.loads(arrays[name].tobytes())}
        new[name] = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy()
    if isinstance(facts.get("settings"), dict):
        facts = {**facts, "settings": {"memory_limit_mb": None, **facts["settings"]}}
    return new, facts


MIGRATIONS: dict[int, Callable[[dict[str, NDArray[Any]], dict[str, Any]], Content]] = {
    1: _labels_known_in_part,
    2: _no_gates,
    3: _no_limit_on_the_whole,
}
"""By the version that they start from."""
