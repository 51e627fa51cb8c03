"""`stream-ml predict`: what a model in a file says of the instances of another file."""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

import orjson
from rich.console import Console

from stream_ml.cli.config import load_config
from stream_ml.cli.sources import is_scenario, open_source
from stream_ml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from stream_ml.evaluation import Metrics, PrecisionAtK
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.streams import Batch, Matched, Predictions, Stream

__all__ = ["opened", "predict_file"]

SECONDS_BETWEEN_LINES = 10.0


class _Writer(Protocol):
    """What takes predictions."""

    def write(self, batch: Batch, predictions: Predictions) -> None:
        """Write those of a batch, a row each."""
        ...


class _JsonLines:
    """`{"id"?, "row", "labels", "probabilities"}`, a line each."""

    def __init__(self, file: IO[bytes], top: int) -> None:
        self._file, self._top = file, top

    def write(self, batch: Batch, predictions: Predictions) -> None:
        """A line per row."""
        lines = []
        for row, key, labels, ranked in _rows(batch, predictions, self._top):
            record: dict[str, Any] = {} if key is None else {"id": key}
            record |= {"row": row, "labels": labels}
            if self._top:
                record["probabilities"] = dict(ranked)
            lines.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        self._file.write(b"".join(lines))


class _Csv:
    """Columns `row`, `id`, `labels` (separated by commas, quoted as in CSV), `label_1`, `probability_1`, and so on."""

    def __init__(self, file: IO[bytes], top: int) -> None:
        self._file, self._top = file, top
        ranks = range(1, top + 1)
        self._put([["row", "id", "labels", *(f"{name}_{k}" for k in ranks for name in ("label", "probability"))]])

    def write(self, batch: Batch, predictions: Predictions) -> None:
        """A record per row."""
        records: list[list[Any]] = []
        for row, key, labels, ranked in _rows(batch, predictions, self._top):
            cells = [cell for pair in ranked for cell in pair]
            cells += [""] * (2 * self._top - len(cells))
            records.append([row, key or "", _text([labels]).removesuffix("\r\n") if labels else "", *cells])
        self._put(records)

    def _put(self, records: list[list[Any]]) -> None:
        self._file.write(_text(records).encode())


