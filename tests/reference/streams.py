"""Plain-Python twins of the kernels that read rows; written from the ARFF format, slow and obvious."""

from __future__ import annotations

import re

__all__ = ["match_value", "parse_number", "parse_rows"]

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def parse_number(text):
    """The number that `text` is, None where it is none."""
    return float(text) if NUMBER.fullmatch(text) else None


def match_value(text, values):
    """Position of `text` among nominal values, -1 when it is none of them."""
    return values.index(text) if text in values else -1


def parse_rows(lines, columns, positive):
    """Rows of plain ARFF lines: per row ({feature: value, None where missing}, {label}).

    `columns`: per column its nominal values, or None. `positive`: per label column, by its position, the text that
    makes it positive. Features and labels are named by their column. A sparse row gives absent columns their 0.
    """
    rows = []
    for line in lines:
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if line.startswith("{"):
            cells = {i: values[0] if values else "0" for i, values in enumerate(columns)}
            for entry in filter(None, (part.strip() for part in line[1:-1].split(","))):
                index, value = entry.split()
                cells[int(index)] = value
        else:
            cells = dict(enumerate(part.strip() for part in line.split(",")))
        x, y = {}, set()
        for column, cell in cells.items():
            values = columns[column]
            if column in positive:
                same = cell == positive[column] if values else parse_number(cell) == parse_number(positive[column])
                y |= {column} if same else set()
            elif cell == "?":
                x[column] = None
            else:
                x[column] = float(match_value(cell, values)) if values else parse_number(cell)
        rows.append((x, y))
    return rows
