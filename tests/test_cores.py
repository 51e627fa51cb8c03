"""A second process is started where it has a core to itself."""

from __future__ import annotations

import pytest

from stream_ml import cores


@pytest.mark.parametrize(
    ("n", "busy", "now", "spare"),
    [
        (1, 0.1, "1", False),
        (4, 1.0, "3", True),
        (2, 1.0, "3", True),
        (2, 2.0, "3", False),
        (2, 2.0, "1", True),  # what ran is over
        (2, 2.0, "0", True),
        (2, 2.0, None, False),
        (2, 2.0, "?", False),
    ],
)
def test_a_core_is_spare_while_little_runs(monkeypatch, tmp_path, n, busy, now, spare):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(n)), raising=False)
    monkeypatch.setattr(cores.os, "getloadavg", lambda: (busy, 0.0, 0.0))
    monkeypatch.setattr(cores, "LOAD", tmp_path / "loadavg")
    if now is not None:
        cores.LOAD.write_text(f"{busy} 0.0 0.0 {now}/118 4711\n")
    assert cores.spare_core() == spare
