"""Compile before the clock starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import numpy as np

from stream_ml.cores import spare_core
from stream_ml.evaluation._kernels import calibration_rows, score_rows, top_hits
from stream_ml.evaluation.prequential import Model
from stream_ml.ihomer import IHomerClassifier, IHomerParameters
from stream_ml.jit import when_compiling
from stream_ml.streams.batch import LEARN, PREDICT, Batch, all_known
from stream_ml.streams.schema import Feature, Schema

__all__ = ["needs_gates", "warm_up"]

ROWS, LABELS = 2000, 6


def needs_gates(model: Model, schema: Schema) -> bool:
    """Whether a model gates its labels, or will when it meets those that a schema names."""
    return isinstance(model, IHomerClassifier) and model.needs_gates(schema)


def warm_up(model: Model, *, sparse: bool, gates: bool = False) -> None:
    """Run a throwaway model over a small made-up stream: what it runs later is then compiled, or loaded from the cache.

    The stream has numeric and nominal features, two groups of correlated labels, late labels, and a drift half way,
    to reach code that only a change of structure reaches. Where something is to be compiled and another core is idle, a
    second process helps.

    Parameters
    ----------
    model
        A fresh model that nobody needs afterwards.
    sparse
        Whether the real stream's schema is sparse.
    gates
        Whether what gates run is wanted, too (`needs_gates`): half as much again.
    """
    with _helper(sparse, gates) if isinstance(model, IHomerClassifier) else nullcontext():
        _run(model, sparse=sparse)
        if gates and isinstance(model, IHomerClassifier):
            _run(_gated(model.settings), sparse=sparse)


def _gated(settings: IHomerParameters) -> IHomerClassifier:
    """A model that opens its gates in the midst of the made-up stream."""
    routing = settings.routing.model_copy(update={"gated_above": LABELS // 2})
    return IHomerClassifier.from_parameters(settings.model_copy(update={"routing": routing}))


@contextmanager
def _helper(sparse: bool, gates: bool) -> Iterator[None]:
    """A process that compiles the later half meanwhile, if the block compiles anything: it is then found in the cache.

    Whatever becomes of it costs nothing but time: what is not in the cache is compiled here.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        options = f"sparse={sparse}, gates={gates}"
        command = f"from stream_ml.evaluation.warm_up import compile_later_half; compile_later_half({options})"
        nothing = subprocess.DEVNULL
        with suppress(OSError):  # no process to be had: then without
            started.append(
                subprocess.Popen([sys.executable, "-c", command], stdin=nothing, stdout=nothing, stderr=nothing)
            )

    with when_compiling(start) if sys.executable and spare_core() else nullcontext():
        try:
            yield
        finally:
            for process in started:
                process.terminate()
                process.wait()


def compile_later_half(*, sparse: bool, gates: bool) -> None:
    """What the process that helps does: a model without trees and neighbours soon comes to the stages after them."""
    later = IHomerClassifier(tree={"enabled": False}, experts={"neighbours": 0})
    _run(later, sparse=sparse)
    if gates:
        _run(_gated(later.settings), sparse=sparse)


def _run(model: Model, *, sparse: bool) -> None:
    """Run the model over the stream, and score it."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(ROWS, 5)), 3)
    x[:, 4] = rng.integers(0, 3, ROWS)
    if sparse:
        x *= rng.random(x.shape) < 0.5
    drifted = np.arange(ROWS) >= ROWS // 2
    group = (x[:, 0] > 0) ^ drifted
    y = (group[:, None] == (np.arange(LABELS) < LABELS // 2)) & (rng.random((ROWS, LABELS)) < 0.8)
    features = [Feature(f"x{j}", ("a", "b", "c") if j == 4 else None) for j in range(5)]
    schema = Schema(features, [f"y{m}" for m in range(LABELS)], sparse=sparse, name="warm-up")
    batch = Batch.from_dense(schema, x, y)
    batch.mode[::50] = PREDICT
    batch.mode[1::50] = LEARN
    predictions = model.test_then_train(batch)
    rows = np.arange(1, dtype=np.int64)
    y_rows, z_rows = (batch.y_indptr, batch.y_indices), (predictions.label_indptr, predictions.label_indices)
    partial, unknown = all_known(ROWS), batch.unknown_labels(LABELS)
    score_rows(*y_rows, *z_rows, partial, rows, 1.0, np.ones(1), np.zeros((3, LABELS)), np.zeros(8))
    p = np.zeros((ROWS, LABELS), dtype=np.float32)
    top_hits(p, *y_rows, unknown, rows, np.zeros(1, dtype=np.int64))
    calibration_rows(
        p,
        *y_rows,
        unknown,
        batch.mode,
        batch.labelled,
        batch.labels_known(),
        0.05,
        0.999,
        np.zeros((1, 3)),
        np.zeros(3),
        np.zeros((2, 1 + LABELS)),
    )
