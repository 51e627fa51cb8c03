"""The root experts: kept per label for the whole stream, so that they survive every restructuring of the clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, trimmed, tuple_arrays
from stream_ml.experts import _bayes_kernels
from stream_ml.experts import _kernels as k
from stream_ml.experts._bayes_kernels import BayesState
from stream_ml.experts.design import Design, DesignRows
from stream_ml.experts.neighbours import BLOCK_ROWS, Nearest, Neighbours
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import AGAIN, ALL_KNOWN, LEARN, Batch
from stream_ml.streams.dense import csr_of
from stream_ml.threads import run_all, threads

__all__ = ["BLOCK_ROWS", "ROOT_EXPERTS", "SLEEPERS", "TOGETHER_ROWS", "ExpertPool"]

ROOT_EXPERTS = (
    "linear_adaptive",
    "linear_unit_adaptive",
    "linear",
    "linear_unit",
    "prior",
    "naive_bayes",
    "recency",
    "neighbours",
)
"""Names of the root experts, in the order of their slots."""

SLEEPERS = ("linear_adaptive", "linear_unit_adaptive", "linear", "linear_unit", "naive_bayes")
"""Those that may sleep: the others cost little, or serve more than stacking."""

LINEAR_RATES = (0.5, 0.3, 6.0, 10.0)
ADAPTIVE = (True, True, False, False)
COLUMN_ARRAYS = {"column_count", "column_mean", "column_squares", "refresh_at", "centre", "scale"}
BAYES_EVIDENCE = (
    "column_count",
    "column_squares",
    "refresh_at",
    "counts",
    "squares",
    "label_count",
    "label_mass",
    "totals",
)
FIXED_ARRAYS = {"weight", "totals"}
FIRST_SQUARES_ADAPTIVE = 1e-2
FIRST_SQUARES = 1.0
BAYES_ROWS = 20.0
"""After a drift of all labels, what naive Bayes learned before weighs as much as so many rows."""
RESTARTED = (ROOT_EXPERTS.index("linear_unit_adaptive"), ROOT_EXPERTS.index("linear"))
PRIOR, BAYES, RECENCY, NEIGHBOURS = (
    ROOT_EXPERTS.index(name) for name in ("prior", "naive_bayes", "recency", "neighbours")
)
TOGETHER_ROWS = 32
"""Rows from which on it pays to hand a block's work to other threads."""


