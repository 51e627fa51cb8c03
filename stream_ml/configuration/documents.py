"""YAML that remembers its line numbers and refuses duplicate keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stream_ml.errors import ConfigError

__all__ = ["Document", "parse_scalar", "read_yaml"]

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-3` is a number, as YAML 1.2 has it (PyYAML speaks 1.1 and reads a string)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass(slots=True)
class Document:
    """What a YAML file holds, and on which line each key stands.

    Attributes
    ----------
    data
        The file's mapping; empty for an empty file.
    lines
        Path of keys -> line, from 1.
    given
        Path of keys -> what set it instead of the file, such as an option.
    name
        The file, for messages.
    """

    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    given: dict[KeyPath, str] = field(default_factory=dict)
    name: str = "configuration"

    def where(self, path: KeyPath) -> str:
        """Where a key, or else the nearest key around it, was set: `FILE, line N`, or an option's name."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.given:
                return self.given[path[:length]]
            if path[:length] in self.lines:
                return f"{self.name}, line {self.lines[path[:length]]}"
        return self.name


def read_yaml(path: str | Path) -> Document:
    """Read a file whose top level is a mapping.

    Raises
    ------
    ConfigError
        The file cannot be read, is no YAML, is no mapping, or has a key twice.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: not a text file; expected YAML in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    document = Document(name=name)
    try:
        loader = _Loader(text)
        # aliases can make a small file endless, and no configuration needs them
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                line = _line(event.start_mark)
                raise ConfigError(f"{name}{line}: aliases (*{event.anchor}) are not supported")
        node = loader.get_single_node()
        if node is None:
            return document
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(
                f"{name}: expected a mapping with sections, found {_kind(node)}; "
                "if this is no configuration but data: --source FILE"
            )
        _note_lines(node, (), document)
        document.data = _string_keys(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{name}{_line(error.problem_mark)}: not valid YAML: {error.problem}") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())[:200]}") from None
    return document


def parse_scalar(text: str, where: str) -> Any:
    """A value given on the command line, read as YAML: `3`, `0.5`, `true`, `null`, `[1, 2]`, else a string."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
            raise ConfigError(f"{where}: {text!r}: aliases are not supported")
        return _string_keys(yaml.load(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{where}: {text!r} is not a YAML value") from None


def _note_lines(node: yaml.Node, path: KeyPath, document: Document) -> None:
    """Fill in the lines of all keys below `node`; a key met twice is an error."""
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _note_lines(item, (*path, position), document)
    if not isinstance(node, yaml.MappingNode):
        return
    met: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{document.name}, line {key.start_mark.line + 1}: expected a name as key")
        line = key.start_mark.line + 1
        here = (*path, key.value)
        if key.value in met:
            full = ".".join(map(str, here))
            raise ConfigError(
                f"{document.name}, line {line}: key {full!r} is there twice; first on line {met[key.value]}"
            )
        met[key.value] = line
        document.lines[here] = line
        _note_lines(value, here, document)


def _line(mark: Any) -> str:
    """`, line N`, where it is known."""
    return f", line {mark.line + 1}" if mark is not None else ""


def _string_keys(value: Any) -> Any:
    """The same value with the keys of mappings as they would be written."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _string_keys(item) for key, item in value.items()}
    return [_string_keys(item) for item in value] if isinstance(value, list) else value


def _kind(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else f"{str(node.value)[:60]!r}"
