"""Plain-Python twins of the kernels of `stream_ml.decisions`: sets are frozensets, counts fade by multiplication."""

from __future__ import annotations

import math

from reference.experts import solve

LIKELY, LEAST_P, PREFIXES, SEEN, MOST, FEATURES = 64, 0.002, 16, 32, 80, 8
FLOOR, LARGEST, NOVEL, QUICK, NEIGHBOUR, HOPELESS = 1e-4, 64, 3.0, 0.5, 0.02, 8.0


def mark_of(label):
    return 1 << label % 64


def set_hash(codes, labels):
    """Exclusive or of the labels' codes."""
    value = 0
    for label in labels:
        value ^= codes[label]
    return value


class Table:
    """One table of label sets: a list of [set, count], in the order of their places."""

    def __init__(self, capacity, width):
        self.capacity, self.width, self.entries = capacity, width, []

    def find_set(self, labels):
        """Place of the set, -1 when it is not there."""
        return next((i for i, (kept, _) in enumerate(self.entries) if kept == labels), -1)

    def count(self, labels):
        place = self.find_set(labels)
        return self.entries[place][1] if place >= 0 else 0.0

    def count_set(self, labels, weight):
        """Add to a count; a new set takes the place of the rarest of a full table."""
        if len(labels) > self.width:
            return
        place = self.find_set(labels)
        if place < 0 and len(self.entries) < self.capacity:
            place = len(self.entries)
            self.entries.append([labels, 0.0])
        elif place < 0:
            place = self._unlink(self._rarest())
            self.entries[place] = [labels, 0.0]
        self.entries[place][1] += weight

    def _rarest(self):
        return min(range(self.capacity), key=lambda i: self.entries[i][1])

    def _unlink(self, place):
        self.entries[place] = None
        return place

    def scale_sets(self, factor):
        for entry in self.entries:
            entry[1] *= factor


def likely_block(p):
    """The most probable labels, in order, ties by position."""
    return sorted((m for m, value in enumerate(p) if value >= LEAST_P), key=lambda m: (-p[m], m))[:LIKELY]


def mask_of(labels, likely):
    """The set, or None when a label of it is not likely."""
    return frozenset(labels) if set(labels) <= set(likely) else None


def lowest_bit(mask):
    """Position of the lowest bit that is set."""
    return next(i for i in range(64) if mask >> i & 1)


def bits_in(mask):
    return bin(mask).count("1")


def project_sets(whole, slot_of, n_clusters, capacity=256, width=32):
    """A table per cluster of the parts that whole sets have in it, and the clusters' masses."""
    tables, mass = [Table(capacity, width) for _ in range(n_clusters)], [0.0] * n_clusters
    for labels, count in whole.entries:
        for cluster in dict.fromkeys(slot_of[m] for m in sorted(labels) if slot_of[m] >= 0):
            tables[cluster].count_set(frozenset(m for m in labels if slot_of[m] == cluster), count)
            mass[cluster] += count
    return tables, mass


def _add_candidate(candidates, labels):
    if labels not in candidates:
        candidates.append(labels)
    return candidates.index(labels)


def logit(p):
    return math.log(p / (1 - p))


