"""The live view of `stream-ml consume --live`: read off the telemetry, which the service keeps anyway."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite, nan

from stream_ml.cli.dashboard import Dashboard
from stream_ml.cli.live_run import CURVE, LINES, SHOWN, duration, is_shown
from stream_ml.cli.screen import Screen
from stream_ml.report.words import event_line
from stream_ml.serving.logs import log
from stream_ml.serving.service import Service

__all__ = ["LiveService"]

SECONDS_BETWEEN_LINES = 10.0
GAUGE_SECONDS = 1.0
RATE_SAMPLES = 6
MOST_SAMPLES = 600
"""Points of the curve: when there are more, every other one goes, and the next ones come half as often."""


class LiveService:
    """A service on the whole terminal; without one, a log line with its figures every ten seconds.

    Parameters
    ----------
    service
        What runs.
    screen
        Where it is shown; None: there is no terminal.
    """

    def __init__(self, service: Service, screen: Screen | None) -> None:
        self._service, self._screen = service, screen
        self._began = self._last = time.monotonic()
        self._records: deque[tuple[float, float]] = deque(maxlen=RATE_SAMPLES)
        self._curve: list[float] = []
        self._every = GAUGE_SECONDS

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the service while the block runs it."""
        if self._screen is not None:
            self._service.stop.restore = self._screen.restore
            with self._screen.shown(self.dashboard):
                yield
            return
        ended = threading.Event()
        teller = threading.Thread(target=self._tell, args=(ended,), name="figures", daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()

    def _tell(self, ended: threading.Event) -> None:
        """Log lines until it has ended."""
        while not ended.wait(SECONDS_BETWEEN_LINES):
            values = self._values()
            quality = values.get(f"recent.{CURVE}", nan)
            log.info(
                "figures",
                records=int(values.get("records", 0)),
                per_second=round(self._rate(values), 1),
                lag=int(values.get("lag", 0)),
                learned=int(values.get("version", 0)),
                dead_letters=int(values.get("dead", 0)),
                **({CURVE: round(quality, 4)} if isfinite(quality) else {}),
            )

    def dashboard(self) -> Dashboard:
        """What is known now."""
        values, service = self._values(), self._service
        self._sample(values.get(f"recent.{CURVE}", nan))
        metrics = [(m.replace("_", " "), [values.get(f"{span}.{m}") for span in ("recent", "overall")]) for m in SHOWN]
        held = None if self._screen is None or self._screen.held is None else self._screen.held.last(LINES)
        topics = service.config.input.topics
        return Dashboard(
            f"consume {', '.join(topics)}: {self._state(values)}",
            None,
            self._facts(values),
            ["recent", "overall"],
            metrics,
            f"{CURVE.replace('_', ' ')}, recent",
            list(self._curve),
            service.telemetry.cluster_sizes,
            [event_line(event.to_dict()) for event in list(service.telemetry.last_events) if is_shown(event)][-LINES:],
            None if held is None else [_short(line) for line in held],
        )

    def _values(self) -> dict[str, float]:
        """The figures of the telemetry that are shown; those with many places, topics or reasons are summed up."""
        found: dict[str, float] = {}
        for family in self._service.telemetry.registry.collect():
            for sample in family.samples:
                if (name := _name(sample.name, sample.labels)) is not None:
                    found[name] = found.get(name, 0.0) + sample.value
        now, records = time.monotonic(), found.get("records", 0.0)
        if not self._records or records != self._records[-1][1] or now - self._records[-1][0] > 2 * GAUGE_SECONDS:
            self._records.append((now, records))
        return found

    def _rate(self, values: Mapping[str, float]) -> float:
        """Records a second, over the last seconds."""
        (first, before), (last, now) = self._records[0], self._records[-1]
        return (now - before) / (last - first) if last > first else 0.0

    def _sample(self, value: float) -> None:
        """Add to the curve when it is time to."""
        now = time.monotonic()
        if not isfinite(value) or now - self._last < self._every:
            return
        self._last = now
        self._curve.append(value)
        if len(self._curve) > MOST_SAMPLES:
            self._curve, self._every = self._curve[1::2], 2 * self._every

    def _state(self, values: Mapping[str, float]) -> str:
        """What it does."""
        service = self._service
        if service.stop.asked:
            return "stopping"
        if service.telemetry.ready:
            return {"learn": "serving", "frozen": "serving, frozen", "shadow": "shadow"}[service.config.mode]
        return "beginning" if values.get("active") else "not active yet: compiling, or standing by"

    def _facts(self, values: Mapping[str, float]) -> list[tuple[str, str]]:
        config, dead = self._service.config, self._service.config.dead_letters

        def whole(name: str) -> str:
            return f"{values.get(name, 0):,.0f}"

        limits = [f"{dead.max_consecutive:,}"] * (dead.max_consecutive is not None)
        limits += [f"{dead.max_share:.0%}"] * (dead.max_share is not None)
        written, failed = whole("written"), values.get("failed", 0)
        age = f", {duration(values['age'])} ago" if values.get("written") and "age" in values else ""
        return [
            ("records", whole("records")),
            ("rate", f"{self._rate(values):,.0f}/s"),
            ("lag", whole("lag")),
            ("learned", whole("version")),
            ("waiting", whole("waiting")),
            ("early", f"{whole('early')} labels"),
            ("labels", whole("labels")),
            ("clusters", whole("clusters")),
            ("dead letters", whole("dead")),
            ("bad", f"{whole('bad_run')} in a row"),
            ("bad recent", f"{whole('bad_recent')} of {dead.window:,}"),
            ("stops at", " or ".join(limits) or "none"),
            ("checkpoints", f"{written}{age}" + (f", {failed:,.0f} failed" if failed else "")),
            ("mode", f"{config.mode}, epoch {self._service.lease.epoch or '-'}"),
            ("memory", f"{values.get('rss', 0) / 2**20:,.0f} MB"),
            ("model", f"{values.get('model', 0) / 2**20:,.1f} MB"),
            ("elapsed", duration(time.monotonic() - self._began)),
        ]


STAMP = re.compile(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+Z")
PLAIN = {
    "stream_ml_lag_records": "lag",
    "stream_ml_dead_letters_total": "dead",
    "stream_ml_waiting_instances": "waiting",
    "stream_ml_early_labels": "early",
    "stream_ml_model_version": "version",
    "stream_ml_labels": "labels",
    "stream_ml_clusters": "clusters",
    "stream_ml_model_bytes": "model",
    "stream_ml_checkpoint_age_seconds": "age",
    "stream_ml_bad_records_in_a_row": "bad_run",
    "stream_ml_bad_records_recent": "bad_recent",
    "stream_ml_active": "active",
    "process_resident_memory_bytes": "rss",
}


def _short(line: str) -> str:
    """A log line without its date, its fractions of seconds and the room between its columns.

    >>> _short("2026-01-31T10:20:30.123456Z [info     ] active      epoch=3")
    '10:20:30 [info ] active epoch=3'
    """
    return re.sub(" +", " ", STAMP.sub(r"\1", line))


def _name(metric: str, labels: Mapping[str, str]) -> str | None:
    """What a figure is called here; None: it is not shown."""
    if metric == "stream_ml_quality":
        return f"{labels['span']}.{labels['metric']}"
    if metric == "stream_ml_records_total":
        return "records" if labels["kind"] == "records" else None
    if metric == "stream_ml_checkpoints_total":
        return labels["outcome"]
    return PLAIN.get(metric)
