"""Online stacking: one probability per label out of the experts' log-odds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, tuple_arrays
from stream_ml.experts import _stack_kernels as k
from stream_ml.states import LARGEST, Part, Spec
from stream_ml.streams.batch import ALL_KNOWN

__all__ = ["Stacking"]

FIRST_SQUARES = 1.0
ASIDE_ROWS = 1000


class Stacking:
    """Logistic stacking with weights shared by all labels plus a part of each label's own, learned online.

    The shared weights are where Newton's method on the fading log-loss of all labels puts them: rare labels have them
    from the start, and a drift is followed in some hundreds of rows. Each label's own part takes small AdaGrad steps.

    Parameters
    ----------
    first_weights
        Shared weight of each expert at the start.
    own_rate
        AdaGrad step of the labels' own parts.
    decay
        Factor per learned row on what the shared weights remember.
    ridge
        Curvature that the first weights are worth.
    """

    def __init__(
        self,
        first_weights: Sequence[float],
        *,
        own_rate: float = 0.01,
        decay: float = 0.999,
        ridge: float = 10.0,
    ) -> None:
        n = len(first_weights) + 1
        self.own_rate, self.decay, self.ridge = own_rate, decay, ridge
        self.n_labels = 0
        self.state = k.StackState(
            np.array([*first_weights, 0.0]),
            np.eye(n) * ridge,
            np.zeros(n),
            np.zeros((n, 0)),
            np.zeros((n, 0)),
            np.zeros(1, dtype=np.int64),
            np.zeros(0, dtype=np.int64),
            np.zeros(n),
            np.eye(n) * ridge,
            np.zeros(n),
            np.tile([*first_weights, 0.0], (2, 1)),
            np.tile(np.eye(n) * ridge, (2, 1, 1)),
        )
        self._errors = np.zeros(0)

    def grow(self, n_labels: int) -> None:
        """Make room for `n_labels`; new ones start from the shared weights."""
        self.n_labels = max(self.n_labels, n_labels)
        room = capacity(self.n_labels, len(self._errors))
        if room > len(self._errors):
            self._make_room(room)

    def _make_room(self, n_labels: int) -> None:
        """Room for so many labels, in whole vectors."""
        room = -(-n_labels // k.LANES_64) * k.LANES_64
        shape = (len(self.state.shared), room)
        self.state = self.state._replace(
            own=grown(self.state.own, shape),
            own_squares=grown(self.state.own_squares, shape, FIRST_SQUARES),
            aside=grown(self.state.aside, (room,)),
        )
        self._errors = np.zeros(room)

    def process(
        self,
        logits: NDArray[np.float32],
        y_indptr: NDArray[np.int64],
        y_indices: NDArray[np.int32],
        mode: NDArray[np.uint8],
        unknown: NDArray[np.bool_] = ALL_KNOWN,
    ) -> NDArray[np.float32]:
        """Probabilities (rows, labels) of log-odds (rows, experts, labels); rows to be learned are, one by one.

        `unknown` is that of `Batch.unknown_labels`.
        """
        out = np.empty((len(mode), self.n_labels), dtype=np.float32)
        k.stack_block(
            self.state,
            logits,
            y_indptr,
            y_indices,
            mode,
            unknown,
            self.n_labels,
            (self.state.aside > self.state.learned[0]).nonzero()[0],
            self.own_rate,
            self.decay,
            self.ridge,
            self._errors,
            out,
        )
        return out

    def weights(self) -> NDArray[np.float64]:
        """Weight of each expert for each label, and the intercept last: (experts + 1, labels)."""
        s, n = self.state, self.n_labels
        return np.where(s.aside[:n] > s.learned[0], s.apart[:, None], s.shared[:, None]) + s.own[:, :n]

    def gains(self) -> NDArray[np.float64]:
        """What the log-loss of an instance would be worse without each expert, (experts,) in nats, to second order.

        Half the squared weight over its variance once the others make up for it (Wald's statistic).
        """
        lower = np.tril(self.state.information)
        variance = np.diag(np.linalg.inv(lower + lower.T - np.diag(np.diag(lower))))
        seen = float(self.state.learned[0])
        memory = seen if self.decay == 1 else (1.0 - self.decay**seen) / (1.0 - self.decay)
        return (0.5 * self.state.shared**2 / variance / max(1.0, memory))[:-1]

    def forget(self, labels: NDArray[np.int32], keep: float) -> None:
        """After a drift of `labels`: long steps again for their own weights."""
        self.state.own_squares[:, labels] = np.maximum(self.state.own_squares[:, labels] * keep, FIRST_SQUARES)

    def forget_shared(self, keep: float) -> None:
        """After a drift of all labels: the weights that labels share follow what comes."""
        for information in (self.state.information, self.state.apart_information):
            information[:] = information * keep + np.eye(len(information)) * (self.ridge * (1.0 - keep))

    def set_aside(self, labels: NDArray[np.int32], keep: float, rows: int) -> None:
        """After a drift of these labels alone, `rows` learned rows ago: for a while they share other weights.

        These start as those of all and follow what comes for `ASIDE_ROWS` learned rows. The others' are again what they
        were before the drift, as far back as is kept: until it was found, what drifted taught them, too.
        """
        s, learned = self.state, int(self.state.learned[0])
        if not (s.aside > learned).any():
            s.apart[:], s.apart_information[:], s.apart_gradient[:] = s.shared, s.information, 0.0
            at = 0 if learned % k.KEPT_ROWS >= rows else 1
            s.shared[:], s.information[:], s.gradient[:] = s.kept[at], s.kept_information[at], 0.0
        s.apart_information[:] = s.apart_information * keep + np.eye(len(s.shared)) * (self.ridge * (1.0 - keep))
        s.aside[labels] = learned + ASIDE_ROWS

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        own = {name: getattr(self.state, name)[:, : self.n_labels] for name in ("own", "own_squares")}
        own["aside"] = self.state.aside[: self.n_labels]
        return {**tuple_arrays(self.state), **own, "n_labels": np.array([self.n_labels], dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, n, f8 = Part.of(state), len(self.state.shared), np.float64
        n_labels = part.whole("n_labels", 0)
        specs = {"shared": Spec(f8, (n,)), "information": Spec(f8, (n, n)), "gradient": Spec(f8, (n,))}
        specs |= {"own": Spec(f8, (n, n_labels)), "own_squares": Spec(f8, (n, n_labels), 0)}
        specs |= {"learned": Spec(np.int64, (1,), 0, LARGEST), "aside": Spec(np.int64, (n_labels,), 0, LARGEST)}
        specs |= {f"apart{name}": specs[name.strip("_") or "shared"] for name in ("", "_information", "_gradient")}
        specs |= {"kept": Spec(f8, (2, n)), "kept_information": Spec(f8, (2, n, n))}
        self.state = part.load(k.StackState, specs)
        self.n_labels = n_labels
        for name in ("information", "apart_information", "kept_information"):
            try:
                np.linalg.cholesky(getattr(self.state, name))  # reads the lower triangle, as the kernels do
            except np.linalg.LinAlgError:
                part.fail(name, "no curvature: not positive definite")
        self._make_room(n_labels)
