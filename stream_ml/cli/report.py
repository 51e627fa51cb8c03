"""`stream-ml report`: from the directories of runs to a page."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stream_ml.errors import ConfigError

if TYPE_CHECKING:
    from stream_ml.cli.page_maker import PageMaker

__all__ = ["INSTALL", "check_packages", "missing_packages", "write_report"]

PACKAGES = ("jinja2", "matplotlib", "scipy")
INSTALL = "pip install 'stream-ml[report]'"


def missing_packages() -> list[str]:
    """What a report needs and is not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def check_packages() -> None:
    """Refuse to begin what would end with a report that cannot be made.

    Raises
    ------
    ConfigError
        The packages of the `report` extra are not there.
    """
    if missing := missing_packages():
        raise ConfigError(f"a report needs {', '.join(missing)}: {INSTALL}")


def write_report(
    runs: Sequence[Path], out: Path | None = None, plots: Path | None = None, maker: PageMaker | None = None
) -> tuple[Path, list[Path]]:
    """Write the page of some runs, and their plots as files if so told; gives the page and the plots.

    Without `out` the page goes to `report.html`: of one run, in its directory, else here. A file that no report wrote
    is not replaced. What `maker` does not make is made here.

    Raises
    ------
    ConfigError
        The packages of the `report` extra are not there, a directory is no run's, or a file cannot be written.
    """
    check_packages()
    if not runs:
        raise ConfigError("expected the directory of a run")
    from stream_ml.report import REPORT
    from stream_ml.report.run_data import named_apart, read_run

    path = out if out is not None else runs[0] / REPORT if len(runs) == 1 else Path(REPORT)
    read = named_apart([read_run(run) for run in runs])
    from stream_ml.report.words import GENERATOR

    try:
        if path.exists():
            with path.open("rb") as file:
                if GENERATOR.encode() not in file.read(2000):
                    raise ConfigError(f"{path}: is there already, and no report; name another file with --out")
        page = None if maker is None else maker.page(runs)
        if page is None:
            from stream_ml.report.page import render_page

            page = render_page(read)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    if plots is None:
        return path, []
    from stream_ml.report.page import write_plots

    return path, write_plots(read, plots)
