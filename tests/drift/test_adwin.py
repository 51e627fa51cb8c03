"""ADWIN agrees with its plain-Python twin and with river, and a bank keeps its detectors apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import drift as twin
from river.drift import ADWIN

from stream_ml.drift import Adwin, adwin_reset, adwin_update, grow_bank, new_bank
from stream_ml.drift import _kernels as k
from stream_ml.errors import ConfigError

# sums and squared deviations carried along, against sums taken afresh
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}
DEFAULTS = {"delta": 0.002, "clock": 32, "max_buckets": 5, "min_window_length": 5, "grace_period": 10}
quick = settings(deadline=None, derandomize=True, max_examples=60)


def update(bank, slot, value, options=DEFAULTS):
    o = {**DEFAULTS, **options}
    return adwin_update(
        bank,
        slot,
        float(value),
        o["delta"],
        o["clock"],
        o["max_buckets"],
        o["min_window_length"],
        o["grace_period"],
    )


def contents(bank, slot):
    """Bucket totals and their sums of squared deviations, row by row."""
    return [
        [(bank.totals[slot, row, i], bank.variances[slot, row, i]) for i in range(bank.sizes[slot, row])]
        for row in range(bank.sizes.shape[1])
    ]


def squares(bucket):
    mean = sum(bucket) / len(bucket)
    return sum((v - mean) ** 2 for v in bucket)


def assert_same_window(bank, slot, window):
    kept = contents(bank, slot)
    assert [len(row) for row in kept] == [len(row) for row in window.rows]
    flat = [cell for row in kept for cell in row]
    expected = [(sum(b), squares(b)) for row in window.rows for b in row]
    np.testing.assert_allclose(np.reshape(flat, (-1, 2)), np.reshape(expected, (-1, 2)), **TOLERANCE)
    assert k.adwin_width(bank, slot) == twin.adwin_width(window)
    assert k._oldest_row(bank.sizes[slot]) == twin._oldest_row(window)
    np.testing.assert_allclose(k.adwin_mean(bank, slot), twin.adwin_mean(window), **TOLERANCE)
    np.testing.assert_allclose(k.adwin_variance(bank, slot), twin.adwin_variance(window), **TOLERANCE)


options_ = st.fixed_dictionaries(
    {
        "delta": st.sampled_from([0.0005, 0.002, 0.05, 0.4, 0.9]),
        "clock": st.sampled_from([1, 4, 7, 32]),
        "max_buckets": st.integers(1, 6),
        "min_window_length": st.integers(1, 8),
        "grace_period": st.integers(0, 20),
    }
)
segments = st.lists(
    st.tuples(st.integers(1, 50), st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 40.0]), st.floats(0, 0.5)),
    min_size=1,
    max_size=4,
)


def stream_of(parts, seed):
    """Segments of (length, mean, noise)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, noise, n) for n, mean, noise in parts])


@quick
@given(segments, options_, st.integers(0, 9), st.sampled_from([3, 40]))
def test_twin_agrees_at_every_value(parts, options, seed, max_rows):
    bank = new_bank(2, options["max_buckets"], max_rows)
    window = twin.Window(**options, max_rows=max_rows)
    for value in stream_of(parts, seed).tolist():
        assert update(bank, 1, value, options) == window.update(value)
        assert bank.sizes[1].tolist() == [len(row) for row in window.rows]
    assert_same_window(bank, 1, window)
    assert not bank.sizes[0].any()


@quick
@given(segments, st.integers(1, 6), st.integers(0, 9), st.data())
def test_twin_of_the_inner_kernels(parts, max_buckets, seed, data):
    bank, window = new_bank(1, max_buckets, 12), twin.Window(max_buckets=max_buckets, max_rows=12)
    for value in stream_of(parts, seed).tolist():
        k._insert(bank, 0, value)
        twin._insert(window, value)
    assert_same_window(bank, 0, window)
    if twin.adwin_width(window) > 1:
        delta, least = data.draw(st.sampled_from([0.002, 0.3])), data.draw(st.integers(1, 8))
        window.delta, window.min_window_length = delta, least
        assert k._find_cut(bank, 0, delta, least) == twin._find_cut(window)
    for _ in range(data.draw(st.integers(0, len(window.buckets())))):
        assert k._forget_oldest(bank, 0) == twin._forget_oldest(window)
    assert_same_window(bank, 0, window)
    row = twin._oldest_row(window)
    if row >= 0:
        n = data.draw(st.integers(0, len(window.rows[row])))
        k._drop_first(bank, 0, row, n)
        twin._drop_first(window, row, n)
        assert [len(r) for r in contents(bank, 0)] == [len(r) for r in window.rows]
        np.testing.assert_allclose(
            [total for total, _ in contents(bank, 0)[row]], [sum(b) for b in window.rows[row]], **TOLERANCE
        )