def predict_file(
    model_file: str,
    source: str,
    *,
    labels: str | None = None,
    label_separator: str | None = None,
    format: str | None = None,
    header: bool = True,
    ignore: str | None = None,
    limit: int | None = None,
    on_error: str = "raise",
    batch_size: int = 1000,
    seed: int = 42,
    out: str = "-",
    top: int = 10,
    objective: str | None = None,
    score: bool = False,
    quiet: bool = False,
) -> None:
    """Predict all instances of a file with a model that does not change; columns are matched by name.

    Parameters
    ----------
    model_file
        A saved model, or a checkpoint of a run or of the Kafka service.
    source, labels, label_separator, format, header, ignore, limit, on_error, batch_size
        As of `open_stream`; the source may be a scenario, too. Without `labels`, columns called as the model's labels
        are labels; there may be none.
    seed
        Of a scenario.
    out
        A file, or `-`: standard output. CSV where its name ends with .csv, else JSON Lines.
    top
        Most probable labels whose probability is told.
    objective
        Loss that decisions are best for; by default the model's own.
    score
        Whether to tell how good the predictions are.
    quiet
        Whether to tell errors only.

    Raises
    ------
    ConfigError
        An option is wrong, or the output cannot be written.
    ArtefactError
        The model cannot be read.
    DataError
        The file cannot be read, or does not fit the model.
    """
    for name, value, least in (("--top", top, 0), ("--batch-size", batch_size, 1), ("--limit", limit, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{name} {value}: expected {least} or more")
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"--on-error {on_error}: expected raise or skip")
    kept: Literal["raise", "skip"] = "raise" if on_error == "raise" else "skip"
    console = Console(stderr=True, quiet=quiet)
    model, stream = opened(
        model_file,
        source,
        objective,
        labels,
        label_separator=label_separator,
        format=format,
        header=header,
        ignore=ignore,
        limit=limit,
        on_error=kept,
        size=batch_size,
        seed=seed,
    )
    if score and not stream.inner.schema.n_labels and not stream.grows:
        raise DataError("no column is one of the model's labels: nothing can be scored", source=source)
    for note in stream.notes:
        _say(console, f"warning: {note}")
    from stream_ml.evaluation import Metrics, PrecisionAtK

    tallies = (Metrics(), PrecisionAtK())
    with _output(out) as file:
        writer: _Writer = (_Csv if out.lower().endswith(".csv") else _JsonLines)(file, top)
        rows = _predict(model, stream, writer, tallies if score else None, console)
        if not rows:
            count = stream.skipped.count
            raise DataError(f"all {count} instances are malformed" if count else "holds no instances", source=source)
    if out != "-":
        _say(console, f"predictions of {rows:,} instances: {out}")
    if stream.skipped.count:
        _say(console, f"warning: {stream.skipped.count:,} malformed lines skipped; {stream.skipped.messages[0]}")
    if score:
        _tell_score(tallies, Console(stderr=out == "-"), Path(model_file).name)


def opened(
    model_file: str,
    source: str,
    objective: str | None,
    labels: str | None,
    *,
    label_separator: str | None = None,
    format: str | None = None,
    header: bool = True,
    ignore: str | None = None,
    limit: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    size: int = 1000,
    seed: int = 42,
) -> tuple[IHomerClassifier, Matched]:
    """The model, and the file or scenario in its columns; parameters, and what is raised, as of `predict_file`."""
    from stream_ml.cli.saved import load_model
    from stream_ml.decisions import OBJECTIVES
    from stream_ml.streams import Delayed, Matched, Schema, open_stream

    if objective is not None and objective not in OBJECTIVES:
        raise ConfigError(f"--objective {objective}: expected one of {', '.join(OBJECTIVES)}")
    decisions: dict[str, Any] = {"alternatives": []} | ({} if objective is None else {"objective": objective})
    model = load_model(model_file, {"decisions": decisions})
    if model.schema is None or not model.n_labels:
        raise ConfigError(f"{model_file}: the model has learned no label yet")
    schema = Schema.from_dict(model.schema.to_dict())
    inner: Stream
    if is_scenario(source):
        given: dict[str, Any] = {"source": source, "labels": labels, "label_separator": label_separator}
        given |= {"format": format, "ignore": ignore, "limit": limit, "batch_size": size, "seed": seed}
        options = {f"stream.{key}": value for key, value in given.items() if value is not None}
        inner = open_source(load_config(None, options).stream)
        while isinstance(inner, Delayed):  # nothing is learned: no row comes twice
            inner = inner.inner
    else:
        inner = open_stream(
            source,
            labels=frozenset(schema.labels) if labels is None else labels,
            label_separator=label_separator,
            format=format,
            header=header,
            ignore=ignore,
            limit=limit,
            on_error=on_error,
            batch_size=size,
            known=schema,
        )
    return model, Matched(inner, schema, new_features=False)


def _predict(
    model: IHomerClassifier,
    stream: Matched,
    writer: _Writer,
    tallies: tuple[Metrics, PrecisionAtK] | None,
    console: Console,
) -> int:
    """Predict, write and score all rows; gives their number."""
    import numpy as np

    from stream_ml.cli.progress import display_for

    rows, began, told, label_columns = 0, time.monotonic(), time.monotonic(), stream.inner.schema.n_labels
    with console.status("predicting") as status:
        for batch in stream:
            with display_for(console, quiet=rows > 0 or console.is_terminal).compiling():
                predictions = model.predict(batch)
            writer.write(batch, predictions)
            scored = np.flatnonzero(batch.labelled)
            if tallies is not None and len(scored) and (label_columns or stream.grows):
                for tally in tallies:
                    tally.update(batch, predictions, scored)
            if not rows and not stream.grows:
                _warn(stream, console)
            rows += len(batch)
            rate = f"{rows:,} instances, {rows / max(time.monotonic() - began, 1e-9):,.0f}/s"
            status.update(rate)
            if time.monotonic() - told > SECONDS_BETWEEN_LINES and not console.is_terminal:
                told = time.monotonic()
                _say(console, rate)
    if stream.grows:
        _warn(stream, console)
    if stream.matching is not None:
        for line in stream.matching.values_told():
            _say(console, f"warning: {line}")
    return rows


def _warn(stream: Matched, console: Console) -> None:
    """Tell which columns do not match."""
    matching = stream.matching
    if matching is None:
        return
    lines = matching.columns_told()
    if not stream.grows and 0 < matching.labels_met < matching.sizes[1]:
        lines.append(f"labels of the model that have a column: {matching.labels_met:,} of {matching.sizes[1]:,}")
    for line in lines:
        _say(console, f"warning: {line}")


def _rows(
    batch: Batch, predictions: Predictions, top: int
) -> Iterator[tuple[int, str | None, list[str], list[tuple[str, float]]]]:
    """For each row its number, id, predicted labels, and the most probable labels with their probabilities."""
    from stream_ml.serving.outputs import most_probable

    names = batch.schema.labels
    indptr, indices = predictions.label_indptr.tolist(), predictions.label_indices.tolist()
    ranked = most_probable(predictions, range(len(batch)), top)
    for row, (best, chances) in enumerate(ranked):
        key = None if batch.ids is None else batch.ids[row] or None
        chosen = [names[label] for label in indices[indptr[row] : indptr[row + 1]]]
        yield batch.first + row, key, chosen, [(names[m], p) for m, p in zip(best, chances, strict=True)]


def _text(records: list[list[Any]]) -> str:
    """Records as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(records)
    return text.getvalue()


def _tell_score(tallies: tuple[Metrics, PrecisionAtK], console: Console, name: str) -> None:
    """The metrics of the rows whose labels are known."""
    from stream_ml.report.table import metrics_table

    metrics, ranked = tallies
    if not metrics.n_rows:
        _say(console, "nothing was scored: no instance has labels")
        return
    _say(console, f"{metrics.n_rows:,.0f} instances scored")
    found = metrics.result() | ranked.result()
    stream = {"n_labels": metrics.n_labels}
    console.print(metrics_table({"stream": stream, "model": {"name": name}, "metrics": found, "baselines": {}}))


@contextmanager
def _output(path: str) -> Iterator[IO[bytes]]:
    """Where predictions go; a file gets its name when it is whole."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    file = Path(path)
    try:
        plain = not file.exists() or file.is_file()
        aside = file.with_name(f".{file.name}.{os.getpid()}.part") if plain else file
        with aside.open("wb") as opened:
            try:
                yield opened
            except BaseException:
                if plain:
                    aside.unlink()
                raise
        if plain:
            os.replace(aside, file)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {(error.strerror or str(error)).lower()}") from None


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