class Joint:
    """Twin of the state and of all kernels that work on it; counts fade, so that there is nothing to `_scale`."""

    def __init__(self, n_labels, slot_of, n_clusters, fading, weights, capacity=2048, width=32, cluster_capacity=256):
        self.n_labels, self.slot_of, self.n_clusters, self.fading = n_labels, slot_of, n_clusters, fading
        self.rows, self.learned, self.last = 0.0, 0, frozenset()
        self.label_counts = [0.0] * n_labels
        self.prior_odds = [-9.2] * n_labels
        self.cardinality = [0.0] * (LARGEST + 1)
        self.same, self.coverage = 0.5, 0.5
        self.weights, self.squares = list(weights), [1.0] * FEATURES
        self.mix = [0.5, 0.5, 0.0]
        self.mix_information = [[10.0 * (i == j) for j in range(3)] for i in range(3)]
        self.sets = Table(capacity, width)
        self.cluster_sets = [Table(cluster_capacity, width) for _ in range(n_clusters)]
        self.cluster_mass = [0.0] * n_clusters
        self.refresh_priors()

    def refresh_priors(self):
        there = [m for m, count in enumerate(self.label_counts) if count or self.slot_of[m] >= 0]
        q = {m: min(0.999, max(FLOOR, self.label_counts[m] / (self.rows + 1))) for m in there}
        for m in there:
            self.prior_odds[m] = logit(q[m])
        self.log_odds_sum = math.log(max(FLOOR, sum(v / (1 - v) for v in q.values())))
        self.mean = sum(q.values())
        self.silence = []
        for cluster in range(self.n_clusters):
            chance = sum(math.log(1 - v) for m, v in q.items() if self.slot_of[m] == cluster)
            none = max(0.0, self.rows - self.cluster_mass[cluster])
            by_counts = math.log((none + NOVEL * math.exp(chance)) / (self.rows + NOVEL)) - chance
            self.silence.append((chance, by_counts))

    def _quick_score(self, labels, odds):
        """Sum of what each label adds (`_quick_gains`)."""
        return sum(odds[m] - QUICK * self.prior_odds[m] for m in labels)

    def _quickly(self, table, odds, skip):
        """(set, score) of the sets of likely labels (among which `_familiar` looks), in the order of their places."""
        counted = [(y, count) for y, count in table.entries if mask_of(y, odds) is not None]
        return [(y, self._quick_score(y, odds) + QUICK * (math.log(count) - skip)) for y, count in counted]

    def _best_seen(self, odds):
        """The sets that a quick score likes best, those between the `_bounds` of the best, in the order of places."""
        scored = self._quickly(self.sets, odds, 0.0)
        best = max((score for _, score in scored), default=0.0)
        near = [i for i in range(len(scored)) if scored[i][1] >= best - HOPELESS]
        return [scored[i][0] for i in sorted(sorted(near, key=lambda i: -scored[i][1])[:SEEN])]

    def _best_part(self, cluster, odds, skip):
        """The first part that a quick score likes best, and its score; the kernel looks at `_frequent` parts alone."""
        scored = self._quickly(self.cluster_sets[cluster], odds, skip)
        return [max(scored, key=lambda item: item[1])] if scored else []

    def _cluster_modes(self, odds):
        union = set()
        rows = math.log(self.rows + NOVEL)
        for cluster in {self.slot_of[m] for m in odds} - {-1}:
            chance, silence = self.silence[cluster]
            positive = {m for m in odds if self.slot_of[m] == cluster and odds[m] > 0}
            options = [
                (positive, sum(odds[m] for m in positive) + QUICK * (math.log(NOVEL) - rows + chance)),
                (set(), QUICK * (silence + chance)),
                *self._best_part(cluster, odds, rows),
            ]
            union |= max(options, key=lambda option: option[1])[0]
        return frozenset(union)

    def collect(self, top, odds, near):
        """Candidates, their share of the neighbours' votes, and the place of the last set (or None).

        Twin of `_collect_seen`, too.
        """
        candidates = [frozenset()]
        for i, label in enumerate(top[:PREFIXES]):
            if odds[label] < -4:
                break
            candidates.append(frozenset(top[: i + 1]))
        for labels in self._best_seen(odds):
            _add_candidate(candidates, labels)
        votes, total = {}, 1e-9
        for labels, weight in near:
            total += weight
            labels = mask_of(labels, top)
            if labels is not None and len(candidates) < MOST - 2:
                place = _add_candidate(candidates, labels)
                votes[place] = votes.get(place, 0.0) + weight
        last = None
        if self.learned and mask_of(self.last, top) is not None:
            last = _add_candidate(candidates, self.last)
        if self.n_clusters > 1:
            _add_candidate(candidates, self._cluster_modes(odds))
        return candidates, [votes.get(i, 0.0) / total for i in range(len(candidates))], last

    def _by_size(self, size):
        poisson = math.exp(size * math.log(self.mean + FLOOR) - self.mean) / math.factorial(size)
        share = (self.cardinality[size] + poisson) / (self.rows + 1)
        return share, math.log(share + 1e-12) - math.log(poisson + 1e-12)

    def _count_of(self, labels):
        return self.sets.count(labels)

    def _features(self, labels, votes, is_last, odds):
        size = len(labels)
        chance = sum(self.prior_odds[m] for m in labels)
        sizes, beyond_poisson = self._by_size(size)
        novel = sizes * min(1.0, math.exp(chance - size * self.log_odds_sum) * math.factorial(size))
        count = self._count_of(labels)
        return [
            sum(odds[m] for m in labels),
            math.log((count + NOVEL * novel) / (self.rows + NOVEL) + 1e-30) - chance,
            beyond_poisson,
            self._dependence(labels) if self.n_clusters > 1 else 0.0,
            math.log(votes + NEIGHBOUR) - math.log(NEIGHBOUR),
            logit(self.same) + 5 if is_last else 0.0,
            float(count > 0.01),
            float(size),
        ]

    def _dependence(self, labels):
        parts = self.meet(labels)
        return sum(self._worth(parts[c], c) if c in parts else self.silence[c][1] for c in range(self.n_clusters))

    def meet(self, labels):
        """The labels that share a cluster, by cluster."""
        clusters = {self.slot_of[m] for m in labels}
        return {c: frozenset(m for m in labels if self.slot_of[m] == c) for c in clusters}

    def _worth(self, part, cluster):
        independent = self.silence[cluster][0] + sum(self.prior_odds[m] for m in part)
        seen = self.cluster_sets[cluster].count(part) + NOVEL * math.exp(independent)
        return math.log(seen / (self.rows + NOVEL)) - independent

    def _teach(self, labels):
        same = self.learned > 0 and labels == self.last
        self.same = min(0.99, max(0.01, 0.97 * self.same + 0.03 * same))
        self.last = labels
        for m in labels:
            self.label_counts[m] += 1
        self.cardinality[min(LARGEST, len(labels))] += 1
        self.rows += 1
        self.sets.count_set(labels, 1.0)
        for cluster in range(self.n_clusters):
            part = frozenset(m for m in labels if self.slot_of[m] == cluster)
            if part:
                self.cluster_sets[cluster].count_set(part, 1.0)
                self.cluster_mass[cluster] += 1
        self.learned += 1
        for name in ("label_counts", "cardinality", "cluster_mass"):
            setattr(self, name, [value * self.fading for value in getattr(self, name)])
        self.rows *= self.fading
        for table in (self.sets, *self.cluster_sets):
            table.scale_sets(self.fading)

    def _teach_weights(self, features, posterior, truth):
        for f in range(FEATURES):
            gradient = sum(p * row[f] for p, row in zip(posterior, features, strict=True)) - features[truth][f]
            self.squares[f] += gradient**2
            self.weights[f] -= 0.05 * gradient / math.sqrt(self.squares[f])

    def _teach_mix(self, inputs, q, positive):
        gradient = [0.0] * 3
        for i in range(3):
            for j in range(3):
                self.mix_information[i][j] = 0.9995 * self.mix_information[i][j] + 10.0 * 0.0005 * (i == j)
        for x, value, right in zip(inputs, q, positive, strict=True):
            for i in range(3):
                gradient[i] += (value - right) * x[i]
                for j in range(3):
                    self.mix_information[i][j] += value * (1 - value) * x[i] * x[j]
        self.mix = [w - s for w, s in zip(self.mix, solve(self.mix_information, gradient), strict=True)]

    def _softmax(self, scores):
        expo = [math.exp(score - max(scores)) for score in scores]
        return [e / sum(expo) for e in expo]

    def _covered(self, joint, p):
        return min(0.999, max(0.001, self.coverage * joint + (1.0 - self.coverage) * p))

    def _mix(self, inputs):
        z = sum(w * x for w, x in zip(self.mix, inputs, strict=True))
        return 1 / (1 + math.exp(-min(10.0, max(-10.0, z))))

    def row(self, p, near, labels, hidden, mode):
        """Posterior of one row, as a dict; then it is learned if `mode` says so."""
        top = likely_block(p)
        odds = {m: logit(min(1 - FLOOR, max(FLOOR, p[m]))) for m in top}
        candidates, votes, last = self.collect(top, odds, near)
        features = [self._features(c, votes[i], i == last, odds) for i, c in enumerate(candidates)]
        scores = [sum(w * f for w, f in zip(self.weights, row, strict=True)) for row in features]
        posterior = self._softmax(scores)
        inputs, q = [], []
        for m in top:
            joint = sum(v for v, c in zip(posterior, candidates, strict=True) if m in c)
            inputs.append((odds[m], logit(self._covered(joint, p[m])), 1.0))
            q.append(self._mix(inputs[-1]))
        result = {"top": top, "q": q, "sets": candidates, "posterior": posterior, "coverage": self.coverage}
        if mode & 2:
            found = labels in candidates
            if not hidden:
                self.coverage += max(0.01, 1 / (self.learned + 10)) * (found - self.coverage)
            if found and not hidden:
                self._teach_weights(features, posterior, candidates.index(labels))
            known = [(x, v, m in labels) for x, v, m in zip(inputs, q, top, strict=True) if m not in hidden]
            self._teach_mix(*([column[i] for column in known] for i in range(3)))
            if not hidden:
                self._teach(labels)
                if self.learned < 32 or self.learned % max(32, len(self.label_counts) // 256) == 0:
                    self.refresh_priors()
        return result


def joint_block(model, probabilities, near, label_sets, modes, unknown=None):
    """Posterior of each row; `near` gives per row the neighbours' label sets and votes, the nearest first.

    Twin of `_joint_rows`, `_weigh` and `_learn_row`, too.
    """
    rows = zip(probabilities, near, label_sets, unknown or [set()] * len(modes), modes, strict=True)
    return [model.row(p, n, frozenset(y), hidden, mode) for p, n, y, hidden, mode in rows]


def independent_block(probabilities):
    """Candidates are the sets of the most probable labels, and as probable as independent labels make them."""
    result = []
    for p in probabilities:
        top = likely_block(p)
        sets = [frozenset(top[:i]) for i in range(len(top) + 1)]
        odds = {m: logit(min(1 - FLOOR, max(FLOOR, p[m]))) for m in top}
        weights = [math.exp(sum(odds[m] for m in labels) - sum(max(0, v) for v in odds.values())) for labels in sets]
        posterior = [w / sum(weights) for w in weights]
        result.append({"top": top, "q": [p[m] for m in top], "sets": sets, "posterior": posterior, "coverage": 0.0})
    return result


# -- decisions; a row is what the functions above give ------------------------------------------------------------


def expected_f1(q):
    """Best of all sets of the most probable labels."""
    ranked, total = sorted(q, reverse=True), sum(q)
    return max((2 * sum(ranked[:k]) / (k + total) for k in range(1, len(q) + 1) if total > 0), default=0.0)


def _write(labels):
    return sorted(labels)


def _size(labels):
    return len(labels)


def _at_least(row, cuts, fallback):
    chosen = {m for m, q, cut in zip(row["top"], row["q"], cuts, strict=True) if q >= cut}
    if not chosen and row["top"] and max(row["q"]) >= fallback:
        chosen = {row["top"][row["q"].index(max(row["q"]))]}
    return frozenset(chosen)


def mode_block(row):
    return _write(row["sets"][row["posterior"].index(max(row["posterior"]))])


def balanced_cuts(q, thresholds, frequency, f_share, rarity, most):
    threshold = 0.5 + f_share * (0.5 * expected_f1(q) - 0.5)
    shares = [min(most, rarity / f) for f in frequency]
    return [threshold - share * max(0.0, threshold - t) for share, t in zip(shares, thresholds, strict=True)]


def balanced_block(row, thresholds, frequency, f_share, rarity, most, exact_share, fallback):
    q = dict(zip(row["top"], row["q"], strict=True))
    cuts = dict(zip(q, balanced_cuts(row["q"], thresholds, frequency, f_share, rarity, most), strict=True))
    best = _at_least(row, cuts.values(), fallback)
    scale = 2 / (max(1, len(best)) + sum(q.values()))

    def value(labels):
        exact = sum(p for c, p in zip(row["sets"], row["posterior"], strict=True) if c == labels)
        above = sum(q[m] - cuts[m] for m in labels)
        return (1 - exact_share) * scale * above + exact_share * row["coverage"] * exact

    return _write(max([best, *row["sets"]], key=value))


def _joint_f1(labels, row):
    """Expected F1 under the posterior; two empty sets have F1 1."""
    value = 0.0
    for other, p in zip(row["sets"], row["posterior"], strict=True):
        both = _size(labels) + _size(other)
        value += p * (2 * _size(labels & other) / both if both else 1.0) * (p >= 1e-3)
    return value


def example_f1_block(row):
    q, sure = dict(zip(row["top"], row["q"], strict=True)), row["coverage"]
    first = _at_least(row, [0.5 * expected_f1(row["q"])] * len(q), 2.0)

    def value(labels):
        alone = 2 * sum(q[m] for m in labels) / (len(labels) + sum(q.values())) if labels else 0.0
        if not labels:
            alone = 0.0 if sure else math.prod(1 - min(0.999, p) for p in q.values())
        return sure * _joint_f1(labels, row) + (1 - sure) * alone

    return _write(max([first, *row["sets"]], key=value))


def hamming_block(p):
    return [m for m, value in enumerate(p) if value >= 0.5]


def threshold_block(row, thresholds):
    pairs = zip(row["top"], row["q"], thresholds, strict=False)
    return _write(m for m, q, threshold in pairs if q >= threshold)


# -- thresholds ---------------------------------------------------------------------------------------------------

BINS, LOWEST, HIGHEST, SHRINK = 24, 0.03, 0.85, 5.0
WIDTH = math.log(HIGHEST / LOWEST) / (BINS - 2)


def _bin_of(p):
    return 0 if p < LOWEST else min(BINS - 1, 1 + int(math.log(p / LOWEST) / WIDTH))


def _best_cut(cells, positives):
    """Where F1 is largest: `cells` are (positives, negatives) per bin; of equal cuts the highest."""
    best, cut = -1.0, LOWEST
    for b in range(BINS - 1, 0, -1):
        hits = sum(cell[0] for cell in cells[b:])
        f1 = 2 * hits / (sum(map(sum, cells[b:])) + positives)
        if f1 > best + 1e-12:
            best, cut = f1, LOWEST * math.exp((b - 1) * WIDTH)
    return cut


class Thresholds:
    def __init__(self, n_labels, common):
        self.common = [list(cell) for cell in common]
        self.total = sum(cell[0] for cell in common)
        self.own = [[[0.0, 0.0] for _ in range(BINS)] for _ in range(n_labels)]
        self.own_total, self.own_rows = [0.0] * n_labels, [0.0] * n_labels

    def row(self, row):
        """The threshold for all labels, one for each likely label (2 where none reaches), and their frequencies."""
        share, each = SHRINK / self.total, []
        for label, q in zip(row["top"], row["q"], strict=True):
            cells = [
                [o + share * c for o, c in zip(*pair, strict=True)]
                for pair in zip(self.own[label], self.common, strict=True)
            ]
            each.append(_best_cut(cells, self.own_total[label] + SHRINK) if q >= LOWEST else 2.0)
        frequency = [(self.own_total[m] + 1) / (self.own_rows[m] + 1) for m in row["top"]]
        return _best_cut(self.common, self.total), each, frequency

    def _count_row(self, row, labels, hidden, fading):
        self.own_rows = [(rows + (m not in hidden)) * fading for m, rows in enumerate(self.own_rows)]
        self.total += len(labels)
        for m in labels:
            self.own_total[m] += 1
        for m, q in zip(row["top"], row["q"], strict=True):
            if m not in hidden and (b := _bin_of(q)):
                self.common[b][m not in labels] += 1
                self.own[m][b][m not in labels] += 1
        self.total *= fading
        self.own_total = [value * fading for value in self.own_total]
        for cells in (self.common, *self.own):
            for cell in cells:
                cell[:] = [value * fading for value in cell]


def thresholds_block(model, rows, label_sets, unknown, modes, fading):
    """Twin of `_threshold_rows`, too."""
    result = []
    for row, labels, hidden, mode in zip(rows, label_sets, unknown, modes, strict=True):
        result.append(model.row(row))
        if mode & 2:
            model._count_row(row, labels, hidden, fading)
    return result
