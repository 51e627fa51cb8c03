"""What the service tells: lines for people on a terminal, JSON for machines elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

__all__ = ["configure", "log"]

log: Any = structlog.get_logger("stream_ml")


def configure(format: str, level: str, file: TextIO | None = None) -> None:
    """Choose the form (`auto`: text on a terminal, else JSON) and the least level told.

    It goes to standard error, or to a file that stands for a terminal, without colours.
    """
    text = format == "text" or (format == "auto" and sys.stderr.isatty())
    colours = file is None and sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer(colors=colours) if text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr if file is None else file),
        cache_logger_on_first_use=False,
    )
