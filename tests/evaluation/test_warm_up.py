"""Compiling before the clock starts: a second process helps where there is something to compile, and may fail."""

from __future__ import annotations

import subprocess
import sys

import numba
import pytest

from stream_ml import IHomerClassifier
from stream_ml.evaluation import MajorityLabelset, warm_up

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
    monkeypatch.setattr(module, "_spare_core", lambda: True)
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
    monkeypatch.setattr(module, "_spare_core", lambda: False)
    warm_up(Compiling(), sparse=True)
    assert not helpers


@pytest.mark.parametrize(("cores", "busy", "spare"), [(1, 0.1, False), (4, 1.0, True), (2, 1.0, True), (2, 2.0, False)])
def test_a_core_is_spare_while_little_runs(monkeypatch, cores, busy, spare):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(module.os, "getloadavg", lambda: (busy, 0.0, 0.0))
    assert module._spare_core() == spare


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
