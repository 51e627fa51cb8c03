"""What a run is: one validated object, from a YAML file, command-line options and `--set` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_ml.configuration import Document, override, put, read_yaml, validate
from stream_ml.errors import ConfigError

__all__ = [
    "EvaluationSection",
    "ModelSection",
    "OutputSection",
    "RunConfig",
    "StreamSection",
    "complete",
    "load_config",
    "option_of",
    "override",
    "validate",
]

LARGEST = 2**53
"""Whole numbers up to here are whole everywhere: in YAML, JSON and arrays."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StreamSection(_Section):
    """Where instances come from."""

    source: str | None = Field(None, description="Data file, scenario (.yaml); null: the built-in drifting stream.")
    overrides: list[str] = Field([], description="KEY.PATH=VALUE, taken over a scenario's file.")
    format: str | None = Field(None, description="arff, csv, jsonl, svmlight, xmc; null: by the file's name.")
    labels: str | None = Field(
        None, description="first:N, last:N, prefix:P, xml:FILE, column:NAME, or name,name; null: as the file says."
    )
    label_separator: str | None = Field(None, description="Between labels of column:NAME; null: found by looking.")
    header: bool = Field(True, description="Whether the first line of a CSV file names its columns.")
    ignore: str | None = Field(None, description="Columns of a CSV file that are left out: name,name.")
    limit: int | None = Field(None, ge=1, le=LARGEST, description="Instances to take; null: all.")
    shuffle: int | None = Field(None, ge=0, le=LARGEST, description="Seed of a shuffle; null: the order of the file.")
    delay: int = Field(
        0, ge=0, le=LARGEST, description="Instances that pass before an instance's labels are known to the model."
    )
    on_error: Literal["raise", "skip"] = Field("raise", description="At a malformed line: stop, or skip and count.")
    batch_size: int = Field(1000, ge=1, le=1_000_000, description="Instances per batch; changes no result.")
    seed: int = Field(42, ge=0, le=LARGEST, description="Seed of a scenario, and of the built-in stream.")


class ModelSection(_Section):
    """What learns."""

    name: str = Field("ihomer", description="ihomer, no_change or majority_labelset.")
    file: str | None = Field(None, description="A saved model or a checkpoint to begin with; null: a fresh model.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="The model's own parameters.")


class EvaluationSection(_Section):
    """How it is measured."""

    window: int = Field(1000, ge=1, le=LARGEST, description="Scored instances per window.")
    fading: float = Field(0.999, gt=0, le=1, description="Factor per instance of the fading metrics.")
    baselines: bool = Field(True, description="Run the no-change and majority-labelset baselines beside the model.")
    save_predictions: bool = Field(False, description="Write predictions.jsonl.")


class OutputSection(_Section):
    """Where results go."""

    dir: str | None = Field(None, description="Directory; null: runs/<time>.")
    overwrite: bool = Field(False, description="Whether a run that the directory holds is replaced.")
    save_model: str | None = Field(None, description="File that the model is written to at the end.")
    checkpoint_every: int | None = Field(
        None, ge=1, le=LARGEST, description="Instances between checkpoints; null: only when a run is stopped."
    )
    report: bool | None = Field(
        None, description="Write report.html at the end; null: unless --quiet, and if the packages for it are there."
    )


class RunConfig(_Section):
    """One evaluation."""

    stream: StreamSection = StreamSection()
    model: ModelSection = ModelSection()
    evaluation: EvaluationSection = EvaluationSection()
    output: OutputSection = OutputSection()


OPTION_NAMES = {
    "model.name": "model",
    "model.file": "model-file",
    "output.dir": "out",
    "model.parameters.decisions.alternatives": "objectives",
}
"""Options that are not called as the last part of their key."""
DECIDED = {"objective", "alternatives"}
"""Parameters that a saved model may be given anew: what it learns does not depend on them."""


def load_config(
    path: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    overrides: Iterable[str] = (),
) -> RunConfig:
    """A run's configuration: defaults, then the file, then `options` (dotted key -> value), then `overrides` (`a.b=c`).

    Naming another model than the file does drops the file's model parameters. The model's parameters are checked
    against the model, and completed with its defaults.

    Raises
    ------
    ConfigError
        An unknown key (with the nearest valid name), a wrong type or value (with key, expected and found), a duplicate
        key, a file that cannot be read; in one line, with the file's line number where there is one.
    """
    return complete(read_yaml(path) if path is not None else Document(), options or {}, overrides)


def complete(document: Document, options: Mapping[str, Any], overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration that a document holds, with `options` and `overrides`; as of `load_config`."""
    from stream_ml.cli.models import model_named

    # a section whose keys are all commented out
    document.data = {key: {} if value is None else value for key, value in document.data.items()}
    if isinstance(document.data.get("model"), dict) and document.data["model"].get("parameters", {}) is None:
        del document.data["model"]["parameters"]
    for key, value in options.items():
        model = document.data.get("model")
        if key == "model.name" and isinstance(model, dict) and value != model.get("name", ModelSection().name):
            model.pop("parameters", None)
        put(document, key, value, option_of(key))
    for text in overrides:
        override(document, text)
    config = validate(RunConfig, document)
    entry = model_named(config.model.name, document.where(("model", "name")))
    parameters = validate(entry.parameters(), document, ("model", "parameters"))
    values = parameters.model_dump(mode="json")
    if config.model.file is not None:
        if not entry.in_files:
            raise ConfigError(f"{document.where(('model', 'name'))}: a {config.model.name} model is in no file")
        values = _decided_only(config.model.parameters, document)
    section = config.model.model_copy(update={"parameters": values})
    return config.model_copy(update={"model": section})


def _decided_only(given: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """The parameters that go with a model in a file, which has its own: what it decides for."""
    for name, value in given.items():
        inner = value if name == "decisions" and isinstance(value, dict) else {"": None}
        for key in inner.keys() - DECIDED:
            path = ("model", "parameters", name, key) if key else ("model", "parameters", name)
            raise ConfigError(
                f"{document.where(path)}: {'.'.join(path)} is given, but the model in the file has its own"
            )
    return dict(given)


def option_of(key: str) -> str:
    """The option that sets a key.

    >>> option_of("stream.batch_size"), option_of("output.dir")
    ('--batch-size', '--out')
    """
    return "--" + OPTION_NAMES.get(key, key.rpartition(".")[2].replace("_", "-"))
