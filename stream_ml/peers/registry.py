"""Peers by name: their parameters, and how each is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from stream_ml.errors import ConfigError

if TYPE_CHECKING:
    from stream_ml.streams.batch import Batch, Predictions

__all__ = ["PEERS", "MoaParameters", "Peer", "PeerModel", "RiverParameters", "peer_named"]


class PeerModel(Protocol):
    """What a benchmark needs of a model."""

    def test_then_train(self, batch: Batch) -> Predictions:
        """Predict each row of the batch before learning it."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """All settings, JSON-ready."""
        ...


class RiverParameters(BaseModel):
    """Of every river peer; everything else is river's default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zeros: bool | None = Field(
        None, description="Whether absent features of sparse rows are fed as 0; null: of dense streams only."
    )
    seed: int = Field(42, ge=0, le=2**31, description="Seed of those that draw random numbers.")


class MoaParameters(BaseModel):
    """Of every MOA peer; everything else is MOA's default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jar: str | None = Field(None, description="moa.jar; null: where `make moa` puts it.")


@dataclass(frozen=True, slots=True)
class Peer:
    """A learner of another library.

    Attributes
    ----------
    parameters
        The pydantic model of its parameters.
    build
        Makes a fresh one; loads the library.
    """

    parameters: type[BaseModel]
    build: Callable[[dict[str, Any]], PeerModel]


def _river(name: str) -> Peer:
    def build(parameters: dict[str, Any]) -> PeerModel:
        try:
            from stream_ml.peers import river_models
        except ImportError as error:
            raise ConfigError(f"river.{name} needs river: pip install 'stream-ml[benchmark]' ({error})") from error

        return river_models.build(name, RiverParameters(**parameters))

    return Peer(RiverParameters, build)


def _moa(name: str) -> Peer:
    def build(parameters: dict[str, Any]) -> PeerModel:
        from stream_ml.peers.moa import MoaModel

        return MoaModel(name, MoaParameters(**parameters))

    return Peer(MoaParameters, build)


RIVER = (
    "hoeffding_tree",
    "hoeffding_adaptive_tree",
    "adaptive_random_forest",
    "extremely_fast_tree",
    "logistic_regression",
    "gaussian_nb",
    "knn",
    "adwin_bagging",
    "classifier_chain",
    "isoup_tree",
)
MOA = ("multilabel_hoeffding_tree", "binary_relevance_tree", "amrules", "ozabag_adwin_ml")
PEERS: dict[str, Peer] = {f"river.{name}": _river(name) for name in RIVER} | {f"moa.{name}": _moa(name) for name in MOA}
"""All peers by name."""


def peer_named(name: str) -> Peer:
    """The peer of a name.

    >>> peer_named("river.tree")
    Traceback (most recent call last):
    stream_ml.errors.ConfigError: no peer is called 'river.tree'; did you mean 'river.isoup_tree'?
    """
    if name in PEERS:
        return PEERS[name]
    import difflib

    close = difflib.get_close_matches(name, PEERS, 1, 0.3)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(PEERS)}"
    raise ConfigError(f"no peer is called {name!r}; {hint}")
