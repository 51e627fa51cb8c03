"""MOA's multi-label learners (Bifet, Holmes, Kirkby, Pfahringer, JMLR 2010), run as a Java process of their own.

Rows go to the process as text, decisions come back: the process tests each row before it trains on it, and our metrics
score what it says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from stream_ml.errors import ConfigError
from stream_ml.peers.registry import MoaParameters
from stream_ml.streams.batch import LEARN, PREDICT, Batch, Predictions

__all__ = ["LEARNERS", "MoaModel", "jar_path"]

LEARNERS = {
    "multilabel_hoeffding_tree": "moa.classifiers.multilabel.MultilabelHoeffdingTree",
    "binary_relevance_tree": "moa.classifiers.multilabel.MEKAClassifier",
    "amrules": "moa.classifiers.rules.multilabel.AMRulesMultiLabelClassifier",
    "ozabag_adwin_ml": "moa.classifiers.multilabel.meta.OzaBagAdwinML",
}
SOURCE = Path(__file__).with_name("MoaPeer.java")


def jar_path(given: str | None = None) -> Path:
    """Where moa.jar is: as given, else $MOA_JAR, else where `make moa` puts it.

    Raises
    ------
    ConfigError
        It is not there.
    """
    places = [given] if given else [os.environ.get("MOA_JAR"), ".moa/moa.jar"]
    for place in places:
        if place and Path(place).is_file():
            return Path(place).resolve()
    raise ConfigError("MOA's peers need moa.jar: run `make moa`, or name it by the parameter jar or by $MOA_JAR")


class MoaModel:
    """A MOA learner in a Java process; only for streams whose labels and features are known from the start."""

    def __init__(self, name: str, settings: MoaParameters) -> None:
        self.name, self.settings = name, settings
        self._jar = jar_path(settings.jar)
        if shutil.which("java") is None:
            raise ConfigError(f"moa.{name} needs Java 17 or newer (the command java)")
        self._process: subprocess.Popen[str] | None = None
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)

    @property
    def parameters(self) -> dict[str, Any]:
        """All settings."""
        return {"learner": LEARNERS[self.name]}

    def _start(self, batch: Batch) -> subprocess.Popen[str]:
        if batch.known is not None:
            raise ConfigError("MOA's peers need streams whose labels and features are known from the start")
        arities = batch.schema.arities(batch.n_features).tolist()
        command = [
            "java",
            "-cp",
            str(self._jar),
            str(SOURCE),
            LEARNERS[self.name],
            str(batch.n_labels),
            *map(str, arities),
        ]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._noise, text=True, bufsize=1 << 16)

    def test_then_train(self, batch: Batch) -> Predictions:
        """Label sets of the rows with PREDICT; rows with LEARN are learned."""
        batch = batch.with_whole_sets()
        if self._process is None:
            self._process = self._start(batch)
        to, back = self._pipes()
        try:
            to.write(f"{len(batch)}\n")
            to.writelines(self._lines(batch))
            to.flush()
        except BrokenPipeError:
            raise ConfigError(f"moa.{self.name}: the Java process ended: {self._last_words()}") from None
        indptr, indices = np.zeros(len(batch) + 1, dtype=np.int64), []
        for row in range(len(batch)):
            answer = back.readline()
            if not answer:
                raise ConfigError(
                    f"moa.{self.name}: the Java process ended at row {batch.first + row}: {self._last_words()}"
                )
            if batch.mode[row] & PREDICT:
                indices += sorted(map(int, answer.split()))
            indptr[row + 1] = len(indices)
        return Predictions(indptr, np.array(indices, dtype=np.int32))

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConfigError(f"moa.{self.name}: the Java process is gone")
        return process.stdin, process.stdout

    def _lines(self, batch: Batch) -> list[str]:
        """Mode; labels; features: `mode|label label|index:value ...`."""
        x, values = batch.x_indices.tolist(), batch.x_values.tolist()
        y = batch.y_indices.tolist()
        lines = []
        for row in range(len(batch)):
            a, b = int(batch.x_indptr[row]), int(batch.x_indptr[row + 1])
            labels = y[batch.y_indptr[row] : batch.y_indptr[row + 1]] if batch.mode[row] & LEARN else []
            cells = " ".join(f"{j}:{v!r}" for j, v in zip(x[a:b], values[a:b], strict=True))
            lines.append(f"{int(batch.mode[row])}|{' '.join(map(str, labels))}|{cells}\n")
        return lines

    def _last_words(self) -> str:
        """The last line that the process complained with."""
        self._noise.seek(0)
        lines = self._noise.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "no message")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            to, back = self._pipes()
            to.close()
            back.close()
            self._process.wait(timeout=60)
            self._process = None
        self._noise.close()
