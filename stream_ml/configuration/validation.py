"""Configurations checked: what is wrong is told in one line that names key, place, expected and found."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from stream_ml.configuration.documents import Document, parse_scalar
from stream_ml.errors import ConfigError

__all__ = ["override", "put", "validate"]

T = TypeVar("T", bound=BaseModel)
SECRET = re.compile("password|secret", re.IGNORECASE)


def override(document: Document, text: str) -> None:
    """Take over `KEY.PATH=VALUE`."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text}: expected KEY.PATH=VALUE")
    put(document, key, parse_scalar(value, f"--set {key}"), f"--set {key}")


def validate(kind: type[T], document: Document, prefix: tuple[str, ...] = ()) -> T:
    """The part of a document below `prefix` as `kind`; types are taken strictly, so that "3" is no number.

    Raises
    ------
    ConfigError
        An unknown key (with the nearest valid name), a wrong type or value: with place, key, expected and found.
    """
    data: Any = document.data
    for key in prefix:
        data = data.get(key, {})
    try:
        return kind.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems = error.errors()
    # a key that is misspelt is told before the one that is missing for it
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    path = (*prefix, *first["loc"])
    name = ".".join(map(str, path)) or "the file"
    where = document.where(path)
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        raise ConfigError(f"{where}: unknown key {name!r}{_nearest(kind, first['loc'], prefix)}{rest}")
    found: Any = data
    for part in first["loc"]:
        if isinstance(found, list) and isinstance(part, int) and part < len(found):
            found = found[part]
        else:
            found = found.get(part) if isinstance(found, dict) else None
    place = where if where.endswith(f" {name}") else f"{where}: {name}"
    if first["type"] == "missing":
        raise ConfigError(f"{place}: is missing{rest}")
    if first["type"] == "value_error":
        raise ConfigError(f"{place}: {first['ctx']['error']}{rest}")
    expected = first["msg"].removeprefix("Input should be ").removeprefix("a valid ").replace("an object", "a mapping")
    shown = "something else (secrets are not shown)" if SECRET.search(name) else _shown(found)
    raise ConfigError(f"{place}: expected {expected}, found {shown}{rest}")


def put(document: Document, dotted: str, value: Any, where: str) -> None:
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
    """What may have been meant: the very name in another section, else a sibling of a similar one, else any key's."""
    siblings: dict[str, Any] = {}
    everywhere: dict[str, str] = {}
    within = tuple(part for part in loc[:-1] if isinstance(part, str))

    def walk(model: type[BaseModel], path: tuple[str, ...]) -> None:
        for name, info in model.model_fields.items():
            here = (*path, name)
            if path == within:
                siblings[name] = None
            everywhere.setdefault(name, ".".join((*prefix, *here)))
            for inner in (info.annotation, *get_args(info.annotation)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    walk(inner, here)

    walk(kind, ())
    wrong = str(loc[-1])
    outer = ".".join((*prefix, *map(str, loc[:-1]), ""))
    if wrong in everywhere:
        return f"; did you mean {everywhere[wrong]!r}?"
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
