"""What `stream-ml simulate` sends, with a feeder that only takes note."""

from __future__ import annotations

import orjson
import pytest

from stream_ml.cli.simulate import feed_kafka
from stream_ml.serving import feeder


@pytest.fixture
def sent(monkeypatch):
    messages = []

    class Noting:
        def __init__(self, servers):
            pass

        def create(self, topics, partitions):
            pass

        def send(self, topic, key, value):
            messages.append(orjson.loads(value))

        def close(self):
            pass

    monkeypatch.setattr(feeder, "Feeder", Noting)
    return messages


TOLD = [["m"], {"l": False}, None, {"l": True, "m": False, "n": False}]


@pytest.mark.parametrize("delay", [0, 1, 9])
def test_labels_known_in_part_are_objects_and_unknown_ones_are_not_sent(delay, sent, tmp_path):
    (tmp_path / "x.csv").write_text("a,l,m,n,k\n1,0,1,0,0\n2,0,,,\n3,,,,\n4,1,0,0,?\n")
    options = {"stream.source": str(tmp_path / "x.csv"), "stream.labels": "l,m,n,k", "stream.delay": delay}
    where = {"topic": "t", "servers": ["none:1"]}
    feed_kafka(options, **where, rate=None, partitions=1, create=[])
    instances = [message for message in sent if "x" in message]
    assert [message["x"] for message in instances] == [[1.0], [2.0], [3.0], [4.0]]
    if not delay:
        assert [message.get("y") for message in instances] == TOLD
    else:
        late = {message["id"]: message["y"] for message in sent if "x" not in message}
        assert late == {str(i): told for i, told in enumerate(TOLD) if told is not None}
