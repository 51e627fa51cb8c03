"""What of a saved joint posterior must be true before compiled loops may follow its chains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.decisions import _layout as k
from stream_ml.decisions._set_kernels import SetTables
from stream_ml.states import LARGEST, Part, Spec

__all__ = ["buckets", "joint_state"]

BUCKETS_PER_SET = 2


def buckets(capacity: int) -> int:
    """Buckets of a table of so many sets: a power of two."""
    return 1 << (BUCKETS_PER_SET * capacity - 1).bit_length()


def joint_state(
    part: Part, n_labels: int, n_clusters: int, whole_sets: int, cluster_sets: int, width: int
) -> k.JointState:
    """The state of a joint posterior over so many labels and clusters, and tables of so many sets.

    Raises
    ------
    StateError
        It is not one.
    """
    f8 = np.float64
    specs = dict.fromkeys(("rows", "same", "coverage"), Spec(f8, (1,), 0))
    specs |= {
        "unit": Spec(f8, (1,), 1e-300),
        "learned": Spec(np.int64, (1,), 0, LARGEST),
        "label_counts": Spec(f8, (n_labels,)),
        "cardinality": Spec(f8, (k.LARGEST + 1,)),
        "last": Spec(np.int32, (n_labels + 1,), 0),
        "weights": Spec(f8, (k.FEATURES,)),
        "squares": Spec(f8, (k.FEATURES,), 0),
        "mix": Spec(f8, (3,)),
        "mix_information": Spec(f8, (3, 3)),
        "prior_odds": Spec(f8, (n_labels,)),
        "summary": Spec(f8, (3,)),
        "silence": Spec(f8, (n_clusters, 2)),
        "cluster_mass": Spec(f8, (n_clusters,)),
    }
    arrays = {name: part.array(name, specs[name]) for name in k.JointState._fields if name in specs}
    last = arrays["last"]
    part.check(last[0] <= n_labels and (last[1:] < max(1, n_labels)).all(), "last", "not a set of labels")
    return k.JointState(
        **arrays,
        sets=_tables(part.part("sets."), 1, whole_sets, width, n_labels),
        cluster_sets=_tables(part.part("cluster_sets."), n_clusters, cluster_sets, width, n_labels),
    )


def _tables(part: Part, n: int, capacity: int, width: int, n_labels: int) -> SetTables:
    """`n` tables of label sets, whose chains hold each set once, in its bucket, and end."""
    f8, i4 = np.float64, np.int32
    specs = {
        "hashes": Spec(np.uint64, (n, capacity)),
        "counts": Spec(f8, (n, capacity)),
        "log_counts": Spec(f8, (n, capacity)),
        "sizes": Spec(i4, (n, capacity), 0, width if n_labels else 0),
        "labels": Spec(i4, (n, capacity, width), 0, max(0, n_labels - 1)),
        "heads": Spec(i4, (n, buckets(capacity)), -1, capacity - 1),
        "chain": Spec(i4, (n, capacity), -1, capacity - 1),
        "used": Spec(np.int64, (n,), 0, capacity),
    }
    arrays = {name: part.array(name, spec) for name, spec in specs.items()}
    tables = SetTables(**arrays, marks=_marks(arrays["labels"], arrays["sizes"]))
    seen = np.zeros((n, capacity), dtype=np.int64)
    table, bucket = np.nonzero(tables.heads >= 0)
    place = tables.heads[table, bucket]
    while len(place):  # one step down all chains at once
        home = tables.hashes[table, place] & np.uint64(buckets(capacity) - 1)
        np.add.at(seen, (table, place), 1)
        part.check(
            (home == bucket.astype(np.uint64)).all() and seen.max() == 1, "chain", "a set twice, or in a wrong bucket"
        )
        place = tables.chain[table, place]
        going = place >= 0
        table, bucket, place = table[going], bucket[going], place[going]
    part.check((seen == (np.arange(capacity) < tables.used[:, None])).all(), "used", "sets that no chain holds")
    return tables


def _marks(labels: NDArray[np.int32], sizes: NDArray[np.int32]) -> NDArray[np.uint64]:
    """What `mark_of` says of the labels of each set."""
    there = np.arange(labels.shape[-1]) < sizes[..., None]
    marks = np.where(there, np.uint64(1) << (labels & 63).astype(np.uint64), np.uint64(0))
    return np.bitwise_or.reduce(marks, axis=-1, dtype=np.uint64)
