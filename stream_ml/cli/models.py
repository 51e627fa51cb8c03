"""Models by name: what each is called in a configuration, its parameters, and how it is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from stream_ml.errors import ConfigError

if TYPE_CHECKING:
    from stream_ml.evaluation import Model

__all__ = ["MODELS", "MajorityLabelsetParameters", "ModelEntry", "NoParameters", "model_named"]


class NoParameters(BaseModel):
    """Of a model that has no parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MajorityLabelsetParameters(BaseModel):
    """Parameters of `MajorityLabelset`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_sets: int = Field(100_000, ge=1, description="Label sets counted at once; bounds memory.")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that can be named in a configuration.

    Attributes
    ----------
    parameters
        Gives the pydantic model of its parameters; loading it must be cheap.
    build
        Makes a fresh model from parameters; what it needs is loaded then, not before.
    in_files
        Whether it can be saved and loaded.
    """

    parameters: Callable[[], type[BaseModel]]
    build: Callable[[dict[str, Any]], Model]
    in_files: bool = False


def _ihomer_parameters() -> type[BaseModel]:
    from stream_ml.ihomer.parameters import IHomerParameters

    return IHomerParameters


def _ihomer(parameters: dict[str, Any]) -> Model:
    from stream_ml.ihomer.classifier import IHomerClassifier

    return IHomerClassifier(**parameters)


def _no_change(parameters: dict[str, Any]) -> Model:
    from stream_ml.evaluation import NoChange

    return NoChange(**parameters)


def _majority_labelset(parameters: dict[str, Any]) -> Model:
    from stream_ml.evaluation import MajorityLabelset

    return MajorityLabelset(**parameters)


MODELS: dict[str, ModelEntry] = {
    "ihomer": ModelEntry(_ihomer_parameters, _ihomer, in_files=True),
    "no_change": ModelEntry(lambda: NoParameters, _no_change),
    "majority_labelset": ModelEntry(lambda: MajorityLabelsetParameters, _majority_labelset),
}
"""All models by name."""


def model_named(name: str, where: str = "model") -> ModelEntry:
    """The entry of a model; an unknown name is a `ConfigError` that says which are known, the nearest first.

    >>> model_named("no_chnage")
    Traceback (most recent call last):
    stream_ml.errors.ConfigError: model: no model is called 'no_chnage'; did you mean 'no_change'?
    """
    if name in MODELS:
        return MODELS[name]
    close = difflib.get_close_matches(name, MODELS, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(MODELS)}"
    raise ConfigError(f"{where}: no model is called {name!r}; {hint}")
