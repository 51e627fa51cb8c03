"""Share of pairwise Jaccard similarity that `LabelClusters` keep inside clusters, as a Markdown table.

    python benchmarks/label_clusters.py FILE [...] [--shuffles 10] [--every 200] [--max-size 24]

Only label sets are used. Every file is fed in file order, once split by similarity and once by pivots, and by
similarity in some shuffled orders: mean (lowest, highest). `offline` is average linkage of all the data at once under
the same size limit. Figures are of the end of the stream. Seconds are CPU time of one core for all updates and checks,
without reading the file and, as a small stream goes first, without compiling.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_ml.labels import Cooccurrence, LabelClusters
from stream_ml.labels.graph import Graph
from stream_ml.streams import open_stream

LEARN = 2
HEADER = (
    "| | labels | kept | clusters | largest | seconds | shuffled | pivots | clusters | largest | seconds | offline |"
)


class LabelSets:
    """The label sets of a stream: CSR, labels sorted within a row."""

    def __init__(self, indptr: NDArray[np.int64], indices: NDArray[np.int32], n_labels: int) -> None:
        self.indptr, self.indices, self.n_labels = indptr, indices, n_labels
        self.mode = np.full(len(indptr) - 1, LEARN, dtype=np.uint8)

    @classmethod
    def read(cls, path: Path) -> LabelSets:
        batches = list(open_stream(path))
        sizes = np.concatenate([np.diff(batch.y_indptr) for batch in batches])
        indices = [batch.y_indices[batch.y_indptr[0] : batch.y_indptr[-1]] for batch in batches]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(indptr, np.concatenate(indices).astype(np.int32), batches[-1].schema.n_labels)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def shuffled(self, seed: int) -> LabelSets:
        order = np.random.default_rng(seed).permutation(len(self))
        rows = [self.indices[self.indptr[i] : self.indptr[i + 1]] for i in order]
        indptr = np.concatenate([[0], np.cumsum(np.diff(self.indptr)[order])]).astype(np.int64)
        return LabelSets(indptr, np.concatenate(rows), self.n_labels)

    def clustered(self, split: str, every: int, max_size: int) -> tuple[LabelClusters, float]:
        """The clusters at the end, and CPU seconds."""
        clusters = LabelClusters(self.n_labels, split=split, max_size=max_size)
        started = time.process_time()
        for start in range(0, len(self), every):
            stop = min(start + every, len(self))
            clusters.update(self.indptr, self.indices, self.mode, start, stop)
            if stop - start == every:
                clusters.check(stop)
        return clusters, time.process_time() - started

    def kept_offline(self, max_size: int) -> float:
        counted = Cooccurrence(fading=1.0)
        counted.grow(self.n_labels)
        counted.update(self.indptr, self.indices, self.mode, 0, len(self))
        graph = Graph(counted, counted.total())
        group_of = graph.inside(np.arange(self.n_labels, dtype=np.int32)).groups(self.n_labels, max_size)
        slot_of = np.unique(group_of, return_inverse=True)[1].astype(np.int64)
        total = graph.jaccard.sum() / 2
        return float(graph.weight_inside(graph.jaccard, slot_of, self.n_labels).sum() / total) if total else 1.0


def line(name: str, data: LabelSets, shuffles: int, every: int, max_size: int) -> str:
    cells = [name, f"{data.n_labels:,}"]
    for split in ("similarity", "pivot"):
        clusters, seconds = data.clustered(split, every, max_size)
        sizes = [len(labels) for labels in clusters.partition.values()]
        cells += [f"{clusters.similarity_kept():.3f}", f"{len(sizes)}", f"{max(sizes)}", f"{seconds:.2f}"]
        if split == "similarity":
            others = (data.shuffled(seed).clustered(split, every, max_size)[0] for seed in range(shuffles))
            kept = [other.similarity_kept() for other in others]
            cells.append(f"{np.mean(kept):.3f} ({min(kept):.3f}, {max(kept):.3f})" if kept else "")
    return "| " + " | ".join([*cells, f"{data.kept_offline(max_size):.3f}"]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--shuffles", type=int, default=10, help="shuffled orders (default 10)")
    parser.add_argument("--every", type=int, default=200, help="instances between checks (default 200)")
    parser.add_argument("--max-size", type=int, default=24, help="labels that a cluster may have (default 24)")
    options = parser.parse_args()
    pairs = np.repeat(np.eye(3, dtype=np.bool_), 2, axis=1)[np.arange(1200) % 3]
    small = LabelSets(2 * np.arange(1201), pairs.nonzero()[1].astype(np.int32), 6)
    for split in ("similarity", "pivot"):
        small.clustered(split, 200, 4)
    print(HEADER)
    print("|---" * (HEADER.count("|") - 1) + "|")
    for path in options.files:
        name = path.name.split(".")[0]
        print(line(name, LabelSets.read(path), options.shuffles, options.every, options.max_size), flush=True)


if __name__ == "__main__":
    main()
