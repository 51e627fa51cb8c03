"""Models and runs in files, as commands are told of them: what begins with a model, what goes on with a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from stream_ml.cli.config import RunConfig, complete, option_of
from stream_ml.cli.models import MODELS
from stream_ml.configuration import Document
from stream_ml.errors import ArtefactError, ConfigError

if TYPE_CHECKING:
    from stream_ml.evaluation import Model, RunState
    from stream_ml.ihomer import IHomerClassifier

__all__ = [
    "FinishedError",
    "StoppedRun",
    "check_model_file",
    "load_model",
    "model_file",
    "restored_model",
    "stopped_run",
]

MAY_CHANGE = (
    "stream.limit",
    "stream.source",
    "stream.batch_size",
    "output.dir",
    "output.overwrite",
    "output.save_model",
    "output.checkpoint_every",
    "output.report",
)
"""Options of a run that goes on: nothing of what it does depends on them, but for where the stream ends."""


class FinishedError(Exception):
    """A run has nothing left to do; says so."""


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A run that goes on.

    Attributes
    ----------
    config
        Its configuration, with what was changed now.
    state
        Where it stands.
    checkpoint
        The file; the run's other files are beside it.
    predictions
        Bytes of its `predictions.jsonl` that stand.
    """

    config: RunConfig
    state: RunState
    checkpoint: Path
    predictions: int


def stopped_run(target: str, config: str | None, options: Mapping[str, Any], overrides: Sequence[str]) -> StoppedRun:
    """The run that a checkpoint, or the directory that holds it, is of.

    Raises
    ------
    ConfigError
        An option that such a run cannot take, or that does not fit.
    ArtefactError
        There is no checkpoint, it is damaged, or it is of something else.
    FinishedError
        The run has ended.
    """
    _check_options(config, options, overrides)
    from stream_ml.evaluation import RunState
    from stream_ml.report import CHECKPOINT
    from stream_ml.states import FLAWS
    from stream_ml.storage import read_artefact

    path, limit = Path(target), options.get("stream.limit")
    if path.is_dir():
        path = path / CHECKPOINT
        if not path.exists():
            _without_checkpoint(path.parent, limit)
    artefact = read_artefact(path)
    facts = artefact.facts
    if facts.get("kind") != "run":
        raise ArtefactError(f"{path}: holds a {facts.get('kind')!r}, not a run; to begin with its model: --model-file")
    try:
        run = complete(Document(facts["config"], name=str(path)), options)
        n, finished = max(int(facts["n_predicted"]), int(facts["n_learned"])), bool(facts["finished"])
        stopped = StoppedRun(run, RunState(artefact.arrays, facts), path, int(facts["predictions"]))
    except FLAWS as error:
        raise ArtefactError(f"{path}: its parts do not fit together: {error}") from error
    if limit is not None and limit < n:
        raise ConfigError(f"--limit {limit}: the run has read {n:,} instances already")
    if finished and (limit is None or limit == n):
        raise FinishedError(f"{path.parent}: the run is finished ({n:,} instances); --limit above {n} goes on with it")
    if finished and run.stream.delay:
        raise ConfigError(
            f"--limit {limit}: the run has ended, and the labels that --delay held back were learned at its end; "
            "a new run begins anew"
        )
    return stopped


def _check_options(config: str | None, options: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse what would make another run of it."""
    foreign = [option_of(key) for key in options if key not in MAY_CHANGE] + ["--set"] * bool(overrides)
    if config is not None:
        foreign.insert(0, config)
    if foreign:
        known = ", ".join(map(option_of, MAY_CHANGE))
        raise ConfigError(f"{foreign[0]}: a run that goes on keeps its settings; beside --resume may stand {known}")


def _without_checkpoint(directory: Path, limit: int | None) -> None:
    """Tell why there is none."""
    try:
        summary = orjson.loads((directory / "summary.json").read_bytes())
        finished, n = not summary["interrupted"], int(summary["stream"]["n_instances"])
    except (OSError, KeyError, TypeError, ValueError):
        finished, n = False, 0
    if not finished:
        raise ArtefactError(f"{directory}: holds no checkpoint of a run")
    if limit is not None and limit > n:
        raise ConfigError(
            f"{directory}: the run is finished ({n:,} instances) and kept no checkpoint to go on from; "
            "a run does with --checkpoint-every, and where --limit ended it"
        )
    raise FinishedError(f"{directory}: the run is finished ({n:,} instances)")


def restored_model(run: StoppedRun) -> Model:
    """The model of a run as it was.

    Raises
    ------
    ArtefactError
        The parts of the checkpoint do not fit together.
    """
    from stream_ml.evaluation import part_of
    from stream_ml.states import FLAWS

    section, arrays = run.config.model, part_of(run.state.arrays, "model.")
    if section.name == "ihomer":
        from stream_ml.ihomer import IHomerClassifier

        return IHomerClassifier.from_saved(arrays, run.state.facts, source=str(run.checkpoint))
    model: Any = MODELS[section.name].build(section.parameters)
    try:
        model.load_state_dict(arrays)
    except FLAWS as error:
        raise ArtefactError(f"{run.checkpoint}: its parts do not fit together: {error}") from error
    return model


def model_file(path: str) -> Path:
    """The file that holds a model: the one named, or what is in the directory of a run.

    Raises
    ------
    ArtefactError
        It is a directory that holds none, or more than one: says what it is and what to name instead.
    """
    from stream_ml.report import CHECKPOINT, RUN_FILES

    file = Path(path)
    if not file.is_dir():
        return file
    if (file / CHECKPOINT).exists():
        return file / CHECKPOINT
    if saved := sorted(file.glob("*.safetensors")):
        raise ArtefactError(f"{path}: is a directory; expected one file of it, such as {saved[-1]}")
    if any((file / name).exists() for name in RUN_FILES):
        how = "a run writes its model to the file that --save-model FILE names"
        raise ArtefactError(f"{path}: is the directory of a run, and holds no model; {how}")
    raise ArtefactError(f"{path}: is a directory; expected a model's file")


def load_model(path: str, parameters: Mapping[str, Any] | None = None) -> IHomerClassifier:
    """The model of a file: saved, or in the checkpoint of a run (or its directory) or of the Kafka service.

    Parameters
    ----------
    parameters
        What it decides for, where that is to be something else.

    Raises
    ------
    ArtefactError
        It holds none, or is damaged.
    """
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.ihomer.files import model_in
    from stream_ml.storage import read_artefact

    file = model_file(path)
    arrays, facts = model_in(read_artefact(file), str(file))
    if decisions := (parameters or {}).get("decisions"):
        settings = facts["settings"]
        try:
            facts = {**facts, "settings": {**settings, "decisions": {**settings["decisions"], **decisions}}}
        except (KeyError, TypeError) as error:
            raise ArtefactError(f"{file}: its parts do not fit together: {error}") from error
    model = IHomerClassifier.from_saved(arrays, facts, source=str(file))
    model.drain_events()  # what happened before is not of this run
    return model


def check_model_file(path: str, name: str) -> None:
    """Refuse a file that a model cannot be written to, before the run rather than after it."""
    if not MODELS[name].in_files:
        raise ConfigError(f"--save-model: a {name} model is not saved")
    file = Path(path)
    if file.is_dir():
        raise ConfigError(f"--save-model {path}: is a directory; expected a file")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"--save-model {path}: there is no directory {file.absolute().parent}")
