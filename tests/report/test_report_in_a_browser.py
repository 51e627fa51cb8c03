"""The page in a real browser: nothing asked of the network, nothing said on the console; marks, sorting, theme."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.image import imread
from report.browser import Browser, NoBrowserError

VISIBLE = "[...document.querySelectorAll('.plot svg')].filter(x => x.checkVisibility())"
COLUMN = "[...document.querySelectorAll('#labels tbody tr')].map(row => row.cells[%d].textContent)"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
STROKE = "getComputedStyle(document.querySelector('#over-time svg path[style*=\"--c0\"]')).stroke"
HIT = """(() => {
    const mark = [...document.querySelectorAll('.tip')].find(x => x.textContent.startsWith('known drift at'));
    mark.scrollIntoView({block: 'center'});
    const box = mark.getBoundingClientRect();
    const found = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return box.height > 5 && found.closest('.tip') === mark;
})()"""
OUTSIDE = """[...document.querySelectorAll('h1, h2, h3, p, figure, button.theme, .card, .scroll, dl, summary')]
    .filter(x => x.checkVisibility() && x.getBoundingClientRect().right > innerWidth + 1).map(x => x.outerHTML)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        started = Browser()
    except NoBrowserError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield started
    started.close()


@pytest.fixture
def page(browser, runs):
    """The report of the run that drifts, loaded anew."""
    browser.look(1280)
    browser.requests.clear()
    browser.console.clear()
    path = runs["drifts"] / "report.html"
    browser.open(path)
    yield browser
    assert browser.console == []
    assert browser.requests == [path.resolve().as_uri()]


def test_marks_are_there_with_their_reasons(page):
    tips = page.run(f"{VISIBLE}.flatMap(svg => [...svg.querySelectorAll('.tip > title')].map(x => x.textContent))")
    for begin in ("known drift at 2,000", "drift at 2,", "split at ", "cluster 0 → "):
        assert any(tip.startswith(begin) for tip in tips), begin
    assert page.run(HIT)  # where the mark is nothing lies above it


def test_a_click_on_a_heading_sorts(page):
    click = "document.querySelectorAll('#labels th button')[%d].click()"
    support = [int(text.replace(",", "")) for text in page.run(COLUMN % 2)]
    assert support == sorted(support, reverse=True)
    page.run(click % 2)
    assert [int(text.replace(",", "")) for text in page.run(COLUMN % 2)] == sorted(support)
    page.run(click % 5)
    scores = [float(text) for text in page.run(COLUMN % 5)]
    assert scores == sorted(scores, reverse=True)
    page.run(click % 0)
    assert page.run(COLUMN % 0) == [f"y{i}" for i in range(12)]  # y2 before y10
    page.run(click % 0)
    assert page.run(COLUMN % 0)[0] == "y11"
    assert page.run("[...document.querySelectorAll('#labels th[aria-sort]')].map(x => x.ariaSort)") == ["descending"]


def test_the_theme_follows_the_system_and_the_button(page):
    light, blue = page.run(BACKGROUND), page.run(STROKE)
    page.run("document.querySelector('button.theme').click()")
    dark, paler = page.run(BACKGROUND), page.run(STROKE)
    assert (dark != light, paler != blue) == (True, True)
    page.look(1280, dark=True)
    assert page.run(BACKGROUND) == dark
    page.run("document.querySelector('button.theme').click()")
    assert (page.run(BACKGROUND), page.run(STROKE)) == (light, blue)
    page.run("delete document.documentElement.dataset.theme")
    assert (page.run(BACKGROUND), page.run(STROKE)) == (dark, paler)


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen(page, width):
    page.look(width)
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(OUTSIDE) == []
    shown = page.run(f"{VISIBLE}.map(svg => svg.parentNode.className)")
    assert set(shown) <= ({"wide", "any"} if width > 1000 else {"narrow", "any"})
    # letters of plots stay legible
    sizes = page.run(f"""{VISIBLE}.flatMap(svg => [...svg.querySelectorAll('text')].map(text => svg.clientWidth
        / svg.viewBox.baseVal.width * parseFloat(getComputedStyle(text).fontSize)))""")
    assert len(sizes) > 100
    assert min(sizes) > 7


@pytest.mark.parametrize("dark", [False, True])
def test_what_goes_on_beyond_an_edge_is_shaded(page, tmp_path, dark):
    """At the edge of a table that is wider than a small screen, for as long as there is more."""
    page.look(390, dark=dark)
    table = "document.querySelector('#labels .scroll')"
    page.run(f"{table}.scrollIntoView({{block: 'center'}})")

    def at_the_edges():
        x, right, y = page.run(f"(b => [b.x, b.right, b.y + b.height / 2])({table}.getBoundingClientRect())")
        page.screenshot(tmp_path / "page.png")
        # of the column of pixels, as most are: no text, no line
        pixels = imread(tmp_path / "page.png")[int(y) - 60 : int(y) + 60, :, :3]
        return [np.median(pixels[:, column], axis=0) for column in (int(x) + 1, int(right) - 2)]

    assert page.run(f"{table}.scrollWidth - {table}.clientWidth") > 50
    paper, shaded = at_the_edges()
    assert np.abs(paper - shaded).max() > 0.1
    page.run(f"{table}.scrollLeft = 1000")
    left, right = at_the_edges()
    assert np.abs(paper - left).max() > 0.1
    np.testing.assert_allclose(right, paper, atol=0.02)


def test_two_runs_are_beside_each_other(browser, runs):
    browser.look(1280)
    browser.console.clear()
    browser.open(runs["both.html"])
    tops = "[...document.querySelectorAll('#over-time .card')].map(x => x.getBoundingClientRect().top)"
    first, second = browser.run(tops)
    assert first == second
    browser.look(390)
    first, second = browser.run(tops)
    assert first < second
    assert browser.run("document.documentElement.scrollWidth") == 390
    assert browser.console == []
