"""Work on several threads: everything runs once, failures are told, and results do not depend on how many there are."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from stream_ml import IHomerClassifier
from stream_ml import threads as module
from stream_ml.errors import ConfigError
from stream_ml.simulation import Scenario
from stream_ml.streams import Batch
from stream_ml.threads import InOrder, run_all, set_threads, threads


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_threads(None)


def scenario(kind: str, n: int) -> Scenario:
    dense = {"kind": "multilabel", "base": "tree", "n_features": 12, "n_labels": 9, "n_groups": 3}
    topics = {"kind": "topics", "n_labels": 40, "n_groups": 4, "n_features": 300, "length": 10.0}
    is_sparse = kind in {"sparse", "gated"}
    settings: dict = {"n_instances": n, "generator": topics if is_sparse else dense}
    if not is_sparse:
        settings["drifts"] = [{"kind": "concept", "shape": "sudden", "at": n // 2}]
    return Scenario.load(settings, seed=3)


def partly(batch: Batch) -> Batch:
    """A third of the labels is not known."""
    shape = len(batch), batch.n_labels
    y, x = np.zeros(shape), np.full((len(batch), batch.n_features), np.nan)
    y[np.repeat(np.arange(len(batch)), np.diff(batch.y_indptr)), batch.y_indices] = 1
    x[np.repeat(np.arange(len(batch)), np.diff(batch.x_indptr)), batch.x_indices] = batch.x_values
    y[np.random.default_rng(batch.first).random(shape) < 0.3] = np.nan
    return Batch.from_dense(batch.schema, x, y, first=batch.first)


def run(kind: str, n_threads: int) -> tuple[bytes, dict[str, bytes]]:
    """Probabilities of a run, and the state it ends in."""
    set_threads(n_threads)
    # gates open in the midst of the stream, when the 31st label comes
    model = IHomerClassifier(routing={"gated_above": 30} if kind == "gated" else {})
    change = partly if kind == "partly labelled" else lambda batch: batch
    said = [model.test_then_train(change(batch)) for batch in scenario(kind, 3000).stream()]
    assert (model.gates() is not None) == (kind == "gated")
    sets = np.concatenate([part.label_indices for part in said])
    probabilities = np.concatenate([part.probabilities for part in said])
    state = {name: np.asarray(array).tobytes() for name, array in model.state_dict().items()}
    return probabilities.tobytes() + sets.tobytes(), state


@pytest.mark.parametrize("kind", ["dense", "sparse", "partly labelled", "gated"])
def test_any_number_of_threads_gives_the_same(kind):
    one = run(kind, 1)
    assert run(kind, 2) == one
    assert run(kind, 7) == one


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_what_runs_behind_runs_in_order(n_threads):
    set_threads(n_threads)
    behind, done = InOrder(), []
    for i in range(200):
        task = lambda i=i: done.append(i)  # noqa: E731
        if i % 3:
            behind.start(task, together=i % 7 != 0)
        else:
            behind.then(task)
        if i % 50 == 0:
            behind.wait()
            assert done == list(range(i + 1))
    behind.wait()
    assert done == list(range(200))


def test_what_runs_behind_runs_beside():
    set_threads(2)
    behind, both = InOrder(), threading.Barrier(2)
    behind.start(lambda: both.wait(20))
    both.wait(20)
    behind.wait()


def test_what_is_not_begun_is_not_waited_for():
    """The only other thread is busy: who waits does it."""
    set_threads(2)
    first, second, free = InOrder(), InOrder(), threading.Event()
    first.start(lambda: free.wait(20))
    here: list[int] = []
    second.start(lambda: here.append(threading.get_ident()))
    second.wait()
    assert here == [threading.get_ident()]
    free.set()
    first.wait()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_failure_behind_is_raised_and_ends_what_waits(n_threads):
    set_threads(n_threads)
    behind, done = InOrder(), []

    def fail() -> None:
        raise ValueError("behind")

    def start_all() -> None:
        for task in (lambda: done.append(1), fail, lambda: done.append(3), lambda: done.append(4)):
            behind.start(task)
        behind.wait()

    with pytest.raises(ValueError, match="behind"):
        start_all()
    assert done == [1]
    behind.start(lambda: done.append(5))
    behind.wait()
    assert done == [1, 5]


def test_models_on_threads_of_their_own_do_not_disturb_each_other():
    """More models learn at a time than there are threads."""
    set_threads(2)
    alone = run_once()
    found: list[bytes] = []
    users = [threading.Thread(target=lambda: found.append(run_once())) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(120)
    assert found == [alone] * 4


def run_once() -> bytes:
    """Probabilities of a short run."""
    model = IHomerClassifier()
    return b"".join(model.test_then_train(b).probabilities.tobytes() for b in scenario("dense", 1000).stream())


def test_tasks_run_at_the_same_time():
    set_threads(2)
    both = threading.Barrier(2)
    run_all([lambda: both.wait(20)] * 2)  # each waits for the other


def test_every_task_runs_once_and_the_first_failure_is_raised():
    set_threads(3)
    done: list[int] = []

    def task(i: int) -> None:
        done.append(i)
        if i in {3, 7}:
            raise ValueError(f"task {i}")

    with pytest.raises(ValueError, match="task 3"):
        run_all([lambda i=i: task(i) for i in range(20)])
    assert sorted(done) == list(range(20))


def test_few_rows_and_tasks_of_tasks_stay_on_their_thread():
    set_threads(2)
    here = threading.get_ident()
    seen: list[int] = []
    run_all([lambda: seen.append(threading.get_ident())] * 4, together=False)
    assert set(seen) == {here}
    inner: list[set[int]] = []

    def outer() -> None:
        mine: list[int] = []
        run_all([lambda: mine.append(threading.get_ident())] * 4)
        inner.append(set(mine))

    run_all([outer] * 3)
    assert all(len(ids) == 1 for ids in inner)
    run_all([lambda: seen.clear()] * 2)  # and after it, several threads again
    both = threading.Barrier(2)
    run_all([lambda: both.wait(20)] * 2)


def test_threads_of_ones_own_learn_when_the_main_one_has_ended():
    code = (
        "import threading, time; from stream_ml.threads import InOrder, run_all, set_threads; set_threads(2)\n"
        "def learn():\n"
        "    time.sleep(0.5); done = []; behind = InOrder()\n"
        "    run_all([lambda i=i: done.append(i) for i in range(5)])\n"
        "    behind.start(lambda: done.append(5)); behind.wait(); print(sorted(done))\n"
        "threading.Thread(target=learn).start()"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[0, 1, 2, 3, 4, 5]"
    assert not out.stderr


@pytest.mark.parametrize("how", ["tasks", "behind"])
def test_an_interrupt_leaves_nothing_running(how):
    """It is raised when what runs on other threads has ended, and what has not begun does not begin."""
    code = (
        "import _thread, threading, time; from stream_ml.threads import InOrder, run_all, set_threads; set_threads(2)\n"
        "done, begun, waits = [], threading.Event(), threading.Event()\n"
        "def slow():\n    begun.set(); time.sleep(1.5); done.append('slow')\n"
        "def interrupt():\n    waits.wait(20); time.sleep(0.5); _thread.interrupt_main()\n"
        "threading.Thread(target=interrupt).start()\n"
        "behind = InOrder()\n"
        "try:\n"
        "    if 'HOW' == 'tasks':\n"
        "        here = threading.get_ident()\n"
        "        def task():\n"
        "            (begun.wait(20), waits.set()) if threading.get_ident() == here else slow()\n"
        "        run_all([task, task])\n"
        "    else:\n"
        "        behind.start(slow); begun.wait(20); behind.start(lambda: done.append('more')); waits.set()\n"
        "        behind.wait()\n"
        "except KeyboardInterrupt:\n    print('interrupted', done[:1])\n"
        "behind.start(lambda: done.append('next')); behind.wait(); print(done[-1])"
    ).replace("HOW", how)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.split() == ["interrupted", "['slow']", "next"]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
def test_a_forked_process_has_threads_of_its_own():
    code = (
        "import os, threading; from stream_ml.threads import run_all, set_threads; set_threads(2)\n"
        "def both():\n    meet = threading.Barrier(2); run_all([lambda: meet.wait(20)] * 2)\n"
        "both(); child = os.fork()\n"
        "both()\n"
        "if not child: os._exit(0)\n"
        "print(os.waitpid(child, 0)[1])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "0"


def test_how_many_there_are(monkeypatch, tmp_path):
    for name in module.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(module, "QUOTA", tmp_path / "cpu.max")
    for text, n in ((None, 8), ("max 100000\n", 8), ("250000 100000\n", 2), ("50000 100000\n", 1)):
        if text is not None:
            module.QUOTA.write_text(text)
        set_threads(None)
        assert threads() == n
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    set_threads(None)
    assert threads() == 3
    monkeypatch.setenv("STREAM_ML_THREADS", "4")
    set_threads(None)
    assert threads() == 4
    set_threads(5)
    assert threads() == 5
    monkeypatch.setenv("STREAM_ML_THREADS", "many")
    set_threads(None)
    with pytest.raises(ConfigError, match="STREAM_ML_THREADS: expected a number of threads, at least 1, found 'many'"):
        threads()
    with pytest.raises(ValueError, match="at least one thread, not 0"):
        set_threads(0)


def test_the_command_line_takes_a_number(tmp_path):
    found = []
    for n in (1, 2):
        command = [sys.executable, "-m", "stream_ml.cli", "--threads", str(n), "evaluate", "--limit", "1500", "--quiet"]
        environment = {**os.environ, "STREAM_ML_THREADS": "1"}  # which the option stands above
        subprocess.run([*command, "--out", str(tmp_path / str(n))], check=True, timeout=300, env=environment)
        found.append(json.loads((tmp_path / str(n) / "summary.json").read_text())["metrics"])
    assert found[0] == found[1]
    wrong = subprocess.run([*command[:4], "0", "evaluate"], capture_output=True, text=True, check=False, timeout=60)
    assert wrong.returncode == 2
    assert "--threads" in wrong.stderr
