"""A real Apache Kafka broker of one node (KRaft) on loopback, to try things out and for the tests.

    python simulators/kafka/broker.py [--port 9092] [--dir .kafka]

Needs Java 17 or newer, and Maven for the first time, which fetches the broker's pinned artifacts from Maven Central.
Runs until it is interrupted; what it holds stays in the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
START_SECONDS = 60.0
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
"""


class BrokerUnavailable(RuntimeError):
    """Java or Maven is missing, or the broker does not start."""


def install(folder: Path) -> Path:
    """Fetch the broker's jars into `folder/libs`, unless they are there; gives that folder."""
    libs = folder / "libs"
    done = libs / ".complete"
    if done.exists():
        return libs
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise BrokerUnavailable(f"{program} is missing: the Kafka broker needs Java 17 or newer, and Maven")
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [
            *("mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={libs.resolve()}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise BrokerUnavailable(f"Maven could not fetch the broker:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
    done.touch()
    return libs


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Broker:
    """A broker process and its folder; `more` are lines of its settings, which stand above ours."""

    def __init__(self, folder: Path, libs: Path, port: int | None = None, more: str = "") -> None:
        self.folder, self.libs = folder, libs.resolve()
        self.port, self.controller = port or free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = folder / "server.properties"
        data = (folder / "data").resolve()
        self.settings.write_text(SETTINGS.format(port=self.port, controller=self.controller, data=data) + more)
        if not (data / "meta.properties").exists():
            name = self._java("kafka.tools.StorageTool", "random-uuid").stdout.split()[-1]
            self._java("kafka.tools.StorageTool", "format", "-t", name, "-c", str(self.settings))

    @property
    def address(self) -> str:
        """For `bootstrap_servers`."""
        return f"127.0.0.1:{self.port}"

    def _command(self, *arguments: str) -> list[str]:
        log = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", log, "-cp", f"{self.libs}/*", *arguments]

    def _java(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        made = subprocess.run(self._command(*arguments), capture_output=True, text=True, check=False)
        if made.returncode:
            raise BrokerUnavailable(f"{arguments[0]}: {made.stdout[-1000:]}{made.stderr[-1000:]}")
        return made

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("kafka.Kafka", str(self.settings)), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        self.stop()
        raise BrokerUnavailable(f"the broker did not start:\n{(self.folder / 'broker.log').read_text()[-2000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """Stop it; with `kill` as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def main() -> None:
    """Run a broker until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--dir", type=Path, default=Path(".kafka"), help="folder of jars and data (default .kafka)")
    arguments = parser.parse_args()
    try:
        broker = Broker(arguments.dir / "broker", install(arguments.dir), arguments.port)
        broker.start()
    except BrokerUnavailable as error:
        raise SystemExit(f"error: {error}") from None
    print(f"Kafka answers at {broker.address}; Ctrl-C stops it", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        assert broker.process is not None
        broker.process.wait()
    except KeyboardInterrupt:
        broker.stop()


if __name__ == "__main__":
    main()
