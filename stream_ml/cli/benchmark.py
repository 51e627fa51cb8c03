"""`stream-ml benchmark`: models x streams x orders, measured, kept, compared."""

from __future__ import annotations

import glob
import hashlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_ml.cli.config import LARGEST, StreamSection, validate
from stream_ml.cli.models import MODELS, model_named
from stream_ml.cli.signals import StopSignals
from stream_ml.cli.sources import is_scenario
from stream_ml.configuration import read_yaml
from stream_ml.errors import ConfigError
from stream_ml.peers import PEERS, peer_named

if TYPE_CHECKING:
    from stream_ml.benchmark import Measured

__all__ = ["BenchmarkConfig", "Task", "benchmark_config", "run_task"]

PACKAGES = ("jinja2", "matplotlib", "pandas", "scikit_posthocs", "scipy")
PRELOADED = ("stream_ml.cli.benchmark", "stream_ml.cli.sources", "stream_ml.evaluation", "stream_ml.ihomer")
BASELINES = ("no_change", "majority_labelset")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelEntry(_Section):
    """A model to be measured."""

    name: str = Field(description="One of ours, or a peer: river.* or moa.*.")
    label: str | None = Field(None, description="What the tables call it; null: its name.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="The model's own parameters.")


class StreamEntry(StreamSection):
    """Streams to be measured on; `source` may be a pattern, as in `data/*.arff.gz`."""

    name: str | None = Field(None, description="What the tables call it; null: the file's name.")


class BenchmarkConfig(_Section):
    """What a benchmark measures."""

    models: list[ModelEntry] = Field(min_length=1, description="The baselines are added where they are left out.")
    streams: list[StreamEntry] = Field(min_length=1)
    objectives: list[str] = Field([], description="Score decisions of our models for these, too; [all]: for every one.")
    orders: list[Literal["file"] | int] = Field(["file"], min_length=1, description="file, or seeds of shuffles.")
    reference: str | None = Field(None, description="The model all others are compared with; null: the first.")
    budget: float | None = Field(600.0, gt=0, description="Seconds per run; null: no limit.")
    block: int = Field(100, ge=1, le=LARGEST, description="Rows of a block; blocks are what errors are estimated from.")
    jobs: int = Field(1, ge=1, le=1024, description="Runs at a time.")
    out: str = Field("runs/benchmark", description="Directory of the results, finished runs included.")


@dataclass(frozen=True, slots=True)
class Task:
    """One run."""

    model: str
    name: str
    parameters: dict[str, Any]
    stream: str
    section: StreamSection
    order: str
    block: int
    budget: float | None

    @property
    def settings(self) -> dict[str, Any]:
        """All that the result depends on, the file's size and time and the libraries' versions included."""
        source = self.section.source
        section = self.section.model_dump(mode="json", exclude={"batch_size", "name"})
        if source is not None:
            stat = Path(source.partition("#")[0] if is_scenario(source) else source).stat()
            section |= {"source": str(Path(source).resolve()), "bytes": stat.st_size, "changed": stat.st_mtime_ns}
        code = version("river") if self.name.startswith("river.") else _code()
        return {
            "model": self.name,
            "parameters": self.parameters,
            "stream": section,
            "block": self.block,
            "code": code,
        }


def run_task(task: Task) -> Measured:
    """Measure one run; called in a process of its own."""
    from stream_ml.benchmark import measure
    from stream_ml.cli.sources import open_source
    from stream_ml.evaluation import needs_gates, warm_up
    from stream_ml.threads import set_threads

    set_threads(1)  # as its peers
    stream = open_source(task.section)
    if task.name in PEERS:
        model: Any = peer_named(task.name).build(task.parameters)
    else:
        entry = model_named(task.name)
        model = entry.build(task.parameters)
        gates = needs_gates(model, stream.schema)
        warm_up(entry.build(task.parameters), sparse=stream.schema.sparse, gates=gates)
    try:
        return measure(stream, model, block=task.block, budget=task.budget)
    finally:
        if hasattr(model, "close"):
            model.close()


def benchmark_config(path: str, out: str | None, jobs: int | None, *, quiet: bool = False) -> tuple[int, bool]:
    """Run what a file says; gives the signal that ended it early, or 0, and whether a run failed.

    Raises
    ------
    ConfigError
        The configuration is wrong, or the packages of the `benchmark` extra are not there.
    """
    document = read_yaml(path)
    for key, value in (("out", out), ("jobs", jobs)):
        if value is not None:
            document.data[key] = value
            document.given[(key,)] = f"--{key}"
    config = validate(BenchmarkConfig, document)
    tasks, reference = list(_tasks(config)), config.reference or _label(config.models[0])
    if reference not in {task.model for task in tasks}:
        raise ConfigError(f"{path}: reference: no model is called {reference!r}")
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ConfigError(f"a benchmark needs {', '.join(missing)}: pip install 'stream-ml[benchmark]'")
    from stream_ml.benchmark import Store, run_all
    from stream_ml.benchmark.page import write_all
    from stream_ml.benchmark.summary import entries_of, summarize

    store = Store(Path(config.out) / "done")
    done = {task_key(t): m for t in tasks if (m := store.load(t.settings, t.budget)) is not None}
    todo = [t for t in tasks if task_key(t) not in done]
    console, signals = Console(stderr=True, quiet=quiet), StopSignals()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    interrupted = 0
    try:
        with Progress(*columns, console=console, transient=True) as progress, signals.listening():
            bar = progress.add_task("runs", total=len(tasks), completed=len(done))
            for task, measured in run_all(todo, run_task, config.jobs, preload=PRELOADED, guard=signals.guard):
                store.save(task.settings, task.budget, measured)
                done[task_key(task)] = measured
                progress.advance(bar)
                state = measured.error or f"{measured.rows:,} rows in {measured.seconds:,.1f} s"
                progress.console.print(
                    f"{task.model} on {task.stream} ({task.order}): {state}", highlight=False, markup=False
                )
    except KeyboardInterrupt:
        interrupted = signals.received or signal.SIGINT
    entries = [
        entry
        for task in tasks
        if task_key(task) in done
        for entry in entries_of(task.stream, task.order, task.model, done[task_key(task)])
    ]
    about = {"description": _description(tasks, done), "settings": _shown(config)}
    files = write_all(summarize(entries, reference), Path(config.out), about)
    if not quiet:
        Console().print(f"files: {', '.join(map(str, files))}", highlight=False, markup=False, soft_wrap=True)
    failed = [t for t in tasks if task_key(t) in done and done[task_key(t)].error is not None]
    return interrupted, bool(failed)


def task_key(task: Task) -> tuple[str, str, str]:
    """What tells a task from the others."""
    return task.model, task.stream, task.order


def _tasks(config: BenchmarkConfig) -> Iterator[Task]:
    """Every model on every stream in every order; names and parameters are checked here, before anything runs."""
    models = [*config.models, *(ModelEntry(name=b) for b in BASELINES if b not in {m.name for m in config.models})]
    labels = [_label(m) for m in models]
    if len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        raise ConfigError(f"models: two are called {twice!r}; give one a label")
    parameters = []
    for model in (_with_objectives(m, config.objectives) for m in models):
        kind = peer_named(model.name).parameters if model.name in PEERS else _own(model.name).parameters()
        try:
            parameters.append(kind(**model.parameters).model_dump(mode="json"))
        except ValueError as error:
            raise ConfigError(f"models: {_label(model)}: {str(error).splitlines()[2].strip()}") from error
    streams = [(name, section) for entry in config.streams for name, section in _expanded(entry)]
    names = [name for name, _ in streams]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ConfigError(f"streams: two are called {twice!r}; give one a name")
    for name, section in streams:
        for order in config.orders:
            shuffled = section.model_copy(update={"shuffle": None if order == "file" else order})
            said = "file order" if order == "file" else f"shuffled {order}"
            for model, settings in zip(models, parameters, strict=True):
                yield Task(_label(model), model.name, settings, name, shuffled, said, config.block, config.budget)


def _label(model: ModelEntry) -> str:
    return model.label or model.name


def _with_objectives(model: ModelEntry, names: list[str]) -> ModelEntry:
    """Our classifier with these objectives beside its own, where its parameters do not name others."""
    decisions = model.parameters.get("decisions", {})
    if model.name != "ihomer" or not names or not isinstance(decisions, dict) or "alternatives" in decisions:
        return model
    from stream_ml.decisions import OBJECTIVES

    wanted = list(OBJECTIVES) if names == ["all"] else names
    parameters = {**model.parameters, "decisions": {**decisions, "alternatives": wanted}}
    return model.model_copy(update={"parameters": parameters})


def _own(name: str) -> Any:
    """One of our models; an unknown name may be meant for a peer."""
    if name not in MODELS and "." in name:
        peer_named(name)
    return model_named(name, "models")


def _expanded(entry: StreamEntry) -> Iterator[tuple[str, StreamSection]]:
    """The streams of an entry: one per file that its pattern fits."""
    if entry.source is None:
        yield entry.name or f"built-in {entry.seed}", entry
        return
    paths = sorted(glob.glob(entry.source)) if glob.has_magic(entry.source) else [entry.source]
    if not paths:
        raise ConfigError(f"streams: no file fits {entry.source!r}")
    for path in paths:
        if not Path(path).is_file():
            raise ConfigError(f"streams: no such file: {path}")
        name = entry.name if entry.name and len(paths) == 1 else Path(path).name.split(".")[0]
        yield name, entry.model_copy(update={"source": path})


def _code() -> str:
    """A digest of this package: results of other code are not taken for its own."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _description(tasks: list[Task], done: dict[tuple[str, str, str], Measured]) -> str:
    missing = sum(task_key(t) not in done for t in tasks)
    failed = sum(m.error is not None for m in done.values())
    partial = sum(m.partial for m in done.values())
    text = f"{len(tasks)} runs"
    for n, what in ((missing, "not done yet"), (failed, "failed"), (partial, "out of time")):
        if n:
            text += f", {n} {what}"
    return text + "."


def _shown(config: BenchmarkConfig) -> dict[str, Any]:
    """Settings for the page."""
    models = [f"{_label(m)}{f' {m.parameters}' if m.parameters else ''}" for m in config.models]
    budget = "none" if config.budget is None else f"{config.budget:g} s a run"
    orders = ", ".join(map(str, config.orders))
    return {"models": "; ".join(models), "orders": orders, "time limit": budget, "block": f"{config.block} rows"}
