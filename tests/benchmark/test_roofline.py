"""The roofline: what is counted is what the kernels do, what is timed adds up, and the script runs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.streams import Batch, Feature, Schema
from stream_ml.trees import MultiLabelHoeffdingTree, hoeffding_tree

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

sys.path.insert(0, str(BENCHMARKS))
try:
    roofline, meter, needs, tree_needs, work = (
        importlib.import_module(name)
        for name in ("roofline", "floor.meter", "floor.needs", "floor.tree_needs", "floor.work")
    )
finally:
    sys.path.remove(str(BENCHMARKS))


class Nested:
    """Two functions on a clock that both of them move."""

    now = 0.0

    def outer(self) -> None:
        self.now += 2.0
        self.inner()
        self.now += 3.0

    def inner(self) -> None:
        self.now += 5.0


def test_a_part_is_not_charged_for_what_it_calls_of_another() -> None:
    run, before = Nested(), Nested.__dict__["inner"]
    sites = [meter.Site(Nested, "outer", "a", False), meter.Site(Nested, "inner", "b")]
    found = meter.Meter(sites, clock=lambda: run.now)
    with found.watching():
        run.now += 1.0
        run.outer()
        run.inner()
    assert dict(found.spent) == {(meter.ELSEWHERE, False): 1.0, ("a", False): 5.0, ("b", True): 10.0}
    assert found.total == 16.0
    assert found.calls["b"] == 2
    assert Nested.__dict__["inner"] is before


def test_working_sets_are_told_apart_by_powers_of_two() -> None:
    done = work.Work().touch(10, 100_000).touch(5, 131_072).touch(1, 7, 96).do(flop_32=2, exp_64=1)
    assert done.moved == {(131_072, work.IN_ORDER): 15, (16_384, 128): 1}
    assert done.nbytes == 16
    assert done.count("exp", "log") == 1


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([1.1, 1.25]))
def test_refreshes_are_counted_as_the_kernel_makes_them(before: int, more: int, growth: float) -> None:
    """The kernel's rule, value by value: due when the count reaches a number, the next one a share and 1 beyond."""
    due, expected = 0.0, 0
    for count in range(1, before + more + 1):
        if count >= due:
            due = count * growth + 1.0
            expected += count > before
    counts = np.array([before], dtype=np.float64), np.array([before + more], dtype=np.float64)
    assert needs.refreshes(*counts, growth) == expected


def test_a_linear_expert_touches_its_weights_once_each_way() -> None:
    """Two rows of 3 and 1 entries, 8 labels: 4 x 8 weights read and written; of adaptive steps as many squares."""
    state = SimpleNamespace(weights=np.zeros((100, 8), dtype=np.float32))
    indptr = np.array([0, 3, 4])
    call = SimpleNamespace(
        states=(state, state), indptr=indptr, indices=np.zeros(4, dtype=np.int32), mode=np.zeros(2), n_labels=8
    )
    call.adaptive = False, True
    for slot, arrays in ((0, 1), (1, 2)):
        call.slots = [slot]
        found = needs.linear_block(call)
        assert found.moved[16_384, 64] == 2 * 4 * 4 * 8 * arrays
        assert found.done["exp_32"] == 2 * 8


def test_observers_count_what_a_tree_observes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of a leaf that never splits add up to what was counted, row by row: entries x (1 + positives)."""
    rng = np.random.default_rng(1)
    x, y = rng.random((150, 6)) < 0.4, rng.random((150, 3)) < 0.3
    schema = Schema([Feature(f"w{j}", ("0", "1")) for j in range(6)], ["a", "b", "c"], sparse=True)
    tree = MultiLabelHoeffdingTree(schema.arities(), 3, sparse=True, grace_period=1000)
    counting = meter.Meter(
        [meter.Site(hoeffding_tree, "process_rows", "rows", True, tree_needs.process_rows)], counting=True
    )
    with counting.watching():
        tree.process_batch(Batch.from_dense(schema, x, y))
    observed = float(tree.state_dict()["slots.cells"].sum())
    assert observed == float((x.sum(axis=1) * (1 + y.sum(axis=1))).sum())
    root = 150.0  # one detector, at the root
    assert counting.work["rows"].done["flop_64"] == observed + 20 * root + 12 * root / 32 * _buckets(tree)


def _buckets(tree: MultiLabelHoeffdingTree) -> float:
    state = tree.state_dict()
    return float(state["bank.sizes"][tree.root].sum())


def test_data_sets_that_are_not_there_are_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(roofline, "DATASETS", tmp_path / "datasets")
    assert list(roofline.streams(["yeast"], None, roofline.Console(width=200))) == []
    assert "yeast: left out, yeast.arff.gz is not in" in capsys.readouterr().out


def test_the_script_runs() -> None:
    """On a few rows of a simulated stream; in a process of its own, since it pins itself to a core."""
    command = [sys.executable, str(BENCHMARKS / "roofline.py"), "--only", "simulated", "--rows", "120"]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, "--repeats", "1", "--peer-seconds", "0"], env=os.environ | paths, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line in (
        "this core",
        "nanoseconds an operation",
        "simulated: µs an instance",
        "gates",
        "left over",
        "end to end",
    ):
        assert line in done.stdout
