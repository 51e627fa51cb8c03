"""The directory of a run: which files it holds and how they are written."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson

from stream_ml.errors import ConfigError
from stream_ml.storage import write_artefact

if TYPE_CHECKING:  # what shows a run that is there runs no kernel
    from stream_ml.evaluation import Result, RunState
    from stream_ml.ihomer.events import Event
    from stream_ml.streams.batch import Batch, Predictions

__all__ = ["CHECKPOINT", "PREDICTIONS", "REPORT", "RUN_FILES", "RunDirectory"]

CHECKPOINT = "checkpoint.safetensors"
"""Name of the file that a run can go on from."""
PREDICTIONS = "predictions.jsonl"
"""Name of the file of all predictions."""
REPORT = "report.html"
"""Name of the page that shows a run."""
RUN_FILES = (
    "summary.json",
    "config.yaml",
    "windows.csv",
    "events.jsonl",
    "structure.json",
    "resources.csv",
    "reliability.csv",
    PREDICTIONS,
    CHECKPOINT,
    REPORT,
)
"""All that a run may write. A directory that holds anything else is not a run's, and is never written to."""
LEAVINGS = f".{CHECKPOINT}.*.part"
"""What a process that was killed while it wrote a checkpoint has left."""
COPIED = 1 << 20


class RunDirectory:
    """Where a run's results go.

    It is made, and an earlier run's files in it are removed, when the first file is written: a run that fails before
    leaves nothing and destroys nothing.

    Parameters
    ----------
    path
        The directory; None: a new one under `runs/`, named by the time.
    overwrite
        Whether a run that the directory holds may be replaced.
    resumed
        The directory of a run that goes on here, and how many bytes of its `predictions.jsonl` stand. What this
        directory holds is then kept, if it is that one, and the predictions go on behind those bytes.

    Raises
    ------
    ConfigError
        The path is a file, or a directory that holds other things than a run's, or a run that is not to be replaced;
        or the predictions of the run that goes on are not there.
    """

    def __init__(
        self, path: str | Path | None = None, *, overwrite: bool = False, resumed: tuple[Path, int] | None = None
    ) -> None:
        self.path = Path(path) if path is not None else _by_time()
        self._made = False
        self._predictions: IO[bytes] | None = None
        self._resumed = resumed
        self._in_place = resumed is not None and self.path.exists() and self.path.samefile(resumed[0])
        try:
            held = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
            leavings = {entry.name for entry in self.path.glob(LEAVINGS)} if held else set()
        except NotADirectoryError:
            raise ConfigError(f"{self.path}: is a file; results need a directory") from None
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
        if foreign := sorted(held - set(RUN_FILES) - leavings):
            raise ConfigError(f"{self.path}: holds {foreign[0]!r}, which no run wrote; name a new or empty directory")
        if held and not overwrite and not self._in_place:
            more = f", or go on with it: --resume {self.path}" if CHECKPOINT in held else ""
            raise ConfigError(f"{self.path}: holds a run already; name another directory, or say --overwrite{more}")
        if resumed is not None and resumed[1]:
            kept = resumed[0] / PREDICTIONS
            if not kept.is_file() or kept.stat().st_size < resumed[1]:
                raise ConfigError(f"{kept}: lacks predictions that the run had written; the run cannot go on")

    def save_predictions(self, batch: Batch, predictions: Predictions) -> None:
        """Append what was predicted of a batch to `predictions.jsonl`, one line per predicted row.

        Fields: `row` (its number in the stream), `id` where the stream has them, `labels` (null when not known, an
        object of true and false when known in part), `predicted`, and `probabilities` of the predicted labels where
        the model gives them.
        """
        from stream_ml.streams.batch import PREDICT

        file = self._open_predictions()
        names = batch.schema.labels
        truth, chosen = list(batch.labels_told()), predictions.label_indices.tolist()
        z_starts = predictions.label_indptr.tolist()
        lines = []
        for row in np.flatnonzero(batch.mode & PREDICT).tolist():
            picked = chosen[z_starts[row] : z_starts[row + 1]]
            record: dict[str, Any] = {"row": batch.first + row}
            if batch.ids is not None:
                record["id"] = batch.ids[row]
            record["labels"] = truth[row]
            record["predicted"] = [names[label] for label in picked]
            if predictions.probabilities is not None:
                record["probabilities"] = [round(p, 6) for p in predictions.probabilities[row, picked].tolist()]
            elif predictions.likely is not None:
                likely = predictions.likely.of_row(row)
                record["probabilities"] = [round(likely[label], 6) for label in picked]
            lines.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        file.write(b"".join(lines))

    def write_checkpoint(self, state: RunState, config: dict[str, Any]) -> None:
        """Write `checkpoint.safetensors`, whole or not at all: the run can go on from there whatever happens."""
        self._make()
        size = 0
        if self._predictions is not None:
            self._predictions.flush()
            os.fsync(self._predictions.fileno())
            size = self._predictions.tell()
        elif self._resumed is not None:
            size = self._resumed[1]
        path = self.path / CHECKPOINT
        try:
            write_artefact(path, state.arrays, {**state.facts, "kind": "run", "config": config, "predictions": size})
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise ConfigError(f"{path}: cannot be written: {problem}; what it held before is still there") from None

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a run that needs it no longer."""
        (self.path / CHECKPOINT).unlink(missing_ok=True)

    def write(self, result: Result, config: str) -> list[Path]:
        """Write all files of a finished run; `config` is the text of `config.yaml`. Gives them."""
        if self._resumed is not None and self._resumed[1]:
            self._open_predictions()
        with self._open("config.yaml") as file:
            file.write(config.encode())
        self._write_table("windows.csv", result.windows or [{"instance": None, "rows": None}])
        self._write_events(result.events)
        with self._open("structure.json") as file:
            file.write(orjson.dumps(result.structure, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
        self._write_table("resources.csv", result.resources)
        if reliability := result.summary["calibration"].get("reliability"):
            self._write_table("reliability.csv", reliability)
        self.close()
        with self._open("summary.json") as file:
            options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
            file.write(orjson.dumps(result.summary, option=options))
        (self.path / REPORT).unlink(missing_ok=True)  # of the run as it was before it went on
        return [self.path / name for name in RUN_FILES if (self.path / name).exists()]

    def close(self) -> None:
        """Finish `predictions.jsonl`."""
        if self._predictions is not None:
            self._predictions.close()

    def _open_predictions(self) -> IO[bytes]:
        """`predictions.jsonl`, at the place where the next line goes."""
        if self._predictions is not None:
            return self._predictions
        if self._resumed is None or not self._resumed[1]:
            self._predictions = self._open(PREDICTIONS)
        elif self._in_place:
            self._make()
            self._predictions = (self.path / PREDICTIONS).open("r+b")
            self._predictions.truncate(self._resumed[1])
            self._predictions.seek(0, os.SEEK_END)
        else:
            self._predictions, left = self._open(PREDICTIONS), self._resumed[1]
            with (self._resumed[0] / PREDICTIONS).open("rb") as kept:
                while left and (data := kept.read(min(left, COPIED))):
                    self._predictions.write(data)
                    left -= len(data)
        return self._predictions

    def _write_table(self, name: str, rows: Sequence[Mapping[str, float | None]]) -> None:
        self._make()
        with (self.path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(row for row in rows if any(value is not None for value in row.values()))

    def _write_events(self, events: Iterable[Event]) -> None:
        with self._open("events.jsonl") as file:
            for event in events:
                options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
                file.write(orjson.dumps(event.to_dict(), option=options))

    def _open(self, name: str) -> IO[bytes]:
        self._make()
        return (self.path / name).open("wb")

    def _make(self) -> None:
        """Make the directory, and remove what an earlier run left in it."""
        if self._made:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in () if self._in_place else RUN_FILES:
                (self.path / name).unlink(missing_ok=True)
            for leaving in self.path.glob(LEAVINGS):
                leaving.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
        if not os.access(self.path, os.W_OK):
            raise ConfigError(f"{self.path}: cannot be written: permission denied")
        self._made = True


def _by_time() -> Path:
    """`runs/<time>`, numbered when that second has a run already."""
    stem = Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    path, number = stem, 2
    while path.exists():
        path, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return path
