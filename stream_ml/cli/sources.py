"""The stream that a configuration names."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stream_ml
from stream_ml.cli.config import StreamSection
from stream_ml.errors import ConfigError

if TYPE_CHECKING:
    from stream_ml.streams import Drift, Schema, Stream

__all__ = ["expected_rows", "is_scenario", "knows_truth", "missing_scenario", "open_source", "truth_of", "truth_path"]

READY_MADE = (Path("simulators/scenarios"), Path(stream_ml.__file__).parents[1] / "simulators/scenarios")
"""Where scenarios are: of the sources that one stands in, or of those that the package is run from."""
OF_FILES = ("labels", "label_separator", "format", "ignore")
"""Settings that mean something of files only."""
COUNTED_BYTES = 256 << 20
"""Larger files are not read twice to tell the time left."""
DATA_LINE = re.compile(rb"^[ \t]*@data\b", re.IGNORECASE | re.MULTILINE)


def open_source(section: StreamSection, *, start: int = 0, known: Schema | None = None) -> Stream:
    """The file or scenario of a configuration, or the built-in stream, as a re-iterable of batches.

    A scenario may be opened at a later row than its first; of a file some features may be `known` (see `open_stream`).

    Raises
    ------
    ConfigError
        A setting that means nothing for the built-in stream or a scenario, or a scenario that is wrong.
    DataError
        The file cannot be read; which lines are malformed shows when it is iterated over.
    """
    if section.source is not None and is_scenario(section.source):
        return _simulated(section, start)
    if section.overrides:
        raise ConfigError("stream.overrides are given, but stream.source is no scenario (.yaml)")
    if section.source is not None:
        from stream_ml.streams import open_stream

        return open_stream(
            section.source,
            batch_size=section.batch_size,
            labels=section.labels,
            format=section.format,
            limit=section.limit,
            shuffle=section.shuffle,
            delay=section.delay,
            on_error=section.on_error,
            header=section.header,
            label_separator=section.label_separator,
            ignore=section.ignore,
            known=known,
        )
    for name in OF_FILES:
        if getattr(section, name) is not None:
            raise ConfigError(f"stream.{name} is given, but no stream.source: the built-in stream has its own")
    from stream_ml.simulation import default_stream

    return _derived(default_stream(batch_size=section.batch_size, seed=section.seed), section)


def missing_scenario(source: str) -> ConfigError:
    """That there is no such scenario; and which ready-made one may be meant, else what they are."""
    wanted = Path(source.partition("#")[0])
    beside = sorted(path for end in ("*.yaml", "*.yml") for path in wanted.parent.glob(end))
    folder = next((folder for folder in READY_MADE if folder.is_dir()), None)
    made = [] if folder is None else sorted(folder.glob("*.yaml"))
    by_name = {path.stem: path for path in (*made, *beside)}
    if near := difflib.get_close_matches(wanted.stem, by_name, 1, 0.5):
        return ConfigError(f"{source}: no such scenario; did you mean {by_name[near[0]]}?")
    if not made:
        return ConfigError(f"{source}: no such scenario; expected a YAML file")
    names = ", ".join(path.stem for path in made)
    return ConfigError(f"{source}: no such scenario; ready-made ones in {made[0].parent}: {names}")


def is_scenario(source: str) -> bool:
    """Whether a source is a scenario's file: `FILE.yaml` or `FILE.yaml#VARIANT`."""
    return source.partition("#")[0].lower().endswith((".yaml", ".yml"))


def knows_truth(stream: Stream, section: StreamSection) -> bool:
    """Whether it is known how a stream drifts: it was made, or `X.truth.jsonl` is beside a file `X.arff`."""
    beside = section.source is not None and truth_path(Path(section.source)).is_file()
    return section.shuffle is None and (hasattr(_innermost(stream), "drifts") or beside)


def truth_of(stream: Stream, section: StreamSection) -> tuple[list[Drift], list[str]]:
    """How a stream that `knows_truth` tells of drifts, and the names of its labels, as far as they are known by now.

    Raises
    ------
    DataError
        The file that tells it is wrong.
    """
    inner: Any = _innermost(stream)
    if hasattr(inner, "drifts"):
        return list(inner.drifts), stream.schema.labels
    from stream_ml.streams.truth import read_truth

    assert section.source is not None
    return read_truth(truth_path(Path(section.source)), stream.schema.labels)


def _innermost(stream: Stream) -> Stream:
    """What a stream was derived from."""
    while hasattr(stream, "inner"):
        stream = stream.inner
    return stream


def truth_path(path: Path) -> Path:
    """Where the truth about a file's drifts stands.

    >>> truth_path(Path("a/b.arff.gz")).name
    'b.truth.jsonl'
    """
    name = path.name.removesuffix(".gz")
    return path.with_name((name.rpartition(".")[0] or name) + ".truth.jsonl")


def _simulated(section: StreamSection, start: int) -> Stream:
    """The scenario's stream."""
    for name in OF_FILES:
        if getattr(section, name) is not None:
            raise ConfigError(f"stream.{name} is given, but stream.source is a scenario, which has its own")
    from stream_ml.simulation import Scenario
    from stream_ml.simulation.scenario import ScenarioStream

    assert section.source is not None
    if not Path(section.source.partition("#")[0]).exists():
        raise missing_scenario(section.source)
    scenario = Scenario.load(section.source, seed=section.seed, overrides=section.overrides)
    delay = section.delay or scenario.settings.feedback.delay
    rows = ScenarioStream(scenario, batch_size=section.batch_size, start=start)
    return _derived(rows, section.model_copy(update={"delay": delay}))


def _derived(stream: Stream, section: StreamSection) -> Stream:
    """The stream in the order, as long and with labels as late as is asked for."""
    from stream_ml.streams import Delayed, Limited, Shuffled

    if section.shuffle is not None:
        stream = Shuffled(stream, section.shuffle)
    if section.limit is not None:
        stream = Limited(stream, section.limit)
    return Delayed(stream, section.delay) if section.delay else stream


def expected_rows(stream: Stream, section: StreamSection) -> int | None:
    """About how many rows will come, for the time left: as the stream, else the limit, else the file's lines say."""
    if stream.n_instances is not None:
        return stream.n_instances
    rows = section.limit
    file = None if section.source is None else Path(section.source)
    if rows is None and file is not None and file.is_file() and file.stat().st_size <= COUNTED_BYTES:
        rows = _lines_of_data(file)
    return rows * (2 if section.delay else 1) if rows is not None else None


def _lines_of_data(path: Path) -> int:
    """Lines of a text file, less those of an ARFF header."""
    from stream_ml.streams.lines import TextFile

    lines, header = 0, 0
    for first, chunk in TextFile(path).chunks():
        if not header and (match := DATA_LINE.search(chunk)):
            header = first + chunk.count(b"\n", 0, match.start())
        lines = first - 1 + chunk.count(b"\n") + (not chunk.endswith(b"\n"))
    return lines - header
