"""Plain-Python twins of the kernels that read one line or one file of rows: strings, splits and dicts."""

from __future__ import annotations

import re

from reference.streams import match_value, parse_number

__all__ = ["line_bounds", "parse_pair_rows", "parse_pairs", "parse_row"]

BLANK = " \t"


def line_bounds(text, start):
    """Where the line at `start` ends, and where its content begins and ends."""
    line = text[start:].split("\n")[0]
    content = line.strip(" \t\r")
    begin = start + len(line) - len(line.lstrip(" \t\r")) if content else start + len(line)
    return start + len(line), begin, begin + len(content)


def parse_row(row, sparse, separator, csv, columns, labels):
    """({feature column: value, None where missing}, {positive label column}, known) of a row, None where it is unusual.

    `columns`: per column its nominal values, or None. `labels`: {label column: value that makes it positive, a position
    or a number}. Sparse rows give what they name, but for zeros, and the labels that are positive where left out.
    """
    cells = {}
    parts = [part.strip(BLANK) for part in row.split(separator)]
    if sparse:
        last = -1
        for part in parts if row.strip(BLANK) else []:
            match = re.fullmatch(r"([0-9]{1,9})[ \t]+(.*)", part)
            if match is None or int(match.group(1)) <= last:
                return None
            last = int(match.group(1))
            cells[last] = match.group(2)
        if last >= len(columns):
            return None
    elif len(parts) != len(columns):
        return None
    else:
        cells = dict(enumerate(parts))
    x, y, unknown = {}, set(), 0
    if sparse:
        y = {c for c, positive in labels.items() if columns[c] and positive == 0 and c not in cells}
    for column, cell in cells.items():
        if cell == "?" or (csv and cell in ("", "NA")):
            value = None
        elif columns[column]:
            value = match_value(cell, columns[column])
            if value < 0:
                return None
        else:
            value = parse_number(cell)
            if value is None or abs(value) > 3.4e38:
                return None
        if column not in labels:
            if value != 0 or not sparse:
                x[column] = value
        elif value is None:
            unknown += 1
        elif value == labels[column]:
            y.add(column)
        elif value != 0 and not columns[column]:
            return None
    if unknown not in (0, len(labels)):
        return None
    return x, y, unknown == 0


def parse_pairs(row, n_features, n_labels):
    """({index: value}, [labels]) of a row `label,label index:value ...`, None where it is unusual."""
    words = re.split(r"[ \t]+", row.rstrip(BLANK))
    first = words.pop(0)
    if ":" in first:
        words, first = [first, *words], ""
    labels = first.split(",") if first else []
    plain = re.compile(r"0|[1-9][0-9]{0,8}")
    if not all(plain.fullmatch(m) and int(m) < n_labels for m in labels) or len(set(labels)) < len(labels):
        return None
    x, last = {}, -1
    for word in filter(None, words):
        index, _, text = word.partition(":")
        value = parse_number(text)
        if not plain.fullmatch(index) or not last < int(index) < n_features or value is None or abs(value) > 3.4e38:
            return None
        last = int(index)
        x[last] = value
    return x, sorted(map(int, labels))


def parse_pair_rows(text, blanks, n_features, n_labels):
    """Rows of the lines until one is unusual, and how many lines that were."""
    rows = []
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines):
        line = line.rstrip(" \t\r")
        if line.strip(" \t\r") or len(rows) < blanks:
            row = parse_pairs(line, n_features, n_labels)
            if row is None:
                return rows, number
            rows.append(row)
    return rows, len(lines)