@quick
@given(segments, options_, st.integers(0, 9))
def test_twin_of_a_run(parts, options, seed):
    values = stream_of(parts, seed)
    window, detector = twin.Window(**options), Adwin(**options)
    assert detector.update_many(values).tolist() == twin.adwin_run(window, values.tolist())
    assert detector.width == twin.adwin_width(window)
    assert detector.drift_detected == bool(window.last)
    assert detector.rise == (window.last > 0)
    np.testing.assert_allclose(detector.estimation, twin.adwin_mean(window), **TOLERANCE)


def rng(seed):
    return np.random.default_rng(seed)


def bernoulli(seed, *parts):
    """Parts of (length, probability)."""
    r = rng(seed)
    return np.concatenate([(r.random(n) < p).astype(float) for n, p in parts])


def gaussian(seed, *parts):
    """Parts of (length, mean, noise)."""
    return stream_of(parts, seed)


def ramp(seed, n, start, stop, noise=0.1):
    return np.linspace(start, stop, n) + rng(seed).normal(0, noise, n)


def gradual(seed, n, p, q):
    """Values of two Bernoulli concepts, the second ever more often."""
    r = rng(seed)
    return (r.random(n) < np.where(r.random(n) < np.linspace(0, 1, n), q, p)).astype(float)


