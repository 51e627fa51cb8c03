"""Every link of a page leads somewhere: to a file of the checkout, and to a heading that is there."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from docs.pages import NOTEBOOKS, PAGES, ROOT, anchors_in, links_in, text_of


@cache
def kept() -> frozenset[str]:
    """Files of the checkout; those that are only built are not there for a reader. Without git, all that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        return frozenset(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_file())
    return frozenset(listed.stdout.splitlines())


def broken(page: Path, link: str) -> str | None:
    """What is wrong with a link."""
    if link.startswith(("http://", "https://", "mailto:")):
        return None
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or target.relative_to(ROOT).as_posix() not in kept():
        return "no such file"
    if anchor and anchor not in anchors_in(text_of(target)):
        return "no such heading"
    return None


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    found = {link: broken(page, link) for link in links_in(text_of(page))}
    assert not {link: problem for link, problem in found.items() if problem}


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "streams.md"
    assert broken(page, "models.md#predicting") is None
    assert broken(page, "model.md") == "no such file"
    assert broken(page, "../../elsewhere") == "no such file"
    assert broken(page, "models.md#forecasting") == "no such heading"
    assert broken(page, "#formats") is None
    assert list(links_in("[a](b.md) ![c](d.png)\n\n| [e](f) |\n|---|\n| x |\n\n`[no](link)`")) == ["b.md", "d.png", "f"]
    assert anchors_in("# One `two`, three\n## A\n## A\n") == {"one-two-three", "a", "a-1"}


def test_every_page_and_notebook_is_reached_from_the_start() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix not in (".md", ".ipynb"):
            continue
        reached.add(page)
        todo += [
            (page.parent / link.partition("#")[0]).resolve() for link in links_in(text_of(page)) if ":" not in link
        ]
    assert not {*PAGES, *NOTEBOOKS} - reached
