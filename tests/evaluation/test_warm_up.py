"""Compiling before the clock starts: a second process helps where there is something to compile, and may fail."""

from __future__ import annotations

import subprocess
import sys

import numba
import pytest

from stream_ml import IHomerClassifier
from stream_ml.evaluation import MajorityLabelset, needs_gates, warm_up
from stream_ml.streams import Feature, Schema

module = sys.modules["stream_ml.evaluation.warm_up"]


class Compiling(IHomerClassifier):
    """A model that has something to compile, whatever the cache holds."""

    def test_then_train(self, batch):
        assert numba.njit(lambda value: 2 * value)(2) == 4
        return super().test_then_train(batch)


@pytest.fixture
def helpers(monkeypatch):
    """(command, process) of each that a warm-up starts; the processes run the program `helpers.program` instead."""

    class Helpers(list):
        program = "pass"

    started, popen = Helpers(), subprocess.Popen

    def start(command, **how):
        if started.program is None:
            raise FileNotFoundError
        started.append((command, popen([sys.executable, "-c", started.program], **how)))
        return started[-1][1]

    monkeypatch.setattr(module.subprocess, "Popen", start)
    monkeypatch.setattr(module, "spare_core", lambda: True)
    return started


@pytest.mark.parametrize("program", ["raise SystemExit(3)", "import time; time.sleep(600)"])
def test_a_helper_that_fails_or_hangs_harms_nothing(helpers, program):
    helpers.program, model = program, Compiling()
    warm_up(model, sparse=True)
    assert model.n_learned == 1960
    [(_, process)] = helpers
    assert process.returncode is not None


def test_no_helper_to_be_had(helpers):
    helpers.program, model = None, Compiling()
    warm_up(model, sparse=True)
    assert model.n_learned == 1960


def test_no_helper_without_a_core_or_for_another_model(helpers, monkeypatch):
    warm_up(MajorityLabelset(), sparse=True)
    monkeypatch.setattr(module, "spare_core", lambda: False)
    warm_up(Compiling(), sparse=True)
    assert not helpers


def test_what_the_helper_runs(helpers):
    """Its command works, and compiles what the model runs after its experts."""
    warm_up(Compiling(), sparse=False)
    [(command, _)] = helpers
    count = "from stream_ml.decisions._joint_kernels import joint_block as k; assert len(k.signatures) == 1"
    subprocess.run([*command[:2], f"{command[2]}\n{count}"], check=True)


def test_once_all_is_in_the_cache_no_helper_is_started():
    code = """
import subprocess
from stream_ml import IHomerClassifier
from stream_ml.evaluation import warm_up
started, popen = [], subprocess.Popen
subprocess.Popen = lambda *a, **how: started.append(a) or popen(*a, **how)
warm_up(IHomerClassifier(), sparse=True)
print(len(started))
"""
    warm_up(IHomerClassifier(), sparse=True)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "0\n"


GATED = """
import gc, sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from stream_ml import IHomerClassifier
from stream_ml.evaluation import warm_up
from stream_ml.streams import Batch, Feature, Schema

sparse, rng = sys.argv[1] == "sparse", np.random.default_rng(3)
warm_up(IHomerClassifier(), sparse=sparse, gates=True)
kernels = [k for k in gc.get_objects() if isinstance(k, Dispatcher) and k.__module__.startswith("stream_ml")]
ready = {k: len(k.overloads) for k in kernels}
x = rng.normal(size=(3000, 30)) * (rng.random((3000, 30)) < 0.4 if sparse else 1)
scores = x @ rng.normal(size=(30, 120))
scores[1500:] = -scores[1500:]
schema = Schema([Feature(f"x{j}") for j in range(30)], [f"y{m}" for m in range(120)], sparse=sparse)
whole = Batch.from_dense(schema, x, scores > np.sort(scores)[:, -4:-3])
model = IHomerClassifier(routing={"gated_above": 60})
for start in range(0, 3000, 300):
    model.test_then_train(whole.rows(start, start + 300))
    model.predict(whole.rows(start, start + 1))
opened = [event.kind for event in model.drain_events()].count("gate")
print(opened, [k.py_func.__name__ for k in kernels if len(k.overloads) > ready[k]])
"""


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_with_gates_nothing_is_left_to_compile_when_they_open(kind):
    done = subprocess.run([sys.executable, "-c", GATED, kind], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"


def test_who_needs_gates():
    def schema(n_features, n_labels):
        return Schema([Feature(f"x{j}") for j in range(n_features)], [f"y{m}" for m in range(n_labels)])

    model = IHomerClassifier()
    assert [needs_gates(model, schema(10, n)) for n in (2, 1000, 1001)] == [False, False, True]
    assert needs_gates(model, schema(9000, 500))  # weights of all would take too much
    assert needs_gates(IHomerClassifier(routing={"gated_above": 1}), schema(10, 2))
    assert not needs_gates(MajorityLabelset(), schema(10, 2000))
