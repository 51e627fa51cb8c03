"""The report of one or several runs as one page that needs nothing but a browser, and its plots as files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from stream_ml.errors import ConfigError
from stream_ml.report.canvas import NARROW, WIDE, Plot, drawing
from stream_ml.report.contents import contents_of, metric_rows
from stream_ml.report.run_data import RunData
from stream_ml.report.svg import PALETTE, inline_svg
from stream_ml.report.time_plots import compared_plot
from stream_ml.report.words import COLUMN_TITLES, GENERATOR, METRIC_NAMES

__all__ = ["page_template", "render_page", "write_plots"]

ONE_WIDTH = 520
"""A plot that is no wider on a screen is drawn once."""
HEADLINES = ("subset_accuracy", "example_f1", "micro_f1", "macro_f1", "hamming_loss")
FILE_DPI = 144


@cache
def page_template() -> Template:
    """The page without its content."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("stream_ml.report").joinpath("page.html.j2").read_text(encoding="utf-8"))


def render_page(runs: Sequence[RunData]) -> str:
    """The page: HTML with all styles, plots and scripts in it."""
    contents = [contents_of(run) for run in runs]
    with drawing():
        return page_template().render(
            generator=GENERATOR,
            palette=PALETTE,
            column_titles=COLUMN_TITLES,
            runs=contents,
            title=", ".join(run.name for run in runs),
            metric_rows=metric_rows(runs),
            headlines=[_headline(run) for run in runs],
            compared=compared_plot(runs) if len(runs) > 1 else None,
            svg=_Inliner(),
            versions=[run.summary.get("versions", {}) for run in runs],
        )


def write_plots(runs: Sequence[RunData], folder: str | Path) -> list[Path]:
    """Every plot as a PNG and an SVG file; of several runs each in a folder of the run's name. Gives the files.

    Raises
    ------
    ConfigError
        They cannot be written.
    """
    folder, written = Path(folder), []
    with drawing():
        groups = [(folder / run.name if len(runs) > 1 else folder, contents_of(run)) for run in runs]
        plots = [(place, plot) for place, content in groups for plot in content.plots()]
        if len(runs) > 1 and (plot := compared_plot(runs)) is not None:
            plots.append((folder, plot))
        for place, plot in plots:
            figure = plot.draw(WIDE).finished()
            for ending in ("png", "svg"):
                path = place / f"{plot.name}.{ending}"
                try:
                    place.mkdir(parents=True, exist_ok=True)
                    metadata = {"Date": None} if ending == "svg" else {}
                    figure.savefig(path, dpi=FILE_DPI, facecolor=PALETTE["paper"][0], metadata=metadata)
                except OSError as error:
                    raise ConfigError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
                written.append(path)
    return written


class _Inliner:
    """Plots as markup; each has ids of its own."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, plot: Plot) -> Markup:
        wide = plot.draw(WIDE)
        if wide.width <= ONE_WIDTH:
            return self._one(wide, plot, "any")
        return self._one(wide, plot, "wide") + self._one(plot.draw(NARROW), plot, "narrow")

    def _one(self, canvas: Any, plot: Plot, kind: str) -> Markup:
        self._count += 1
        svg = inline_svg(canvas.finished(), f"p{self._count}-", plot.title, canvas.titles)
        return Markup('<div class="{}">{}</div>').format(kind, Markup(svg))


def _headline(run: RunData) -> list[dict[str, str]]:
    """The first metrics, each with that of the best baseline beside it."""
    cards = []
    for metric in HEADLINES:
        value = run.summary["metrics"].get(metric)
        if value is None:
            continue
        beside = {name.replace("_", " "): v[metric] for name, v in run.summary.get("baselines", {}).items()}
        given = {name: v for name, v in beside.items() if v is not None}
        choose = min if metric == "hamming_loss" else max
        best = choose(given, key=lambda name: given[name]) if given else None
        card = {"name": METRIC_NAMES[metric].partition(" (")[0], "value": f"{value:.3f}", "beside": ""}
        if best is not None:
            card["beside"] = f"{best} {given[best]:.3f}"
        cards.append(card)
    return cards
