"""The errors a user can meet; the command line prints them as one line and exits with code 2."""

from __future__ import annotations

__all__ = [
    "ArtefactError",
    "ConfigError",
    "DataError",
    "ExpertError",
    "LabelSpecError",
    "ServiceError",
    "StreamMLError",
]


class StreamMLError(Exception):
    """Base of every error that is the input's fault, not the program's."""


class DataError(StreamMLError):
    """A stream cannot be read: says file, line, field, what was expected and what was found."""

    def __init__(
        self,
        problem: str,
        *,
        source: str | None = None,
        line: int | None = None,
        field: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem, self.source, self.line, self.field = problem, source, line, field
        self.expected, self.found, self.hint = expected, found, hint
        where = source or ""
        if line is not None:
            where += f", line {line}" if where else f"line {line}"
        if field is not None:
            name = repr(field if len(field) <= 80 else field[:77] + "...")
            where += f", field {name}" if where else f"field {name}"
        text = f"{where}: {problem}" if where else problem
        if expected is not None:
            text += f"; expected {expected}"
        if found is not None:
            text += f", found {found if len(found) <= 80 else found[:77] + '...'}"
        if hint is not None:
            text += f" ({hint})"
        super().__init__(text)


class LabelSpecError(DataError):
    """Which columns are labels could not be told; the message says how to name them."""


class ArtefactError(StreamMLError):
    """A model or checkpoint cannot be read: it is missing, damaged, of another kind or of a newer version."""


class ServiceError(StreamMLError):
    """The service cannot start or go on: says what it met and what to do."""


class ConfigError(StreamMLError):
    """A configuration file, `--set` override or parameter is wrong."""


class ExpertError(StreamMLError):
    """An expert of one's own failed: says which, at which row of the batch, in which call, and how.

    The model has learned a part of the batch by then: it is to be loaded again, or to begin anew.
    """

    def __init__(self, expert: str, row: int, call: str, cause: Exception) -> None:
        self.expert, self.row, self.call, self.cause = expert, row, call, cause
        problem = f"{type(cause).__name__}: {cause}".rstrip(": ")
        super().__init__(f"extra expert {expert!r}, row {row} of the batch, {call}: {problem}")

    def further(self, rows: int) -> ExpertError:
        """The same, of a batch that has so many rows before."""
        return ExpertError(self.expert, self.row + rows, self.call, self.cause)
