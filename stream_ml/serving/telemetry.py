"""Metrics for Prometheus, and whether the service lives and is ready, over HTTP."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from stream_ml.errors import ServiceError
from stream_ml.ihomer.events import Event
from stream_ml.serving.engine import COUNTED

__all__ = ["STAGES", "Telemetry"]

STAGES = ("poll", "process", "publish", "checkpoint")
PREFIX = "stream_ml"
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
EVENTS_KEPT = 200
LIVE_SECONDS = 60.0
"""A loop that has not come round for so long is taken for dead."""


class Telemetry:
    """Counters, gauges and histograms of one service, in a registry of their own.

    Attributes
    ----------
    ready
        Whether records are read.
    last_events
        The model's last events that are not of a single tree.
    cluster_sizes
        Labels of each cluster.
    spent
        Seconds by stage.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.ready = False
        self.last_events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.cluster_sizes: list[int] = []
        self.spent = dict.fromkeys(STAGES, 0.0)
        self._last_turn = time.monotonic()
        self._server: WSGIServer | None = None

        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, list(labels), registry=self.registry)

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, list(labels), registry=self.registry)

        self.counted = counter("records", "Records by what became of them.", ["kind"])
        self.dead = counter("dead_letters", "Dead letters by reason.", ["reason"])
        self.events = counter("model_events", "Events of the model by kind and scope.", ["kind", "scope"])
        self.seconds = counter("stage_seconds", "Seconds spent by stage.", ["stage"])
        self.latency = Histogram(
            f"{PREFIX}_latency_seconds",
            "From having a record to having its prediction handed over, of the batch it came in.",
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.lag = gauge("lag_records", "Records that have not been read.", ["topic", "partition"])
        self.undelivered = gauge("undelivered_messages", "Predictions and dead letters on their way.")
        self.waiting = gauge("waiting_instances", "Instances that wait for labels.")
        self.early = gauge("early_labels", "Labels that wait for their instance.")
        self.quality = gauge("quality", "Prequential metrics: overall, and recent (fading).", ["metric", "span"])
        self.version = gauge("model_version", "Instances learned.")
        self.labels = gauge("labels", "Labels met.")
        self.features = gauge("features", "Features met.")
        self.clusters = gauge("clusters", "Label clusters.")
        self.nodes = gauge("tree_nodes", "Nodes of all trees.")
        self.memory = gauge("model_bytes", "Bytes of the model by part.", ["part"])
        self.checkpoints = counter("checkpoints", "Checkpoints by outcome.", ["outcome"])
        self.checkpoint_seconds = gauge("checkpoint_write_seconds", "Time the last checkpoint took to write.")
        self.checkpoint_pause = gauge("checkpoint_pause_seconds", "Time the last checkpoint held the stream up.")
        self.checkpoint_bytes = gauge("checkpoint_bytes", "Size of the last checkpoint.")
        self.checkpoint_age = gauge("checkpoint_age_seconds", "Time since the last checkpoint was written.")
        self.recoveries = counter("recoveries", "New beginnings from the last checkpoint, after the brokers failed.")
        self.bad_run = gauge("bad_records_in_a_row", "Bad records in a row, up to the last record.")
        self.bad_recent = gauge("bad_records_recent", "Bad records among the last ones that the breaker watches.")
        self.active = gauge("active", "Whether this is the active member of its group.")
        for name in COUNTED:
            self.counted.labels(name)
        for outcome in ("written", "failed"):
            self.checkpoints.labels(outcome)

    def turn(self) -> None:
        """Note that the loop came round."""
        self._last_turn = time.monotonic()

    @property
    def live(self) -> bool:
        """Whether the loop came round lately."""
        return time.monotonic() - self._last_turn < LIVE_SECONDS

    def note(self, event: Event) -> None:
        """Count an event of the model, and keep it for who looks on."""
        self.events.labels(event.kind, event.scope).inc()
        if event.scope != "tree":
            self.last_events.append(event)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.spent[name] += spent
            self.seconds.labels(name).inc(spent)

    def serve(self, host: str, port: int) -> int:
        """Serve /metrics, /live and /ready in a thread; gives the port.

        Raises
        ------
        ServiceError
            The port is taken.
        """
        metrics = make_wsgi_app(self.registry)

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "/")
            if path == "/metrics":
                return list(metrics(environ, start))
            known = {"/live": self.live, "/ready": self.ready and self.live}
            if path not in known:
                start("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics /live /ready\n"]
            start("200 OK" if known[path] else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"yes\n" if known[path] else b"no\n"]

        try:
            self._server = make_server(host, port, app, handler_class=_Silent)
        except (OSError, OverflowError) as error:
            raise ServiceError(f"telemetry: cannot listen on {host}:{port}: {error}") from error
        threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True).start()
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Silent(WSGIRequestHandler):
    """Requests are not logged."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
