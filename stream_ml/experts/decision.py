"""From probabilities to label sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.experts import _kernels as k

__all__ = ["decide"]


def decide(
    probabilities: NDArray[np.float32], mode: NDArray[np.uint8], *, f_share: float = 2 / 3, fallback: float = 0.2
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Label sets that do well on all the usual metrics, as CSR `(indptr, indices)`.

    A threshold of 1/2 is best for Hamming loss, one of half the expected F1 for F1 (Dembczyński, Waegeman, Cheng,
    Hüllermeier, NeurIPS 2011); this one lies `f_share` of the way from the first to the second, row by row. A row
    without any label at it takes its most probable one if that has `fallback` or more. Rows whose mode lacks PREDICT
    are empty.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([[0.5, 0.1, 0.6], [0.1, 0.3, 0.0], [0.1, 0.1, 0.1]], dtype=np.float32)
    >>> indptr, indices = decide(p, np.ones(3, dtype=np.uint8))
    >>> indptr.tolist(), indices.tolist()
    ([0, 2, 3, 3], [0, 2, 1])
    """
    rows, n_labels = probabilities.shape
    indptr = np.empty(rows + 1, dtype=np.int64)
    indices = np.empty(rows * n_labels, dtype=np.int32)
    k.decide_block(probabilities, mode, n_labels, f_share, fallback, indptr, indices)
    return indptr, indices[: indptr[-1]].copy()
