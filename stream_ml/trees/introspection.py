"""Looking into a tree: sizes, memory, structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.trees._layout import (
    ALTERNATE,
    DEPTH,
    EVIDENCE,
    FEATURE,
    LEFT,
    LOSS_ROWS,
    LOSS_SUM,
    N_ALTERNATES,
    N_LEARNED,
    N_SPLITS,
    RIGHT,
    ROOT,
    SLOT,
    THRESHOLD,
    WEIGHT,
    Nodes,
    Slots,
    Space,
    Table,
)

__all__ = ["TreeView"]


class TreeView:
    """The read-only side of a tree."""

    _nodes: Nodes
    _slots: Slots
    _space: Space
    _table: Table
    _bank: Any
    _fill: bool
    sparse: bool

    def _walk(self, node: int | None = None) -> Iterator[int]:
        """Nodes of the main tree (or of the subtree at `node`), parents before children, left before right."""
        stack = [int(self._space.counters[ROOT]) if node is None else node]
        while stack:
            current = stack.pop()
            yield current
            left, right = self._nodes.ints[current, [LEFT, RIGHT]].tolist()
            if left >= 0:
                stack += [right, left]

    @property
    def root(self) -> int:
        """Number of the root node; another one after the whole tree was swapped."""
        return int(self._space.counters[ROOT])

    @property
    def n_nodes(self) -> int:
        """Nodes of the tree, alternate subtrees not counted."""
        return sum(1 for _ in self._walk())

    @property
    def n_leaves(self) -> int:
        """Leaves of the tree."""
        return sum(1 for node in self._walk() if self._nodes.ints[node, LEFT] < 0)

    @property
    def n_active_leaves(self) -> int:
        """Leaves that observe, alternate subtrees counted."""
        return int((self._slots.owner >= 0).sum())

    @property
    def n_alternates(self) -> int:
        """Alternate subtrees that grow at present."""
        return int(self._space.counters[N_ALTERNATES])

    @property
    def n_learned(self) -> int:
        """Rows learned."""
        return int(self._space.counters[N_LEARNED])

    @property
    def n_splits(self) -> int:
        """Splits made so far, those undone since and those of alternates included."""
        return int(self._space.counters[N_SPLITS])

    @property
    def depth(self) -> int:
        """Tests on the longest path."""
        return max(int(self._nodes.ints[node, DEPTH]) for node in self._walk())

    @property
    def mean_loss(self) -> float:
        """The tree's own loss (soft Jaccard of the leaf's prior) over about the last 1,000 rows; 1 before any."""
        rows = float(self._space.faded[LOSS_ROWS])
        return float(self._space.faded[LOSS_SUM]) / rows if rows > 0.0 else 1.0

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part: nodes, observers, naive Bayes, detectors."""
        slots = self._slots._asdict()
        prepared = sum(int(slots[name].nbytes) for name in ("coefs", "center", "base"))
        return {
            "nodes": sum(int(a.nbytes) for a in self._nodes) + sum(int(a.nbytes) for a in self._space),
            "observers": sum(int(a.nbytes) for a in self._slots) - prepared,
            "naive_bayes": prepared,
            "detectors": sum(int(np.asarray(a).nbytes) for a in self._bank),
        }

    def describe(
        self,
        features: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        values: Sequence[Sequence[str] | None] | None = None,
    ) -> dict[str, Any]:
        """The tree as nested dicts, JSON-ready.

        An inner node has `feature`, `test` ("<=" or "="), `threshold` (a name where `values`, per feature, has one),
        `left`, `right`, perhaps `alternate`; a leaf has `rates`, the share of rows with each label that was met, and
        `active`; all have `node`, `depth`, `weight`.
        """
        return self._describe(int(self._space.counters[ROOT]), features, labels, values)

    def _describe(self, node: int, features: Any, labels: Any, values: Any) -> dict[str, Any]:
        """A node and all below."""
        out, ints = self._facts(node, features, labels, values), self._nodes.ints[node]
        for name, column in (("left", LEFT), ("right", RIGHT), ("alternate", ALTERNATE)):
            if "feature" in out and ints[column] >= 0:
                out[name] = self._describe(int(ints[column]), features, labels, values)
        return out

    def _facts(self, node: int, features: Any, labels: Any, values: Any) -> dict[str, Any]:
        """A node alone."""
        ints, reals = self._nodes.ints[node], self._nodes.reals[node]
        out: dict[str, Any] = {"node": node, "depth": int(ints[DEPTH]), "weight": float(reals[WEIGHT])}
        if ints[LEFT] < 0:
            positives = self._nodes.positives[node]
            evidence = max(float(reals[EVIDENCE]), 1.0)
            met = np.flatnonzero(positives > 0)
            out["rates"] = {str(labels[i]) if labels else str(i): float(positives[i]) / evidence for i in met.tolist()}
            out["active"] = bool(ints[SLOT] >= 0)
            return out
        feature = int(ints[FEATURE])
        nominal = bool(self._table.arities[feature] > 0)
        threshold: Any = float(reals[THRESHOLD])
        if nominal:
            threshold = int(threshold)
            names = values[feature] if values else None
            threshold = names[threshold] if names else threshold
        out["feature"] = str(features[feature]) if features else feature
        out["test"] = "=" if nominal else "<="
        out["threshold"] = threshold
        return out

    def path(
        self,
        indices: NDArray[np.int32],
        row: NDArray[np.float32],
        features: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        values: Sequence[Sequence[str] | None] | None = None,
    ) -> list[dict[str, Any]]:
        """The way of a row's features (CSR, as in `Batch`) from the root to its leaf, as when the tree predicts.

        The nodes as `describe` has them, without what is below. An inner one has, besides, the row's `value` (None: it
        is missing, and the row goes the way of more weight) and whether it `passed` the test, and so went left.
        """
        positions, node, steps = indices.tolist(), self.root, []
        while (left := int(self._nodes.ints[node, LEFT])) >= 0:
            right, feature = int(self._nodes.ints[node, RIGHT]), int(self._nodes.ints[node, FEATURE])
            arity, threshold = int(self._table.arities[feature]), float(self._nodes.reals[node, THRESHOLD])
            absent = 0.0 if self.sparse or self._fill else np.nan
            number = float(row[positions.index(feature)]) if feature in positions else absent
            known = bool(np.isfinite(number)) and (not arity or 0 <= number < arity)
            passed = number == threshold if arity else number <= threshold
            if not known:
                passed = bool(self._nodes.reals[left, WEIGHT] >= self._nodes.reals[right, WEIGHT])
            names = values[feature] if values else None
            value = None if not known else number if names is None else names[int(number)]
            steps.append(self._facts(node, features, labels, values) | {"value": value, "passed": passed})
            node = left if passed else right
        return [*steps, self._facts(node, features, labels, values)]

    def to_text(self, **names: Any) -> str:
        """The tree as indented text; keywords as for `describe`."""
        return "\n".join(_lines(self.describe(**names), ""))


def _lines(node: dict[str, Any], indent: str) -> Iterator[str]:
    if "rates" in node:
        top = sorted(node["rates"].items(), key=lambda item: -item[1])[:5]
        rates = ", ".join(f"{name} {rate:.2f}" for name, rate in top) or "no label"
        yield f"{indent}{rates} (weight {node['weight']:.0f}{'' if node['active'] else ', inactive'})"
        return
    threshold = node["threshold"]
    text = f"{threshold:.6g}" if isinstance(threshold, float) else str(threshold)
    opposite = ">" if node["test"] == "<=" else "not"
    yield f"{indent}{node['feature']} {node['test']} {text}"
    yield from _lines(node["left"], indent + "  ")
    yield f"{indent}{node['feature']} {opposite} {text}"
    yield from _lines(node["right"], indent + "  ")
    if "alternate" in node:
        yield f"{indent}alternate"
        yield from _lines(node["alternate"], indent + "  ")
