"""Brokers that stop, or are gone, while the service runs: each test says what is expected."""

from __future__ import annotations

import time

import pytest
from serving.driver import by_key, make_topics, newest, read, running, send, small_instances, write_config


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_sigterm_ends_it_within_ten_seconds_of_brokers_that_are_gone(own_broker, tmp_path, client):
    topics = make_topics(own_broker)
    send(own_broker, topics["instances"], small_instances(30_000))
    kafka = {"servers": [own_broker.address], "client": client}
    config = write_config(tmp_path, own_broker, topics, kafka=kafka)
    with running(config) as service:
        service.until(lambda: service.told("checkpoint"))
        own_broker.stop(kill=True)
        time.sleep(3)
        start = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - start < 10
        own_broker.start()
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0, service.text()
    assert newest(config).facts["counts"]["learned"] == 30_000
    assert len(by_key(read(own_broker, topics["predictions"]))) == 30_000


@pytest.mark.parametrize(
    ("client", "delivery", "seconds"),
    [
        ("confluent", "at_least_once", 60),
        pytest.param("kafka-python", "at_least_once", 15, marks=pytest.mark.soak),
        ("confluent", "transactional", 15),
        ("kafka-python", "transactional", 15),
    ],
)
def test_a_broker_that_is_away_for_a_minute_costs_nothing(own_broker, tmp_path, client, delivery, seconds):
    topics = make_topics(own_broker)
    send(own_broker, topics["instances"], small_instances(20_000))
    kafka = {"servers": [own_broker.address], "client": client}
    config = write_config(tmp_path, own_broker, topics, kafka=kafka, delivery=delivery)
    once = delivery == "transactional"

    def predicted() -> list:
        return read(own_broker, topics["predictions"], committed=once)

    with running(config) as service:
        service.reading()
        service.until(lambda: service.told("checkpoint"))
        own_broker.stop(kill=seconds < 60)
        time.sleep(seconds)
        assert service.process.poll() is None, service.text()[-3000:]
        own_broker.start()
        send(own_broker, topics["instances"], small_instances(1000, seed=1))
        service.until(lambda: len(by_key(predicted())) == 21_000)
        assert service.stop() == 0
    if once:
        assert len(predicted()) == 21_000
    facts = newest(config).facts
    assert facts["counts"]["learned"] == facts["counts"]["records"] == 21_000
