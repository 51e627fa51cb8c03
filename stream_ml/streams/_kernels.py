"""Compiled reading of plain rows; anything unusual is left to the careful readers, which know what to say of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.jit import lean_kernel

__all__ = [
    "LEFT_OUT",
    "LISTED",
    "MORE_ROOM",
    "UNUSUAL",
    "Columns",
    "Rows",
    "add_left_out",
    "entry_index",
    "is_missing",
    "is_plain_text",
    "line_bounds",
    "match_value",
    "parse_number",
    "parse_pair_rows",
    "parse_pairs",
    "parse_row",
    "parse_rows",
    "trimmed",
    "without_quotes",
]

POWERS = np.array([float(f"1e{k}") for k in range(71)])
NEWLINE, RETURN, SPACE, TAB, COMMA, OPEN, CLOSE, COLON = 10, 13, 32, 9, 44, 123, 125, 58
SINGLE, DOUBLE, BACKSLASH = 39, 34, 92
MINUS, PLUS, POINT, QUESTION, PERCENT = 45, 43, 46, 63, 37
UNUSUAL, MORE_ROOM = 1, 2
LISTED, LEFT_OUT = -2.0, -3.0
PLAIN_SIZE = 4096
TOO_LARGE = 3.4028235677973366e38  # rounds to infinity in single precision


class Columns(NamedTuple):
    """What the columns of a file mean.

    `targets[column]`: feature position, or `-1 - label`. `first_value[column] .. first_value[column + 1]`: its nominal
    values (none: numeric), whose texts are `texts[spans[v] : spans[v + 1]]`. `positive[column]`: the value that makes a
    label positive; `LISTED` of a feature that holds label lists, whose missing values are for the careful reader;
    `LEFT_OUT` of a column whose cells are passed over.
    `inverted`: label columns, rising, that are positive where a sparse row leaves them out.
    """

    targets: NDArray[np.int64]
    positive: NDArray[np.float64]
    inverted: NDArray[np.int64]
    first_value: NDArray[np.int64]
    spans: NDArray[np.int64]
    texts: NDArray[np.uint8]


class Rows(NamedTuple):
    """Parsed rows, CSR with the ends of the rows."""

    x_ends: NDArray[np.int64]
    x_indices: NDArray[np.int32]
    x_values: NDArray[np.float32]
    y_ends: NDArray[np.int64]
    y_indices: NDArray[np.int32]
    labelled: NDArray[np.bool_]


@lean_kernel
def parse_number(text, start, stop):
    """A number that rounds to the same float32 as the one in `text[start:stop]`, and whether there is one.

    Up to 53 bits and a power of ten up to 22 are exact in double precision (Clinger, PLDI 1990). Else the result is off
    by less than 2^-50 of it, and is taken where no such error can change the float32. What is left is for the careful
    reader.
    """
    k, sign = start, 1.0
    if k < stop and (text[k] == MINUS or text[k] == PLUS):
        sign = -1.0 if text[k] == MINUS else 1.0
        k += 1
    mantissa, power, kept, digits, behind_point = np.int64(0), np.int64(0), np.int64(0), 0, False
    while k < stop:
        c = np.int64(text[k])
        if 48 <= c <= 57:
            digits += 1
            if kept < 18:
                mantissa = mantissa * 10 + (c - 48)
                kept += mantissa > 0
                power -= behind_point
            else:
                power += not behind_point
        elif c == POINT and not behind_point:
            behind_point = True
        else:
            break
        k += 1
    if digits == 0:
        return 0.0, False
    if k < stop and (text[k] == 101 or text[k] == 69):  # e, E
        k += 1
        direction = 1
        if k < stop and (text[k] == MINUS or text[k] == PLUS):
            direction = -1 if text[k] == MINUS else 1
            k += 1
        exponent, first = np.int64(0), k
        while k < stop and 48 <= text[k] <= 57 and k - first < 5:
            exponent = exponent * 10 + (np.int64(text[k]) - 48)
            k += 1
        if k == first:
            return 0.0, False
        power += direction * exponent
    if k != stop:
        return 0.0, False
    if mantissa == 0:
        return sign * 0.0, True
    if power > 70 or power < -70:
        return 0.0, False
    value = float(mantissa) * POWERS[power] if power >= 0 else float(mantissa) / POWERS[-power]
    if value >= TOO_LARGE * 0.999999:
        return 0.0, False
    if mantissa > 1 << 53 or power > 22 or power < -22:
        error = value * 2.0**-50
        if np.float32(value - error) != np.float32(value + error):
            return 0.0, False
    return sign * value, True


@lean_kernel
def match_value(text, start, stop, first, last, spans, texts):
    """Position of the token among the nominal values `first .. last`, -1 where it is none of them."""
    for v in range(first, last):
        a, b = spans[v], spans[v + 1]
        if b - a == stop - start:
            same = True
            for k in range(b - a):
                if texts[a + k] != text[start + k]:
                    same = False
                    break
            if same:
                return v - first
    return -1


@lean_kernel
def line_bounds(text, start, stop):
    """Where the line at `start` ends, and where its content begins and ends without white space."""
    end = start
    while end < stop and text[end] != NEWLINE:
        end += 1
    a, b = start, end
    while a < b and (text[a] == SPACE or text[a] == TAB or text[a] == RETURN):
        a += 1
    while b > a and (text[b - 1] == SPACE or text[b - 1] == TAB or text[b - 1] == RETURN):
        b -= 1
    return end, a, b


@lean_kernel
def trimmed(text, start, stop):
    """Where `text[start:stop]` begins and ends without the blanks around it."""
    while start < stop and (text[start] == SPACE or text[start] == TAB):
        start += 1
    while stop > start and (text[stop - 1] == SPACE or text[stop - 1] == TAB):
        stop -= 1
    return start, stop


@lean_kernel
def entry_index(text, start, stop):
    """The index that begins the sparse entry `text[start:stop]`, -1 where none does, and the place of its value."""
    index, k = np.int64(0), start
    while k < stop and 48 <= text[k] <= 57 and k - start < 9:
        index = index * 10 + (np.int64(text[k]) - 48)
        k += 1
    if k in (start, stop) or not (text[k] == SPACE or text[k] == TAB):
        return np.int64(-1), k
    while k < stop and (text[k] == SPACE or text[k] == TAB):
        k += 1
    return index, k


@lean_kernel
def without_quotes(text, start, stop, csv, tight):
    """Where the content of the cell `text[start:stop]` begins and ends, whether it was quoted, and whether it is plain.

    Simple values may be quoted; in CSV with double quotes only, and no white space beside them (`tight`).
    """
    mark = text[start] if stop - start > 1 and text[start] == text[stop - 1] else 0
    if mark != DOUBLE and (mark != SINGLE or csv):
        return start, stop, False, True
    if csv and not tight:
        return start, stop, True, False
    for inner in range(start + 1, stop - 1):
        if text[inner] == mark or text[inner] == BACKSLASH:
            return start, stop, True, False
    return start + 1, stop - 1, True, True


@lean_kernel
def is_missing(text, start, stop, csv):
    """Whether the cell `text[start:stop]` stands for a missing value: `?`, in CSV also nothing and NA."""
    size = stop - start
    if size == 1:
        return text[start] == QUESTION
    return csv and (size == 0 or (size == 2 and text[start] == 78 and text[start + 1] == 65))  # NA


@lean_kernel
def is_plain_text(text, start, stop):
    """Whether `text[start:stop]` is short, without quotes, and of printable ASCII."""
    k = start
    while k < stop and text[k] != DOUBLE and (SPACE <= text[k] <= 126 or text[k] == TAB):
        k += 1
    return k == stop and stop - start <= PLAIN_SIZE


@lean_kernel
def add_left_out(absent_positive, at, column, targets, y_indices, n_y):
    """Add labels that a sparse row makes positive by leaving them out: columns before `column`, from `at` on.

    Returns the first of `absent_positive` that lies behind `column`, and the new `n_y`.
    """
    while at < len(absent_positive) and absent_positive[at] <= column:
        if absent_positive[at] < column:
            y_indices[n_y] = -1 - targets[absent_positive[at]]
            n_y += 1
        at += 1
    return at, n_y


@lean_kernel
def parse_row(text, a, b, sparse, separator, csv, columns, n_labels, rows, n_x, n_y):
    """Parse the row in `text[a:b]` into `rows` from `n_x`, `n_y` on.

    Returns the new `n_x`, `n_y`, whether the labels are known, and whether the row is plain.
    """
    # arrays taken out of the tuples once: every access through a tuple in a loop costs reference counting
    targets, positive, absent_positive = columns.targets, columns.positive, columns.inverted
    first_value, spans, texts = columns.first_value, columns.spans, columns.texts
    x_indices, x_values, y_indices = rows.x_indices, rows.x_values, rows.y_indices
    n_columns, n_inverted = len(targets), len(absent_positive) if sparse else 0
    column, k, inverted, unknown = np.int64(-1), a, 0, 0
    more = not sparse or a < b
    while more:
        token = k
        while k < b and text[k] != separator:
            k += 1
        more = k < b
        k += 1
        start, stop = trimmed(text, token, k - 1)
        if sparse:
            index, start = entry_index(text, start, stop)
            if index <= column:
                return n_x, n_y, False, False
            column = index
        else:
            column += 1
        if column >= n_columns:
            return n_x, n_y, False, False
        if inverted < n_inverted:
            inverted, n_y = add_left_out(absent_positive, inverted, column, targets, y_indices, n_y)
        start, stop, quoted, plain = without_quotes(text, start, stop, csv, start == token and stop == k - 1)
        if positive[column] == LEFT_OUT:
            if not (plain and is_plain_text(text, start, stop)):
                return n_x, n_y, False, False
            continue
        missing = is_missing(text, start, stop, csv)
        if missing and not quoted:
            value, plain = math.nan, plain and positive[column] != LISTED
        elif missing or start == stop:
            plain = False
        elif first_value[column + 1] > first_value[column]:
            nominal = match_value(text, start, stop, first_value[column], first_value[column + 1], spans, texts)
            value, plain = float(nominal), plain and nominal >= 0
        elif plain:
            value, plain = parse_number(text, start, stop)
        if not plain:
            return n_x, n_y, False, False
        target = targets[column]
        if target >= 0:
            if not sparse or value != 0.0:
                x_indices[n_x] = target
                x_values[n_x] = np.float32(value)
                n_x += 1
        elif value == positive[column]:
            y_indices[n_y] = -1 - target
            n_y += 1
        elif value != value:
            unknown += 1
        elif value != 0.0 and first_value[column + 1] == first_value[column]:
            return n_x, n_y, False, False
    if inverted < n_inverted:
        inverted, n_y = add_left_out(absent_positive, inverted, n_columns, targets, y_indices, n_y)
    whole = sparse or column == n_columns - 1
    return n_x, n_y, unknown == 0, whole and (unknown == 0 or unknown == n_labels)


@lean_kernel
def parse_rows(text, start, stop, sparse, separator, csv, columns, n_labels, rows):
    """Parse lines of `text[start:stop]` until one is unusual or `rows` is full.

    A sparse row of a dense stream (`sparse` false) is unusual, and so is a dense one of a sparse stream. Returns the
    place of the first line that was not parsed, how many rows and lines were, and why it stopped: `UNUSUAL`,
    `MORE_ROOM`, or 0 at the end.
    """
    n_columns = len(columns.targets)
    n_rows = n_lines = n_x = n_y = 0
    place = start
    while place < stop:
        end, a, b = line_bounds(text, place, stop)
        if a < b and (csv or text[a] != PERCENT):
            if (
                n_rows == len(rows.x_ends)
                or n_x + n_columns > len(rows.x_indices)
                or n_y + n_columns > len(rows.y_indices)
            ):
                return place, n_rows, n_lines, MORE_ROOM
            braced = not csv and text[a] == OPEN
            if braced != sparse or (sparse and text[b - 1] != CLOSE):
                return place, n_rows, n_lines, UNUSUAL
            if csv:  # white space may be an empty cell where tabs separate
                a, b = place, end
                while b > a and text[b - 1] == RETURN:
                    b -= 1
            elif sparse:
                a, b = trimmed(text, a + 1, b - 1)
            x_end, y_end, known, plain = parse_row(
                text, a, b, sparse, separator, csv, columns, n_labels, rows, n_x, n_y
            )
            if not plain:
                return place, n_rows, n_lines, UNUSUAL
            n_x, n_y = x_end, y_end
            rows.x_ends[n_rows] = n_x
            rows.y_ends[n_rows] = n_y
            rows.labelled[n_rows] = known
            n_rows += 1
        n_lines += 1
        place = end + 1
    return min(place, stop), n_rows, n_lines, 0


@lean_kernel
def parse_pairs(text, a, b, n_features, n_labels, rows, n_x, n_y):
    """Parse the row `label,label index:value ...` in `text[a:b]` into `rows` from `n_x`, `n_y` on.

    Returns the new `n_x`, `n_y` and whether the row is plain: whole numbers without leading zeros below the limits,
    indices rising, labels without repetition, which come out sorted.
    """
    x_indices, x_values, y_indices = rows.x_indices, rows.x_values, rows.y_indices
    k, first_y, last = a, n_y, np.int64(-1)
    in_labels = k < b and text[k] != SPACE and text[k] != TAB
    while k < b:
        while k < b and (text[k] == SPACE or text[k] == TAB):
            k += 1
        if k == b:
            break
        number, first = np.int64(0), k
        while k < b and 48 <= text[k] <= 57 and k - first < 9:
            number = number * 10 + (np.int64(text[k]) - 48)
            k += 1
        if k == first or (text[first] == 48 and k > first + 1):
            return n_x, n_y, False
        if k < b and text[k] == COLON:
            k += 1
            start = k
            while k < b and text[k] != SPACE and text[k] != TAB:
                k += 1
            value, plain = parse_number(text, start, k)
            if not plain or number <= last or number >= n_features:
                return n_x, n_y, False
            x_indices[n_x] = number
            x_values[n_x] = np.float32(value)
            n_x += 1
            last, in_labels = number, False
            continue
        ends = k == b or text[k] == SPACE or text[k] == TAB
        if not in_labels or number >= n_labels or not (ends or text[k] == COMMA):
            return n_x, n_y, False
        place = n_y
        while place > first_y and y_indices[place - 1] > number:
            y_indices[place] = y_indices[place - 1]
            place -= 1
        if place > first_y and y_indices[place - 1] == number:
            return n_x, n_y, False
        y_indices[place] = number
        n_y += 1
        if ends:
            in_labels = False
        else:
            k += 1
            if k == b or text[k] == SPACE or text[k] == TAB:
                return n_x, n_y, False
    return n_x, n_y, True


@lean_kernel
def parse_pair_rows(text, start, stop, blanks, n_features, n_labels, rows):
    """Parse lines `label,label index:value ...` of `text[start:stop]` until one is unusual or `rows` is full.

    Among the first `blanks` rows, an empty line is a row. Returns as `parse_rows`.
    """
    n_rows = n_lines = n_x = n_y = 0
    place = start
    while place < stop:
        end, a, b = line_bounds(text, place, stop)
        if a < b or n_rows < blanks:
            room = (end - place) // 2 + 1  # every pair and every label takes two characters or more
            if n_rows == len(rows.x_ends) or n_x + room > len(rows.x_indices) or n_y + room > len(rows.y_indices):
                return place, n_rows, n_lines, MORE_ROOM
            n_x, n_y, plain = parse_pairs(text, place, b, n_features, n_labels, rows, n_x, n_y)
            if not plain:
                return place, n_rows, n_lines, UNUSUAL
            rows.x_ends[n_rows] = n_x
            rows.y_ends[n_rows] = n_y
            rows.labelled[n_rows] = True
            n_rows += 1
        n_lines += 1
        place = end + 1
    return min(place, stop), n_rows, n_lines, 0
