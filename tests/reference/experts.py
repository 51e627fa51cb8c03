"""Plain-Python twins of `stream_ml.experts._kernels`: one instance at a time, dicts and lists, float64 throughout."""

from __future__ import annotations

import math
from collections import defaultdict


def sigmoid(z):
    return 1.0 / (1.0 + math.exp(-z))


def clip(z, bound=8.0):
    return max(-bound, min(bound, z))


def _learn_moments(values, centred, memory):
    """Weighted mean (0 unless centred), and deviation from it; value i came in with weight 1/min(i, memory)."""
    weights = []
    for i in range(1, len(values) + 1):
        gain = 1.0 / min(i, memory)
        weights = [w * (1.0 - gain) for w in weights] + [gain]
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) if centred else 0.0
    return mean, math.sqrt(sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)))


def _standardise(value, centred, mean, deviation):
    if deviation > 1e-9:
        value = mean + clip(value - mean, 30.0 * deviation)
        return value, clip((value - mean) / deviation, 5.0)
    return value, math.copysign(1.0, value) if value and not centred else 0.0


def design_rows(rows, modes, arities, sparse, memory=10_000.0):
    """`rows`: lists of (feature, value). Returns per row a list of (column, raw, standardised, unit)."""
    start, column_of = 0, []
    for arity in arities:
        column_of.append(start)
        start += arity if arity > 2 else 1
    seen = defaultdict(list)  # column -> learned values
    result = []
    for row, mode in zip(rows, modes, strict=True):
        cells = []
        for feature, value in row:
            if math.isnan(value):
                continue
            column, arity = column_of[feature], arities[feature]
            if arity > 2:
                if value >= arity:
                    continue
                column, value = column + int(value), 1.0
            centred = not sparse and arity <= 2
            cells.append((column, *_standardise(value, centred, *_learn_moments(seen[column], centred, memory))))
        norm = math.sqrt(sum(s * s for _, _, s in cells)) or 1.0
        result.append([(c, v, s, s / norm) for c, v, s in cells])
        if mode & 2:
            for column, value, _ in cells:
                seen[column].append(value)
    return result


def linear_block(rows, labels, unknown, modes, n_labels, rate, adaptive, first_squares):
    """`rows`: lists of (column, value). Returns log-odds per row. Twin of `_linear_rows`, too."""
    weights = [defaultdict(float) for _ in range(n_labels)]
    squares = [defaultdict(lambda: first_squares) for _ in range(n_labels)]
    bias, label_squares = [0.0] * n_labels, [first_squares] * n_labels
    result = []
    for row, positive, hidden, mode in zip(rows, labels, unknown, modes, strict=True):
        z = [clip(bias[m] + sum(weights[m][c] * v for c, v in row)) for m in range(n_labels)]
        result.append(z)
        if not mode & 2:
            continue
        length = sum(v * v for _, v in row)
        for m in set(range(n_labels)) - hidden:
            error = sigmoid(z[m]) - (m in positive)
            label_squares[m] += error**2
            step = error / math.sqrt(label_squares[m])
            if adaptive:
                bias[m] -= rate * step
            else:
                bias[m] -= rate / (1 + length) * step
            for c, v in row:
                if adaptive:
                    squares[m][c] += (error * v) ** 2
                    weights[m][c] -= rate / max(1.0, math.sqrt(length)) * error * v / math.sqrt(squares[m][c])
                else:
                    weights[m][c] -= rate / (1 + length) * step * v
    return result


def _known(labels, unknown, modes, m):
    """Before each row: whether label m was there in the learned rows of which it is known, oldest first."""
    past = []
    for positive, hidden, mode in zip(labels, unknown, modes, strict=True):
        yield list(past)
        if mode & 2 and m not in hidden:
            past.append(m in positive)


def prior_block(labels, unknown, modes, n_labels, fading):
    """Twin of `_prior_odds` and `_learn_prior`, and with `recency_block` of `frequency_block`."""
    columns = []
    for m in range(n_labels):
        columns.append([])
        for past in _known(labels, unknown, modes, m):
            weigh = [fading**age for age in reversed(range(len(past)))]
            count = sum(w for w, hit in zip(weigh, past, strict=True) if hit)
            p = min(0.999, (count + 0.1) / (sum(weigh) + 1.0))
            columns[m].append(max(-8.0, math.log(p / (1 - p))))
    return list(zip(*columns, strict=True))


