"""`stream-ml evaluate`: from a configuration to a run directory and a table."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from stream_ml.cli.config import OutputSection, RunConfig, load_config
from stream_ml.cli.models import MODELS
from stream_ml.cli.signals import StopSignals
from stream_ml.cli.sources import expected_rows, is_scenario, knows_truth, open_source, truth_of
from stream_ml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from stream_ml.evaluation import DriftTrace
    from stream_ml.streams import Batch, Drift, Predictions, Stream

__all__ = ["evaluate_config"]


class _Out(Console):
    """A console that leaves a closed pipe to the entry point, which knows the exit code."""

    def on_broken_pipe(self) -> None:
        """The reader left."""
        raise BrokenPipeError


def evaluate_config(
    path: str | None,
    options: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
    compare: bool = False,
) -> int:
    """Run what a configuration says; see `load_config` for the arguments. Gives the signal that ended it early, or 0.

    Where it is known how the stream drifts, the summary says how the model dealt with it; with `compare`, of a
    scenario, also what that cost it beside other learners.

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
    from stream_ml.evaluation import DriftTrace, prequential, score_drifts, warm_up
    from stream_ml.report import RunDirectory, print_outcome

    directory = RunDirectory(config.output.dir, overwrite=config.output.overwrite)
    stream = open_source(config.stream)
    if compare and (config.stream.source is None or not is_scenario(config.stream.source)):
        raise ConfigError("--compare starts learners in the middle of a stream, which needs a scenario")
    trace = DriftTrace() if knows_truth(stream, config.stream) else None
    if trace is not None:
        truth_of(stream, config.stream)  # a file that tells it is checked before the run

    def observe(batch: Batch, predictions: Predictions) -> None:
        if config.evaluation.save_predictions:
            directory.save_predictions(batch, predictions)
        if trace is not None:
            trace.update(batch, predictions)

    entry, evaluation = MODELS[config.model.name], config.evaluation
    display, signals = display_for(Console(stderr=True), quiet=quiet), StopSignals()
    with display.compiling():
        warm_up(entry.build(config.model.parameters), sparse=stream.schema.sparse)
    try:
        with display.running(stream.name, lambda: expected_rows(stream, config.stream)), signals.listening():
            result = prequential(
                stream,
                entry.build(config.model.parameters),
                window=evaluation.window,
                fading=evaluation.fading,
                baselines=evaluation.baselines,
                name=config.model.name,
                on_batch=display.update,
                on_predictions=observe,
                guard=signals.guard,
            )
    finally:
        directory.close()
    if not result.summary["stream"]["n_instances"] and not result.summary["interrupted"]:
        count, first = stream.skipped.count, next(iter(stream.skipped.messages), None)
        problem = f"all {count} instances are malformed" if count else "holds no instances"
        raise DataError(
            problem, source=config.stream.source or stream.name, hint=f"the first: {first}" if first else None
        )
    if trace is not None:
        drifts, names = truth_of(stream, config.stream)
        result.summary["drift"] = score_drifts(drifts, trace, result.events, names)
        if compare and not result.summary["interrupted"]:
            try:
                result.summary["drift"]["compared"] = _compared(config, stream, drifts, trace)
            except KeyboardInterrupt:
                result.summary["interrupted"] = True
    if config.stream.source is None or is_scenario(config.stream.source):
        result.summary["seed"] = config.stream.seed
    files = directory.write(result, config_text(config))
    if not quiet:
        print_outcome(_Out(), result.summary, files)
    if result.summary["interrupted"]:
        return signals.received or signal.SIGINT
    return 0


def _compared(config: RunConfig, stream: Stream, drifts: Sequence[Drift], trace: DriftTrace) -> list[dict[str, Any]]:
    """What each drift cost the model, beside an oracle and a learner without drift handling."""
    from stream_ml.evaluation import compare_on_drifts
    from stream_ml.evaluation.drift_comparison import traced
    from stream_ml.ihomer.parameters import without_drift_handling

    entry, parameters = MODELS[config.model.name], config.model.parameters
    others = {}
    if config.model.name == "ihomer":
        others["control"] = traced(stream, entry.build(without_drift_handling(parameters)))
    return compare_on_drifts(
        lambda first: open_source(config.stream, start=first),
        [drift for drift in drifts if drift.instance < trace.n_rows],
        trace.n_rows,
        lambda: entry.build(parameters),
        trace.curve(),
        others,
    )


def config_text(config: RunConfig) -> str:
    """A configuration as YAML that `load_config` reads back, from any directory, for a new run in a new one."""
    stream = config.stream
    labels = stream.labels
    if labels is not None and labels.startswith("xml:"):
        labels = f"xml:{Path(labels[4:]).resolve()}"
    source = None if stream.source is None else str(Path(stream.source).resolve())
    update = {"stream": stream.model_copy(update={"source": source, "labels": labels}), "output": OutputSection()}
    return yaml.safe_dump(config.model_copy(update=update).model_dump(mode="json"), sort_keys=False, allow_unicode=True)
