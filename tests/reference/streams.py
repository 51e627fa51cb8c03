"""Plain-Python twins of the kernels that read rows; written from the formats, slow and obvious."""

from __future__ import annotations

import re

__all__ = [
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

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"0|[1-9][0-9]*")


def parse_number(text):
    """The number that `text` is, None where it is none."""
    return float(text) if NUMBER.fullmatch(text) else None


def match_value(text, values):
    """Position of `text` among nominal values, -1 when it is none of them."""
    return values.index(text) if text in values else -1


def line_bounds(text):
    """Length of the first line of `text`, and where its content begins and ends; both its length where it is blank."""
    line = text.split("\n", 1)[0]
    if not line.strip(" \t\r"):
        return len(line), None, None
    return len(line), len(line) - len(line.lstrip(" \t\r")), len(line.rstrip(" \t\r"))


def trimmed(text):
    """The text without the blanks around it."""
    return text.strip(" \t")


def entry_index(text):
    """A sparse entry as (index, text of its value), None where it is none."""
    entry = re.fullmatch(r"([0-9]{1,9})[ \t]+(.*\S)", text)
    return (int(entry.group(1)), entry.group(2)) if entry else None


def without_quotes(cell, csv):
    """The content of a cell that stands between separators and whether it was quoted, None where it is not plain."""
    marks = ['"'] if csv else ['"', "'"]
    for mark in marks:
        if len(trimmed(cell)) > 1 and trimmed(cell).startswith(mark) and trimmed(cell).endswith(mark):
            inner = trimmed(cell)[1:-1]
            plain = mark not in inner and "\\" not in inner and (not csv or cell == trimmed(cell))
            return (inner, True) if plain else None
    return trimmed(cell), False


def is_missing(text, csv):
    """Whether the text stands for a missing value."""
    return text in (["?", "", "NA"] if csv else ["?"])


def add_left_out(positive_where_absent, given, until):
    """The columns before `until` that are positive where a row does not give them, and is not given."""
    return [column for column in positive_where_absent if column < until and column not in given]


def is_plain_text(text):
    """Whether the text is short, without quotes, and of printable ASCII."""
    return len(text) <= 4096 and '"' not in text and all(" " <= c <= "~" or c == "\t" for c in text)


def parse_row(text, columns, positive, *, sparse=False, separator=",", csv=False, ignored=()):
    """A row as ({feature: value, None where missing}, {label}, labels known), or None: not plain.

    `columns`: per column its nominal values, or None. `positive`: per label column, by its position, the text that
    makes it positive. Features and labels are named by their column. A sparse row gives absent columns their first
    value, or 0, and is written without its braces. Columns that are `ignored` are passed over.
    """
    parts = [part.strip(" \t") for part in text.split(separator)]
    if sparse:
        entries = [re.fullmatch(r"([0-9]+)[ \t]+(.*)", part) for part in parts] if text else []
        if None in entries:
            return None
        indices = [int(entry.group(1)) for entry in entries]
        if indices != sorted(set(indices)) or any(index >= len(columns) for index in indices):
            return None
        cells = {i: values[0] if values else "0" for i, values in enumerate(columns)}
        cells |= {index: entry.group(2) for index, entry in zip(indices, entries, strict=True)}
    elif len(parts) != len(columns):
        return None
    else:
        cells = dict(enumerate(parts))
    x, y, unknown = {}, set(), 0
    for column, cell in cells.items():
        values = columns[column]
        if column in ignored:
            plain = without_quotes(text.split(separator)[column], csv)
            if plain is None or not is_plain_text(plain[0]):
                return None
            continue
        missing = cell == "?" or (csv and cell in ("", "NA"))
        quoted = re.fullmatch(r"""(["])([^"\\]*)"|(['])([^'\\]*)'""", cell)
        if quoted and not (csv and quoted.group(3)):
            cell = quoted.group(2) if quoted.group(1) else quoted.group(4)
            if cell in ("", "?") or (csv and (cell == "NA" or parts[column] not in text.split(separator))):
                return None
        value = None if missing else match_value(cell, values) if values else parse_number(cell)
        if not missing and (value is None or (values and value < 0)):
            return None
        if column not in positive:
            x[column] = value
        elif missing:
            unknown += 1
        elif not values and value not in (0, 1):
            return None
        elif cell == positive[column] if values else value == 1:
            y.add(column)
    return (x, y, unknown == 0) if unknown in (0, len(positive)) else None


def parse_rows(lines, columns, positive):
    """The rows of ARFF lines that are all plain; comments and blank lines are left out."""
    rows = []
    for line in map(str.strip, lines):
        if line and not line.startswith("%"):
            sparse = line.startswith("{")
            rows.append(parse_row(line[1:-1].strip() if sparse else line, columns, positive, sparse=sparse))
    return rows


def parse_pairs(text, n_features, n_labels):
    """The row `label,label index:value ...` as ([(index, value)], [label], rising), or None: not plain."""
    words = text.split()
    labels = words.pop(0).split(",") if words and text[0] not in " \t" and ":" not in words[0] else []
    pairs = [word.split(":", 1) for word in words]
    if any(len(pair) < 2 for pair in pairs) or not all(map(WHOLE.fullmatch, [*labels, *(pair[0] for pair in pairs)])):
        return None
    y, x = sorted(map(int, labels)), [(int(index), parse_number(value)) for index, value in pairs]
    indices = [index for index, _ in x]
    good = len(set(y)) == len(y) and all(label < n_labels for label in y)
    good = good and indices == sorted(set(indices)) and all(index < n_features for index in indices)
    return (x, y) if good and all(value is not None for _, value in x) else None


def parse_pair_rows(lines, blanks, n_features, n_labels):
    """Rows up to the first line that is not plain, and the number of lines read."""
    rows = []
    for number, line in enumerate(lines):
        if line.strip(" \t\r") or len(rows) < blanks:
            row = parse_pairs(line.rstrip(" \t\r"), n_features, n_labels)
            if row is None:
                return rows, number
            rows.append(row)
    return rows, len(lines)
