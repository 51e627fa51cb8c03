"""In which order files are taken: processes that share the work should end together."""

from __future__ import annotations

from pathlib import Path

import pytest

COMPILING = (
    "e2e/test_determinism.py",
    "e2e/test_resume.py",
    "evaluation/test_prequential.py",
    "ihomer/test_classifier.py",
    "ihomer/test_gated.py",
)
"""These compile what services, whose tests do not wait so long, need later."""
WAITING = ("serving/test_kill.py", "serving/test_outages.py", "serving/test_service.py", "serving/", "benchmark/")
"""These take long, most of it for brokers and processes; one that began last would run alone."""
NOTEBOOKS = ("docs/",)
"""These run in processes of their own, with kernels that others have compiled by then."""


def _place(path: Path) -> int:
    name = path.relative_to(Path(__file__).parent).as_posix() if path.is_relative_to(Path(__file__).parent) else ""
    for place, first in enumerate((*COMPILING, *WAITING, *NOTEBOOKS)):
        if name.startswith(first):
            return place
    return len(COMPILING) + len(WAITING) + len(NOTEBOOKS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiling first, then what waits, then the many short ones."""
    items.sort(key=lambda item: _place(item.path))
