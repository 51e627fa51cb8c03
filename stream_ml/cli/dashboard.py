"""What a live view shows, drawn to fit whatever size the terminal has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

__all__ = ["Dashboard", "curve", "plain"]

WIDE = 100
"""Columns from which on panels stand in two columns."""
NAME_WIDTH, VALUE_WIDTH = 15, 10
LEAST_SPAN = 0.05
"""A curve that hardly moves is not blown up."""
BLOCKS, ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " #"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Plain values of one moment; rich draws it.

    Attributes
    ----------
    title
        What runs.
    done
        Share that is done; None: not known.
    facts
        Names and values.
    columns, metrics
        Names of the columns, the most important first; per metric its name and a value per column, None where there
        is none.
    curve_name, curve
        A metric over time.
    clusters
        Sizes of the label clusters.
    events, log
        Lines, the newest last; None: there is no such pane.
    """

    title: str
    done: float | None = None
    facts: Sequence[tuple[str, str]] = ()
    columns: Sequence[str] = ()
    metrics: Sequence[tuple[str, Sequence[float | None]]] = ()
    curve_name: str = ""
    curve: Sequence[float] = ()
    clusters: Sequence[int] = ()
    events: Sequence[str] = ()
    log: Sequence[str] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as large as it may be."""
        width, height = options.max_width, options.height or console.height
        parts = [self._facts(width), self._metrics(), self._curve(), self._clusters(), self._events(), self._log()]
        panes = [pane for pane in parts if pane is not None]
        root = Layout()
        header = Layout(self._header(width), size=1)
        if height < 1 + min(pane.least for pane in panes):
            root.split_column(header, Layout(Text("")))
        elif width < WIDE:
            root.split_column(header, *_fitted(panes, height - 1))
        else:
            sides = [Layout(), Layout()]
            for side, right in zip(sides, (False, True), strict=True):
                side.split_column(*_fitted([pane for pane in panes if pane.right == right], height - 1))
            body = Layout()
            body.split_row(*sides)
            root.split_column(header, body)
        yield root

    def _header(self, width: int) -> Table:
        """The title, and how far it is."""
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        cells: list[RenderableType] = [plain(self.title, "bold")]
        if self.done is not None:
            grid.add_column(width=width // 3)
            grid.add_column(width=4, justify="right")
            cells += [ProgressBar(total=1.0, completed=self.done), Text(f"{min(1.0, self.done):.0%}")]
        grid.add_row(*cells)
        return grid

    def _facts(self, width: int) -> _Pane:
        across = 1 if width < 2 * WIDE // 5 or WIDE <= width < 6 * WIDE // 5 else 2
        rows = -(-len(self.facts) // across)
        grid = Table.grid(expand=True, padding=(0, 1))
        names = max((len(name) for name, _ in self.facts), default=0)
        for _ in range(across):
            grid.add_column(width=names + 1, no_wrap=True, overflow="ellipsis")
            grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for row in range(rows):
            cells = [Text("")] * (2 * across)
            for column, (name, value) in enumerate(self.facts[row::rows]):
                cells[2 * column : 2 * column + 2] = [plain(name, "dim"), plain(value)]
            grid.add_row(*cells)
        return _Pane("now", grid, 3, rows + 2, 6, right=False)

    def _metrics(self) -> _Pane | None:
        if not self.metrics:
            return None
        lines = len(self.metrics) + 3
        return _Pane("metrics", _Metrics(self.columns, self.metrics), lines, lines, 5, right=False)

    def _curve(self) -> _Pane:
        return _Pane(self.curve_name, _Curve(self.curve), 5, 12, 4, right=True, grows=1)

    def _clusters(self) -> _Pane | None:
        if not self.clusters:
            return None
        sizes = sorted(self.clusters, reverse=True)
        text = plain(" ".join(f"{size:,}" for size in sizes[:500]))
        text.no_wrap = False
        name = f"{len(sizes):,} clusters, by size" if len(sizes) > 1 else "1 cluster"
        return _Pane(name, text, 3, 3, 1, right=False, grows=1)

    def _events(self) -> _Pane:
        lines = self.events or ["none so far"]
        return _Pane("events", _Last(lines), 3, 10, 3, right=True, grows=2)

    def _log(self) -> _Pane | None:
        return None if self.log is None else _Pane("log", _Last(self.log), 3, 8, 2, right=True, grows=1)


class _Pane(NamedTuple):
    """A panel, its lines (least and wanted, borders included) and how hard it holds on to its place."""

    name: str
    content: RenderableType
    least: int
    wanted: int
    importance: int
    right: bool
    grows: int = 0

    def layout(self, height: int) -> Layout:
        panel = Panel(self.content, title=plain(self.name), title_align="left", border_style="dim", height=height)
        return Layout(panel, size=height)


def _fitted(panes: Sequence[_Pane], height: int) -> list[Layout]:
    """As many panes as there is room for, and the room shared among them."""
    kept = list(panes)
    while len(kept) > 1 and sum(pane.least for pane in kept) > height:
        kept.remove(min(kept, key=lambda pane: pane.importance))
    heights = [pane.least for pane in kept]
    left = height - sum(heights)
    for pane in sorted(kept, key=lambda pane: -pane.importance):
        more = max(0, min(left, pane.wanted - pane.least))
        heights[kept.index(pane)] += more
        left -= more
    grows = sum(pane.grows for pane in kept)
    for i, pane in enumerate(kept):
        if grows:
            more = left * pane.grows // grows
            heights[i], left, grows = heights[i] + more, left - more, grows - pane.grows
    layouts = [pane.layout(size) for pane, size in zip(kept, heights, strict=True)]
    return [*layouts, Layout(Text(""))] if left > 0 else layouts


class _Metrics:
    """As many columns as there is room for."""

    def __init__(self, columns: Sequence[str], metrics: Sequence[tuple[str, Sequence[float | None]]]) -> None:
        self.columns, self.metrics = columns, metrics

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        n = max(1, min(len(self.columns), (options.max_width - NAME_WIDTH) // VALUE_WIDTH))
        table = Table.grid(padding=0)
        table.add_column(width=NAME_WIDTH, no_wrap=True)
        for _ in range(n):
            table.add_column(width=VALUE_WIDTH, no_wrap=True, justify="right")
        table.add_row("", *[plain(name, "dim") for name in self.columns[:n]])
        for name, values in self.metrics:
            cells = [Text("-" if value is None or not isfinite(value) else f"{value:.3f}") for value in values[:n]]
            cells[0].stylize("bold")
            table.add_row(plain(name), *cells)
        yield table


class _Curve:
    """Columns of blocks, with the least and the greatest value beside them."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.values:
            yield plain("nothing yet", "dim")
            return
        height = options.height or 4
        lines, low, high = curve(self.values, options.max_width - 6, height, ascii_only=options.ascii_only)
        marks = [""] * height
        marks[-1], marks[0] = f"{low:.2f}", f"{high:.2f}"
        yield Group(*[Text(f"{mark:>5} ", "dim").append(line, "cyan") for mark, line in zip(marks, lines, strict=True)])


