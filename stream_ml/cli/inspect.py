"""`stream-ml inspect`: what is in a saved model, and why it predicts what it predicts for an instance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console

from stream_ml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.ihomer.explanation import Explanation
    from stream_ml.streams import Schema

__all__ = ["explain_instance", "inspect_model"]


def inspect_model(path: str, *, trees: bool, dot: str | None) -> None:
    """Print what a model is made of; write its graph if so told.

    Raises
    ------
    ArtefactError
        The file is missing, damaged, or holds no model of ihomer.
    ConfigError
        The graph cannot be written.
    """
    from stream_ml.cli.saved import model_file
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.report.model_text import dot_graph, model_lines

    file = model_file(path)
    model = IHomerClassifier.load(file, look_only=True)
    print("\n".join([f"{file}:", *model_lines(model, trees=trees)]))  # noqa: T201
    if dot is not None:
        try:
            Path(dot).write_text(dot_graph(model), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{dot}: cannot be written: {(error.strerror or str(error)).lower()}") from None
        print(f"\ngraph: {dot}; draw it with: dot -Tsvg {dot} -o model.svg")  # noqa: T201


def explain_instance(
    path: str,
    instance: str | None,
    source: str | None,
    row: int | None,
    *,
    top: int,
    as_json: bool,
    format: str | None = None,
    header: bool = True,
    seed: int = 42,
) -> None:
    """Print why a model predicts what it predicts for the instance of a JSON file, or for a row of a file or scenario.

    Raises
    ------
    ArtefactError
        The model cannot be read.
    ConfigError
        The options do not tell one instance, or the model has learned no label.
    DataError
        The file cannot be read, has no such row, or does not fit the model.
    """
    if (instance is None) == (source is None):
        raise ConfigError("expected one instance: --explain FILE, or --source FILE --row N")
    if top < 0:
        raise ConfigError(f"--top {top}: expected 0 or more")
    if source is None and (format is not None or not header):
        raise ConfigError(f"{'--no-header' if format is None else '--format'}: is of --source, not of --explain")
    if source is None and row is not None:
        raise ConfigError(f"--row {row}: is one of --source, not of --explain")
    from stream_ml.cli.progress import display_for
    from stream_ml.cli.saved import load_model

    with display_for(Console(stderr=True), quiet=False).compiling():
        if source is not None:
            told = _row_explained(path, source, row, top, format, header, seed)
        else:
            told = _instance_explained(load_model(path), path, str(instance), top)
    print(orjson.dumps(told.to_dict(), option=orjson.OPT_INDENT_2).decode() if as_json else told)  # noqa: T201


def _row_explained(
    path: str, source: str, row: int | None, top: int, format: str | None, header: bool, seed: int
) -> Explanation:
    """That of a row of a data file or scenario; columns are matched by name."""
    from stream_ml.cli.predict import opened

    if row is None or row < 0:
        found = "none" if row is None else str(row)
        raise ConfigError(f"--row: expected which row of {source} is to be explained, from 0; found {found}")
    model, stream = opened(path, source, None, None, format=format, header=header, limit=row + 1, seed=seed)
    rows = 0
    for batch in stream:
        if row < rows + len(batch):
            if stream.matching is not None:
                _warn(stream.matching.told())
            return model.explain(batch, row - rows, most=top)
        rows += len(batch)
    raise DataError("no such row", source=source, expected=f"0 to {rows - 1}" if rows else None, found=str(row))


def _instance_explained(model: IHomerClassifier, path: str, instance: str, top: int) -> Explanation:
    """That of `{feature: value}`, or of a record `{"x": {feature: value}}`, in a file of JSON."""
    if model.schema is None or not model.n_labels:
        raise ConfigError(f"{path}: the model has learned no label yet")
    x = _instance_in(instance)
    unknown = _unknown(x, model.schema)
    if unknown and len(unknown) == len(x):
        expected = f"{{feature: value}}, features such as {model.schema.features[0].name!r}"
        raise DataError("no feature is one of the model's", source=instance, expected=expected, found=str(unknown[0]))
    if unknown:
        _warn([f"features of the instance that are not the model's: {len(unknown):,} (left out)"])
    try:
        return model.explain(x, most=top)
    except DataError as error:
        told = {name: getattr(error, name) for name in ("field", "expected", "found", "hint")}
        raise DataError(error.problem, source=instance, **told) from None


def _instance_in(path: str) -> dict[str, Any]:
    """The features in a file of JSON."""
    expected = "an object {feature: value}"
    try:
        found = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read: {(error.strerror or str(error)).lower()}", source=path) from None
    except orjson.JSONDecodeError as error:
        raise DataError(f"no JSON: {error}", source=path, expected=expected) from None
    if isinstance(found, dict) and isinstance(found.get("x"), dict):
        found = found["x"]
    if not isinstance(found, dict):
        raise DataError("no instance", source=path, expected=expected, found=type(found).__name__)
    return found


def _unknown(x: dict[str, Any], schema: Schema) -> list[str]:
    """Features that the schema has neither as they are nor as one made of a text, `colour=red`."""
    made = {name.partition("=")[0] for name in schema.feature_positions if "=" in name}
    return [name for name in x if schema.feature_index(name) is None and name not in made]


def _warn(lines: list[str]) -> None:
    """Tell what does not match, beside the output."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)  # noqa: T201
