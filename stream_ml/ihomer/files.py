"""Where a classifier's state is in the files that hold one."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from stream_ml.errors import ArtefactError
from stream_ml.states import shown
from stream_ml.storage import Artefact

__all__ = ["MODEL", "model_in"]

MODEL, PREFIX = "model", "model."
HOLDERS = {"run", "checkpoint"}
"""Kinds of files that hold a model beside other things: of `evaluate`, of the Kafka service."""


def model_in(artefact: Artefact, path: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of the classifier that a file holds, and its facts.

    Raises
    ------
    ArtefactError
        It holds none.
    """
    kind, arrays = artefact.facts.get("kind"), artefact.arrays
    if isinstance(kind, str) and kind in HOLDERS:
        arrays = {name[len(PREFIX) :]: array for name, array in arrays.items() if name.startswith(PREFIX)}
    elif kind != MODEL:
        raise ArtefactError(f"{path}: holds a {shown(kind)}, not a model")
    if "n_learned" not in arrays or artefact.facts.get("settings") is None:
        raise ArtefactError(f"{path}: holds no model of ihomer")
    return arrays, artefact.facts
