"""From probabilities and the joint posterior to label sets, by objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown, tuple_arrays
from stream_ml.decisions import _decision_kernels as d
from stream_ml.decisions import _threshold_kernels as t
from stream_ml.decisions._layout import LIKELY, JointRows
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import ALL_KNOWN, PREDICT, Batch, Predictions

__all__ = ["OBJECTIVES", "Deciders", "Objective"]

Objective = Literal["balanced", "subset_accuracy", "hamming_loss", "example_f1", "micro_f1", "macro_f1"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
"""What decisions can be best for: one of the losses, or all of them at once (`balanced`)."""

F_SHARE = 0.72
RARITY = 0.02
OWN_SHARE = 0.4
EXACT_SHARE = 0.07
FALLBACK = 0.2
"""Probability from which on `balanced` takes the likeliest label where none reaches its threshold."""
FIRST_POSITIVES = 2.0


class Deciders:
    """Label sets by objective, each the Bayes decision of its loss.

    - `subset_accuracy`: the mode of the joint posterior;
    - `hamming_loss`: labels likelier than not;
    - `example_f1`: the candidate of the largest expected F1 (after Dembczyński, Waegeman, Cheng, Hüllermeier, NeurIPS
      2011, over the candidates of the joint posterior);
    - `micro_f1`, `macro_f1`: a threshold for all labels, or one for each, where F1 would have been best so far;
    - `balanced`: a compromise of all.

    The thresholds learn from every row whatever the objectives asked for, and nothing else is learned here.

    Parameters
    ----------
    fading
        Factor per learned row on the histograms that thresholds are read off.
    """

    def __init__(self, *, fading: float = 0.9998) -> None:
        self.fading = fading
        self.n_labels = 0
        # calibrated probabilities of a stream that has been seen for a few rows
        width = np.log(t.HIGHEST / t.LOWEST) / (t.BINS - 2)
        middle = t.LOWEST * np.exp((np.arange(t.BINS) - 0.5) * width).clip(max=0.92 / t.LOWEST)
        common = np.stack([np.full(t.BINS, FIRST_POSITIVES), FIRST_POSITIVES * (1 - middle) / middle], axis=1)
        common[0] = 0.0
        self.state = t.ThresholdState(
            np.ones(1),
            np.zeros(1),
            common,
            common[:, 0].sum(keepdims=True),
            np.zeros((0, t.BINS, 2)),
            np.zeros(0),
            np.zeros(0),
        )

    def grow(self, n_labels: int) -> None:
        """Make room for labels."""
        self.n_labels = n_labels
        room = capacity(n_labels, len(self.state.own_total))
        if room > len(self.state.own_total):
            self.state = self.state._replace(
                own=grown(self.state.own, (room, t.BINS, 2)),
                own_total=grown(self.state.own_total, (room,)),
                missed=grown(self.state.missed, (room,)),
            )

    def decide(
        self,
        objectives: Sequence[Objective],
        probabilities: NDArray[np.float32] | None,
        rows: JointRows,
        block: Batch,
        unknown: NDArray[np.bool_] = ALL_KNOWN,
    ) -> dict[Objective, tuple[NDArray[np.int64], NDArray[np.int32]]]:
        """Label sets of a block for each objective, as CSR `(indptr, indices)`; then the thresholds learn its rows.

        Without `probabilities` (rows, labels) no others are looked at than the rows' likely labels. `unknown` is the
        block's own (`Batch.unknown_labels`).
        """
        n = len(block)
        common, per_label, frequency = self._thresholds(rows, block, unknown)
        cuts = {"micro_f1": common, "macro_f1": per_label}
        full: list[int] = []
        if probabilities is not None and self.n_labels > LIKELY:
            # more likely labels than a candidate can hold: the others are taken one by one
            full = np.flatnonzero((rows.n_top == LIKELY) & ((block.mode & PREDICT) != 0)).tolist()
        result = {}
        for objective in objectives:
            indptr = np.empty(n + 1, dtype=np.int64)
            every = objective == "hamming_loss" and probabilities is not None
            indices = np.empty(n * (self.n_labels if every else LIKELY), dtype=np.int32)
            if every:
                d.hamming_block(probabilities, block.mode, self.n_labels, indptr, indices)
            elif objective == "balanced":
                shares = F_SHARE, RARITY, OWN_SHARE, EXACT_SHARE, FALLBACK
                d.balanced_block(rows, block.mode, per_label, frequency, *shares, indptr, indices)
            elif objective == "subset_accuracy":
                d.mode_block(rows, block.mode, indptr, indices)
            elif objective == "example_f1":
                d.example_f1_block(rows, block.mode, indptr, indices)
            elif objective == "hamming_loss":
                half = np.full((n, LIKELY), 0.5)
                d.threshold_block(rows._replace(marginals=rows.chances), block.mode, half, indptr, indices)
            else:
                d.threshold_block(rows, block.mode, cuts[objective], indptr, indices)
            decided = indptr, indices[: indptr[-1]].copy()
            if full and not every and probabilities is not None:
                decided = _with_others(decided, full, probabilities, rows)
            result[objective] = decided
        return result

    def _thresholds(self, rows: JointRows, block: Batch, unknown: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of each row's likely labels the threshold of all, the label's own, its frequency: (3, rows, LIKELY).

        What is there beyond the likely labels means nothing.
        """
        out = np.empty((3, len(block), LIKELY))
        t.thresholds_block(self.state, rows, block.y_indptr, block.y_indices, block.mode, unknown, self.fading, *out)
        return out

    def cuts(self, objective: Objective, rows: JointRows, block: Batch) -> NDArray[np.float64] | None:
        """What `decide` holds the marginals of each row's likely labels against: float64 (rows, LIKELY).

        The rows are not to be learned. `subset_accuracy` and `hamming_loss` hold them against nothing: None.
        """
        if objective in ("subset_accuracy", "hamming_loss"):
            return None
        common, per_label, frequency = self._thresholds(rows, block.with_mode(PREDICT), ALL_KNOWN)
        if objective == "micro_f1":
            return common
        if objective == "macro_f1":
            return per_label
        cuts = np.ones((len(block), LIKELY))
        for row, (q, n) in enumerate(zip(rows.marginals, rows.n_top, strict=True)):
            if objective == "example_f1":
                cuts[row] = 0.5 * d.expected_f1(q, n, np.empty(LIKELY))
            else:
                d.balanced_cuts(q, n, per_label[row], frequency[row], F_SHARE, RARITY, OWN_SHARE, cuts[row])
        return cuts

    def thresholds(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where a cut of each label's probability would have given the best F1 so far: float64 (labels,)."""
        state, width = self.state, np.log(t.HIGHEST / t.LOWEST) / (t.BINS - 2)
        pseudo = t.SHRINK * state.unit[0]
        cells = state.own[labels, 1:] + pseudo / state.common_total[0] * state.common[1:]
        above = cells[:, ::-1].cumsum(axis=1)  # from the highest bin down
        f1 = 2.0 * above[..., 0] / (above.sum(axis=2) + (state.own_total[labels] + pseudo)[:, None])
        return t.LOWEST * np.exp((t.BINS - 2 - f1.argmax(axis=1)) * width)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(a.nbytes for a in self.state)

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        own = {name: getattr(self.state, name)[: self.n_labels] for name in ("own", "own_total", "missed")}
        return {**tuple_arrays(self.state), **own, "n_labels": np.array([self.n_labels], dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, f8 = Part.of(state), np.float64
        n = part.whole("n_labels", 0)
        specs = dict.fromkeys(("unit", "rows", "common_total"), Spec(f8, (1,), 0))
        specs |= {
            "common": Spec(f8, (t.BINS, 2)),
            "own": Spec(f8, (n, t.BINS, 2)),
            "own_total": Spec(f8, (n,)),
            "missed": Spec(f8, (n,)),
        }
        self.state = part.load(t.ThresholdState, specs)
        self.n_labels = n


def _with_others(
    decided: tuple[NDArray[np.int64], NDArray[np.int32]],
    full: Sequence[int],
    probabilities: NDArray[np.float32],
    rows: JointRows,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The same, and in the rows `full` what is likelier than not beyond the `LIKELY` likeliest labels."""
    indptr, indices = decided
    sets = np.split(indices, indptr[1:-1])
    for row in full:
        others = probabilities[row] >= 0.5
        others[rows.top[row]] = False
        if others.any():
            sets[row] = np.union1d(sets[row], np.flatnonzero(others)).astype(np.int32)
    return np.concatenate([[0], np.cumsum([len(x) for x in sets])]).astype(np.int64), np.concatenate(sets)


def joined(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int32]]], rows: int) -> Predictions:
    """The decisions of consecutive blocks as those of one batch of `rows` rows."""
    indptr = np.zeros(rows + 1, dtype=np.int64)
    start = 0
    for block_indptr, _ in parts:
        stop = start + len(block_indptr) - 1
        indptr[start + 1 : stop + 1] = indptr[start] + block_indptr[1:]
        start = stop
    indices = [block_indices for _, block_indices in parts]
    return Predictions(indptr, np.concatenate(indices) if indices else np.zeros(0, dtype=np.int32))
