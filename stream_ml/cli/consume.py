"""`stream-ml consume`: from a configuration to a running service, or to what it would do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from stream_ml.cli.config import override, validate
from stream_ml.configuration import Document, read_yaml
from stream_ml.errors import ConfigError
from stream_ml.ihomer.parameters import IHomerParameters
from stream_ml.serving.settings import ServiceConfig

__all__ = ["consume_config", "load_service"]


def load_service(path: str | None, overrides: Sequence[str] = ()) -> ServiceConfig:
    """A service's settings: defaults, then the file, then `overrides` (`a.b=c`).

    Raises
    ------
    ConfigError
        As of `load_config`.
    """
    document = read_yaml(path) if path is not None else Document()
    document.data = {key: {} if value is None else value for key, value in document.data.items()}
    for text in overrides:
        override(document, text)
    config = validate(ServiceConfig, document)
    parameters = validate(IHomerParameters, document, ("model", "parameters"))
    model = config.model.model_copy(update={"parameters": parameters.model_dump(mode="json")})
    return config.model_copy(update={"model": model})


def consume_config(
    path: str | None,
    overrides: Sequence[str],
    *,
    dry_run: bool,
    generation: str | None,
    stop_at_end: bool,
    live: bool = False,
) -> None:
    """Run a service until it is asked to stop; with `dry_run`, print what it would do.

    With `live`, the whole terminal shows it, where there is one, the last log lines included; else its figures are a
    log line now and then.

    Raises
    ------
    ConfigError
        The configuration is wrong.
    ServiceError
        The service cannot begin or go on.
    """
    if live and dry_run:
        raise ConfigError("--live shows a service that runs, --dry-run runs none: one at a time")
    config = load_service(path, overrides)
    # numba and the client are loaded from here on: a wrong configuration is told at once
    from stream_ml.cli.screen import Screen, terminal
    from stream_ml.serving.logs import configure
    from stream_ml.serving.stop import StopFlag

    drawn_on = terminal() if live else None
    screen = None if drawn_on is None else Screen(drawn_on)
    configure(config.log.format, config.log.level, None if screen is None else screen.held)
    if dry_run:
        from stream_ml.serving.dry_run import dry_run as check

        check(config, generation, Console())
        return
    stop = StopFlag()
    with stop.listening():
        from stream_ml.serving.service import Service

        service = Service(config, stop, generation=generation, stop_at_end=stop_at_end)
        if not live:
            service.run()
            return
        from stream_ml.cli.live_service import LiveService

        with LiveService(service, screen).shown():
            service.run()
