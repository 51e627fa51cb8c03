"""`stream-ml simulate` into a real broker: the same instances as in a file and from Python; labels late as asked."""

from __future__ import annotations

from pathlib import Path

import orjson
from serving.driver import read

from stream_ml.cli.main import main
from stream_ml.simulation import Scenario, default_stream
from stream_ml.streams.messages import messages

SCENARIO = """
n_instances: 1200
generator: {kind: multilabel, base: hyperplane, n_features: 9, n_nominal: 3, n_labels: 4, n_groups: 2, cardinality: 1.2}
drifts:
  - {kind: concept, at: 600}
feedback: {delay: 30, missing: 0.2}
"""


def sent_to(broker, topic):
    return [orjson.loads(message.value()) for message in read(broker, topic)]


def feed(broker, topic, *arguments):
    options = ["--servers", broker.address, "--topic", topic, "--create", topic]
    assert main(["simulate", *arguments, *options]) == 0


def test_the_same_instances_in_kafka_file_and_python(broker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SCENARIO)
    feed(broker, "simulated", "small.yaml", "--seed", "5", "--truth", "truth.jsonl", "--rate", "100000")
    assert main(["simulate", "small.yaml", "--seed", "5", "--to", "a.jsonl", "--overwrite"]) == 0
    expected = [(x, y) for batch in Scenario.load("small.yaml", seed=5).rows(batch_size=77) for x, y in messages(batch)]
    lines = [orjson.loads(line) for line in Path("a.jsonl").read_bytes().splitlines()]
    assert [(line["x"], line["y"]) for line in lines] == expected
    sent = sent_to(broker, "simulated")
    instances = [message for message in sent if "x" in message]
    late = {message["id"]: message["y"] for message in sent if "x" not in message}
    assert [message["id"] for message in instances] == [str(i) for i in range(1200)]
    assert [(message["x"], late.get(message["id"])) for message in instances] == expected
    assert not any("y" in message for message in instances)
    assert len(late) == sum(y is not None for _, y in expected)
    place = {message["id"]: i for i, message in enumerate(sent) if "x" not in message}
    first = next(i for i, (_, y) in enumerate(expected) if y is not None)
    seen = sum("x" in message for message in sent[: place[str(first)]])
    assert seen == first + 31  # its labels came right after 30 more instances
    assert Path("truth.jsonl").read_bytes() == Path("a.truth.jsonl").read_bytes()


def test_the_built_in_stream_is_fed_as_ever(broker):
    feed(broker, "built-in", "--limit", "700")
    expected = [(x, y) for batch in default_stream() for x, y in messages(batch)][:700]
    assert [(m["x"], m["y"]) for m in sent_to(broker, "built-in")] == expected