def recency_block(labels, unknown, modes, n_labels, fading):
    """Twin of `_recency_odds`, `_fade_recency` and `_learn_recency`."""
    columns = []
    for m in range(n_labels):
        columns.append([])
        for past in _known(labels, unknown, modes, m):
            weigh = [fading**age for age in reversed(range(len(past)))]
            p = (sum(w for w, hit in zip(weigh, past, strict=True) if hit) + 0.1) / (sum(weigh) + 1)
            had = bool(past) and past[-1]
            pairs = zip(weigh, [False, *past[:-1]], past, strict=True) if past else ()
            alike = [(w, hit) for w, before, hit in pairs if before == had]
            p = (sum(w for w, hit in alike if hit) + p) / (sum(w for w, _ in alike) + 1)
            p = min(0.9997, max(0.0003, p))
            columns[m].append(math.log(p / (1 - p)))
    return list(zip(*columns, strict=True))


def filled(logits, labels, unknown):
    """Label sets made whole: of labels that are not known those of positive log-odds."""
    return [
        sorted(positive | {m for m in hidden if row[m] > 0})
        for row, positive, hidden in zip(logits, labels, unknown, strict=True)
    ]


def _presence_odds(past, column, label):
    """`past`: learned (row, positive set) pairs of presence columns."""
    mass = sum(len(row) for row, _ in past)
    label_mass = sum(len(row) for row, positive in past if label in positive)
    have = sum(column in row for row, _ in past)
    both = sum(column in row for row, positive in past if label in positive)
    share = 4.0 * (have + 1) / (mass + 1)
    return math.log(((both + share / 2) / (label_mass + 2)) / ((have - both + share / 2) / (mass - label_mass + 2)))


def _refresh_gaussian(values, positives):
    """Centre, scale and (a, b, c) of the log-odds of one numeric column, from all learned (value, is positive)."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    if variance <= 0:
        return None
    sd = math.sqrt(variance)
    groups = ([], [])
    for value, positive in zip(values, positives, strict=True):
        groups[positive].append((value - mean) / sd)
    if not groups[0] or not groups[1]:
        return mean, 1 / sd, (0.0, 0.0, 0.0)
    shrunk = []
    for group in groups:
        m = sum(group) / len(group)
        spread = sum((v - m) ** 2 for v in group)
        shrunk.append((sum(group) / (len(group) + 5.0), (spread + 5.0) / (len(group) + 5.0)))
    (m0, v0), (m1, v1) = shrunk
    c = 0.5 * (m0 * m0 / v0 - m1 * m1 / v1 + math.log(v0 / v1))
    return mean, 1 / sd, (0.5 / v0 - 0.5 / v1, m1 / v1 - m0 / v0, c)


class _Bayes:
    """Coefficients as of their last refresh, made anew from the whole past each time.

    Twin of `_bayes_evidence`, `_bayes_rows`, `_renew_presence` and `_renew_positive`.
    """

    def __init__(self, n_labels, centred):
        self.n_labels, self.centred = n_labels, centred
        self.past = []  # (row dict, positive set)
        self.due = defaultdict(float)
        self.odds = defaultdict(float)  # (column, label) -> log-odds of presence
        self.gauss = {}  # (column, label) -> centre, scale, (a, b, c)

    def score(self, row, label):
        z = 0.0
        for column, value in row.items():
            if self.centred[column]:
                if (column, label) in self.gauss:
                    centre, scale, (a, b, c) = self.gauss[column, label]
                    u = clip((value - centre) * scale, 5.0)
                    z += (a * u + b) * u + c
            elif value:
                z += self.odds[column, label]
        count = sum(label in positive for _, positive in self.past)
        prior = math.log((count + 0.5) / (len(self.past) - count + 0.5))
        return clip(prior + z / math.sqrt(max(1, len(row))))

    def learn(self, row, positive):
        self._learn_bayes(row, positive)

    def _learn_bayes(self, row, positive):
        self.past.append((row, positive))
        presence = [({c for c, v in r.items() if v and not self.centred[c]}, p) for r, p in self.past]
        for column in row:
            with_column = [(r[column], p) for r, p in self.past if column in r and (self.centred[column] or r[column])]
            due = len(with_column) >= self.due[column]
            if due:
                self.due[column] = len(with_column) * 1.1 + 1.0
            for label in range(self.n_labels):
                if not self.centred[column]:
                    if due or label in positive:
                        self.odds[column, label] = _presence_odds(presence, column, label)
                elif due:
                    fit = _refresh_gaussian([v for v, _ in with_column], [label in p for _, p in with_column])
                    if fit is not None:
                        self.gauss[column, label] = fit


def naive_bayes_block(rows, labels, modes, n_labels, centred):
    """`rows`: dicts column -> value."""
    model, result = _Bayes(n_labels, centred), []
    for row, positive, mode in zip(rows, labels, modes, strict=True):
        result.append([model.score(row, label) for label in range(n_labels)])
        if mode & 2:
            model.learn(row, positive)
    return result


def solve(matrix, right):
    """Solution of linear equations, by Gauss and Jordan with pivots; the lower triangle of `matrix` is given."""
    n = len(right)
    rows = [[matrix[max(i, j)][min(i, j)] for j in range(n)] + [right[i]] for i in range(n)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(n):
            if r != i:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[-1] for row in rows]


class _Shared:
    """Weights that labels share, by Newton's method on their fading log-loss. Twin of `_fade` and `_step`, too."""

    def __init__(self, weights, decay, ridge):
        self.weights, self.decay, self.ridge, self.size = list(weights), decay, ridge, len(weights)
        self.information = [[ridge * (i == j) for j in range(self.size)] for i in range(self.size)]
        self.gradient = [0.0] * self.size

    def fade(self):
        for i in range(self.size):
            for j in range(self.size):
                fresh = self.ridge * (1 - self.decay) * (i == j)
                self.information[i][j] = self.information[i][j] * self.decay + fresh

    def step(self):
        step = solve(self.information, self.gradient)
        self.weights = [w - s for w, s in zip(self.weights, step, strict=True)]
        self.gradient = [0.0] * self.size


