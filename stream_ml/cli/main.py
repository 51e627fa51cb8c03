"""`stream-ml`: the entry point, its commands, and how failures are told."""

from __future__ import annotations

import errno
import gc
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from stream_ml import __version__
from stream_ml.errors import ConfigError, ServiceError, StreamMLError

__all__ = ["app", "main", "run"]

SIGNALLED, INTERRUPTED, WRONG_INPUT, CLOSED_PIPE, UNWRITTEN, FAILED = 128, 130, 2, 141, 1, 1
ALLOCATIONS = 50_000
"""Objects between two searches for garbage; Python looks after every 700 or 2,000."""
THREADS = "STREAM_ML_THREADS"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Online multi-label learning on real streams.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"stream-ml {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", envvar=THREADS, help="Threads that learn; else all cores. Changes no result."),
    ] = None,
) -> None:
    """Online multi-label learning on real streams."""
    if threads is not None:
        os.environ[THREADS] = str(threads)  # for processes that this one starts, too


@app.command()
def evaluate(
    config: Annotated[
        str | None, typer.Argument(help="YAML file; see configs/default.yaml.", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Data file or scenario. Without one: a built-in drifting stream.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label columns: first:N, last:N, prefix:P, xml:FILE, name,name or column:NAME.")
    ] = None,
    label_separator: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Between the labels of column:NAME; else found by looking.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="arff, csv, jsonl, svmlight or xmc; else by the name.")] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="A CSV file has no line of names.")] = False,
    ignore: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Columns of a CSV file that are left out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="ihomer, no_change or majority_labelset.")] = None,
    model_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Begin with this saved model, or a checkpoint's.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    limit: Annotated[int | None, typer.Option(help="Take this many instances.")] = None,
    shuffle: Annotated[int | None, typer.Option(metavar="SEED", help="Shuffle with this seed.")] = None,
    delay: Annotated[int | None, typer.Option(help="Instances until labels are known to the model.")] = None,
    on_error: Annotated[str | None, typer.Option(metavar="raise|skip", help="At malformed lines.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Instances per batch; changes no result.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of a scenario, and of the built-in stream.")] = None,
    window: Annotated[int | None, typer.Option(help="Scored instances per window.")] = None,
    objective: Annotated[
        str | None, typer.Option(help="Loss that decisions are best for, e.g. subset_accuracy or micro_f1.")
    ] = None,
    objectives: Annotated[
        str | None, typer.Option(metavar="all|NAME,NAME", help="Score the decisions for these objectives, too.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Directory of the results. Else: runs/<time>.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that --out holds.")] = False,
    save_predictions: Annotated[bool, typer.Option("--save-predictions", help="Write predictions.jsonl.")] = False,
    save_model: Annotated[str | None, typer.Option(metavar="FILE", help="Write the model at the end.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(metavar="N", help="Instances between checkpoints; a run that is stopped has one, too.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="DIR|CHECKPOINT", help="Go on with a run where its checkpoint stands.")
    ] = None,
    report: Annotated[
        bool | None, typer.Option("--report/--no-report", help="Write report.html at the end; else: unless --quiet.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Show the run on the whole terminal; else log lines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Run a model over a stream, each instance predicted before it is learned, beside two baselines.

    Writes summary.json, windows.csv, events.jsonl, structure.json, resources.csv, the config.yaml that repeats the run,
    and report.html, which shows them. Options stand above the configuration file, --set above options.
    """
    given = {
        "stream.source": source,
        "stream.labels": labels,
        "stream.label_separator": label_separator,
        "stream.format": format,
        "stream.header": False if no_header else None,
        "stream.ignore": ignore,
        "stream.limit": limit,
        "stream.shuffle": shuffle,
        "stream.delay": delay,
        "stream.on_error": on_error,
        "stream.batch_size": batch_size,
        "stream.seed": seed,
        "model.name": model,
        "model.file": model_file,
        "evaluation.window": window,
        "evaluation.save_predictions": save_predictions or None,
        "model.parameters.decisions.objective": objective,
        "model.parameters.decisions.alternatives": _names(objectives),
        "output.dir": out,
        "output.overwrite": overwrite or None,
        "output.save_model": save_model,
        "output.checkpoint_every": checkpoint_every,
        "output.report": report,
    }
    options = {key: value for key, value in given.items() if value is not None}
    _run(config, options, set_, quiet=quiet, live=live, resume=resume)


def _run(path: str | None, options: dict[str, Any], overrides: list[str] | None, **how: Any) -> None:
    """Run what a configuration says (see `evaluate_config`), while a second process gets ready to make its page."""
    from stream_ml.cli.page_maker import page_maker

    with page_maker(wanted=options.get("output.report", not how["quiet"])) as maker:
        from stream_ml.cli.evaluate import evaluate_config

        if number := evaluate_config(path, options, overrides or [], maker=maker, **how):
            raise typer.Exit(SIGNALLED + number)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Saved model, or a checkpoint of a run or of the service.")],
    source: Annotated[str, typer.Option(help="Data file, which may lack labels, or scenario.")],
    labels: Annotated[str | None, typer.Option(help="Label columns; see evaluate. Else: by the model's names.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Between the labels of column:NAME; else found by looking.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="arff, csv, jsonl, svmlight or xmc; else by the name.")] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="A CSV file has no line of names.")] = False,
    ignore: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Columns of a CSV file that are left out.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take this many instances.")] = None,
    on_error: Annotated[str, typer.Option(metavar="raise|skip", help="At malformed lines.")] = "raise",
    batch_size: Annotated[int, typer.Option(help="Instances per batch; changes no result.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of a scenario.")] = 42,
    out: Annotated[str, typer.Option(metavar="FILE|-", help="JSON Lines, or CSV if it ends with .csv.")] = "-",
    top: Annotated[int, typer.Option(metavar="K", help="Most probable labels that are told.")] = 10,
    objective: Annotated[str | None, typer.Option(help="Loss that decisions are best for; else the model's.")] = None,
    score: Annotated[bool, typer.Option("--score", help="Print metrics; the file must have labels.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but predictions and errors.")] = False,
) -> None:
    """Predict the instances of a file with a model in a file, and learn nothing. Columns are matched by name."""
    from stream_ml.cli.predict import predict_file

    predict_file(
        model,
        source,
        labels=labels,
        label_separator=label_separator,
        format=format,
        header=not no_header,
        ignore=ignore,
        limit=limit,
        on_error=on_error,
        batch_size=batch_size,
        seed=seed,
        out=out,
        top=top,
        objective=objective,
        score=score,
        quiet=quiet,
    )


@app.command()
def benchmark(
    config: Annotated[str, typer.Argument(help="YAML file; see configs/benchmark.yaml.")],
    out: Annotated[str | None, typer.Option(help="Directory of the results.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure models (ours, river's, MOA's) on streams, and compare them on the rows that both did.

    Writes results.csv, benchmark.md and benchmark.html. Runs that are done are kept and not done again.
    """
    from stream_ml.cli.benchmark import benchmark_config

    interrupted, failed = benchmark_config(config, out, jobs, quiet=quiet)
    if interrupted or failed:
        raise typer.Exit(SIGNALLED + interrupted if interrupted else FAILED)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Directories that evaluate wrote.")],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="The page. Else: report.html, of one run in its directory.")
    ] = None,
    plots: Annotated[str | None, typer.Option(metavar="DIR", help="Write each plot as PNG and SVG, too.")] = None,
) -> None:
    """Show a run as one page that needs nothing but a browser; of several runs, side by side."""
    from stream_ml.cli.report import write_report

    page, files = write_report(runs, None if out is None else Path(out), None if plots is None else Path(plots))
    typer.echo(f"report: {page}")
    if files:
        typer.echo(f"plots: {len(files)} files in {plots}")


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="Saved model, or a checkpoint of a run or of the service.")],
    trees: Annotated[bool, typer.Option("--trees", help="Print the clusters' trees, too.")] = False,
    dot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write clusters and trees as a graph for Graphviz.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="FILE", help="JSON file of an instance; why it is predicted as it is.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Data file or scenario that has the instance, in place of --explain.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Of --source: arff, csv, jsonl, svmlight or xmc.")] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="Of --source: a CSV file has no line of names.")
    ] = False,
    row: Annotated[int | None, typer.Option(metavar="N", help="Which row of --source, from 0.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of a scenario that is --source.")] = 42,
    top: Annotated[int, typer.Option(metavar="K", help="Likeliest labels that are told of an instance.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as JSON.")] = False,
) -> None:
    """Show what a saved model is made of: clusters, trees, drift detectors, memory by part.

    Or, with --explain or --source, why it predicts what it predicts for one instance.
    """
    from stream_ml.cli.inspect import explain_instance, inspect_model

    if explain is None and source is None and row is None and not as_json and format is None and not no_header:
        inspect_model(model, trees=trees, dot=dot)
    elif trees or dot is not None:
        raise ConfigError("--trees and --dot show the model, --explain and --source an instance: one at a time")
    else:
        explain_instance(
            model, explain, source, row, top=top, as_json=as_json, format=format, header=not no_header, seed=seed
        )


