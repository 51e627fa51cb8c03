"""The order of tests: what takes minutes begins first, so that several processes end at about the same time."""

from __future__ import annotations

LONG = ("test_service.py", "test_kill.py", "test_benchmark_command.py", "test_security.py", "test_command_line.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
