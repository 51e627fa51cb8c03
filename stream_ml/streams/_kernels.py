"""Compiled reading of plain ARFF rows; anything unusual is left to the careful reader."""

from __future__ import annotations

import math

import numpy as np

from stream_ml.jit import kernel

__all__ = ["match_value", "parse_number", "parse_rows"]

POWERS = np.array([10.0**k for k in range(23)])
NEWLINE, RETURN, SPACE, TAB, COMMA, OPEN, CLOSE = 10, 13, 32, 9, 44, 123, 125
MINUS, PLUS, POINT, QUESTION, PERCENT = 45, 43, 46, 63, 37


@kernel
def parse_number(text, start, stop):
    """The number written in `text[start:stop]` and whether it could be told exactly.

    Up to 15 digits and a power of ten up to 22 are exact in double precision (Clinger, PLDI 1990); others, and what is
    no number, are for the careful reader.
    """
    k, sign = start, 1.0
    if k < stop and (text[k] == MINUS or text[k] == PLUS):
        sign = -1.0 if text[k] == MINUS else 1.0
        k += 1
    mantissa, digits, decimals, seen_point = 0.0, 0, 0, False
    while k < stop:
        c = text[k]
        if 48 <= c <= 57:
            mantissa = mantissa * 10.0 + (c - 48)
            digits += 1
            decimals += seen_point
        elif c == POINT and not seen_point:
            seen_point = True
        else:
            break
        k += 1
    if digits == 0 or digits > 15:
        return 0.0, False
    power = -decimals
    if k < stop and (text[k] == 101 or text[k] == 69):  # e, E
        k += 1
        direction = 1
        if k < stop and (text[k] == MINUS or text[k] == PLUS):
            direction = -1 if text[k] == MINUS else 1
            k += 1
        exponent, first = 0, k
        while k < stop and 48 <= text[k] <= 57 and k - first < 4:
            exponent = exponent * 10 + (text[k] - 48)
            k += 1
        if k == first:
            return 0.0, False
        power += direction * exponent
    if k != stop or power > 22 or power < -22:
        return 0.0, False
    value = mantissa * POWERS[power] if power >= 0 else mantissa / POWERS[-power]
    return sign * value, True


@kernel
def match_value(text, start, stop, values, first, last, spans):
    """Position of the token among nominal values `first .. last` (spans into `values`), -1 when it is none of them."""
    for v in range(first, last):
        a, b = spans[v], spans[v + 1]
        if b - a == stop - start:
            same = True
            for k in range(b - a):
                if values[a + k] != text[start + k]:
                    same = False
                    break
            if same:
                return v - first
    return -1


@kernel
def parse_rows(
    text,
    start,
    stop,
    targets,
    positive,
    values,
    first_value,
    spans,
    x_indices,
    x_values,
    y_indices,
    x_ends,
    y_ends,
    done,
):
    """Parse lines of `text[start:stop]` until one is unusual or the output is full.

    `targets[column]`: feature position, or `-1 - label`. `first_value[column] .. first_value[column + 1]` are the
    column's nominal values (none: numeric); `positive[column]` is the value that makes a label positive (numeric: 1).
    Writes the rows as CSR (ends in `x_ends`, `y_ends`); `done` gets rows, lines, and whether the row that stopped it is
    for the careful reader (1) or waits for room (2). Returns the place of the first line that was not parsed.
    """
    n_columns = len(targets)
    rows = lines = n_x = n_y = 0
    done[2] = 0
    place = start
    while place < stop:
        end = place
        while end < stop and text[end] != NEWLINE:
            end += 1
        a, b = place, end
        while a < b and (text[a] == SPACE or text[a] == TAB or text[a] == RETURN):
            a += 1
        while b > a and (text[b - 1] == SPACE or text[b - 1] == TAB or text[b - 1] == RETURN):
            b -= 1
        if a == b or text[a] == PERCENT:
            lines += 1
            place = end + 1
            continue
        if rows == len(x_ends) or n_x + n_columns > len(x_indices) or n_y + n_columns > len(y_indices):
            done[2] = 2
            break
        sparse = text[a] == OPEN
        good = True
        if sparse:
            good = text[b - 1] == CLOSE
            a, b = a + 1, b - 1
        column, k, row_x, row_y = -1, a, n_x, n_y
        if sparse:
            while k < b and (text[k] == SPACE or text[k] == TAB):
                k += 1
        while good and (k < b or (not sparse and column < n_columns - 1)):
            token = k
            while k < b and text[k] != COMMA:
                k += 1
            token_end = k
            while token < token_end and (text[token] == SPACE or text[token] == TAB):
                token += 1
            while token_end > token and (text[token_end - 1] == SPACE or text[token_end - 1] == TAB):
                token_end -= 1
            if k < b:
                k += 1
                good = k < b or not sparse  # a comma wants something behind it
            if sparse:
                index = 0
                digits = token
                while token < token_end and 48 <= text[token] <= 57 and token - digits < 9:
                    index = index * 10 + (text[token] - 48)
                    token += 1
                if token in (digits, token_end) or not (text[token] == SPACE or text[token] == TAB):
                    good = False
                    break
                while token < token_end and (text[token] == SPACE or text[token] == TAB):
                    token += 1
                if index <= column:
                    good = False
                    break
                column = index
            else:
                column += 1
            if column >= n_columns or token == token_end:
                good = False
                break
            target = targets[column]
            if token_end - token == 1 and text[token] == QUESTION and target >= 0:
                value = math.nan
            elif first_value[column + 1] > first_value[column]:
                value = float(
                    match_value(text, token, token_end, values, first_value[column], first_value[column + 1], spans)
                )
                if value < 0.0:
                    good = False
                    break
            else:
                value, good = parse_number(text, token, token_end)
                if not good or abs(value) > 3e38:
                    good = False
                    break
            if target >= 0:
                if not sparse or value != 0.0:
                    x_indices[n_x] = target
                    x_values[n_x] = np.float32(value)
                    n_x += 1
            elif value == positive[column]:
                y_indices[n_y] = -1 - target
                n_y += 1
            elif first_value[column + 1] == first_value[column] and value != 0.0:
                good = False
        if not good or (not sparse and (column != n_columns - 1 or k < b or text[b - 1] == COMMA)):
            n_x, n_y = row_x, row_y
            done[2] = 1
            break
        x_ends[rows] = n_x
        y_ends[rows] = n_y
        rows += 1
        lines += 1
        place = end + 1
    done[0] = rows
    done[1] = lines
    return min(place, stop)
