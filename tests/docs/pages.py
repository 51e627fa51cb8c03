"""The pages that people read: their text, links, headings and blocks of code."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "simulators" / "README.md", ROOT / "notebooks" / "README.md"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MARKDOWN = MarkdownIt("commonmark").enable("table")


def text_of(path: Path) -> str:
    """A page's Markdown; of a notebook that of all its cells of text."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links_in(text: str) -> Iterator[str]:
    """Where its links and pictures point to."""
    for token in _tokens(MARKDOWN.parse(text)):
        if token.type == "link_open":
            yield str(token.attrs["href"])
        elif token.type == "image":
            yield str(token.attrs["src"])


def anchors_in(text: str) -> set[str]:
    """Names of its headings, as GitHub makes them."""
    tokens = MARKDOWN.parse(text)
    found: set[str] = set()
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            words = "".join(t.content for t in inline.children or () if t.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            number = next(i for i in range(len(found) + 1) if (f"{name}-{i}" if i else name) not in found)
            found.add(f"{name}-{number}" if number else name)
    return found


def blocks_in(text: str, language: str) -> list[str]:
    """Its blocks of code in a language."""
    return [t.content for t in MARKDOWN.parse(text) if t.type == "fence" and t.info.strip() == language]


def _tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])
