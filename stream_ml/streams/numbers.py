"""Numbers as they stand in files."""

from __future__ import annotations

import math

from stream_ml.errors import DataError
from stream_ml.streams.lines import shown

__all__ = ["TOO_LARGE", "number"]

TOO_LARGE = 3.4028235677973366e38
"""The smallest number that rounds to infinity in single precision."""


def number(text: str, *, source: str, line: int, field: str, missing: bool = True) -> float:
    """The finite number that `text` is; `missing` tells whether the format writes ? for a missing value.

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
        # float() would also take underscores and the digits of other scripts
        value = float(text) if text.isascii() and "_" not in text and len(text) < 10_000 else None
    except ValueError:
        value = None
    if value is None:
        raise DataError("not a number", source=source, line=line, field=field, expected="a number", found=shown(text))
    if not abs(value) < TOO_LARGE:
        literal = math.isnan(value) or "inf" in text.lower()
        raise DataError(
            "not a finite number" if literal else "too large for single precision",
            source=source,
            line=line,
            field=field,
            expected=("a finite number" + ", or ? where it is missing" * missing) if literal else "at most 3.4e38",
            found=shown(text),
        )
    return value
