"""The service beside a real broker, and what it does when things go wrong: each test says what is expected."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import orjson
import pytest
import yaml
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from pseudo_terminal import PseudoTerminal
from serving.driver import (
    by_key,
    make_topics,
    newest,
    read,
    running,
    send,
    small_instances,
    write_config,
)
from serving.test_engine import BAD


def consume(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream_ml.cli", "consume", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_predictions_dead_letters_and_late_labels(broker, tmp_path, client):
    topics = make_topics(broker)
    good = list(small_instances(3000))
    for message in good[::3]:
        message["late"] = message.pop("y")
    messages, poison = [], 0
    for i, message in enumerate(good):
        late = message.pop("late", None)
        messages.append(message)
        if late is not None:
            messages.append({"id": message["id"], "y": late})
        if i % 100 == 50:
            messages.append(BAD[poison % len(BAD)][0] or b"")
            poison += 1
    send(broker, topics["instances"], messages)
    config = write_config(tmp_path, broker, topics, kafka={"servers": [broker.address], "client": client})
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0, service.text()
    predicted = by_key(read(broker, topics["predictions"]))
    assert len(predicted) == 3000
    value = orjson.loads(next(iter(predicted[f"{topics['instances']}/0/0".encode()])))
    assert value["source"] == {"topic": topics["instances"], "partition": 0, "offset": 0}
    dead = read(broker, topics["dead"])
    assert len(dead) == poison == 30
    headers = dict(dead[0].headers())
    assert headers["reason"] == b"bad record"
    assert headers["topic"].decode() == topics["instances"]
    assert int(headers["offset"]) == orjson.loads(messages.index(BAD[0][0]).__str__())
    assert b"not JSON" in headers["error"]
    counts = newest(config).facts["counts"]
    assert counts["learned"] == 3000
    assert counts["late_labels"] == 1000
    assert counts["bad"] == 30


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_markers_of_transactions_at_the_end_of_the_input_are_passed(broker, tmp_path, client):
    topics = make_topics(broker)
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": topics["instances"]})
    producer.init_transactions(30)
    for commits in (True, False):
        producer.begin_transaction()
        for message in small_instances(50, seed=commits):
            producer.produce(topics["instances"], orjson.dumps(message))
        # an abort that overtakes the opening of its transaction at the broker is an error there
        assert producer.flush(30) == 0
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    kafka = {"servers": [broker.address], "client": client}
    config = write_config(tmp_path, broker, topics, kafka=kafka)
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0, service.text()
    assert newest(config).facts["counts"]["learned"] == 50


def test_it_begins_where_it_ended_and_lag_tools_see_it(broker, tmp_path):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, topics)
    for turn in (1, 2):
        send(broker, topics["instances"], small_instances(2000, seed=turn))
        with running(config) as service:
            service.reading()
            service.until(lambda n=2000 * turn: len(read(broker, topics["predictions"])) == n)
            time.sleep(1.5)
            assert service.stop() == 0
        assert newest(config).arrays["model.n_learned"][0] == 2000 * turn
    assert len(read(broker, topics["predictions"])) == 4000
    from confluent_kafka import Consumer

    group = yaml.safe_load(config.read_text())["input"]["group"]
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group})
    (committed,) = consumer.committed([TopicPartition(topics["instances"], 0)], timeout=30)
    consumer.close()
    assert 2000 < committed.offset <= 4000


@pytest.mark.parametrize(
    ("client", "delivery"),
    [("kafka-python", "at_least_once"), ("confluent", "at_least_once"), ("confluent", "transactional")],
)
def test_members_that_join_the_group_during_checkpoints_change_nothing(broker, tmp_path, client, delivery):
    """The lease says who reads, not the group: a rebalance takes no partition and costs no record."""
    from confluent_kafka import Consumer

    topics = make_topics(broker)
    group = topics["instances"]
    config = write_config(
        tmp_path,
        broker,
        topics,
        kafka={"servers": [broker.address], "client": client},
        input={"topics": [topics["instances"]], "group": group},
        delivery=delivery,
        checkpoint={"dir": str(tmp_path / "state"), "every_records": 500, "every_seconds": 60},
    )
    settings = {"bootstrap.servers": broker.address, "group.id": group, "enable.auto.commit": False}
    with running(config) as service:
        service.reading()
        for turn in range(4):  # each joins and leaves: two rebalances, with checkpoints before, between and after
            member = Consumer({**settings, "client.id": f"foreign-{turn}"})
            member.subscribe([topics["instances"]])
            for part in range(5):
                send(broker, topics["instances"], small_instances(500, seed=10 * turn + part))
                member.poll(0.3)
            member.close()
        service.until(lambda: len(read(broker, topics["predictions"])) == 10_000)
        assert service.stop() == 0, service.text()
    predicted = by_key(read(broker, topics["predictions"]))
    assert len(predicted) == 10_000
    state = newest(config)
    assert state.facts["counts"]["learned"] == 10_000
    seen = Consumer(settings)
    (committed,) = seen.committed([TopicPartition(topics["instances"], 0)], timeout=10)
    seen.close()
    assert committed.offset == 10_000  # alone again, the last checkpoint's offsets are told


def test_sigterm_ends_it_within_ten_seconds(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(60_000))
    config = write_config(tmp_path, broker, topics, checkpoint={"dir": str(tmp_path / "s"), "every_seconds": 600.0})
    with running(config) as service:
        service.reading()
        time.sleep(0.5)
        start = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - start < 10
    learned = int(newest(config).arrays["model.n_learned"][0])
    assert 0 < learned == len(by_key(read(broker, topics["predictions"])))


def test_a_standby_takes_over_and_a_paused_owner_leaves(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(40_000))
    config = write_config(tmp_path, broker, topics, checkpoint={"every_records": 2000})
    with running(config) as owner, running(config) as standby:
        first, second = owner, standby
        first.until(lambda: owner.told("reading") or standby.told("reading"))
        if standby.told("reading"):
            first, second = standby, owner
        second.until(lambda: "standing by" in second.text())
        state = Path(yaml.safe_load(config.read_text())["checkpoint"]["dir"])
        first.until(lambda: list(state.glob(".checkpoint-*.part")) or first.told("checkpoint"))
        first.signal(signal.SIGSTOP)  # in the middle of whatever it does
        second.until(lambda: second.told("reading"))
        second.until(lambda: second.told("checkpoint"))
        first.signal(signal.SIGCONT)
        assert first.end() == 1
        assert "taken over" in first.text()
        second.until(lambda: len(by_key(read(broker, topics["predictions"]))) == 40_000)
        assert second.stop() == 0
    outputs = by_key(read(broker, topics["predictions"]))
    assert all(len(values) == 1 for values in outputs.values())  # repeats say the same
    assert newest(config).facts["counts"]["learned"] == 40_000


def test_a_killed_owner_on_another_machine_is_followed_within_the_timeout(broker, tmp_path):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, topics)
    state = tmp_path / "service-state"
    state.mkdir()
    (state / "epoch-000007.json").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    (state / "beat-000007.json").write_text(json.dumps({"beat": 3, "released": False}))
    with running(config) as service:
        service.until(lambda: "standing by" in service.text())
        start = time.monotonic()
        service.reading()
        assert time.monotonic() - start < 6  # a timeout of 2 s, and the time to begin
        told = service.told("active")
        assert told is not None
        assert told["epoch"] == 8
        assert service.stop() == 0


def test_a_full_disk_stops_no_stream(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(5000))
    config = write_config(tmp_path, broker, topics)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))

    with running(config, before=small_files) as service:
        service.until(lambda: service.told("checkpoint not written"))
        assert not list((tmp_path / "service-state").glob("*checkpoint*"))
        send(broker, topics["instances"], small_instances(5000, seed=1))
        service.until(lambda: len(read(broker, topics["predictions"])) == 10_000)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, unlimited)
        service.until(lambda: list((tmp_path / "service-state").glob("checkpoint-*")))
        assert service.stop() == 0
    assert newest(config).facts["counts"]["learned"] == 10_000


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(broker, tmp_path):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, topics)
    for turn in (1, 2):
        send(broker, topics["instances"], small_instances(1000, seed=turn))
        with running(config, "--stop-at-end") as service:
            assert service.end() == 0, service.text()
    generations = sorted((tmp_path / "service-state").glob("checkpoint-*"))
    before = by_key(read(broker, topics["predictions"]))
    data = bytearray(generations[-1].read_bytes())
    data[-100] ^= 1
    generations[-1].write_bytes(data)
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0, service.text()
        assert f"{generations[-1].name}: damaged: its checksum is wrong" in service.text()
    after = by_key(read(broker, topics["predictions"]))
    assert before == after  # said again, and the same
    assert newest(config).facts["counts"]["learned"] == 2000


def test_a_generation_can_be_gone_back_to(broker, tmp_path):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, topics)
    for turn in (1, 2):
        send(broker, topics["instances"], small_instances(1000, seed=turn))
        with running(config, "--stop-at-end") as service:
            assert service.end() == 0, service.text()
    first = sorted((tmp_path / "service-state").glob("checkpoint-*"))[0]
    with running(config, "--stop-at-end", "--generation", first.name) as service:
        assert service.end() == 0, service.text()
        assert f"state of {first.name}: 1000 instances" in service.text()
    assert newest(config).facts["counts"]["learned"] == 2000


def test_records_deleted_before_they_were_read(broker, tmp_path):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, topics)
    send(broker, topics["instances"], small_instances(1000))
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0
    send(broker, topics["instances"], small_instances(3000, seed=1))
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.delete_records([TopicPartition(topics["instances"], 0, 2500)]).values():
        future.result()
    stopped = consume(str(config), "--stop-at-end")
    assert stopped.returncode == 1
    assert "stands at offset 1000, and 1500 records were deleted" in stopped.stderr
    assert "input.on_lost: continue" in stopped.stderr
    went_on = consume(str(config), "--stop-at-end", "--set", "input.on_lost=continue")
    assert went_on.returncode == 0, went_on.stderr
    assert newest(config).facts["counts"]["learned"] == 2500


def test_new_partitions_are_read(broker, tmp_path, monkeypatch):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, topics)
    send(broker, topics["instances"], small_instances(500))
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_partitions([NewPartitions(topics["instances"], 2)]).values():
        future.result()
    send(broker, topics["instances"], small_instances(600, seed=1), partitions=2)
    with running(config, "--stop-at-end") as service:
        assert service.end() == 0
    assert newest(config).facts["counts"]["learned"] == 1100


@pytest.mark.parametrize("role", ["instances", "predictions", "dead"])
def test_a_missing_topic_is_told_at_once(broker, tmp_path, role):
    topics = make_topics(broker)
    config = write_config(tmp_path, broker, {**topics, role: "not-there"})
    for options in ((), ("--dry-run",)):
        ended = consume(str(config), *options)
        assert ended.returncode == 1
        assert "there is no topic 'not-there'" in ended.stderr + ended.stdout
        assert "Traceback" not in ended.stderr


def test_too_many_bad_records_stop_it(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], [*small_instances(100), *(b"rubbish" for _ in range(50))])
    config = write_config(tmp_path, broker, topics, dead_letters={"topic": topics["dead"], "max_consecutive": 40})
    ended = consume(str(config), "--stop-at-end")
    assert ended.returncode == 1
    assert "40 bad records in a row" in ended.stderr


def test_a_dry_run_says_what_it_would_do(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(10))
    config = write_config(tmp_path, broker, topics)
    ended = consume(str(config), "--dry-run")
    assert ended.returncode == 0, ended.stdout
    assert "10 records to read" in ended.stdout
    assert "no checkpoint yet" in ended.stdout
    assert not (tmp_path / "service-state").exists()
    away = consume(str(config), "--dry-run", "--set", "kafka.servers=[127.0.0.1:1]")
    assert away.returncode == 1
    assert "Traceback" not in away.stderr


def test_metrics_and_health(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(2000))
    config = write_config(tmp_path, broker, topics, telemetry={"port": 0})

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    with running(config) as service:
        service.until(lambda: service.told("telemetry"))
        told = service.told("telemetry")
        assert told is not None
        url = told["url"].removesuffix("/metrics")
        assert url.startswith("http://127.0.0.1:")
        service.reading()
        assert get("/live") == (200, "yes\n")
        assert get("/ready") == (200, "yes\n")
        assert get("/else")[0] == 404
        service.until(lambda: 'stream_ml_records_total{kind="learned"} 2000.0' in get("/metrics")[1])
        text = get("/metrics")[1]
        for name in ("lag_records", "latency_seconds_bucket", "quality", "checkpoint_age_seconds", "model_bytes"):
            assert f"stream_ml_{name}" in text
        assert service.stop() == 0


def test_a_live_view_shows_it_and_keeps_its_log(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], [*small_instances(3000), b"rubbish"])
    config = write_config(tmp_path, broker, topics, log={"format": "auto", "level": "info"})
    service = PseudoTerminal("consume", str(config), "--live", columns=120, rows=40, cwd=tmp_path)
    service.until("micro f1")
    service.until("3,001")
    service.process.send_signal(signal.SIGTERM)
    assert service.end() == 0, service.output
    assert service.was_taken_and_given_back
    for part in (f"consume {topics['instances']}: serving", "epoch 1", "dead letters", "clusters"):
        assert part in service.drawn
    for line in ("active", "reading", "dead letters", "stopped"):  # what the log told meanwhile
        assert re.search(rf"\[(info|warning) *\] {line}", service.left)
    assert newest(config).facts["counts"]["learned"] == 3000


def test_shadow_publishes_nothing_and_frozen_learns_nothing(broker, tmp_path):
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(1000))
    shadow = write_config(tmp_path, broker, topics, "shadow", mode="shadow")
    with running(shadow, "--stop-at-end") as service:
        assert service.end() == 0
    assert not read(broker, topics["predictions"])
    assert newest(shadow).facts["counts"]["learned"] == 1000
    send(broker, topics["instances"], small_instances(1000, seed=1))
    frozen = consume(str(shadow), "--stop-at-end", "--set", "mode=frozen")
    assert frozen.returncode == 0, frozen.stderr
    assert newest(shadow).facts["counts"]["learned"] == 1000
    values = by_key(read(broker, topics["predictions"])).values()
    assert {orjson.loads(v)["model_version"] for value in values for v in value} == {1000}


def test_secrets_come_from_elsewhere_and_are_never_shown(broker, tmp_path):
    topics = make_topics(broker)
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "me", "password": {"env": "KAFKA_PASS"}}
    servers = {"servers": [broker.address], "client": "confluent", "security": security}
    config = write_config(tmp_path, broker, topics, kafka=servers, log={"level": "debug"})
    missing = consume(str(config), "--dry-run")
    assert missing.returncode != 0
    assert "KAFKA_PASS is not set" in missing.stdout + missing.stderr
    wrong = consume(str(config), "--set", "kafka.security.password=hunter2")
    assert wrong.returncode == 2
    assert "kafka.security.password: expected" in wrong.stderr
    assert "hunter2" not in wrong.stderr
    refused = consume(str(config), "--dry-run", KAFKA_PASS="hunter2")
    assert "hunter2" not in refused.stdout + refused.stderr
