"""Whether probabilities mean what they say: reliability table, expected calibration error, log-loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.arrays import capacity, grown
from stream_ml.evaluation._kernels import calibration_rows
from stream_ml.states import Part, Spec
from stream_ml.streams.batch import Batch, Predictions

__all__ = ["Calibration"]


class Calibration:
    """Reliability of the labels' probabilities, over all pairs of a scored row and a label that is known.

    The expected calibration error is over the pairs whose probability is above `least` (nearly all pairs are negative
    and near 0, and would hide the others), in bins of equal width: the mean distance of mean probability and share of
    positives (Naeini, Cooper, Hauskrecht, AAAI 2015). The log-loss, over all pairs, stands beside that of each label's
    fading frequency, which knows nothing of the instance: over the same pairs, with labels that it learns no earlier
    than the model does, and of labels beyond the highest learned so far 0 as the model says.

    Parameters
    ----------
    bins
        Number of bins over [0, 1].
    least
        Pairs at or below this probability are in no bin.
    fading
        Factor per row on the frequencies of the prior.

    Examples
    --------
    >>> from stream_ml.streams import Feature, Schema
    >>> batch = Batch.from_dense(Schema([Feature("x")], ["a", "b"]), [[0], [0]], [[1, 0], [1, 1]])
    >>> p = np.array([[0.9, 0.02], [0.9, 0.4]], np.float32)
    >>> calibration = Calibration()
    >>> calibration.update(batch, Predictions(np.zeros(3, np.int64), np.zeros(0, np.int32), p))
    >>> result = calibration.result()
    >>> round(result["expected_calibration_error"], 3), [row["pairs"] for row in result["reliability"]]
    (0.267, [1, 2])
    """

    def __init__(self, *, bins: int = 20, least: float = 0.05, fading: float = 0.999) -> None:
        self.least, self.fading = least, fading
        self._bins, self._losses, self._prior = np.zeros((bins, 3)), np.zeros(3), np.zeros((2, 1))

    def update(self, batch: Batch, predictions: Predictions) -> None:
        """Add the rows of a batch that were to be predicted and whose labels are known; once, in order.

        The frequencies wait for labels as a model does: they learn the rows that are to be learned, each after it was
        predicted. Predictions without probabilities add nothing.
        """
        if predictions.probabilities is None:
            return
        p = np.ascontiguousarray(predictions.probabilities, dtype=np.float32)
        self._prior = grown(self._prior, (2, 1 + capacity(p.shape[1], self._prior.shape[1] - 1)))
        calibration_rows(
            p,
            batch.y_indptr,
            batch.y_indices,
            batch.unknown_labels(p.shape[1]),
            batch.mode,
            batch.labelled,
            batch.labels_known(),
            self.least,
            self.fading,
            self._bins,
            self._losses,
            self._prior,
        )

    def result(self) -> dict[str, Any]:
        """Error, log-losses (nats a pair) and the reliability table; {} when there were no probabilities.

        Keys: `expected_calibration_error`, `pairs` (those in the table), `log_loss`, `prior_log_loss`, and
        `reliability`: for each bin that is not empty its bounds `low` and `high`, `pairs`, `mean_probability` and
        `share_positive`.
        """
        pairs, log_loss, prior_loss = self._losses.tolist()
        if not pairs:
            return {}
        count, mass, hits = self._bins.T
        inside = float(count.sum())
        width = 1.0 / len(count)
        return {
            "expected_calibration_error": float(np.abs(mass - hits).sum() / inside) if inside else None,
            "pairs": int(inside),
            "log_loss": log_loss / pairs,
            "prior_log_loss": prior_loss / pairs,
            "reliability": [
                {
                    "low": max(self.least, round(b * width, 6)),
                    "high": round((b + 1) * width, 6),
                    "pairs": int(count[b]),
                    "mean_probability": float(mass[b] / count[b]),
                    "share_positive": float(hits[b] / count[b]),
                }
                for b in np.flatnonzero(count).tolist()
            ],
        }

    def state_dict(self) -> dict[str, NDArray]:
        """Arrays by name."""
        return {"bins": self._bins, "losses": self._losses, "prior": self._prior}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state_dict` gave."""
        part, f8 = Part.of(state), np.float64
        self._bins = part.array("bins", Spec(f8, self._bins.shape, 0))
        self._losses = part.array("losses", Spec(f8, (3,)))
        found = part["prior"]
        part.check(found.ndim == 2 and found.shape[1], "prior", "expected two rows, found none")
        self._prior = part.array("prior", Spec(f8, (2, found.shape[1]), 0))
