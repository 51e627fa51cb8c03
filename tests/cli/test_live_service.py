"""What a live view reads off a service's telemetry; no broker is asked."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from stream_ml.cli import live_service
from stream_ml.cli.live_service import LiveService
from stream_ml.ihomer.events import Event
from stream_ml.serving.breaker import Breaker
from stream_ml.serving.service import Service
from stream_ml.serving.settings import ServiceConfig
from stream_ml.serving.stop import StopFlag


@pytest.fixture
def service(tmp_path):
    return Service(ServiceConfig(checkpoint={"dir": str(tmp_path)}, mode="frozen"), StopFlag())


def learn(service, n):
    """As if so many records had come."""
    telemetry = service.telemetry
    telemetry.counted.labels("records").inc(n)
    telemetry.quality.labels("micro_f1", "recent").set(0.75)
    telemetry.quality.labels("micro_f1", "overall").set(0.5)
    telemetry.version.set(n)
    telemetry.dead.labels("bad record").inc(2)
    telemetry.dead.labels("orphan labels").inc()
    for partition, lag in enumerate((5, 7)):
        telemetry.lag.labels("instances", str(partition)).set(lag)
    for part in ("trees", "prior"):
        telemetry.memory.labels(part).set(2**20)
    telemetry.cluster_sizes = [4, 2]
    telemetry.note(Event("drift", 900, "cluster", "1"))
    telemetry.note(Event("split", 900, "tree", "1"))
    telemetry.checkpoints.labels("written").inc()
    telemetry.ready = True


def test_before_and_after_there_are_figures(service, monkeypatch):
    view = LiveService(service, None)
    first = view.dashboard()
    assert first.title == "consume instances: not active yet: compiling, or standing by"
    assert dict(first.facts)["records"] == "0"
    assert not first.curve
    now = time.monotonic() + 2
    monkeypatch.setattr(live_service.time, "monotonic", lambda: now)
    learn(service, 1000)
    shown = view.dashboard()
    facts = dict(shown.facts)
    assert shown.title == "consume instances: serving, frozen"
    assert facts["records"] == "1,000"
    assert 400 < float(facts["rate"].removesuffix("/s")) < 600
    assert facts["lag"] == "12"
    assert facts["dead letters"] == "3"
    assert facts["stops at"] == "1,000 or 50%"
    assert facts["checkpoints"].startswith("1, ")
    assert facts["mode"] == "frozen, epoch -"
    assert facts["model"] == "2.0 MB"
    assert dict(shown.metrics)["micro f1"] == [0.75, 0.5]
    assert shown.curve == [0.75]
    assert shown.clusters == [4, 2]
    assert shown.events == ["drift at 900, cluster 1"]
    service.stop.signal = 15
    assert view.dashboard().title.endswith("stopping")


def test_its_curve_stays_small(service, monkeypatch):
    view, now = LiveService(service, None), [time.monotonic()]
    monkeypatch.setattr(live_service.time, "monotonic", lambda: now[0])
    for second in range(5000):
        now[0] += 1.0
        view._sample(second / 5000)
    assert live_service.MOST_SAMPLES / 2 < len(view._curve) <= live_service.MOST_SAMPLES
    assert view._curve == sorted(view._curve)
    assert view._curve[-1] > 0.99


def test_without_a_terminal_figures_are_log_lines(service, monkeypatch):
    monkeypatch.setattr(live_service, "SECONDS_BETWEEN_LINES", 0.01)
    learn(service, 1000)
    with capture_logs() as lines, LiveService(service, None).shown():
        end = time.monotonic() + 10
        while not lines and time.monotonic() < end:
            time.sleep(0.01)
    assert {name: lines[0][name] for name in ("event", "log_level", "records", "lag", "micro_f1", "dead_letters")} == {
        "event": "figures",
        "log_level": "info",
        "records": 1000,
        "lag": 12,
        "micro_f1": 0.75,
        "dead_letters": 3,
    }


def test_the_breaker_tells_how_close_it_is():
    breaker = Breaker(100, None, 10)
    breaker.note(7, [4, 5, 6])
    assert (breaker.in_a_row, breaker.recent) == (3, 3)
    breaker.note(8, [])
    assert (breaker.in_a_row, breaker.recent) == (0, 2)
