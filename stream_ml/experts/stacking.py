"""Online stacking: one probability per label out of the experts' log-odds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, load_tuple, tuple_arrays
from stream_ml.experts import _kernels as k

__all__ = ["Stacking"]

FIRST_SQUARES = 1.0


class Stacking:
    """Logistic stacking with weights shared by all labels plus a part of each label's own, learned online.

    Parameters
    ----------
    first_weights
        Shared weight of each expert at the start.
    shared_rate, own_rate
        AdaGrad step sizes of the shared and the label's own part.
    """

    def __init__(self, first_weights: Sequence[float], *, shared_rate: float = 0.1, own_rate: float = 0.05) -> None:
        n = len(first_weights) + 1
        self.shared_rate, self.own_rate = shared_rate, own_rate
        self.n_labels = 0
        shared = np.array([*first_weights, 0.0])
        self.state = k.StackState(shared, np.full(n, FIRST_SQUARES), np.zeros((n, 0)), np.zeros((n, 0)))
        self._buffer = np.zeros(0)

    def grow(self, n_labels: int) -> None:
        """Make room for `n_labels`; new ones start from the shared weights."""
        self.n_labels = max(self.n_labels, n_labels)
        room = capacity(self.n_labels, len(self._buffer))
        if room > len(self._buffer):
            shape = (len(self.state.shared), room)
            self.state = self.state._replace(
                own=grown(self.state.own, shape), own_squares=grown(self.state.own_squares, shape, FIRST_SQUARES)
            )
            self._buffer = np.zeros(room)

    def process(
        self,
        logits: NDArray[np.float32],
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
    ) -> NDArray[np.float32]:
        """Probabilities (rows, labels) of log-odds (rows, experts, labels); rows to be learned are, one by one."""
        out = np.empty((len(mode), self.n_labels), dtype=np.float32)
        k.stack_block(
            self.state,
            logits,
            y_indptr,
            y_indices,
            mode,
            self.n_labels,
            self.shared_rate,
            self.own_rate,
            self._buffer,
            out,
        )
        return out

    def weights(self) -> NDArray[np.float64]:
        """Weight of each expert for each label, and the intercept last: (experts + 1, labels)."""
        return self.state.shared[:, None] + self.state.own[:, : self.n_labels]

    def forget(self, labels: NDArray[np.int32], keep: float) -> None:
        """After a drift of `labels`: long steps again for their own weights."""
        self.state.own_squares[:, labels] = np.maximum(self.state.own_squares[:, labels] * keep, FIRST_SQUARES)

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {**tuple_arrays(self.state), "n_labels": np.array([self.n_labels], dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        self.state = load_tuple(k.StackState, state, "")
        self.n_labels = int(state["n_labels"][0])
        self._buffer = np.zeros(self.state.own.shape[1])
