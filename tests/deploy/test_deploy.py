"""What stands under `configs/deploy/` speaks of things that there are."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
import yaml

from stream_ml.cli.consume import load_service
from stream_ml.serving.telemetry import Telemetry

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "configs/deploy"


def command_of(words):
    """The configuration that a `stream-ml consume` with these words runs."""
    assert words[0] == "consume"
    overrides = [word for before, word in pairwise(words) if before == "--set"]
    assert words[2:] == [word for override in overrides for word in ("--set", override)]
    return load_service(str(PROJECT / "configs/kafka.yaml"), overrides)


def test_the_dashboard_asks_for_metrics_that_there_are():
    dashboard = orjson.loads((DEPLOY / "grafana/stream-ml.json").read_bytes())
    families = {family.name for family in Telemetry().registry.collect()}
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            asked |= set(re.findall(r"\b(?:stream_ml|process)_\w+", target["expr"]))
    plain = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked}
    assert plain <= families
    # and all of ours are asked for
    assert {name for name in families if name.startswith("stream_ml_")} <= plain
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_compose():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in compose["volumes"]
        assert set(service.get("depends_on", [])) <= set(services)
    config = command_of(shlex.split(services["stream-ml"]["command"]))
    listeners = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{config.kafka.servers[0]}" in listeners
    topics = {*config.input.topics, config.output.topic, config.dead_letters.topic}
    assert all(topic in services["topics"]["command"][0] for topic in topics)
    scraped = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"]
    assert scraped == [{"targets": [f"stream-ml:{config.telemetry.port}"]}]
    assert f"EXPOSE {config.telemetry.port}" in (DEPLOY / "Dockerfile").read_text()
    (source,) = yaml.safe_load((DEPLOY / "grafana/sources.yaml").read_text())["datasources"]
    assert source["uid"] in (DEPLOY / "grafana/stream-ml.json").read_text()


def test_the_unit_of_systemd_runs_a_command_that_there_is():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / "stream-ml.service")
    program, command, _ = unit["Service"]["ExecStart"].split()
    assert program.endswith("/stream-ml")
    assert command == "consume"


@pytest.mark.skipif(sys.platform == "win32", reason="make")
def test_the_wheel_holds_all_that_the_package_reads(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", tmp_path]
    subprocess.run([*build, PROJECT], check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if name.startswith("stream_ml/")}
    files = (path for path in (PROJECT / "stream_ml").rglob("*") if path.is_file())
    source = {path.relative_to(PROJECT).as_posix() for path in files if path.parent.name != "__pycache__"}
    assert source == held
