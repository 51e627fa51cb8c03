"""Plain-Python twin of `stream_ml.experts._neighbour_kernels`: all rows are kept, and those in the window looked at."""

from __future__ import annotations

import math

SEGMENT = 128
LOWEST = 1e-3


def _products(query, row):
    """Inner product of two rows, dicts column -> value."""
    return sum(weight * row[column] for column, weight in query.items() if column in row)


def _nearest(scores, k):
    """Indices of the k highest scores, highest first, of equals the first; `scores` may hold None.

    Twin of `_score` and `_bound`, too.
    """
    return sorted((i for i, s in enumerate(scores) if s is not None), key=lambda i: -scores[i])[:k]


def _weigh(sparse, scores):
    if sparse:
        return [s**3 for s in scores]
    nearest = math.sqrt(max(1e-12, -scores[0])) if scores else 1.0
    return [(math.sqrt(max(0.0, -s)) / nearest + 1e-3) ** -3 for s in scores]


def _odds(odds, votes, total, pseudo):
    """Log-odds of one label; the prior counts as much as the nearest neighbour. Twin of `_silence`, too."""
    if votes > 0:
        p = (votes + pseudo / (1 + math.exp(-odds))) / (total + pseudo)
        p = min(1 - LOWEST, max(LOWEST, p))
        return math.log(p / (1 - p))
    return max(math.log(LOWEST / (1 - LOWEST)), odds + math.log(pseudo / (total + pseudo)))


def _vote(weights, numbers, label_sets, prior, valid):
    """Log-odds of each label by the rows that are not outdated for it. Twin of `_vote_anew`, too."""
    result = []
    for odds, first, label in zip(prior, valid, range(len(prior)), strict=True):
        good = [(w, y) for w, number, y in zip(weights, numbers, label_sets, strict=True) if number >= first]
        total = sum(w for w, _ in good)
        if not good or total <= 0 or weights[0] <= 0:
            result.append(odds)
        else:
            result.append(_odds(odds, sum(w for w, y in good if label in y), total, weights[0]))
    return result


class _Window:
    """All rows so far; those of the open segment and of the `storages - 2` before it count.

    Twin of `_remember`, `_open_segment` and `_close_segment`, which recycle storage instead, and of `_add_to_set` and
    `fill_sets`, which say once more what the rows say.
    """

    def __init__(self, sparse, storages):
        self.sparse, self.storages, self.rows, self.frequency = sparse, storages, [], {}

    def _remember(self, row, length, label_set):
        self.rows.append((row, length, label_set))
        for column in row:
            self.frequency[column] = self.frequency.get(column, 0) + 1

    def idf(self, column):
        return math.log((len(self.rows) + 2) / (self.frequency.get(column, 0) + 1)) if self.sparse else 1.0

    def first(self):
        return max(0, len(self.rows) // SEGMENT - (self.storages - 2)) * SEGMENT

    def slot(self, place):
        return place // SEGMENT % self.storages * SEGMENT + place % SEGMENT


def neighbours_block(rows, label_sets, modes, sparse, prior, storages, k, since=None, valid=None):
    """Per row (slots, votes, log-odds); `rows` are dicts column -> value, `prior` rows of log-odds.

    `since` and `valid` give, by the row in whose turn they begin to hold, the first row that is looked at, and the
    first whose word counts on each label. Twin of `_neighbour_rows` and `_look`, too.
    """
    window, result = _Window(sparse, storages), []
    begin, firsts = 0, [0] * len(prior[0]) if prior else []
    for at, (row, label_set, mode, odds) in enumerate(zip(rows, label_sets, modes, prior, strict=True)):
        begin, firsts = (since or {}).get(at, begin), (valid or {}).get(at, firsts)
        idf = {column: window.idf(column) for column in row}
        length = math.sqrt(sum((value * idf[column]) ** 2 for column, value in row.items()))
        query = {column: value * idf[column] ** 2 for column, value in row.items()}
        first, scores = max(window.first(), begin), []
        for other, norm, _ in window.rows[first:]:
            product = _products(query, other)
            if not sparse:
                scores.append(2 * product - length**2 - norm**2)
            else:
                score = product / max(1e-12, length * norm)
                scores.append(score if score > 0 else None)
        near = _nearest(scores, k)
        votes = _weigh(sparse, [scores[i] for i in near])
        numbers = [first + i for i in near]
        log_odds = _vote(votes, numbers, [window.rows[number][2] for number in numbers], odds, firsts)
        result.append(([window.slot(first + i) for i in near], votes, log_odds))
        if mode & 2:
            window._remember(row, length, label_set)
    return result