class _Last:
    """The last lines that there is room for."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*[plain(line) for line in self.lines[-(options.height or len(self.lines)) :]])


def curve(
    values: Sequence[float], width: int, height: int, *, ascii_only: bool = False
) -> tuple[list[str], float, float]:
    """Lines of text, the highest first, that show values as columns, and the values of the bottom and the top.

    Where there are more values than columns, a column shows the mean of its share; where there are fewer, each has
    some.

    >>> lines, low, high = curve([0.0, 0.5, 1.0], 6, 2)
    >>> print(*lines, low, high, sep="|")
      ▁▁██|▁▁████|0.0|1.0
    """
    width = max(1, width)
    if len(values) > width:
        edges = [len(values) * i // width for i in range(width + 1)]
        values = [sum(values[start:stop]) / (stop - start) for start, stop in pairwise(edges)]
    wide = width // len(values)
    middle, span = (min(values) + max(values)) / 2, max(LEAST_SPAN, max(values) - min(values))
    low, high = middle - span / 2, middle + span / 2
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    steps = len(blocks) - 1
    filled = [1 + round((value - low) / span * (height * steps - 1)) for value in values]
    lines = [
        "".join(blocks[max(0, min(steps, level - steps * row))] * wide for level in filled)
        for row in reversed(range(height))
    ]
    return lines, low, high


def plain(text: str, style: str = "") -> Text:
    """One line of text as it is: names may hold markup, or what a terminal would obey.

    >>> plain("[red]a\\x1b[2J").plain
    '[red]a·[2J'
    """
    shown = "".join(c if c.isprintable() else "·" for c in text)
    return Text(shown, style=style, no_wrap=True, overflow="ellipsis")
