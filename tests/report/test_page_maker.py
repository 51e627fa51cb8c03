"""A page made by a second process is the one made here, and is made here where that process fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from stream_ml.cli import page_maker as module
from stream_ml.cli.main import main
from stream_ml.cli.page_maker import page_maker
from stream_ml.cli.report import write_report

FAILING = {
    "dies at once": "raise SystemExit(3)",
    "dies when asked": "sys.stdin.buffer.read(); raise SystemExit(3)",
    "says nothing": "sys.stdin.buffer.read()",
    "says what is no text": r"sys.stdin.buffer.read(); sys.stdout.buffer.write(b'\xff')",
    "hangs": "import time; time.sleep(600)",
    "does not end": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
}


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """The processes that were started: there is a core for them."""
    processes = []

    class Noted(subprocess.Popen):
        def __init__(self, *given, **how):
            super().__init__(*given, **how)
            processes.append(self)

    monkeypatch.setattr(module.subprocess, "Popen", Noted)
    monkeypatch.setattr(module, "spare_core", lambda: True)
    return processes


def test_the_page_is_the_same_byte_for_byte(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jinja2.py").write_text("raise SystemExit('not what is meant')")
    with page_maker(wanted=True) as maker:
        page = maker.page([runs["drifts"]])
    with page_maker(wanted=True) as maker:
        both = maker.page([runs["frequent"], runs["plain"]])
    assert page == write_report([runs["drifts"]], tmp_path / "here.html")[0].read_text(encoding="utf-8")
    assert both == runs["both.html"].read_text(encoding="utf-8")


def test_a_run_has_its_page_made_meanwhile(started, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("stream_ml.report.page.render_page", lambda runs: pytest.fail("made here"))
    line = ["evaluate", "--model", "no_change", "--limit", "300", "--out", str(tmp_path / "out")]
    assert main(line) == 0
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [process.returncode for process in started] == [0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("program", FAILING.values(), ids=FAILING)
def test_where_the_process_fails_the_page_is_made_here(runs, started, tmp_path, monkeypatch, capfd, program):
    monkeypatch.setattr(module, "PROGRAM", program)
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with page_maker(wanted=True) as maker:
        path, _ = write_report([runs["frequent"], runs["plain"]], tmp_path / "page.html", maker=maker)
    assert path.read_bytes() == runs["both.html"].read_bytes()
    assert [process.returncode is None for process in started] == [False]
    assert capfd.readouterr() == ("", "")


def test_no_process_where_none_is_wanted_or_to_be_had(started, monkeypatch, tmp_path):
    line = ["evaluate", "--model", "no_change", "--limit", "60", "--overwrite", "--out", str(tmp_path / "out")]
    assert main([*line, "--no-report"]) == main([*line, "--quiet"]) == 0
    monkeypatch.setattr(module, "spare_core", lambda: False)
    assert main(line) == 0
    assert started == []
    monkeypatch.setattr(module, "spare_core", lambda: True)
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "no_python"))
    assert main(line) == 0
    assert started == []


def test_mistakes_end_the_process(started, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 7}\n')
    assert main(["evaluate", "--source", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert main(["evaluate", "--set", "stream.limt=3"]) == 2
    assert [process.returncode is None for process in started] == [False, False]


def test_a_configuration_may_want_none(started, tmp_path):
    (tmp_path / "a.yaml").write_text("output: {report: false}\nmodel: {name: no_change}\nstream: {limit: 60}\n")
    assert main(["evaluate", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")]) == 0
    assert [process.returncode != 0 for process in started] == [True]


def test_it_waits_so_long_for_work(started, monkeypatch):
    program = f"import stream_ml.cli.page_maker as module; module.PATIENCE = 0.1; {module.PROGRAM}"
    monkeypatch.setattr(module, "PROGRAM", program)
    with page_maker(wanted=True):
        assert started[0].wait(60) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_it_does_not_outlive_who_started_it(tmp_path):
    code = """
import stream_ml.cli.page_maker as module
module.spare_core = lambda: True
with module.page_maker(wanted=True) as maker:
    print(maker._process.pid, flush=True)
    input()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as process:
        helper = int(process.stdout.readline())
        process.kill()
    for _ in range(600):
        try:
            os.kill(helper, 0)
            # one that has ended and whose parent does not look after it
            with open(f"/proc/{helper}/stat", encoding="ascii") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.1)
    pytest.fail("it lives on")
