"""The state of gates that comes back from a file: every pointer of it points to something."""

from __future__ import annotations

import numpy as np

from stream_ml.arrays import aligned_zeros
from stream_ml.gating import _layout as lay
from stream_ml.states import LARGEST, Part, Spec

__all__ = ["gates_state"]


def gates_state(part: Part, most_blocks: int) -> tuple[lay.GateTree, lay.GateWeights, lay.Lanes, lay.LaneStack]:
    """The arrays that `Gates.state_dict` gave."""
    f4, f8, i4, i8 = np.float32, np.float64, np.int32, np.int64
    groups, n_labels, n = part.length("tree.used"), part.length("tree.place"), lay.EXPERTS + 1
    each, wide = (groups,), (groups, lay.WIDTH)
    tree = part.part("tree.").load(
        lay.GateTree,
        {
            "counters": Spec(i8, (1,), groups, groups),
            "used": Spec(i4, each, 0, lay.WIDTH),
            "below": Spec(i4, wide, lay.NONE, groups - 1),
            "label": Spec(i4, wide, lay.NONE, n_labels - 1),
            "size": Spec(i4, wide, 0, n_labels),
            "parent": Spec(i4, each, lay.NONE, groups - 1),
            "parent_lane": Spec(i4, each, 0, lay.WIDTH - 1),
            "place": Spec(i4, (n_labels, 2), lay.NONE, max(groups - 1, lay.WIDTH - 1)),
        },
    )
    _check_tree(part, tree)
    lanes = part.part("lanes.").load(
        lay.Lanes,
        {
            "values": Spec(f4, (groups, lay.LANE_FIELDS, lay.WIDTH)),
            "rows": Spec(f8, (groups, 3), 0),
            "own": Spec(f4, (groups, n, lay.WIDTH)),
            "own_squares": Spec(f4, (groups, n, lay.WIDTH), 0),
        },
    )
    stack = part.part("stack.").load(
        lay.LaneStack,
        {
            "shared": Spec(f8, (2, n)),
            "information": Spec(f8, (2, n, n)),
            "gradient": Spec(f8, (2, n)),
            "learned": Spec(i8, (1,), 0, LARGEST),
        },
    )
    for information in stack.information:
        try:
            np.linalg.cholesky(information)
        except np.linalg.LinAlgError:
            part.fail("stack.information", "no curvature: not positive definite")
    return tree, _weights(part.part("weights."), groups, most_blocks), lanes, stack


def _check_tree(part: Part, tree: lay.GateTree) -> None:
    """Fail where parents, children and places of labels do not agree."""
    groups, (rows, lanes) = len(tree.used), np.nonzero(tree.below >= 0)
    below = tree.below[rows, lanes]
    children = np.arange(lay.WIDTH) < tree.used[:, None]
    part.check((((tree.below >= 0) | (tree.label >= 0)) == children).all(), "tree.used", "not the number of children")
    part.check(groups >= 1 and tree.parent[0] == lay.NONE, "tree.parent", "no root")
    part.check(
        (tree.parent[1:] < np.arange(1, groups)).all() and (tree.parent[1:] >= 0).all(), "tree.parent", "a cycle"
    )
    same = len(below) == groups - 1 and len(np.unique(below)) == len(below)
    same = same and (tree.parent[below] == rows).all() and (tree.parent_lane[below] == lanes).all()
    part.check(bool(same), "tree.below", "not the parents of the groups")
    rows, lanes = np.nonzero(tree.label >= 0)
    placed = tree.place[tree.label[rows, lanes]]
    good = (placed[:, 0] == rows).all() and (placed[:, 1] == lanes).all() and (tree.below[rows, lanes] < 0).all()
    good = good and len(rows) == np.count_nonzero(tree.place[:, 0] >= 0)
    part.check(bool(good), "tree.place", "not the places of the labels")
    size = np.where(tree.below >= 0, tree.size.sum(axis=1)[tree.below], tree.label >= 0)
    part.check((tree.size == size).all(), "tree.size", "not the number of labels below")


def _weights(part: Part, groups: int, most_blocks: int) -> lay.GateWeights:
    """The table; room is made for the blocks that are not used."""
    keys, used = part.length("keys"), part.length("blocks")
    tally = part.array("tally", Spec(np.int64, (2,), 0, LARGEST))
    part.check(tally[0] == used and used <= most_blocks, "tally", "not the number of blocks")
    weights = part.load(
        lay.GateWeights,
        {
            "keys": Spec(np.int64, (keys,), -1, (groups << 32) - 1),
            "numbers": Spec(np.int32, (keys,), 0, max(0, used - 1)),
            "blocks": Spec(np.float32, (used, lay.FIELDS, lay.WIDTH)),
            "rows": Spec(np.float32, (used, 2), 0),
            "tally": Spec(np.int64, (2,), 0, LARGEST),
        },
    )
    named = weights.numbers[weights.keys >= 0]
    part.check(keys > 0 and len(np.unique(named)) == len(named), "numbers", "a block twice")
    blocks = aligned_zeros((most_blocks, lay.FIELDS, lay.WIDTH))
    rows = np.zeros((most_blocks, 2), dtype=np.float32)
    blocks[:used], rows[:used] = weights.blocks, weights.rows
    return weights._replace(blocks=blocks, rows=rows)
