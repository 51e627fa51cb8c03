"""Figures measured in pixels of the page: panels below each other, a legend above them, tooltips."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from stream_ml.report.svg import PALETTE, RC

__all__ = ["NARROW", "WIDE", "Canvas", "Plot", "colour", "count_axis", "drawing", "name_places"]

WIDE, NARROW = 960, 344
"""Widths that plots are drawn in: beside each other's width on a screen, and on a phone."""
UNIT = 72.0
"""Pixels of an inch: that of SVG."""
PAD = 3.5
"""From an axis to the names along it."""


def colour(role: str) -> str:
    """The light colour of a role in `PALETTE`."""
    return PALETTE[role][0]


@contextmanager
def drawing() -> Iterator[None]:
    """Settings that all figures are made, and saved, with."""
    with rc_context({**RC, "svg.hashsalt": "stream-ml", "text.parse_math": False}), warnings.catch_warnings():
        # names in any script: the page's reader has the letters, whatever the font that measures them
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def printable(text: str) -> str:
    """Text without what XML cannot hold.

    >>> printable("a\\x0bb")
    'a·b'
    """
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text)


@dataclass(slots=True)
class Canvas:
    """A figure whose axes are placed by pixels from its top left.

    Attributes
    ----------
    width, height
        In pixels.
    titles
        Tooltips by gid.
    """

    width: float
    height: float
    figure: Figure = field(init=False)
    titles: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(self.width / UNIT, self.height / UNIT), dpi=UNIT)

    @property
    def narrow(self) -> bool:
        """Whether it is for a phone."""
        return self.width < WIDE / 2

    def axes(self, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
        """Axes at a place."""
        w, h = self.width, self.height
        return self.figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h), **options)

    def finished(self) -> Figure:
        """The figure, with grid and names along all axes that have any."""
        for axes in self.figure.axes:
            _draw_scales(axes)
        return self.figure

    def tip(self, artist: Any, text: str) -> None:
        """Let an artist have a tooltip."""
        name = f"tip{len(self.titles)}"
        artist.set_gid(name)
        self.titles[name] = printable(text)

    def text(self, x: float, y: float, text: str, **options: Any) -> Any:
        """Text at a place; its baseline is there."""
        return self.figure.text(x / self.width, 1 - y / self.height, printable(text), **options)

    def legend(self, entries: Sequence[tuple[str, dict[str, Any]]], top: float = 0.0, column: float = 150.0) -> float:
        """Lines with names, in columns of at least so many pixels; gives the pixels that it takes."""
        columns = max(1, min(len(entries), int((self.width - 8) // column)))
        step = (self.width - 8) / columns if self.narrow else column
        for i, (name, style) in enumerate(entries):
            x, y = 4 + (i % columns) * step, top + 10 + 17 * (i // columns)
            ends, level = [x / self.width, (x + 18) / self.width], 1 - (y - 2) / self.height
            self.figure.add_artist(Line2D(ends, [level, level], **style))
            self.text(x + 24, y, name, va="center", fontsize=10)
        return top + 17 * -(-len(entries) // columns) + 6


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot of a report.

    Attributes
    ----------
    name
        For files and ids.
    title
        What it shows.
    draw
        Draws it at a width.
    """

    name: str
    title: str
    draw: Callable[[float], Canvas]


def count_axis(axes: Axes, narrow: bool, last: float, first: float = 0.0, *, named: bool = True) -> None:
    """Instances along x."""
    axes.set_xlim(first, max(last, first + 1))
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 10, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}") if named else NullFormatter())


def name_places(axis: Axis, places: Sequence[float], names: Sequence[str]) -> None:
    """Names at places of an axis, whatever its limits."""
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter(names))


def _draw_scales(axes: Axes) -> None:
    """Grid lines and names where the axes' locators and formatters have them, in place of the axes' ticks.

    A tick is five artists that all are made, measured and drawn, whether they show or not: half of the time of a plot.
    """
    for axis, along, place in (
        (axes.xaxis, axes.get_xaxis_transform("grid"), axes.get_xaxis_text1_transform(PAD)),
        (axes.yaxis, axes.get_yaxis_transform("grid"), axes.get_yaxis_text1_transform(PAD)),
    ):
        if not (axes.axison and axis.get_visible()):
            continue
        low, high = sorted(axis.get_view_interval())
        places = axis.get_majorticklocs().tolist()
        named = zip(places, axis.get_major_formatter().format_ticks(places), strict=True)
        shown = [(at, name) for at, name in named if low <= at <= high]
        across = axis is axes.yaxis
        if axis.get_tick_params()["gridOn"]:
            ends = [[(0, at), (1, at)] if across else [(at, 0), (at, 1)] for at, _ in shown]
            axes.add_artist(LineCollection(ends, transform=along, color=colour("grid"), linewidth=0.8, zorder=0.5))
        transform, vertical, horizontal = place
        style: dict[str, Any] = {"transform": transform, "va": vertical, "ha": horizontal, "color": colour("muted")}
        for at, name in shown:
            if name:
                axes.figure.text(0 if across else at, at if across else 0, name, **style)
        axis.set_visible(False)
