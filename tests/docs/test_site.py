"""`make docs` builds the site without a warning, and the reference has every public name."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import PAGES, ROOT
from sphinx.util.inventory import InventoryFile

DOCUMENTED = (
    "stream_ml.ihomer",
    "stream_ml.streams",
    "stream_ml.evaluation",
    "stream_ml.simulation",
    "stream_ml.adapters.river",
    "stream_ml.adapters.sklearn",
    "stream_ml.adapters.multiflow",
    "stream_ml.peers",
    "stream_ml.report",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(place)]
    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert told.returncode == 0, told.stderr
    return place


def test_every_page_is_there(site: Path) -> None:
    pages = [page.relative_to(ROOT).with_suffix(".html") for page in PAGES]
    assert not [page for page in pages if not (site / page).is_file()]
    assert (site / "index.html").is_file()


def test_the_reference_has_every_public_name(site: Path) -> None:
    objects = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    there = {name for kind, found in objects.items() if kind.startswith("py:") for name in found}
    lacking = []
    for module in DOCUMENTED:
        for name in importlib.import_module(module).__all__:
            # a name that several modules give stands in the reference once
            if not any(known.rpartition(".")[2] == name for known in there):
                lacking.append(f"{module}.{name}")
    assert not lacking


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in ("README.html", "docs/api/ihomer.html"):
        text = (site / page).read_text(encoding="utf-8")
        assert 'src="http' not in text
        assert 'rel="stylesheet" href="http' not in text
