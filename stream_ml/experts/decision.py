"""From probabilities to label sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.experts import _kernels as k

__all__ = ["decide"]


def decide(
    probabilities: NDArray[np.float32], mode: NDArray[np.uint8], *, threshold: float = 0.4, fallback: float = 0.2
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Label sets as CSR `(indptr, indices)`: labels at `threshold` or above, else the best one at `fallback` or above.

    Rows whose mode lacks PREDICT are empty.

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
    k.decide_block(probabilities, mode, n_labels, threshold, fallback, indptr, indices)
    return indptr, indices[: indptr[-1]].copy()
