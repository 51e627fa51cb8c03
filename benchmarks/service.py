"""Records per second of `stream-ml consume` with a real broker, beside `evaluate` and a loop that does nothing.

    python benchmarks/service.py [FILE] [--limit N] [--profile default|fast]

Starts a broker on loopback (see simulators/kafka/broker.py), fills a topic with the stream as JSON, and measures in the
same run: `evaluate` on the same JSON lines (reading, predicting, learning and scoring, baselines off), a loop that
consumes and produces the same number of messages and does nothing else, and the service, with both clients; a
checkpoint every 5 seconds. Then the time from sending an instance to reading its prediction, at `--rate` instances a
second for `--seconds`. Without FILE: tmc2007 from ../shared/datasets where it is, else the built-in stream.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import orjson
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from stream_ml import default_stream, open_stream
from stream_ml.serving.broker import connect
from stream_ml.serving.feeder import Feeder
from stream_ml.serving.settings import ServiceConfig
from stream_ml.streams.messages import messages

ROOT = Path(__file__).parents[1]
DATASET = ROOT.parent / "shared" / "datasets" / "tmc2007.arff.gz"
PROFILES: dict[str, dict] = {"default": {}, "fast": {"experts": {"neighbours": 0}, "decisions": {"joint": False}}}


def kafka_broker():
    spec = importlib.util.spec_from_file_location("kafka_broker", ROOT / "simulators" / "kafka" / "broker.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings(address: str, client: str, folder: Path, profile: str) -> dict:
    return {
        "kafka": {"servers": [address], "client": client},
        "input": {"group": f"{client}-{folder.name}"},
        "model": {"parameters": PROFILES[profile]},
        "checkpoint": {"dir": str(folder / client), "every_seconds": 5.0},
        "telemetry": {"port": None},
        "log": {"format": "json", "level": "debug"},
    }


def evaluated(lines: Path, folder: Path, profile: str) -> float:
    config = folder / "evaluate.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "stream": {"source": str(lines)},
                "model": {"parameters": PROFILES[profile]},
                "evaluation": {"baselines": False},
            }
        )
    )
    command = [sys.executable, "-m", "stream_ml.cli", "evaluate", str(config), "--out", str(folder / "run"), "--quiet"]
    subprocess.run(command, check=True)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    return summary["n_scored"] / summary["wall_seconds"]


def empty_loop(config: dict, value: bytes) -> float:
    """Consume every record and produce a message for it."""
    broker = connect(ServiceConfig.model_validate(config))
    (place, (first, end)), *_ = broker.bounds([("instances", 0)]).items()
    broker.assign({place: first})
    done, start = first, time.perf_counter()
    while done < end:
        for record in broker.poll(2000, 0.2):
            broker.send("predictions", 0, b"%d" % record.offset, value, {})
            done = record.offset + 1
    broker.barrier()()
    seconds = time.perf_counter() - start
    broker.close()
    return (end - first) / seconds


def served(config: dict, folder: Path, client: str) -> dict:
    path = folder / f"{client}.yaml"
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "stream_ml.cli", "consume", str(path), "--stop-at-end"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    stopped = next(line for line in lines if line["event"] == "stopped")
    checkpoints = [line for line in lines if line["event"] == "checkpoint"]
    return {**stopped, "checkpoints": len(checkpoints), "bytes": max((c["bytes"] for c in checkpoints), default=0)}


def answered(address: str, config: dict, folder: Path, values: list[bytes], rate: float, seconds: float) -> list[float]:
    """Milliseconds from sending an instance to reading its prediction, instances sent evenly; a fifth warms up."""
    names = {role: f"{role}-{config['kafka']['client']}" for role in ("instances", "predictions", "dead-letters")}
    feeder = Feeder([address])
    feeder.create(list(names.values()), 1)
    feeder.close()
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
    config = {
        **config,
        "input": {"topics": [names["instances"]], "group": names["instances"]},
        "output": {"topic": names["predictions"]},
        "dead_letters": {"topic": names["dead-letters"]},
        "checkpoint": {"dir": str(folder / "answered" / config["kafka"]["client"]), "every_seconds": 5.0},
    }
    path = folder / "answered.yaml"
    path.write_text(yaml.safe_dump(config))
    reader = Consumer({"bootstrap.servers": address, "group.id": "reader", "fetch.wait.max.ms": 5})
    reader.assign([TopicPartition(names["predictions"], 0, 0)])
    service = subprocess.Popen(
        [sys.executable, "-m", "stream_ml.cli", "consume", str(path)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert service.stderr is not None
        for line in service.stderr:
            if "reading" in line:
                break
        threading.Thread(target=service.stderr.read, daemon=True).start()
        sent: list[float] = []
        took: list[float] = []
        n, start = int(rate * seconds), time.perf_counter()
        while len(took) < n:
            while len(sent) < n and time.perf_counter() >= start + len(sent) / rate:
                sent.append(time.perf_counter())
                producer.produce(names["instances"], values[(len(sent) - 1) % len(values)])
                producer.poll(0)
            message = reader.poll(0.001)
            if message is not None and message.error() is None:
                at = int(message.key().rpartition(b"/")[2])
                took.append(1000.0 * (time.perf_counter() - sent[at]))
            elif time.perf_counter() > start + seconds + 60:
                raise RuntimeError(f"{n - len(took)} predictions are missing")
    finally:
        service.terminate()
        service.wait(20)
        reader.close()
    return took[n // 5 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--limit", type=int, default=50_000)
    parser.add_argument("--profile", choices=PROFILES, default="default")
    parser.add_argument("--rate", type=float, default=500.0, help="Instances a second when latency is measured.")
    parser.add_argument("--seconds", type=float, default=30.0, help="For how long.")
    arguments = parser.parse_args()
    file = arguments.file or (DATASET if DATASET.exists() else None)
    stream = default_stream(n_instances=arguments.limit) if file is None else open_stream(file, limit=arguments.limit)
    module = kafka_broker()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = module.Broker(folder / "kafka", module.install(ROOT / ".kafka"))
        broker.start()
        try:
            feeder = Feeder([broker.address])
            feeder.create(["instances", "predictions", "dead-letters"], 1)
            lines, n, values = folder / "stream.jsonl", 0, []
            with lines.open("wb") as out:
                for batch in stream:
                    for x, y in messages(batch):
                        value = orjson.dumps({"id": str(n), "x": x, "y": y})
                        out.write(value + b"\n")
                        feeder.send("instances", str(n), value)
                        values.append(value)
                        n += 1
            feeder.close()
            size = lines.stat().st_size // n
            rate = evaluated(lines, folder, arguments.profile)
            table = Table(title=f"{stream.name}: {n:,} records of {size:,} bytes, {arguments.profile} pool", box=None)
            for column in ("", "records/s", "of evaluate", "of the empty loop", "seconds by stage"):
                table.add_column(column, justify="left" if column in ("", "seconds by stage") else "right")
            table.add_row("evaluate on JSON lines", f"{rate:,.0f}", "1.00", "", "")
            for client in ("kafka-python", "confluent"):
                config = settings(broker.address, client, folder, arguments.profile)
                empty = empty_loop(config, b"x" * 300)
                service = served(config, folder, client)
                mine = service["taken"] / service["seconds"]
                stages = " ".join(f"{stage} {seconds}" for stage, seconds in service["stages"].items())
                table.add_row(f"empty loop, {client}", f"{empty:,.0f}", f"{empty / rate:.2f}", "1.00", "")
                table.add_row(f"consume, {client}", f"{mine:,.0f}", f"{mine / rate:.2f}", f"{mine / empty:.2f}", stages)
            console = Console(width=150)
            console.print(table)
            for client in ("kafka-python", "confluent"):
                config = settings(broker.address, client, folder, arguments.profile)
                took = answered(broker.address, config, folder, values, arguments.rate, arguments.seconds)
                p50, p99, most = np.percentile(took, [50, 99, 100])
                console.print(
                    f"{client}: from sending to reading the prediction at {arguments.rate:,.0f}/s: "
                    f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {most:.0f} ms"
                )
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
