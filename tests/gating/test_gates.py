"""What gates promise: probabilities in order, a run that cuts, resumes and bounds of memory do not change."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
from gating.gate_streams import GateStream, assert_same, gate_stream, run, saved
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.gating import Gates
from stream_ml.gating import _layout as lay
from stream_ml.gating import gates as module
from stream_ml.states import StateError
from stream_ml.streams.batch import Likely

quick = settings(deadline=None, derandomize=True, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
small_tables = patch.object(module, "FIRST_BLOCKS", 16)
"""Tables that begin small grow often."""


def streams():
    rows = st.integers(1, 60)
    return st.builds(gate_stream, seeds, rows, n_labels=st.integers(1, 120), sparse=st.booleans(), k=st.integers(0, 4))


def only(stream: GateStream, mode: int) -> GateStream:
    """The same rows, all of one mode."""
    return GateStream(**{**vars(stream), "mode": np.full(len(stream), mode, np.uint8)})


@quick
@given(streams(), st.integers(1, 64), st.sampled_from([0.0, 0.05, 1.0]))
def test_the_likeliest_come_first(stream, most, reach):
    rows = run(Gates(reach=reach), stream, most=most)
    learned = {label for y in stream.labels for label in y}
    for n, labels, p in zip(rows.n_top, rows.top, rows.chances, strict=True):
        assert n <= most
        assert len(set(labels[:n].tolist())) == n
        assert set(labels[:n].tolist()) <= learned
        assert ((p[:n] > 0) & (p[:n] < 1)).all()
        assert (np.diff(p[:n]) <= 0).all()


@quick
@given(streams(), st.sampled_from([0.05, 0.5, 1.0]))
def test_nothing_likely_is_missed(stream, reach):
    """What is as likely as `reach` is found by whatever way, and so are the five best."""
    gates = Gates(reach=reach)
    run(gates, stream)
    every = Gates(reach=0.0)
    every.load_state_dict(saved(gates))
    asked = only(stream, 1)
    some, all_rows = run(gates, asked, most=128), run(every, asked, most=128)
    for row in range(len(stream)):
        found, there = (Likely(r.n_top, r.top, r.chances).of_row(row) for r in (some, all_rows))
        assert found.items() <= there.items()
        assert list(found.values())[:5] == list(there.values())[:5]
        assert all(label in found for label, p in there.items() if p >= reach)


@quick
@given(streams())
def test_rows_that_are_only_predicted_change_nothing(stream):
    gates = Gates()
    run(gates, stream)
    before = saved(gates)
    first = run(gates, only(stream, 1))
    assert_same(saved(gates), before)
    assert_same(run(gates, only(stream, 1)), first)
    assert not first.visited[:, 1].any()


@quick
@given(streams(), st.lists(st.integers(0, 60), max_size=4), st.sampled_from([1e-9, 0.02, 1.0]))
def test_cuts_and_resume_change_nothing(stream, cuts, memory_limit_mb):
    """While tables grow, and when they are full."""
    with small_tables:
        check_cuts(stream, cuts, memory_limit_mb)


def check_cuts(stream, cuts, memory_limit_mb):
    whole, parts = (Gates(memory_limit_mb=memory_limit_mb) for _ in range(2))
    cuts = sorted(min(cut, len(stream)) for cut in cuts)
    expected = run(whole, stream)
    got = run(parts, stream, cuts)
    assert_same(got, expected)
    assert_same(saved(parts), saved(whole))
    for cut in cuts:
        before, after = (Gates(memory_limit_mb=memory_limit_mb) for _ in range(2))
        run(before, stream, stop=cut)
        after.load_state_dict(saved(before))
        rest = run(after, stream, start=cut)
        assert_same(rest, type(rest)(*(array[cut:] for array in expected)))
        assert_same(saved(after), saved(whole))


@pytest.mark.parametrize("memory_limit_mb", [0.01, 0.05, 1.0])
def test_memory_is_bounded(memory_limit_mb):
    stream = gate_stream(1, 200, n_columns=60, n_labels=100)
    with small_tables:
        gates = Gates(memory_limit_mb=memory_limit_mb)
    most = int(memory_limit_mb * 2**20) // module.BLOCK_BYTES
    for start in range(0, 200, 20):
        rows = run(gates, stream, start=start, stop=start + 20)
        used, forgotten = gates.weights.tally.tolist()
        keys = gates.weights.keys[gates.weights.keys >= 0]
        assert len(np.unique(keys)) == len(keys) <= used <= most
        assert gates.memory_usage()["gate_weights"] <= 1.1 * memory_limit_mb * 2**20
        assert np.isfinite(rows.chances).all()
    assert forgotten < used / 10 if memory_limit_mb == 1.0 else forgotten > used
    again = Gates(memory_limit_mb=max(memory_limit_mb, 2.0))
    again.load_state_dict(saved(gates))  # there may be more from now on
    assert run(again, only(stream, 1)).n_top.any()


def planted(n_groups, size, n, seed=0):
    """Rows of one group of labels each, told by its column."""
    rng = np.random.default_rng(seed)
    group = np.concatenate([rng.permutation(n_groups) for _ in range(n // n_groups)])
    stream = gate_stream(seed, len(group), n_columns=n_groups, n_labels=n_groups * size, partial=False, modes=False)
    names = rng.permutation(n_groups * size).reshape(n_groups, size)
    stream.labels[:] = [sorted(names[g].tolist()) for g in group]
    stream.cells[:] = [[(int(g), 1.0, 1.0, 1.0)] for g in group]
    stream.nearest.slots[:] = -1
    stream.nearest.weights[:] = 0.0
    return stream, group, names


def test_labels_that_come_together_lie_together_and_are_found():
    stream, group, names = planted(40, 5, 400)
    gates = Gates()
    rows = run(gates, stream)
    hits = [set(rows.top[row, :5].tolist()) == set(names[g].tolist()) for row, g in enumerate(group)]
    assert np.mean(hits[-40:]) > 0.9
    place = gates.tree.place[:, 0]
    together = np.mean([len(set(place[labels])) for labels in names])
    apart = np.mean([len(set(place[labels])) for labels in names.T.reshape(40, 5)])
    assert together < 0.8 * apart


def test_labels_that_come_late_again_and_again():
    """Many labels of an instance, one by one: more of a label than there are instances of its group."""
    stream = gate_stream(3, 60, n_labels=4, partial=False)
    stream.mode[:] = [3, *[6] * 40, *[3] * 19]
    stream.labels[:41] = [[0]] * 41
    stream.cells[:41] = [[(c, 1.0, 1.0, 0.5) for c in range(4)]] * 41
    gates = Gates()
    rows = run(gates, stream)
    assert np.isfinite(rows.chances).all()
    assert all(np.isfinite(array).all() for array in gates.state_dict().values())


@pytest.fixture
def learned():
    stream = gate_stream(2, 120, n_labels=100)
    gates = Gates()
    run(gates, stream)
    assert gates.tree.counters[0] > 4
    return gates, stream


def test_what_is_no_number_does_not_spread(learned):
    """One expert of one block that says NaN: probabilities, and what all gates share, stay numbers."""
    gates, stream = learned
    gates.weights.blocks[: int(gates.weights.tally[0]), lay.ODDS, 3] = np.nan
    out = run(gates, stream)
    assert np.isfinite(out.chances).all()
    assert np.isfinite(gates.stack.shared).all()


def test_counts_past_single_precision_give_odds(learned):
    """A child of nearly all rows may have counted more than its group, whose count rounds less."""
    gates, stream = learned
    gates.lanes.values[:, lay.MASS] = 2.0**26
    gates.lanes.rows[:, 1] = 2.0**26 - 2.0**20
    assert np.isfinite(run(gates, stream).chances).all()
    assert np.isfinite(gates.weights.blocks[: int(gates.weights.tally[0])]).all()


def test_hurry_makes_steps_long_again(learned):
    gates, stream = learned
    before = saved(gates)
    gates.hurry(1.0)
    assert_same(saved(gates), before)
    gates.hurry(0.25)
    evidence = {
        "blocks": (lay.WEIGHT_SQUARES, 1e-2),
        "values": (lay.SQUARES, 1e-2),
        "steps": (lay.STEP_SQUARES, 1.0),
        "own": (slice(None), 1.0),
    }
    names = {"blocks": "weights.blocks", "values": "lanes.values", "steps": "lanes.values", "own": "lanes.own_squares"}
    after = saved(gates)
    for part, (field, least) in evidence.items():
        was, now = (state[names[part]][:, field] for state in (before, after))
        np.testing.assert_allclose(now, np.maximum(was * 0.25, least), rtol=1e-6)
        assert (now < was).any()
    kept = before["stack.information"] * 0.25 + np.eye(6) * 7.5
    np.testing.assert_allclose(after["stack.information"], kept)
    assert {name: a.shape for name, a in after.items()} == {name: a.shape for name, a in before.items()}
    np.testing.assert_array_equal(after["weights.blocks"][:, lay.WEIGHT], before["weights.blocks"][:, lay.WEIGHT])
    gates.hurry(0.0)
    assert (gates.weights.blocks[: gates.weights.tally[0], lay.WEIGHT_SQUARES] == np.float32(1e-2)).all()
    assert np.isfinite(run(gates, stream).chances).all()


def test_forget_starts_one_expert_anew(learned):
    gates, stream = learned
    before = saved(gates)
    gates.forget()
    after = saved(gates)
    assert not after["weights.blocks"][:, lay.STEP_WEIGHT].any()
    assert not after["lanes.values"][:, lay.STEP_BIAS].any()
    assert (after["lanes.values"][:, lay.STEP_SQUARES] == 1.0).all()
    light = 20 / before["lanes.rows"][0, 2]
    assert light < 1
    for name, field in (("weights.blocks", lay.COLUMN_COUNT), ("lanes.values", lay.MASS)):
        np.testing.assert_allclose(after[name][:, field], before[name][:, field] * light, rtol=1e-5)
    np.testing.assert_allclose(after["weights.rows"], before["weights.rows"] * light, rtol=1e-5)
    np.testing.assert_allclose(after["lanes.rows"][:, 1], before["lanes.rows"][:, 1] * light, rtol=1e-5)
    kept = [name for name in before if name.startswith("tree.")]
    assert_same({name: after[name] for name in kept}, {name: before[name] for name in kept})
    assert {name: a.shape for name, a in after.items()} == {name: a.shape for name, a in before.items()}
    again = Gates()
    again.load_state_dict(after)
    assert_same(run(again, stream), run(gates, stream))
    assert np.isfinite(gates.lanes.values).all()


# -- states that no gates were ever in --------------------------------------------------------------------------------


def put(value: float, *at: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array):
        array = array.copy()
        array[at or (0,) * array.ndim] = value
        return array

    return change


def gate_of(array):
    """Place of the first that is a pointer."""
    return np.argwhere(array >= 0)[0]


def swapped(array):
    """Two pointers change places."""
    a, b = map(tuple, np.argwhere(array >= 0)[:2])
    return put(array[a], *b)(put(array[b], *a)(array))


def without(array):
    """A pointer to nothing."""
    return put(lay.NONE, *gate_of(array))(array)


DAMAGES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "fewer groups than there are": ("tree.counters", lambda a: a - 1),
    "groups of another type": ("tree.used", lambda a: a.astype(np.int64)),
    "more children than there are": ("tree.used", lambda a: put(a[-1] + 1, -1)(a)),
    "fewer children than there are": ("tree.used", lambda a: a - 1),
    "children beyond the width": ("tree.used", put(lay.WIDTH + 1)),
    "a group that is not there": ("tree.below", put(10**6)),
    "a group below two gates": ("tree.below", lambda a: np.where(a >= 0, 1, a).astype(a.dtype)),
    "groups that changed gates": ("tree.below", swapped),
    "a group below no gate": ("tree.below", without),
    "a gate that is the root's": ("tree.below", lambda a: put(0, *gate_of(a))(a)),
    "a label that is not there": ("tree.label", put(10**6, 1, 0)),
    "labels that changed places": ("tree.label", swapped),
    "a label of no place": ("tree.label", without),
    "a label on top of a gate": ("tree.label", lambda a: put(0, *np.argwhere(a < 0)[0])(a)),
    "labels below that are none": ("tree.size", lambda a: a + (a > 0)),
    "a root with a parent": ("tree.parent", put(0)),
    "a second root": ("tree.parent", put(lay.NONE, 1)),
    "parents in a circle": ("tree.parent", put(2, 1)),
    "a parent that is not there": ("tree.parent", put(10**6, -1)),
    "a lane that is not there": ("tree.parent_lane", put(lay.WIDTH, -1)),
    "a lane of another": ("tree.parent_lane", lambda a: put((a[-1] + 1) % lay.WIDTH, -1)(a)),
    "a place that is not there": ("tree.place", put(10**6)),
    "places of others": ("tree.place", lambda a: a[::-1].copy()),
    "two labels in one place": ("tree.place", lambda a: np.where(a >= 0, 1, a).astype(a.dtype)),
    "a place that is nowhere": ("tree.place", lambda a: put(lay.NONE, *gate_of(a))(a)),
    "values of other groups": ("lanes.values", lambda a: a[:-1]),
    "values that are no number": ("lanes.values", put(np.nan)),
    "rows below zero": ("lanes.rows", put(-1.0)),
    "weights without end": ("lanes.own", put(np.inf)),
    "squares below zero": ("lanes.own_squares", put(-1.0)),
    "weights of too few experts": ("stack.shared", lambda a: a[:, :-1]),
    "curvature that is none": ("stack.information", lambda a: -a),
    "a gradient that is no number": ("stack.gradient", put(np.nan)),
    "rows learned below zero": ("stack.learned", put(-1)),
    "no table": ("weights.keys", lambda a: a[:0]),
    "a key of a group that is not there": ("weights.keys", put(2**62)),
    "a block that is not there": ("weights.numbers", lambda a: np.full_like(a, 10**6)),
    "a block of two keys": ("weights.numbers", np.zeros_like),
    "fewer blocks than are used": ("weights.tally", put(0)),
    "blocks of another shape": ("weights.blocks", lambda a: a[:, :, :-1]),
    "needed less than never": ("weights.rows", put(-1.0)),
}


@pytest.fixture(scope="module")
def genuine():
    gates = Gates()
    run(gates, gate_stream(4, 100, n_labels=100))
    return saved(gates)


def test_every_part_of_the_state_was_damaged(genuine):
    assert {name for name, _ in DAMAGES.values()} == set(genuine)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused(genuine, damage):
    name, change = DAMAGES[damage]
    changed = change(genuine[name])
    assert changed.shape != genuine[name].shape or changed.tobytes() != genuine[name].tobytes()
    with pytest.raises(StateError) as told:
        Gates().load_state_dict({**genuine, name: changed})
    assert str(told.value).count("\n") == 0
    assert str(told.value).split(".")[0] in {"tree", "weights", "lanes", "stack"}


def test_more_blocks_than_there_may_be_are_refused(genuine):
    with small_tables:
        few = Gates(memory_limit_mb=1e-9)
    with pytest.raises(StateError, match=r"weights\.tally: not the number of blocks"):
        few.load_state_dict(genuine)
