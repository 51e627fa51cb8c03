"""The stream that a configuration names."""

from __future__ import annotations

from typing import Any

from stream_ml.cli.config import StreamSection
from stream_ml.errors import ConfigError

__all__ = ["open_source"]


def open_source(section: StreamSection) -> Any:
    """The file of a configuration, or the built-in stream, as a re-iterable of batches.

    Raises
    ------
    ConfigError
        A setting that means nothing for the built-in stream.
    DataError
        The file cannot be read; which lines are malformed shows when it is iterated over.
    """
    if section.source is not None:
        from stream_ml.streams import open_stream

        return open_stream(
            section.source,
            batch_size=section.batch_size,
            labels=section.labels,
            format=section.format,
            limit=section.limit,
            shuffle=section.shuffle,
            delay=section.delay,
            on_error=section.on_error,
        )
    for name in ("labels", "format"):
        if getattr(section, name) is not None:
            raise ConfigError(f"stream.{name} is given, but no stream.source: the built-in stream has its own")
    from stream_ml.simulation import default_stream

    return default_stream(batch_size=section.batch_size, seed=section.seed)
