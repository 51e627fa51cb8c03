"""`stream-ml evaluate`: from a configuration to a run directory and a table."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from stream_ml.cli.config import OutputSection, RunConfig, load_config
from stream_ml.cli.models import MODELS
from stream_ml.cli.report import INSTALL, check_packages, missing_packages, write_report
from stream_ml.cli.saved import (
    FinishedError,
    StoppedRun,
    check_model_file,
    load_model,
    restored_model,
    stopped_run,
)
from stream_ml.cli.signals import StopSignals
from stream_ml.cli.sources import expected_rows, is_scenario, knows_truth, open_source, truth_of
from stream_ml.errors import ArtefactError, ConfigError, DataError

if TYPE_CHECKING:
    from stream_ml.cli.page_maker import PageMaker
    from stream_ml.cli.progress import Display
    from stream_ml.evaluation import DriftTrace, Model, Result, RunState
    from stream_ml.report import RunDirectory
    from stream_ml.streams import Batch, Drift, Predictions, Stream

__all__ = ["evaluate_config"]

TRACE = "trace."
"""Prefix of what drifts are scored by, in a checkpoint."""


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
    live: bool = False,
    compare: bool = False,
    resume: str | None = None,
    maker: PageMaker | None = None,
) -> int:
    """Run what a configuration says; see `load_config` for the arguments. Gives the signal that ended it early, or 0.

    Where it is known how the stream drifts, the summary says how the model dealt with it; with `compare`, of a
    scenario, also what that cost it beside other learners. With `resume`, a checkpoint or the directory that holds
    one, go on with that run. With `live`, the whole terminal shows it, where there is one. The page of the report is
    that of `maker`, if it gives one.

    Raises
    ------
    ConfigError
        The configuration is wrong, or its output directory is not a run's.
    DataError
        The stream cannot be read, or is not the one that the run was of.
    ArtefactError
        A model or checkpoint cannot be read.
    """
    if live and quiet:
        raise ConfigError("--live shows the run, --quiet nothing of it: one at a time")
    stopped = None
    if resume is not None:
        try:
            stopped = stopped_run(resume, path, options, overrides)
        except FinishedError as finished:
            if not quiet:
                _Out().print(str(finished), markup=False, highlight=False, soft_wrap=True)
            return 0
    config = load_config(path, options, overrides) if stopped is None else stopped.config
    if config.output.report:
        check_packages()
    if maker is not None and not _wants_report(config, quiet=quiet):
        maker.close()
    if config.output.save_model is not None:
        check_model_file(config.output.save_model, config.model.name)
    # numba is loaded from here on: a wrong configuration is told at once
    from stream_ml.report import RunDirectory

    if stopped is None:
        directory = RunDirectory(config.output.dir, overwrite=config.output.overwrite)
    else:
        before = stopped.checkpoint.parent
        directory = RunDirectory(
            config.output.dir or before, overwrite=config.output.overwrite, resumed=(before, stopped.predictions)
        )
    return _run(config, directory, stopped, Console(stderr=True), maker, quiet=quiet, live=live, compare=compare)


def _run(
    config: RunConfig,
    directory: RunDirectory,
    stopped: StoppedRun | None,
    console: Console,
    maker: PageMaker | None,
    *,
    quiet: bool,
    live: bool,
    compare: bool,
) -> int:
    """Run, or go on with what was stopped, and write what comes of it."""
    from stream_ml.evaluation import needs_gates, prequential, warm_up
    from stream_ml.streams import Matched

    model, evaluation = _model(config, stopped), config.evaluation
    schema = None if config.model.file is None else getattr(model, "schema", None)
    stream = open_source(config.stream) if schema is None else open_source(config.stream, known=schema)
    if compare and (config.stream.source is None or not is_scenario(config.stream.source)):
        raise ConfigError("--compare starts learners in the middle of a stream, which needs a scenario")
    trace = _trace(stream, config, stopped)

    def observe(batch: Batch, predictions: Predictions) -> None:
        if config.evaluation.save_predictions:
            directory.save_predictions(batch, predictions)
        if trace is not None:
            trace.update(batch, predictions)

    if schema is not None:
        stream = Matched(stream, schema)
    if not quiet:
        for note in getattr(stream, "notes", ()):
            console.print(f"warning: {note}", markup=False, highlight=False, soft_wrap=True)
    display, signals = _display(console, model, config, quiet=quiet, live=live), StopSignals()
    signals.restore = display.restore
    # with parameters that are in a file, what is compiled is the same as with the defaults
    fresh = {} if config.model.file is not None else config.model.parameters
    with display.compiling():
        gates = needs_gates(model, stream.schema)
        warm_up(MODELS[config.model.name].build(fresh), sparse=stream.schema.sparse, gates=gates)
    kept = False

    def keep(state: RunState) -> None:
        nonlocal kept
        kept = _is_kept(state, config)
        if kept:
            if trace is not None:
                traced = {f"{TRACE}{name}": array for name, array in trace.state_dict().items()}
                state = replace(state, arrays={**state.arrays, **traced})
            directory.write_checkpoint(state, portable(config).model_dump(mode="json"))

    try:
        with display.running(stream.name, lambda: expected_rows(stream, config.stream)), signals.listening():
            result = prequential(
                stream,
                model,
                window=evaluation.window,
                fading=evaluation.fading,
                baselines=evaluation.baselines,
                name=config.model.name,
                on_batch=display.update,
                on_predictions=observe,
                guard=signals.guard,
                on_checkpoint=keep,
                checkpoint_every=config.output.checkpoint_every,
                start=None if stopped is None else stopped.state,
            )
    finally:
        directory.close()
    summary = result.summary
    if not summary["stream"]["n_instances"] and not summary["interrupted"]:
        raise _empty(stream, config)
    if trace is not None:
        _score_drifts(result, trace, stream, config, compare=compare)
    if config.stream.source is None or is_scenario(config.stream.source):
        summary["seed"] = config.stream.seed
    if not kept:
        directory.drop_checkpoint()
    files = directory.write(result, config_text(config))
    if config.output.save_model is not None:
        _save(model, config.output.save_model)
    if not quiet:
        _tell(stream, result, files, config)
    if told := _report(directory.path, config, maker, interrupted=summary["interrupted"], quiet=quiet):
        _Out().print(told, markup=False, highlight=False, soft_wrap=True)
    return (signals.received or signal.SIGINT) if summary["interrupted"] else 0


def _display(console: Console, model: Model, config: RunConfig, *, quiet: bool, live: bool) -> Display:
    """What tells how the run goes."""
    from stream_ml.cli.progress import display_for

    if live:
        from stream_ml.cli.live_run import LiveRun
        from stream_ml.cli.screen import terminal

        if (drawn_on := terminal()) is not None:
            return LiveRun(drawn_on, model, config.evaluation.window)
    return display_for(console, quiet=quiet, lines=live)


def _model(config: RunConfig, stopped: StoppedRun | None) -> Model:
    """The model to run: as it was when the run was stopped, from a file, or fresh."""
    if stopped is not None:
        return restored_model(stopped)
    if config.model.file is not None:
        return load_model(config.model.file, config.model.parameters)
    return MODELS[config.model.name].build(config.model.parameters)


def _trace(stream: Stream, config: RunConfig, stopped: StoppedRun | None) -> DriftTrace | None:
    """What drifts are scored by, where they are known; of a run that goes on, with what it saw before."""
    from stream_ml.evaluation import DriftTrace, part_of

    if not knows_truth(stream, config.stream):
        return None
    truth_of(stream, config.stream)  # a file that tells it is checked before the run
    trace = DriftTrace()
    if stopped is not None:
        try:
            trace.load_state_dict(part_of(stopped.state.arrays, TRACE))
        except (KeyError, ValueError) as error:
            raise ArtefactError(f"{stopped.checkpoint}: its parts do not fit together: {error}") from error
    return trace


def _score_drifts(result: Result, trace: DriftTrace, stream: Stream, config: RunConfig, *, compare: bool) -> None:
    """Add to the summary how the model dealt with the drifts."""
    from stream_ml.evaluation import score_drifts

    drifts, names = truth_of(stream, config.stream)
    summary = result.summary
    summary["drift"] = score_drifts(drifts, trace, result.events, names)
    if compare and not summary["interrupted"]:
        try:
            summary["drift"]["compared"] = _compared(config, stream, drifts, trace)
        except KeyboardInterrupt:
            summary["interrupted"] = True


def _is_kept(state: RunState, config: RunConfig) -> bool:
    """Whether a checkpoint is written: while the run may have to go on from it, or can be told to."""
    facts = state.facts
    if not facts["finished"]:
        return True
    n, stream = max(facts["n_predicted"], facts["n_learned"]), config.stream
    ended_by_limit = n == stream.limit and not stream.delay
    return bool(n) and (config.output.checkpoint_every is not None or ended_by_limit)


def _empty(stream: Stream, config: RunConfig) -> DataError:
    """Why nothing came."""
    count, first = stream.skipped.count, next(iter(stream.skipped.messages), None)
    problem = f"all {count} instances are malformed" if count else "holds no instances"
    hint = f"the first: {first}" if first else None
    return DataError(problem, source=config.stream.source or stream.name, hint=hint)


def _save(model: Any, path: str) -> None:
    """Write the model to a file."""
    try:
        model.save(path)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: the model cannot be written: {problem}") from None


def _tell(stream: Stream, result: Result, files: Sequence[Path], config: RunConfig) -> None:
    """The table of the outcome, and what can be done next."""
    from stream_ml.report import print_outcome

    out = _Out()
    print_outcome(out, result.summary, files)
    matching = getattr(stream, "matching", None)
    lines = [] if matching is None else matching.told()
    if config.output.save_model is not None:
        lines.append(f"model: {config.output.save_model}")
    if result.summary["interrupted"]:
        lines.append(f"to go on with it: stream-ml evaluate --resume {files[0].parent}")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _wants_report(config: RunConfig, *, quiet: bool) -> bool:
    """Whether a run ends with its report."""
    return not quiet if config.output.report is None else config.output.report


def _report(
    directory: Path, config: RunConfig, maker: PageMaker | None, *, interrupted: bool, quiet: bool
) -> str | None:
    """Write the report of a run, unless told otherwise; gives the line that is said of it."""
    if not _wants_report(config, quiet=quiet):
        return None
    later = f"stream-ml report {directory}"
    if interrupted:
        line = f"to see it so far: {later}"
    elif missing := missing_packages():
        line = f"report: needs {', '.join(missing)}: {INSTALL}, then {later}"
    else:
        line = f"report: {write_report([directory], maker=maker)[0]}"
    return None if quiet else line


def portable(config: RunConfig) -> RunConfig:
    """A configuration that means the same in any directory; results go to a new one."""
    stream, output = config.stream, config.output
    labels = stream.labels
    if labels is not None and labels.startswith("xml:"):
        labels = f"xml:{Path(labels[4:]).resolve()}"
    update = {
        "stream": stream.model_copy(update={"source": _absolute(stream.source), "labels": labels}),
        "model": config.model.model_copy(update={"file": _absolute(config.model.file)}),
        "output": OutputSection(
            save_model=_absolute(output.save_model), checkpoint_every=output.checkpoint_every, report=output.report
        ),
    }
    return config.model_copy(update=update)


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


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
    carried = portable(config)
    # a repetition does not replace the model that this run saved
    carried = carried.model_copy(update={"output": carried.output.model_copy(update={"save_model": None})})
    return yaml.safe_dump(carried.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