class ExpertPool:
    """Linear models, naive Bayes, fading prior, recency and nearest neighbours for every label.

    Four logistic regressions (standardised rows and rows of unit length, each with steps per weight and per label),
    because no one of them is best on dense, sparse, short and long streams alike; stacking weighs them. Recency is a
    label's frequency after label sets that had it, and after those that had not (on streams with temporal dependence:
    Žliobaitė et al., Machine Learning 2015).

    Parameters
    ----------
    sparse
        Whether absent features are zeros (see `Schema`).
    prior_fading
        Factor per learned instance on the prior's counts.
    window, neighbours
        Recent rows among which the nearest are looked for, and how many of these vote (see `Neighbours`); 0: that
        expert is left out.
    neighbours_mb
        Bound on that window, of dense rows.
    """

    def __init__(
        self,
        *,
        sparse: bool,
        prior_fading: float = 0.999,
        window: int = 2048,
        neighbours: int = 20,
        neighbours_mb: float = 64.0,
    ) -> None:
        self.prior_fading = prior_fading
        self.n_labels = 0
        self.design = Design(sparse=sparse)
        self.linear = [_grow_linear(None, 0, 0, adaptive) for adaptive in ADAPTIVE]
        none, one = np.zeros(0), np.zeros(1)
        self.prior = k.PriorState(none, none, one)
        self.bayes = _grow_bayes(None, 0, 0)
        self.recency = k.RecencyState(none, none, none, none, one.copy(), np.zeros(0, dtype=np.bool_))
        self.neighbours = Neighbours(sparse=sparse, window=window, neighbours=neighbours, memory_limit_mb=neighbours_mb)
        self._buffers = np.zeros((len(SLEEPERS), 0), dtype=np.float32)  # one for each that may run beside others

    @property
    def n_experts(self) -> int:
        """Number of slots that `process` fills."""
        return len(ROOT_EXPERTS)

    def grow(self, arities: NDArray[np.int32], n_labels: int) -> None:
        """Make room for the features (`arities` of all of them, see `Schema.arities`) and labels known by now."""
        self.design.grow(arities)
        n_known, self.n_labels = self.n_labels, max(self.n_labels, n_labels)
        if self.neighbours.n_neighbours:
            self.neighbours.grow(self.design.n_columns)
        if not self.n_labels:
            return
        d = capacity(self.design.n_columns, len(self.bayes.column_count))
        m = -(-capacity(self.n_labels, len(self.prior.counts)) // k.LANES) * k.LANES
        if d == len(self.bayes.column_count) and m == len(self.prior.counts):
            self._start_weights(n_known)
            return
        self.linear = [
            _grow_linear(state, d, m, adaptive) for state, adaptive in zip(self.linear, ADAPTIVE, strict=True)
        ]
        self.bayes = _grow_bayes(self.bayes, d, m)
        self.prior = k.PriorState(**_grow_counts(self.prior, m))
        self.recency = k.RecencyState(**_grow_counts(self.recency, m))
        self._buffers = np.zeros((len(SLEEPERS), m), dtype=np.float32)
        self._start_weights(n_known)

    def _start_weights(self, first: int) -> None:
        """Labels from `first` on are new: they were absent from all rows before."""
        for state in (self.prior, self.recency):
            state.weights[first : self.n_labels] = state.weight[0]

    def process(
        self,
        block: Batch,
        logits: NDArray[np.float32],
        awake: NDArray[np.bool_] | None = None,
        unknown: NDArray[np.bool_] = ALL_KNOWN,
        beside: Callable[[Batch], Sequence[Callable[[], object]]] | None = None,
    ) -> tuple[Nearest, Batch]:
        """Predict, then learn each row (as its mode says); log-odds go to `logits` (rows, experts, labels).

        A block has at most `BLOCK_ROWS` rows. Experts that are not `awake` (experts,) do nothing: their log-odds stay
        what they were. `unknown` is the block's own (`Batch.unknown_labels`). Gives each row's nearest neighbours, and
        the block for learners that need whole label sets: labels that are not known are as the first linear expert
        that is awake, else the prior, had them before it learned the row; what is learned again is not learned there.

        Experts do not depend on one another and run on several threads, together with the tasks that `beside` gives for
        the block of whole label sets.
        """
        if awake is None:
            awake = np.ones(len(ROOT_EXPERTS), dtype=np.bool_)
        whole = _once(block)
        rows, together = self.design.rows(whole), len(block) >= TOGETHER_ROWS
        # neighbours, and labels that are not known, begin with what the prior says
        of_all = (block.y_indptr, block.y_indices, block.mode, unknown, self.n_labels)
        frequencies = (self._buffers[-1], logits[:, PRIOR], logits[:, RECENCY])
        k.frequency_block(self.prior, self.recency, *of_all, self.prior_fading, *frequencies)
        slots = awake[: len(self.linear)].nonzero()[0]
        share = min(threads(), len(slots)) if together else 1  # experts that one thread takes share a call
        known = [
            partial(
                k.linear_block, tuple(self.linear), slots[first::share].copy(), rows.indptr, rows.indices,
                rows.standard, rows.unit, *of_all, LINEAR_RATES, ADAPTIVE, self._buffers, logits,
            )
            for first in range(share if len(slots) else 0)
        ]  # fmt: skip
        if len(unknown):
            run_all(known, together=together)
            guide = next((slot for slot in range(len(self.linear)) if awake[slot]), PRIOR)
            known, whole = [], _filled(whole, unknown, logits[: len(block), guide])
        nearest: list[Nearest] = []
        tasks: list[Callable[[], object]] = [lambda: nearest.append(self._neighbours(whole, rows, logits))]
        tasks += beside(whole) if beside is not None else ()
        if awake[BAYES]:
            tasks.append(partial(self._bayes, whole, rows, logits[:, BAYES]))
        run_all([*tasks, *known], together=together)
        return nearest[0], whole

    def _bayes(self, whole: Batch, rows: DesignRows, out: NDArray[np.float32]) -> None:
        x, y = (rows.indptr, rows.indices, rows.values), (whole.y_indptr, whole.y_indices)
        centred, buffer = self.design.centred, self._buffers[-1]
        _bayes_kernels.naive_bayes_block(self.bayes, *x, *y, whole.mode, centred, self.n_labels, buffer, out)

    def _neighbours(self, whole: Batch, rows: DesignRows, logits: NDArray[np.float32]) -> Nearest:
        """The nearest rows, and their votes; none where that expert is left out."""
        if not self.neighbours.n_neighbours:
            none = np.zeros((len(whole), 0), dtype=np.int32)
            return Nearest(none, none.astype(np.float32), none[:, 0:0].ravel(), none)
        return self.neighbours.process(whole, rows, self.n_labels, logits[:, PRIOR], logits[:, NEIGHBOURS])

    def hurry(self, labels: NDArray[np.int32], keep: float) -> None:
        """After a drift of `labels`: keep the share `keep` of the evidence that makes the linear experts' steps short.

        Weights stay: of a small drift, the old concept is the best start for the new one.
        """
        for state, adaptive in zip(self.linear, ADAPTIVE, strict=True):
            first = FIRST_SQUARES_ADAPTIVE if adaptive else FIRST_SQUARES
            state.label_squares[labels] = np.maximum(state.label_squares[labels] * keep, first)
            if adaptive:
                state.squares[:, labels] = np.maximum(state.squares[:, labels] * keep, first)

    def forget(self, labels: NDArray[np.int32], rows: int, *, everywhere: bool = False) -> None:
        """After a large drift of `labels`, `rows` learned rows ago, which makes old knowledge worth less than none.

        Of the linear experts, one of each kind of rows starts anew. Rows before the drift tell the neighbours nothing
        any more. If all labels drift (`everywhere`), the evidence of naive Bayes becomes light, too; it cannot for some
        of them, since its negatives are the total less the positives.
        """
        for slot in RESTARTED:
            state = self.linear[slot]
            first = FIRST_SQUARES_ADAPTIVE if ADAPTIVE[slot] else FIRST_SQUARES
            state.weights[:, labels] = state.bias[labels] = 0.0
            state.label_squares[labels] = first
            if ADAPTIVE[slot]:
                state.squares[:, labels] = first
        self.neighbours.forget(labels, rows, everywhere=everywhere)
        if everywhere:
            light = min(1.0, BAYES_ROWS / max(1.0, float(self.bayes.totals[0])))
            for name in BAYES_EVIDENCE:
                getattr(self.bayes, name)[:] *= light

    def memory_usage(self) -> dict[str, int]:
        """Bytes by expert."""
        usage = {name: sum(a.nbytes for a in s) for name, s in zip(ROOT_EXPERTS, self.linear, strict=False)}
        usage["prior"] = sum(a.nbytes for a in self.prior)
        usage["naive_bayes"] = sum(a.nbytes for a in self.bayes)
        usage["recency"] = sum(a.nbytes for a in self.recency)
        usage["neighbours"] = self.neighbours.nbytes
        usage["design"] = self.design.nbytes
        return usage

    def state_dict(self) -> dict[str, NDArray]:
        """The whole state as a flat mapping; arrays are views of the live ones, copy them to keep them."""
        d, m = self.design.n_columns, -(-self.n_labels // k.LANES) * k.LANES
        state: dict[str, NDArray] = {}
        parts: dict[str, Any] = {f"linear.{i}": s for i, s in enumerate(self.linear)}
        parts |= {"prior": self.prior, "naive_bayes": self.bayes, "recency": self.recency}
        for part, arrays in parts.items():
            for name, array in tuple_arrays(arrays).items():
                shape = {1: (m,), 2: (d, m)}[array.ndim]
                if name in COLUMN_ARRAYS:
                    shape = (d,)
                state[f"{part}.{name}"] = array if name in FIXED_ARRAYS else trimmed(array, shape)
        state |= {f"design.{name}": a for name, a in self.design.state_dict().items()}
        state |= {f"neighbours.{name}": a for name, a in self.neighbours.state_dict().items()}
        state["n_labels"] = np.array([self.n_labels], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave (arrays are copied)."""
        part = Part.of(state)
        self.design.load_state_dict(part.part("design."))
        self.n_labels = part.whole("n_labels", 0)
        d, m = self.design.n_columns if self.n_labels else 0, -(-self.n_labels // k.LANES) * k.LANES
        one, each = Spec(np.float64, (1,)), Spec(np.float64, (m,))
        self.linear = [
            part.part(f"linear.{i}.").load(k.LinearState, _linear_specs(d, m, adaptive))
            for i, adaptive in enumerate(ADAPTIVE)
        ]
        self.prior = part.part("prior.").load(k.PriorState, {"counts": each, "weights": each, "weight": one})
        self.bayes = part.part("naive_bayes.").load(BayesState, _bayes_specs(d, m))
        recency = dict.fromkeys(("counts", "after", "both", "weights"), each) | {
            "weight": one,
            "last": Spec(np.bool_, (m,)),
        }
        self.recency = part.part("recency.").load(k.RecencyState, recency)
        self.neighbours.load_state_dict(part.part("neighbours."), self.design.n_columns, self.n_labels)
        self._buffers = np.zeros((len(SLEEPERS), m), dtype=np.float32)


def _linear_specs(d: int, m: int, adaptive: bool) -> dict[str, Spec]:
    """The arrays of a linear expert of `d` columns and `m` labels."""
    shapes = {"weights": (d, m), "squares": (d if adaptive else 0, m), "bias": (m,), "label_squares": (m,)}
    return {name: Spec(np.float32, shape, finite=False) for name, shape in shapes.items()}


def _bayes_specs(d: int, m: int) -> dict[str, Spec]:
    """The arrays of naive Bayes with `d` columns and `m` labels."""
    f4, f8 = np.float32, np.float64
    specs = dict.fromkeys(("column_count", "column_mean", "column_squares", "refresh_at"), Spec(f8, (d,)))
    specs |= dict.fromkeys(("counts", "mean", "squares"), Spec(f8, (d, m)))
    specs |= {"label_count": Spec(f8, (m,)), "label_mass": Spec(f8, (m,)), "totals": Spec(f8, (2,))}
    specs |= dict.fromkeys(("centre", "scale"), Spec(f4, (d,), finite=False))
    return specs | dict.fromkeys(("quadratic", "linear", "constant"), Spec(f4, (d, m), finite=False))


def _once(block: Batch) -> Batch:
    """The block without learning what was learned before."""
    again = block.mode & AGAIN
    return (
        replace(block, mode=np.where(again != 0, block.mode & ~np.uint8(LEARN), block.mode)) if again.any() else block
    )


def _filled(block: Batch, unknown: NDArray[np.bool_], logits: NDArray[np.float32]) -> Batch:
    """The block with its label sets made whole: of labels that are not known those of positive log-odds are there."""
    labels = unknown & (logits > 0.0)
    labels[np.repeat(np.arange(len(block)), np.diff(block.y_indptr)), block.y_indices] = True
    y_indptr, y_indices = csr_of(labels)
    return replace(block, y_indptr=y_indptr, y_indices=y_indices, partial=None)


def _grow_counts(state: Any, m: int) -> dict[str, NDArray]:
    """The counts of a prior or of recency with room for `m` labels."""
    return {n: a if n in FIXED_ARRAYS else grown(a, (m,)) for n, a in state._asdict().items()}


def _grow_linear(old: k.LinearState | None, d: int, m: int, adaptive: bool) -> k.LinearState:
    """A linear expert with room for `d` columns and `m` labels, holding what `old` held."""
    first = FIRST_SQUARES_ADAPTIVE if adaptive else FIRST_SQUARES
    if old is None:
        one, two = np.zeros(0, dtype=np.float32), np.zeros((0, 0), dtype=np.float32)
        old = k.LinearState(two, two, one, one)
    return k.LinearState(
        grown(old.weights, (d, m)),
        grown(old.squares, (d if adaptive else 0, m), first),
        grown(old.bias, (m,)),
        grown(old.label_squares, (m,), first),
    )


def _grow_bayes(old: BayesState | None, d: int, m: int) -> BayesState:
    """Naive Bayes with room for `d` columns and `m` labels, holding what `old` held."""
    arrays: dict[str, Any] = {}
    for name, (dtype, shape, *_) in _bayes_specs(d, m).items():
        array = np.zeros((0,) * len(shape), dtype=dtype) if old is None else getattr(old, name)
        arrays[name] = grown(array, shape)
    return BayesState(**arrays)
