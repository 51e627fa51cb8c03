"""Numbers as they stand in files."""

from __future__ import annotations

import math

from stream_ml.errors import DataError

__all__ = ["number"]

LARGEST = 3.4028235e38
"""Largest finite float32."""


def number(text: str, *, source: str, line: int, field: str) -> float:
    """The finite number that `text` is.

    Raises
    ------
    DataError
        It is none, is NaN or infinite, or does not fit single precision.

    Examples
    --------
    >>> number("1e-3", source="f", line=1, field="x")
    0.001
    """
    try:
        value = float(text)
    except ValueError:
        raise DataError(
            "not a number", source=source, line=line, field=field, expected="a number", found=repr(text)
        ) from None
    if "_" in text:
        raise DataError("not a number", source=source, line=line, field=field, expected="a number", found=repr(text))
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise DataError(
            "not a finite number",
            source=source,
            line=line,
            field=field,
            expected="a finite number in single precision, or ? where it is missing",
            found=repr(text),
        )
    return value
