"""What a service compiles before it reads, and what it says of what it compiles later."""

from __future__ import annotations

import numba
import pytest
from structlog.testing import capture_logs

from stream_ml import IHomerClassifier
from stream_ml.serving import service as module
from stream_ml.serving.service import Service
from stream_ml.serving.settings import ServiceConfig
from stream_ml.serving.stop import StopFlag
from stream_ml.streams import Feature, Schema


@pytest.fixture
def service(tmp_path):
    return Service(ServiceConfig(checkpoint={"dir": str(tmp_path)}), StopFlag())


def test_gates_that_a_state_needs_are_compiled_once_before_it_reads(service, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "warm_up", lambda model, **how: asked.append(how))
    few, many = (Schema([Feature("x")], [f"y{m}" for m in range(n)], sparse=True) for n in (12, 1200))
    for model in (IHomerClassifier(), IHomerClassifier(few)):
        service._compile_gates(model)
    assert asked == []
    for _ in range(2):
        service._compile_gates(IHomerClassifier(many))
    assert asked == [{"sparse": True, "gates": True}]


def test_compiling_between_records_is_told(service, monkeypatch):
    monkeypatch.setattr(service, "_loop", lambda: numba.njit(lambda x: x + 1)(1))
    with capture_logs() as lines:
        assert service._served() is None
    assert [line["event"] for line in lines] == [
        "compiling what the stream needs besides: once per install, up to a minute"
    ]
