"""Experts of one's own: objects with `predict_proba_one` and `learn_one` that stacking weighs beside the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ConfigError, ExpertError
from stream_ml.states import Part
from stream_ml.streams.batch import LEARN, PREDICT, Batch

__all__ = ["ExtraExpert", "ExtraExperts"]

LEAST = 1e-4
"""Probabilities are taken for no closer to 0 and 1: an expert that was never wrong so far is no oracle."""
MOST = 64
"""Experts: stacking solves as many equations."""
KINDS = "biuf"
"""Of arrays that files can hold: booleans, whole numbers, floating point."""


class ExtraExpert(Protocol):
    """What an expert of one's own is asked; it is Python called for every row.

    With an attribute `learns_in_part` that is true it learns the labels alone that are known; else those of a row that
    are not known are filled in, as for naive Bayes. With `state_dict()`, numpy arrays by name, and
    `load_state_dict(arrays)`, it can go to a file with the model.
    """

    def predict_proba_one(self, x: dict[str, Any]) -> Mapping[str, Any]:
        """Of labels the probability that they are present, `{label: p}` or `{label: {True: p}}`; changes nothing.

        A label that is left out, or whose mapping is empty, is one that it has no opinion of.
        """
        ...

    def learn_one(self, x: dict[str, Any], y: dict[str, bool]) -> Any:
        """Learn a row."""
        ...


class ExtraExperts:
    """Some experts of one's own, by name, in a fixed order.

    Parameters
    ----------
    experts
        Name, an identifier, to expert.
    taken
        Names that they cannot have.

    Raises
    ------
    ConfigError
        A name that cannot be, or what lacks a method.
    """

    def __init__(self, experts: Mapping[str, Any], taken: Sequence[str] = ()) -> None:
        self.experts = dict(experts)
        if len(self.experts) > MOST:
            raise ConfigError(f"extra_experts: expected at most {MOST}, found {len(self.experts)}")
        for name, expert in self.experts.items():
            if not (isinstance(name, str) and name.isidentifier()) or name in taken:
                expected = "a name like those of variables, and none of " + ", ".join(taken)
                raise ConfigError(f"extra_experts: {name!r}: expected {expected}")
            for method in ("predict_proba_one", "learn_one"):
                if isinstance(expert, type) or not callable(getattr(expert, method, None)):
                    raise ConfigError(f"extra_experts: {name}: expected an object with {method}, found {expert!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order of their slots."""
        return tuple(self.experts)

    def process(
        self, block: Batch, whole: Batch, unknown: NDArray[np.bool_], n_labels: int, logits: NDArray[np.float32]
    ) -> None:
        """Ask, then teach, each of them row by row; log-odds go to `logits` (rows, experts, labels).

        `whole` and `unknown` are what `ExpertPool.process` gave and was given. They are asked before a row is learned
        even where nobody asked for a prediction, since stacking learns from what they say.

        Raises
        ------
        ExpertError
            One of them failed, or said what is no probability.
        """
        if not self.experts:
            return
        names = block.schema.labels[:n_labels]
        position = {name: at for at, name in enumerate(names)}
        rows = [x for x, _ in block.iter_dicts(zeros=not block.schema.sparse)]
        for slot, (name, expert) in enumerate(self.experts.items()):
            in_part = bool(getattr(expert, "learns_in_part", False))
            taught = _told(block, names, unknown) if in_part else _told(whole, names, unknown[:0])
            for row, (x, y) in enumerate(zip(rows, taught, strict=True)):
                call = "predict_proba_one"
                try:
                    if block.mode[row] & (PREDICT | LEARN):
                        _vote(expert.predict_proba_one(dict(x)), position, logits[row, slot])
                    call = "learn_one"
                    if y:
                        expert.learn_one(dict(x), y)
                except Exception as error:
                    raise ExpertError(name, row, call, error) from error

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """The arrays of all of them.

        Raises
        ------
        ConfigError
            One cannot be saved, and why.
        """
        state = {}
        for name, expert in self.experts.items():
            if not callable(getattr(expert, "state_dict", None)):
                raise ConfigError(
                    f"extra expert {name!r} cannot be saved: {type(expert).__name__} has no state_dict() that gives "
                    "numpy arrays by name, and load_state_dict(arrays)"
                )
            for key, array in expert.state_dict().items():
                if not isinstance(array, np.ndarray) or array.dtype.kind not in KINDS:
                    found = f"{array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
                    raise ConfigError(
                        f"extra expert {name!r} cannot be saved: {key} of its state: expected an array of numbers, "
                        f"found {found}"
                    )
                state[f"{name}.{key}"] = array
        return state

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Let each take over what it gave.

        Raises
        ------
        ConfigError
            One cannot.
        """
        for name, expert in self.experts.items():
            if not callable(getattr(expert, "load_state_dict", None)):
                raise ConfigError(f"extra expert {name!r}: {type(expert).__name__} has no load_state_dict(arrays)")
            part = Part.of(state).part(f"{name}.")
            expert.load_state_dict({key: np.array(part[key]) for key in part})

    @classmethod
    def absent(cls, names: Sequence[str]) -> ExtraExperts:
        """Stand-ins that hold the states of experts that are not here, and cannot be asked."""
        return cls({name: _Absent() for name in names})


class _Absent:
    """Where an expert was."""

    def __init__(self) -> None:
        self._state: dict[str, NDArray[Any]] = {}

    def predict_proba_one(self, x: dict[str, Any]) -> Mapping[str, Any]:
        raise LookupError("was not given when the model was loaded: IHomerClassifier.load(path, extra_experts=...)")

    def learn_one(self, x: dict[str, Any], y: dict[str, bool]) -> None:
        self.predict_proba_one(x)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        return self._state

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> None:
        self._state = state


def _told(block: Batch, names: Sequence[str], unknown: NDArray[np.bool_]) -> Iterator[dict[str, bool]]:
    """Of each row the labels that it teaches; none where it is not learned."""
    nothing = dict.fromkeys(names, False)
    for row in range(len(block)):
        if not block.mode[row] & LEARN:
            yield {}
            continue
        positive = block.y_indices[block.y_indptr[row] : block.y_indptr[row + 1]].tolist()
        told = nothing | {names[label]: True for label in positive}
        if len(unknown):
            told = {
                name: value for name, value, hidden in zip(told, told.values(), unknown[row], strict=True) if not hidden
            }
        yield told


def _vote(said: Mapping[str, Any], position: Mapping[str, int], out: NDArray[np.float32]) -> None:
    """Log-odds of what an expert said of a row."""
    if not isinstance(said, Mapping):
        raise TypeError(f"expected a mapping from labels to probabilities, found {said!r}")
    for name, value in said.items():
        at = position.get(name)
        if at is None:
            continue
        if isinstance(value, Mapping) and not value:
            continue
        p = value.get(True, 0.0) if isinstance(value, Mapping) else value
        number = float(p) if isinstance(p, Real) else math.nan
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"label {name!r}: expected a probability, found {value!r}")
        number = min(max(number, LEAST), 1.0 - LEAST)
        out[at] = math.log(number / (1.0 - number))
