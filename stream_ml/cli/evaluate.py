"""`stream-ml evaluate`: from a configuration to a run directory and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console

from stream_ml.cli.config import RunConfig, load_config
from stream_ml.cli.models import MODELS
from stream_ml.cli.sources import expected_rows, open_source
from stream_ml.errors import DataError

__all__ = ["evaluate_config"]


class _Out(Console):
    """A console that leaves a closed pipe to the entry point, which knows the exit code."""

    def on_broken_pipe(self) -> None:
        """The reader left."""
        raise BrokenPipeError


def evaluate_config(
    path: str | None, options: Mapping[str, Any], overrides: Sequence[str] = (), *, quiet: bool = False
) -> bool:
    """Run what a configuration says; see `load_config` for the arguments. Gives whether the run was interrupted.

    Raises
    ------
    ConfigError
        The configuration is wrong, or its output directory is not a run's.
    DataError
        The stream cannot be read.
    """
    config = load_config(path, options, overrides)
    # numba is loaded from here on: a wrong configuration is told at once
    from stream_ml.cli.progress import display_for
    from stream_ml.evaluation import prequential, warm_up
    from stream_ml.report import RunDirectory, print_outcome

    directory = RunDirectory(config.output.dir)
    stream = open_source(config.stream)
    entry, evaluation = MODELS[config.model.name], config.evaluation
    display = display_for(Console(stderr=True), quiet=quiet)
    with display.compiling():
        warm_up(entry.build(config.model.parameters), sparse=stream.schema.sparse)
    try:
        with display.running(stream.name, lambda: expected_rows(stream, config.stream)):
            result = prequential(
                stream,
                entry.build(config.model.parameters),
                window=evaluation.window,
                fading=evaluation.fading,
                baselines=evaluation.baselines,
                name=config.model.name,
                on_batch=display.update,
                on_predictions=directory.save_predictions if evaluation.save_predictions else None,
            )
    finally:
        directory.close()
    if not result.summary["stream"]["n_instances"] and not result.summary["interrupted"]:
        count, first = stream.skipped.count, next(iter(stream.skipped.messages), None)
        problem = f"all {count} instances are malformed" if count else "holds no instances"
        raise DataError(
            problem, source=config.stream.source or stream.name, hint=f"the first: {first}" if first else None
        )
    if config.stream.source is None:
        result.summary["seed"] = config.stream.seed
    files = directory.write(result, config_text(config))
    if not quiet:
        print_outcome(_Out(), result.summary, files)
    return bool(result.summary["interrupted"])


def config_text(config: RunConfig) -> str:
    """A configuration as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
