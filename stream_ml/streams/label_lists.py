"""Labels that stand together in one column of a table: `red|late`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from stream_ml.errors import LabelSpecError
from stream_ml.streams.batch import Batch
from stream_ml.streams.label_spec import label_columns
from stream_ml.streams.lines import shown
from stream_ml.streams.schema import Feature, Schema

__all__ = ["COLUMN", "LabelLists", "label_separator", "listed_column"]

COLUMN = "column:"
SEPARATORS = "|;,"
"""What is looked for between labels, in this order; the first where there is none of them."""
NEVER = "\0"
"""A value that no cell has: the column is one of texts, even if all of them look like numbers."""
KNOWN = 4096
"""Texts that compiled reading finds among those met; others are read with care."""


def listed_column(spec: object, names: Sequence[str], *, source: str) -> int | None:
    """Position of the column of `column:NAME`; None of any other specification.

    Raises
    ------
    LabelSpecError
        There is no such column, or no other one.
    """
    if not isinstance(spec, str) or not spec.startswith(COLUMN) or spec in names:
        return None
    quoted = spec.removeprefix(COLUMN).replace('"', '""')
    (at,) = label_columns(f'"{quoted}"', names, source=source)
    if len(names) == 1:
        raise LabelSpecError("the only column holds the labels: no features are left", source=source)
    return at


def label_separator(cells: Iterable[str], *, source: str, field: str) -> str:
    """What stands between the labels of some cells: `|`, else `;`, else `,`, whichever is in one of them.

    Raises
    ------
    LabelSpecError
        The cells are lists as Python or JSON writes them.
    """
    cells = [cell.strip() for cell in cells]
    written = next((cell for cell in cells if cell.startswith("[") and cell.endswith("]")), None)
    if written is not None:
        raise LabelSpecError(
            f"column {shown(field)} holds lists with brackets",
            source=source,
            hint=f"labels are written one after the other, such as late|too big; found {shown(written)}",
        )
    return next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), SEPARATORS[0])


class LabelLists:
    """Label sets by the text of their cell, for one pass over a file.

    The texts of the column are values of a nominal feature while rows are read; `taken` makes labels of it. New labels
    get positions in the order of the rows. The first texts are kept, as many as compiled reading looks through; of
    others the set is kept until its piece is made.

    Parameters
    ----------
    column
        The column's position among the features that are read.
    schema
        Where labels have positions; it grows.
    separator
        What stands between labels.
    """

    def __init__(self, column: int, schema: Schema, separator: str) -> None:
        self.column, self.schema, self.separator = column, schema, separator
        self.codes: dict[str, int] = {NEVER: 0}
        self._sets: list[list[int] | None] = [None]
        self._told = 0

    def feature(self, name: str) -> Feature:
        """The column as it is while rows are read, with the texts kept so far."""
        self._told = len(self.codes)
        return Feature(name, tuple(self.codes))

    @property
    def outgrown(self) -> bool:
        """Whether an eighth or more of the texts was met after `feature` was last asked for."""
        return 8 * (len(self.codes) - self._told) > self._told

    def code(self, text: str, *, told: bool) -> float:
        """What stands for the cell's labels in the column; not `told`: they are not known."""
        found = self.codes.get(text)
        if found is not None:
            return float(found)
        self._sets.append(self._labels(text) if told else None)
        if len(self.codes) < KNOWN:
            self.codes[text] = len(self._sets) - 1
        return float(len(self._sets) - 1)

    def _labels(self, text: str) -> list[int]:
        """Positions of the labels of a cell, rising."""
        places = set()
        for name in filter(None, map(str.strip, text.split(self.separator))):
            at = self.schema.label_index(name)
            places.add(self.schema.add_label(name) if at is None else at)
        return sorted(places)

    def taken(self, piece: Batch) -> Batch:
        """The rows with labels in place of the column."""
        n, width = len(piece), piece.n_features
        cells = piece.x_values.reshape(n, width)
        sets = [self._sets[int(code)] for code in cells[:, self.column].tolist()]
        del self._sets[len(self.codes) :]
        x = np.delete(cells, self.column, axis=1)
        sizes = [0 if labels is None else len(labels) for labels in sets]
        return Batch.of_rows(
            self.schema,
            np.arange(n + 1, dtype=np.int64) * (width - 1),
            np.tile(np.arange(width - 1, dtype=np.int32), n),
            np.ascontiguousarray(x).reshape(-1),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.array([m for labels in sets if labels for m in labels], dtype=np.int32),
            np.array([labels is not None for labels in sets], dtype=np.bool_),
        )
