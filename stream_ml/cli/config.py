"""What a run is: one validated object, from a YAML file, command-line options and `--set` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_ml.configuration import Document, override, put, read_yaml, validate

__all__ = [
    "EvaluationSection",
    "ModelSection",
    "OutputSection",
    "RunConfig",
    "StreamSection",
    "load_config",
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
        None, description="first:N, last:N, prefix:P, xml:FILE, or name,name; null: as the file says."
    )
    header: bool = Field(True, description="Whether the first line of a CSV file names its columns.")
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


class RunConfig(_Section):
    """One evaluation."""

    stream: StreamSection = StreamSection()
    model: ModelSection = ModelSection()
    evaluation: EvaluationSection = EvaluationSection()
    output: OutputSection = OutputSection()


OPTION_NAMES = {"model.name": "model", "output.dir": "out", "model.parameters.decisions.alternatives": "objectives"}
"""Options that are not called as the last part of their key."""


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
    from stream_ml.cli.models import model_named

    document = read_yaml(path) if path is not None else Document()
    # a section whose keys are all commented out
    document.data = {key: {} if value is None else value for key, value in document.data.items()}
    if isinstance(document.data.get("model"), dict) and document.data["model"].get("parameters", {}) is None:
        del document.data["model"]["parameters"]
    for key, value in (options or {}).items():
        model = document.data.get("model")
        if key == "model.name" and isinstance(model, dict) and value != model.get("name", ModelSection().name):
            model.pop("parameters", None)
        option = OPTION_NAMES.get(key, key.rpartition(".")[2].replace("_", "-"))
        put(document, key, value, f"--{option}")
    for text in overrides:
        override(document, text)
    config = validate(RunConfig, document)
    entry = model_named(config.model.name, document.where(("model", "name")))
    parameters = validate(entry.parameters(), document, ("model", "parameters"))
    section = config.model.model_copy(update={"parameters": parameters.model_dump(mode="json")})
    return config.model_copy(update={"model": section})
