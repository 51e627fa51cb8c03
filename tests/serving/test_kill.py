"""Killed at any moment, the service is as if it had never been: the model, and every prediction."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
import yaml
from serving.driver import (
    Running,
    assert_equal_state,
    by_key,
    make_topics,
    newest,
    read,
    running,
    send,
    small_instances,
    write_config,
)
from serving.nursery import Nursery


def live_and_die(config: Path, kills: int, seed: int, nursery: Nursery | None = None) -> tuple[int, int]:
    """Run the service and kill it `kills` times; how many while it wrote a checkpoint, and how many lives read."""
    rng = random.Random(seed)
    state = Path(yaml.safe_load(config.read_text())["checkpoint"]["dir"])
    inside = lives = 0
    for life in range(kills):
        service = Running(config, nursery=nursery)
        try:
            if rng.random() < 0.1:  # before it has begun
                time.sleep(rng.uniform(0.0, 3.0))
            else:
                service.reading()
                lives += 1
                if life % 3 == 0:
                    end = time.monotonic() + 3
                    while time.monotonic() < end and service.process.poll() is None:
                        if any(name.endswith(".part") and "checkpoint" in name for name in os.listdir(state)):
                            break
                else:
                    time.sleep(rng.uniform(0.0, 0.5))
        finally:
            inside += (
                any(name.endswith(".part") and "checkpoint" in name for name in os.listdir(state))
                if state.exists()
                else 0
            )
            service.kill()
    with running(config, "--stop-at-end") as service:
        assert service.end(300) == 0, service.text()[-3000:]
    return inside, lives


def killed_often(
    broker, folder: Path, instances: int, kills: int, *, seed: int, nursery: Nursery | None = None, **sections
) -> None:
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(instances))
    often = {"checkpoint": {"dir": str(folder / "killed-state"), "every_seconds": 0.2, "lease_seconds": 2.0}}
    killed = write_config(folder, broker, topics, "killed", **{**often, **sections})
    inside, lives = live_and_die(killed, kills, seed, nursery)
    assert inside >= kills // 10
    assert lives >= kills // 2
    outputs = by_key(read(broker, topics["predictions"], committed="delivery" in sections))

    quiet = make_topics(broker, instances=topics["instances"] + "-unused")
    once = write_config(
        folder,
        broker,
        {**topics, "predictions": quiet["predictions"]},
        "once",
        checkpoint={"dir": str(folder / "once-state"), "every_seconds": 60.0},
    )
    with running(once, "--stop-at-end") as service:
        assert service.end(300) == 0, service.text()[-3000:]
    whole = by_key(read(broker, quiet["predictions"]))
    assert len(whole) == instances
    assert outputs == whole
    assert_equal_state(newest(killed), newest(once))


def test_thirty_kills_leave_no_trace(broker, tmp_path):
    killed_often(broker, tmp_path, 100_000, 30, seed=1)


def test_two_partitions_each_once(broker, tmp_path):
    instances, kills = 30_000, 8
    topics = make_topics(broker, partitions=2)
    send(broker, topics["instances"], small_instances(instances), partitions=2)
    config = write_config(
        tmp_path,
        broker,
        topics,
        checkpoint={"dir": str(tmp_path / "state"), "every_seconds": 0.2, "lease_seconds": 2.0},
    )
    live_and_die(config, kills, seed=2)
    outputs = by_key(read(broker, topics["predictions"]))
    expected = {f"{topics['instances']}/{p}/{o}".encode() for p in (0, 1) for o in range(instances // 2)}
    assert outputs.keys() == expected
    facts = newest(config).facts
    assert facts["counts"]["learned"] == facts["counts"]["records"] == instances
    assert newest(config).arrays["model.n_learned"][0] == instances


def test_transactions_publish_once(broker, tmp_path):
    instances = 20_000
    topics = make_topics(broker)
    send(broker, topics["instances"], small_instances(instances))
    config = write_config(
        tmp_path,
        broker,
        topics,
        delivery="transactional",
        checkpoint={"dir": str(tmp_path / "state"), "every_seconds": 0.2, "lease_seconds": 2.0},
    )
    live_and_die(config, 6, seed=3)
    messages = read(broker, topics["predictions"], committed=True)
    assert len(messages) == instances
    assert len(by_key(messages)) == instances


@pytest.mark.soak
def test_a_thousand_kills(broker, tmp_path):
    kills = int(os.environ.get("SOAK_KILLS", "1000"))
    nursery = Nursery()
    try:
        killed_often(broker, tmp_path, 1000 * kills, kills, seed=4, nursery=nursery)
    finally:
        nursery.close()