@app.command()
def consume(
    config: Annotated[str | None, typer.Argument(help="YAML file; see configs/kafka.yaml.", show_default=False)] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would be done, do nothing.")
    ] = False,
    generation: Annotated[
        str | None, typer.Option(metavar="FILE", help="Begin with this checkpoint of the folder, not the newest.")
    ] = None,
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="End when what is there at the start has been read.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Show the service on the whole terminal; else a log line now and then.")
    ] = False,
) -> None:
    """Predict and learn from Kafka topics, for as long as it is let: what it knows survives whatever happens.

    A checkpoint holds the model and the offsets it stands for; after a crash the service goes on from there as if
    nothing had happened. SIGTERM and SIGINT end it within seconds.
    """
    from stream_ml.cli.consume import consume_config

    consume_config(config, set_ or [], dry_run=dry_run, generation=generation, stop_at_end=stop_at_end, live=live)


@app.command()
def simulate(
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="SCENARIO", help="YAML file, or FILE#VARIANT; see simulators/.", show_default=False),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Data file instead. Without either: the built-in drifting stream.")
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="kafka|FILE", help="A Kafka topic, or a file: .arff, .jsonl, .csv (.gz), .parquet.")
    ] = "kafka",
    run: Annotated[
        bool, typer.Option("--run", "--evaluate", help="Run a model on it, as evaluate does, and score its drifts.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="With --run: what drifts cost beside other learners; takes thrice as long."),
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a key of the scenario; with --run, of the run."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes the stream.")] = 42,
    limit: Annotated[int | None, typer.Option(help="Take this many instances.")] = None,
    shuffle: Annotated[int | None, typer.Option(metavar="SEED", help="Shuffle with this seed.")] = None,
    delay: Annotated[int, typer.Option(help="Instances until labels follow, in a message of their own.")] = 0,
    labels: Annotated[str | None, typer.Option(help="Label columns of a file; see evaluate.")] = None,
    format: Annotated[str | None, typer.Option(help="arff, csv, jsonl, svmlight or xmc; else by the name.")] = None,
    topic: Annotated[str, typer.Option(help="Topic.")] = "instances",
    servers: Annotated[str, typer.Option(help="host:port of some brokers, separated by commas.")] = "127.0.0.1:9092",
    rate: Annotated[float | None, typer.Option(help="Instances a second; else as fast as it goes.")] = None,
    partitions: Annotated[int, typer.Option(help="Partitions of a topic that is made.")] = 1,
    create: Annotated[list[str] | None, typer.Option(help="Topics that are made if they are not there.")] = None,
    truth: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where to write what drifts; of a file, else beside it.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --run: ihomer, no_change or majority_labelset.")] = None,
    out: Annotated[str | None, typer.Option(help="With --run: directory of the results. Else: runs/<time>.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file, or a run, that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="With --run: print nothing but errors.")] = False,
) -> None:
    """Make a stream whose drifts are known: to a Kafka topic, to a file, or through a model.

    The same seed gives the same instances, wherever they go. What drifts, when, and which labels is written beside a
    file (truth.jsonl), and scored in the summary of a run.
    """
    from stream_ml.cli.simulate import feed_kafka, split_overrides, write_file
    from stream_ml.cli.sources import missing_scenario

    if scenario is not None and not Path(scenario.partition("#")[0]).exists():
        raise missing_scenario(scenario)
    if scenario is not None and source is not None:
        raise ConfigError("a scenario and --source are given; expected one of them")
    of_scenario, of_run = split_overrides(set_ or [])
    if of_run and not run:
        raise ConfigError(f"--set {of_run[0]}: is a key of a run; expected --run, or a key of the scenario")
    given = {
        "stream.source": scenario or source,
        "stream.overrides": of_scenario or None,
        "stream.labels": labels,
        "stream.format": format,
        "stream.limit": limit,
        "stream.shuffle": shuffle,
        "stream.delay": delay or None,
        "stream.seed": seed,
        "model.name": model,
        "output.dir": out,
        "output.overwrite": overwrite or None,
    }
    options = {key: value for key, value in given.items() if value is not None}
    if run:
        _run(None, options, of_run, quiet=quiet, compare=compare)
    elif to == "kafka":
        feed_kafka(
            options,
            topic=topic,
            servers=servers.split(","),
            rate=rate,
            partitions=partitions,
            create=create or [],
            truth=truth,
        )
    else:
        write_file(options, Path(to), overwrite=overwrite, truth=truth)


def _names(objectives: str | None) -> list[str] | None:
    """The objectives that an option names."""
    if objectives is None or objectives != "all":
        return None if objectives is None else [name.strip() for name in objectives.split(",")]
    from stream_ml.decisions import OBJECTIVES

    return list(OBJECTIVES)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line (`sys.argv` by default) and give its exit code; a user's mistake is told in one line."""
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except ServiceError as error:
        _failed(str(error))
        return FAILED
    except StreamMLError as error:
        return _failed(str(error))
    except BrokenPipeError:
        # the reader left: nobody is there to be told
        _say_no_more()
        return CLOSED_PIPE
    except OSError as error:
        if error.errno not in FULL:
            raise
        _say_no_more()
        typer.echo(f"error: the output cannot be written: {os.strerror(error.errno).lower()}", err=True)
        return UNWRITTEN
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception as error:
        # what the command line's parser has to say, without its usage text
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _failed(error.format_message() or "no command; try stream-ml --help")
        raise
    return int(code or 0)


def _say_no_more() -> None:
    """The flush at exit must not complain, either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> NoReturn:
    """The console script."""
    # all that is loaded stays: to look among it for garbage again and again is a tenth of a short run
    gc.set_threshold(ALLOCATIONS)
    sys.exit(main())


def _failed(message: str) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return WRONG_INPUT
