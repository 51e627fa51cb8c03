"""What a run is: one validated object, from a YAML file, command-line options and `--set` overrides."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_ml.cli.yaml_source import Document, parse_scalar, read_yaml
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

T = TypeVar("T", bound=BaseModel)


SECRET = re.compile("password|secret", re.IGNORECASE)
LARGEST = 2**53
"""Whole numbers up to here are whole everywhere: in YAML, JSON and arrays."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StreamSection(_Section):
    """Where instances come from."""

    source: str | None = Field(None, description="Data file; null: the built-in drifting stream.")
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
    seed: int = Field(42, ge=0, le=LARGEST, description="Seed of the built-in stream.")


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
        _put(document, key, value, option_of(key))
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


def override(document: Document, text: str) -> None:
    """Take over `KEY.PATH=VALUE`."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text}: expected KEY.PATH=VALUE")
    _put(document, key, parse_scalar(value, f"--set {key}"), f"--set {key}")


def validate(kind: type[T], document: Document, prefix: tuple[str, ...] = ()) -> T:
    """The part of a document below `prefix` as `kind`; types are taken strictly, so that "3" is no number."""
    data: Any = document.data
    for key in prefix:
        data = data.get(key, {})
    try:
        return kind.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems = error.errors()
    first = problems[0]
    path = (*prefix, *first["loc"])
    name = ".".join(map(str, path)) or "the file"
    where = document.where(path)
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        raise ConfigError(f"{where}: unknown key {name!r}{_nearest(kind, first['loc'], prefix)}{rest}")
    found: Any = data
    for part in first["loc"]:
        found = found.get(part) if isinstance(found, dict) else None
    expected = first["msg"].removeprefix("Input should be ").removeprefix("a valid ").replace("an object", "a mapping")
    place = where if where.endswith(f" {name}") else f"{where}: {name}"
    shown = "something else (secrets are not shown)" if SECRET.search(name) else _shown(found)
    raise ConfigError(f"{place}: expected {expected}, found {shown}{rest}")


def _put(document: Document, dotted: str, value: Any, where: str) -> None:
    """Set `a.b.c` in the document; messages about it will name `where`."""
    path = tuple(dotted.split("."))
    target = document.data
    for depth, key in enumerate(path[:-1], start=1):
        if target.get(key) is None:
            target[key] = {}
        target = target[key]
        if not isinstance(target, dict):
            raise ConfigError(f"{where}: {'.'.join(path[:depth])!r} is a value, not a section")
    target[path[-1]] = value
    document.given[path] = where


def _nearest(kind: type[BaseModel], loc: tuple[str | int, ...], prefix: tuple[str, ...]) -> str:
    """What may have been meant: a sibling of a similar name, else a key of a similar name in another section."""
    siblings: dict[str, Any] = {}
    everywhere: dict[str, str] = {}

    def walk(model: type[BaseModel], path: tuple[str, ...]) -> None:
        for name, info in model.model_fields.items():
            here = (*path, name)
            if path == tuple(loc[:-1]):
                siblings[name] = None
            everywhere.setdefault(name, ".".join((*prefix, *here)))
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                walk(info.annotation, here)

    walk(kind, ())
    wrong = str(loc[-1])
    outer = ".".join((*prefix, *map(str, loc[:-1]), ""))
    if close := difflib.get_close_matches(wrong, siblings, 1, 0.5):
        return f"; did you mean {outer + close[0]!r}?"
    if close := difflib.get_close_matches(wrong, everywhere, 1, 0.75):
        return f"; did you mean {everywhere[close[0]]!r}?"
    return f"; valid here: {', '.join(siblings)}" if siblings else "; no parameters are known here"


def _shown(value: Any) -> str:
    """A value and its kind, short."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "mapping"}
    if value is None:
        return "nothing"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kinds.get(type(value), type(value).__name__)})"
