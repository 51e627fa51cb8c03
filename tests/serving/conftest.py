"""A real broker, started once per worker; where it cannot be: a skip with its reason, in CI a failure."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("kafka_broker", ROOT / "simulators" / "kafka" / "broker.py")
assert SPEC is not None
assert SPEC.loader is not None
kafka_broker = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(kafka_broker)


def start_broker(folder: Path, **settings):
    try:
        with FileLock(ROOT / ".kafka.lock"):
            libs = kafka_broker.install(ROOT / ".kafka")
        broker = kafka_broker.Broker(folder, libs, **settings)
        broker.start()
    except kafka_broker.BrokerUnavailable as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    return broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory) -> Iterator:
    """One that all tests of a worker share: topics tell them apart."""
    started = start_broker(tmp_path_factory.mktemp("kafka"))
    yield started
    started.stop()


@pytest.fixture
def own_broker(tmp_path) -> Iterator:
    """One that a test may stop."""
    started = start_broker(tmp_path / "kafka")
    yield started
    started.stop()