# name: (values, options, whether a change must be found)
STREAMS = {
    "binary sudden rise": (bernoulli(1, (2000, 0.2), (2000, 0.6)), {}, True),
    "binary sudden fall": (bernoulli(2, (2000, 0.8), (2000, 0.3)), {}, True),
    "binary stationary": (bernoulli(3, (6000, 0.5)), {}, False),
    "binary small rise": (bernoulli(4, (8000, 0.10), (8000, 0.17)), {}, True),
    "binary rare": (bernoulli(5, (10000, 0.002), (6000, 0.02)), {}, True),
    "binary gradual rise": (gradual(6, 8000, 0.1, 0.7), {}, True),
    "binary gradual fall": (gradual(7, 8000, 0.9, 0.3), {}, True),
    "binary rises and falls": (bernoulli(8, *[(700, p) for p in (0.1, 0.6, 0.2, 0.9, 0.1, 0.5)]), {}, True),
    "binary short concepts": (bernoulli(9, *[(100, p) for p in (0.05, 0.95) * 20]), {}, True),
    "real sudden rise": (gaussian(10, (1500, 0.0, 0.3), (1500, 0.5, 0.3)), {}, True),
    "real sudden fall": (gaussian(11, (1500, 4.0, 1.0), (1500, 2.0, 1.0)), {}, True),
    "real stationary": (gaussian(12, (6000, 0.3, 0.1)), {}, False),
    "real negative": (gaussian(13, (1500, -3.0, 0.5), (1500, -6.0, 0.5)), {}, True),
    "real large values": (gaussian(14, (1500, 1e4, 200.0), (1500, 1.2e4, 200.0)), {}, True),
    "real variance only": (gaussian(15, (3000, 0.5, 0.05), (3000, 0.5, 0.4)), {}, False),
    "real ramp up": (ramp(16, 6000, 0.0, 1.0), {}, True),
    "real ramp down": (ramp(17, 6000, 1.0, 0.0), {}, True),
    "real saw": (np.concatenate([ramp(s, 900, 0.0, 1.0) for s in range(18, 24)]), {}, True),
    "integers of river's example": (
        np.concatenate([rng(24).integers(0, 2, 1000), rng(25).integers(4, 8, 1000)]).astype(float),
        {},
        True,
    ),
    "constant": (np.full(3000, 0.7), {}, False),
    "constant then step": (np.repeat([0.0, 1.0, 0.0], 1000), {}, True),
    "delta high": (bernoulli(26, (3000, 0.3), (3000, 0.4)), {"delta": 0.3}, True),
    "delta low": (bernoulli(27, (3000, 0.3), (3000, 0.7)), {"delta": 1e-7}, True),
    "clock 1": (bernoulli(28, (700, 0.3), (700, 0.6)), {"clock": 1}, True),
    "clock 7": (gaussian(29, (900, 0.3, 0.2), (900, 0.7, 0.2)), {"clock": 7}, True),
    "clock 200": (bernoulli(30, (3000, 0.2), (3000, 0.5)), {"clock": 200}, True),
    "max_buckets 1": (bernoulli(31, (2000, 0.2), (2000, 0.6)), {"max_buckets": 1}, True),
    "max_buckets 2": (gaussian(32, (2000, 1.0, 0.5), (2000, 0.2, 0.5)), {"max_buckets": 2}, True),
    "max_buckets 12": (gradual(33, 6000, 0.1, 0.8), {"max_buckets": 12}, True),
    "min_window_length 1": (bernoulli(34, (1500, 0.2), (1500, 0.7)), {"min_window_length": 1}, True),
    "min_window_length 60": (bernoulli(35, (1500, 0.2), (1500, 0.7)), {"min_window_length": 60}, True),
    "grace_period 0": (bernoulli(36, (700, 0.2), (700, 0.8)), {"grace_period": 0, "clock": 1}, True),
    "grace_period 500": (bernoulli(37, *[(400, p) for p in (0.1, 0.9) * 5]), {"grace_period": 500}, True),
    "all different": (
        gaussian(38, (900, 0.0, 0.4), (900, 0.6, 0.4), (900, 0.1, 0.4)),
        {"delta": 0.05, "clock": 5, "max_buckets": 3, "min_window_length": 2, "grace_period": 30},
        True,
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_detects_where_river_does(name):
    values, options, changes = STREAMS[name]
    ours, river = Adwin(**options), ADWIN(**options)
    assert river.width == ours.width == 0
    expected = []
    for i, value in enumerate(values.tolist()):
        river.update(value)
        if river.drift_detected:
            expected.append(i)
    assert ours.update_many(values).tolist() == expected
    assert bool(expected) == changes
    assert ours.width == river.width
    assert ours.estimation == pytest.approx(river.estimation, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["binary rises and falls", "clock 1", "all different"])
def test_window_is_rivers_after_every_value(name):
    values, options, _ = STREAMS[name]
    ours, river = Adwin(**options), ADWIN(**options)
    for value in values.tolist():
        river.update(value)
        assert ours.update(value) == ours.drift_detected == river.drift_detected
        assert ours.width == river.width
        assert ours.estimation == pytest.approx(river.estimation, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        # not searched at a width of grace_period, but one value later
        ([0.0] * 5 + [100.0] * 6, {"clock": 1, "grace_period": 10}, [10]),
        # the only cut leaves exactly min_window_length values on the older, on the newer side
        ([1000.0, 0.0, 0.0, 0.0, 0.0], {"clock": 5, "grace_period": 0}, [4]),
        ([0.0, 0.0, 0.0, 0.0, 1000.0], {"clock": 5, "grace_period": 0}, [4]),
        # two values are the least that can differ
        ([0.0, 100.0], {"clock": 2, "grace_period": 0}, [1]),
    ],
)
def test_edges_of_the_search(values, options, expected):
    options = {"delta": 0.9, "min_window_length": 1, **options}
    ours, river, window = Adwin(**options), ADWIN(**options), twin.Window(**options)
    found = []
    for i, value in enumerate(values):
        river.update(value)
        found += [i] * river.drift_detected
    assert ours.update_many(values).tolist() == twin.adwin_run(window, values) == found == expected
    assert ours.width == river.width == twin.adwin_width(window)


@pytest.mark.parametrize(("levels", "last"), [((0.0, 10.0, 0.0), 0.0), ((10.0, 0.0, 10.0), 10.0)])
def test_a_rise_is_told_when_one_search_finds_a_fall_as_well(levels, last):
    options = {"clock": 300}
    values = np.repeat(levels, 100)
    bank, window = new_bank(1), twin.Window(**options)
    signs = [(update(bank, 0, v, options), window.update(v)) for v in values.tolist()]
    assert signs == [(0, 0)] * 299 + [(1, 1)]
    assert k.adwin_mean(bank, 0) == last  # both were found


def test_streams_are_enough():
    assert len(STREAMS) >= 20


@pytest.mark.parametrize(
    ("before", "after", "sign"), [(0.2, 0.8, 1), (0.8, 0.2, -1), (-4.0, -5.0, -1), (-5.0, -4.0, 1)]
)
def test_sign_of_the_change(before, after, sign):
    bank, detector = new_bank(1), Adwin()
    signs = []
    for value in gaussian(40, (800, before, 0.1), (64, after, 0.1)):
        signs.append(update(bank, 0, value))
        assert detector.update(value) == (signs[-1] != 0)
        assert detector.rise == (signs[-1] > 0)
    assert [s for s in signs if s] == [sign]


def test_update_after_a_detection_starts_anew():
    detector = Adwin()
    found = detector.update_many(np.repeat([0.0, 1.0], 1000))
    position = int(found[0])
    again = Adwin()
    again.update_many(np.repeat([0.0, 1.0], 1000)[: position + 1])
    assert again.drift_detected
    assert again.width > 1
    assert again.update(1.0) is False
    assert (again.width, again.estimation, again.drift_detected) == (1, 1.0, False)


def test_slots_of_a_bank_are_independent():
    streams = [STREAMS[n][0][:2500] for n in ("binary sudden rise", "real sudden fall", "real ramp up")]
    together, alone = new_bank(3), [new_bank(1) for _ in streams]
    signs = []
    for values in zip(*streams, strict=True):
        for slot, value in enumerate(values):
            sign = update(together, slot, value)
            assert sign == update(alone[slot], 0, value)
            signs.append(sign)
    assert any(signs)
    for slot, bank in enumerate(alone):
        for shared, own in zip(together, bank, strict=True):
            np.testing.assert_array_equal(shared[slot], own[0])


def test_reset_empties_one_slot_and_forgets_everything():
    bank, fresh = new_bank(2), new_bank(1)
    values = STREAMS["binary short concepts"][0]
    for value in values[:150]:
        update(bank, 0, value)
        update(bank, 1, value)
    kept = [a[1].copy() for a in bank]
    adwin_reset(bank, 0)
    assert k.adwin_width(bank, 0) == k.adwin_mean(bank, 0) == k.adwin_variance(bank, 0) == 0.0
    for a, b in zip(bank, kept, strict=True):
        np.testing.assert_array_equal(a[1], b)
    signs = [update(bank, 0, v) for v in values[:1000]]
    assert signs == [update(fresh, 0, v) for v in values[:1000]]
    assert any(signs)
    np.testing.assert_array_equal(bank.reals[0], fresh.reals[0])


def test_growing_a_bank_keeps_state():
    values = STREAMS["binary sudden rise"][0]
    bank, twin_bank = new_bank(2), new_bank(2)
    for value in values[:1999]:
        for b in (bank, twin_bank):
            update(b, 1, value)
    larger = grow_bank(bank, 5)
    assert [a.shape[0] for a in larger] == [5] * 4
    assert [a.dtype for a in larger] == [a.dtype for a in bank]
    assert not any(a[[0, 2, 3, 4]].any() for a in larger)
    signs = [(update(larger, 1, v), update(twin_bank, 1, v)) for v in values[1999:]]
    assert all(a == b for a, b in signs)
    assert any(a for a, _ in signs)
    assert [len(a) for a in grow_bank(larger, 3)] == [5] * 4  # never smaller


@pytest.mark.parametrize(("max_rows", "max_buckets"), [(1, 5), (2, 1), (4, 5), (6, 3)])
def test_full_histogram_keeps_working(max_rows, max_buckets):
    options = {"max_buckets": max_buckets, "clock": 8, "min_window_length": 1, "grace_period": 2}
    values = gaussian(41, (1500, 0.0, 0.01), (1500, 9.0, 0.01), (1500, 0.0, 0.01))
    bank, window = new_bank(1, max_buckets, max_rows), twin.Window(**options, max_rows=max_rows)
    room = sum(max_buckets * 2**row for row in range(max_rows))
    signs, widest = [], 0
    for value in values.tolist():
        signs.append(update(bank, 0, value, options))
        assert signs[-1] == window.update(value)
        widest = max(widest, int(k.adwin_width(bank, 0)))
    assert widest <= room
    assert widest > room // 2
    assert_same_window(bank, 0, window)
    if max_rows > 2:  # a window of a few values cannot tell any change
        assert [s for s in signs if s] == [1, -1]


@pytest.mark.parametrize("name", ["binary rises and falls", "real saw", "all different"])
def test_stop_and_resume_equals_never_having_stopped(name):
    values, options, _ = STREAMS[name]
    whole = Adwin(**options)
    expected = whole.update_many(values).tolist()
    cuts = sorted({0, 1, 333, 1000, *(p for p in expected), *(p + 1 for p in expected), len(values)})
    found = []
    detector = Adwin(**options)
    for a, b in pairwise(cuts):
        saved = {n: array.copy() for n, array in detector.state_dict().items()}
        detector.update_many(np.ones(500) * 7)  # what is loaded replaces everything
        resumed = Adwin(**options)
        resumed.load_state_dict(saved)
        detector.load_state_dict(saved)
        found += (resumed.update_many(values[a:b]) + a).tolist()
        detector.update_many(values[a:b])
        assert resumed.drift_detected == detector.drift_detected
        assert (resumed.width, resumed.estimation) == (detector.width, detector.estimation)
        detector = resumed
    assert found == expected
    for name_, array in whole.state_dict().items():
        np.testing.assert_array_equal(detector.state_dict()[name_], array)


def test_loaded_state_is_a_copy():
    source, target = Adwin(), Adwin()
    source.update_many(np.arange(50.0) % 3)
    target.load_state_dict(source.state_dict())
    target.update_many(np.arange(50.0) % 3)
    assert (source.width, target.width) == (50, 100)


def test_state_of_another_shape_is_refused_and_changes_nothing():
    detector = Adwin()
    detector.update_many(np.zeros(20))
    with pytest.raises(ValueError, match="totals: expected float64 of shape"):
        detector.load_state_dict(Adwin(max_buckets=3).state_dict())
    with pytest.raises(KeyError):
        detector.load_state_dict({})
    assert detector.width == 20


@pytest.mark.parametrize("values", [np.arange(7), [0, 1, 1], np.zeros(5, dtype=np.float32), np.arange(10.0)[::2], []])
def test_takes_any_one_dimensional_numbers(values):
    detector = Adwin()
    assert detector.update_many(values).dtype == np.int64
    assert detector.width == len(values)
    assert detector.estimation == pytest.approx(np.mean(values) if len(values) else 0.0)


@pytest.mark.parametrize("bad", [[0.0, float("nan")], [float("inf")], 3.0, [[1.0, 2.0]]])
def test_bad_values_are_refused_and_change_nothing(bad):
    detector = Adwin()
    detector.update(1.0)
    with pytest.raises(ValueError, match="ADWIN takes"):
        detector.update_many(bad)
    if not np.isfinite(bad).all():
        with pytest.raises(ValueError, match="ADWIN takes"):
            detector.update(bad[-1])
    assert (detector.width, detector.estimation) == (1, 1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delta", 0.0),
        ("delta", 1.0),
        ("delta", float("nan")),
        ("clock", 0),
        ("clock", 2.5),
        ("max_buckets", 0),
        ("min_window_length", 0),
        ("grace_period", -1),
    ],
)
def test_parameters_out_of_range(name, value):
    with pytest.raises(ConfigError, match=f"ADWIN parameter {name} must be .*found {value!r}"):
        Adwin(**{name: value})