class _Stack:
    def __init__(self, first_weights, n_labels, own_rate, decay, ridge, aside):
        self.size, self.n_labels, self.own_rate = len(first_weights) + 1, n_labels, own_rate
        self.shared = _Shared([*first_weights, 0.0], decay, ridge)
        self.apart = _Shared([0.0] * self.size, decay, ridge)
        self.aside = aside or [0] * n_labels
        self.own = [[0.0] * n_labels for _ in range(self.size)]
        self.squares = [[1.0] * n_labels for _ in range(self.size)]
        self.learned, self.kept = 0, [list(self.shared.weights)] * 2

    def of(self, m):
        """The weights that a label shares now."""
        return self.apart if self.learned < self.aside[m] else self.shared

    def predict(self, inputs):
        columns = list(zip(*inputs, strict=True))
        own = list(zip(*self.own, strict=True))
        odds = [
            sum((w + o) * x for w, o, x in zip(self.of(m).weights, own[m], columns[m], strict=True))
            for m in range(self.n_labels)
        ]
        return [sigmoid(clip(z, 10.0)) for z in odds]

    def _learn_stack(self, inputs, p, positive, hidden):
        """AdaGrad for the labels' own parts. Twin of `_learn_curvature`, too."""
        for part in (self.shared, self.apart):
            part.fade()
        for m in set(range(self.n_labels)) - hidden:
            x, part = [inputs[i][m] for i in range(self.size)], self.of(m)
            error = p[m] - (m in positive)
            part.gradient = [g + error * value for g, value in zip(part.gradient, x, strict=True)]
            if abs(error) >= 0.01:
                for i in range(self.size):
                    self.squares[i][m] += (error * x[i]) ** 2
                    self.own[i][m] -= self.own_rate * error * x[i] / math.sqrt(self.squares[i][m])
                if p[m] * (1 - p[m]) >= 0.01:
                    for i in range(self.size):
                        for j in range(self.size):
                            part.information[i][j] += p[m] * (1 - p[m]) * x[i] * x[j]
        self.learned += 1
        if self.learned <= 1000 or self.learned % 4 == 0:
            self.shared.step()
            self.apart.step()
        if self.learned % 200 == 0:
            self.kept = [list(self.shared.weights), self.kept[0]]


def stack_block(logits, labels, unknown, modes, first_weights, own_rate, decay, ridge, aside=None):
    """`logits`: rows x experts x labels; gives the probabilities, and the model at the end.

    `aside`: learned rows until which each label shares the weights apart. Twin of `_stack_rows` and `_stack_row`, too.
    """
    model, result = _Stack(first_weights, len(logits[0][0]), own_rate, decay, ridge, aside), []
    for row, positive, hidden, mode in zip(logits, labels, unknown, modes, strict=True):
        inputs = [[z if abs(z) <= 100 else 0.0 for z in expert] for expert in row] + [[1.0] * model.n_labels]
        p = model.predict(inputs)
        result.append(p)
        if mode & 2:
            model._learn_stack(inputs, p, positive, hidden)
    return result, model
