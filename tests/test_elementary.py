"""Exponentials and logarithms: against exact ones, in vectors and by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream_ml.elementary import exp32, exp64, log32, log64
from stream_ml.jit import kernel

FUNCTIONS = {"log32": log32, "log64": log64, "exp32": exp32, "exp64": exp64}
BOUNDS = {
    "log32": (2.0**-126, 2.0**127),
    "log64": (2.0**-1022, 2.0**1023),
    "exp32": (-87.0, 88.0),
    "exp64": (-708.0, 709.0),
}
UNITS = 1.5
"""In the last place, that a result may be off: half of one is what rounding takes."""


def _loops(function):
    @kernel
    def one(x):
        return function(x)

    @kernel
    def many(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    return one, many


LOOPS = {name: _loops(function) for name, function in FUNCTIONS.items()}


def _kind(name):
    return np.float32 if name.endswith("32") else np.float64


def _exact(name, x):
    return (np.log if name.startswith("log") else np.exp)(x.astype(np.longdouble))


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(deadline=None)
@given(st.data())
def test_results_are_exact_but_for_the_last_place(name, data):
    low, high = BOUNDS[name]
    numbers = st.floats(low, high, width=32 if name.endswith("32") else 64)
    x = data.draw(arrays(_kind(name), st.integers(0, 70), elements=numbers))
    out = np.empty_like(x)
    LOOPS[name][1](x, out)
    exact = _exact(name, x)
    assert (np.abs(out - exact) <= UNITS * np.spacing(np.abs(exact).astype(x.dtype))).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_vector_rounds_as_one_number_does(name):
    low, high = BOUNDS[name]
    rng = np.random.default_rng(1)
    x = rng.uniform(max(low, -20.0), min(high, 20.0), 1003).astype(_kind(name))
    out = np.empty_like(x)
    LOOPS[name][1](x, out)
    assert out.tolist() == [LOOPS[name][0](value) for value in x]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_where_the_result_is_known(name):
    one, _ = LOOPS[name]
    kind = _kind(name)
    if name.startswith("log"):
        assert one(kind(1.0)) == 0.0
        assert math.isclose(one(kind(2.0)), math.log(2.0), rel_tol=1e-7 if kind is np.float32 else 1e-15)
    else:
        assert one(kind(0.0)) == 1.0
        assert one(kind(BOUNDS[name][0])) > 0.0
