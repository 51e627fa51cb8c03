"""Plain-Python twin of `stream_ml.trees`: nodes are objects, leaves keep the rows they observed.

Statistics are computed from those rows when they are needed, each class on its own, where the kernels keep running
sums of the positives and of all rows. No memory limit, no river mode (that is tested against river itself).
"""

from __future__ import annotations

import math
from statistics import NormalDist, fmean

from river.drift import ADWIN

CLIP = 8.0


# -- small things


def clip(z):
    return sorted((-CLIP, z, CLIP))[1]


def add_value(values):
    """(n, mean, sum of squared deviations) of a list of values."""
    if not values:
        return 0, 0.0, 0.0
    mean = fmean(values)
    return len(values), mean, sum((v - mean) ** 2 for v in values)


def rest_of(values, part):
    """The same of the values that are left when those of `part` are taken out."""
    left = list(values)
    for v in part:
        left.remove(v)
    return add_value(left)


def entropy_mass(count, rest):
    rows = count + rest
    return -sum(k * math.log2(k / rows) for k in (count, rest) if k > 0)


def gaussian_below(n, mean, sd, threshold):
    if n == 0:
        return 0.0
    if sd == 0:
        return float(n) if mean <= threshold else 0.0
    return n * NormalDist(mean, sd).cdf(threshold)


def null_merit(n_labels, n_tests, rows, log_inverse_confidence):
    t = log_inverse_confidence + math.log(max(1, n_tests))
    chi_square = n_labels + 2 * math.sqrt(n_labels * t) + 2 * t
    return chi_square / (2 * rows * math.log(2))


def tabled_below(n, mean, sd, threshold):
    """Linear between the exact values at multiples of 1/128 standard deviations, all or nothing past six of them."""
    if n <= 0 or sd <= 0:
        return gaussian_below(n, mean, sd, threshold)
    z = (threshold - mean) / sd
    if abs(z) >= 6:
        return n if z > 0 else 0.0
    low = math.floor(z * 128)
    below, above = (gaussian_below(n, 0.0, 1.0, step / 128) for step in (low, low + 1))
    return below + (z * 128 - low) * (above - below)


def verdict(main_loss, alternate_loss, rows, comparison_rows):
    if rows <= comparison_rows:
        return 0
    e, other = main_loss / rows, alternate_loss / rows
    margin = math.sqrt(2 * e * (1 - e) * math.log(2 / 0.05) * (1 / rows + 1 / rows))
    if e - other > margin:
        return 1
    return -1 if other - e > margin or rows > 20 * comparison_rows else 0


def find_feature(indices, lo, hi, feature):
    return next((at for at in range(lo, hi) if indices[at] == feature), -1)


def observe_row(row, arities, sparse):
    """A row of (feature, value) pairs as feature -> value; None where missing."""
    out = dict.fromkeys(range(len(arities)), 0.0 if sparse else None)
    for f, v in row:
        good = math.isfinite(v) and (arities[f] == 0 or 0 <= v < arities[f])
        out[f] = float(v) if good else None
    return out


observe_binary = observe_row  # kernels have a shorter way where every feature is there or not

# -- nodes


class Node:
    def __init__(self, depth, n_labels, parent=None):
        self.depth, self.parent = depth, parent
        self.test = None  # (feature, threshold)
        self.left = self.right = self.alternate = None
        self.weight = self.evidence = self.empty = 0.0
        self.positives = [0.0] * n_labels
        self.sets = []  # [labels, count, count that may belong to others], a table of 8
        self.n_sets = 0
        self.rows = []  # (values, labels) observed
        self.last_attempt = self.next_refresh = 0
        self.bayes = None
        self.losses = [0.0, 0.0, 0]
        self.detector = None
        self.next_refresh = 50


def route(node, x, arities):
    missing = False
    while node.test is not None:
        feature, threshold = node.test
        if x[feature] is None:
            missing = True
            goes_left = node.left.weight >= node.right.weight
        else:
            goes_left = x[feature] == threshold if arities[feature] else x[feature] <= threshold
        node = node.left if goes_left else node.right
    return node, missing


def leaf_loss(leaf, labels):
    if leaf.evidence == 0:
        return 1.0
    rates = [p / leaf.evidence for p in leaf.positives] + [leaf.empty / leaf.evidence]
    truth = [float(i in labels) for i in range(len(leaf.positives))] + [float(not labels)]
    low, high = sum(map(min, rates, truth)), sum(map(max, rates, truth))
    if any(r > 1 for r in rates):  # inherited counts may pass the evidence by rounding
        raise AssertionError(rates)
    return 1 - low / high


def add_labelset(table, labels):
    for entry in table:
        if entry[0] == labels:
            entry[1] += 1
            return
    if len(table) < 8:
        table.append([labels, 1, 0])
        return
    smallest = min(entry[1] for entry in table)
    at = next(i for i, entry in enumerate(table) if entry[1] == smallest)
    table[at] = [labels, smallest + 1, smallest]


# -- naive Bayes


def _log_ratio(count_in, rows_in, count_out, rows_out, share):
    inside = (count_in + 2 * share) / (rows_in + 2)
    outside = (count_out + 2 * share) / (rows_out + 2)
    return math.log(inside / outside)


def _gaussian_coefs(x, everything, inside):
    """Log-likelihood ratio of x under two Gaussians, both shrunk by two rows of the common one."""
    n, mean, m2 = add_value(everything)
    densities = []
    for k, m, s in (add_value(inside), rest_of(everything, inside)):
        centre = (k * m + 2 * mean) / (k + 2)
        variance = (s + 2 * m2 / n) / (k + 2)
        densities.append(-0.5 * math.log(variance) - (x - centre) ** 2 / (2 * variance))
    return densities[0] - densities[1]


def prepare_naive_bayes(leaf, arities, sparse):
    """A function row -> scores, of the rows observed so far."""
    rows, n_labels = list(leaf.rows), len(leaf.positives)

    def naive_bayes_scores(x):
        return [_score(rows, label, x, arities, sparse) for label in range(n_labels)]

    return naive_bayes_scores


prepare_binary = prepare_naive_bayes  # it gives `binary_scores`


def _score(rows, label, x, arities, sparse):
    positives = sum(label in labels for _, labels in rows)
    if positives in (0, len(rows)):
        return 0.0
    score = 0.0
    for f, arity in enumerate(arities):
        values = [(v[f], label in labels) for v, labels in rows if v[f] is not None]
        inside = [v for v, member in values if member]
        everything = [v for v, _ in values]
        n, n_in = len(everything), len(inside)
        stored, stored_in = [v for v in everything if v or not sparse], [v for v in inside if v or not sparse]
        value = x[f]
        if value is None and sparse:
            value = 0.0  # naive Bayes takes a missing value in sparse data for an absent one
        if not stored or value is None:
            continue
        if sparse and value == 0:
            zeros, zeros_in = n - len(stored), n_in - len(stored_in)
            score += _log_ratio(zeros_in, n_in, zeros - zeros_in, n - n_in, (zeros + 1) / (n + 2))
        elif arity:
            count, count_in = everything.count(value), inside.count(value)
            score += _log_ratio(count_in, n_in, count - count_in, n - n_in, (count + 1) / (n + arity))
        else:
            if sparse:
                k, k_in = len(stored), len(stored_in)
                score += _log_ratio(k_in, n_in, k - k_in, n - n_in, (k + 1) / (n + 2))
            m, mean, m2 = add_value(stored)
            if m2 > 1e-12 * m * mean**2:
                score += _gaussian_coefs(value, stored, stored_in)
    return score


def leaf_votes(tree, leaf):
    return leaf.bayes is not None and (tree.options["naive_bayes_at_root"] or leaf.parent is not None)


def leaf_logits(tree, leaf, x):
    n = leaf.evidence
    prior = [clip(math.log((p + 0.5) / (n - p + 0.5))) for p in leaf.positives]
    bayes = [0.0] * len(prior)
    if leaf_votes(tree, leaf):
        bayes = [clip(p + tree.temper * s) for p, s in zip(prior, leaf.bayes(x), strict=True)]
    vote = [0.0] * len(prior)
    sure = [count - error for _, count, error in leaf.sets]
    if sure and max(sure) > 0:
        labels = leaf.sets[sure.index(max(sure))][0]
        strength = clip(2 * math.atanh(max(sure) / (leaf.n_sets + 2)))
        vote = [strength if label in labels else -strength for label in range(len(prior))]
    return [prior, bayes, vote]


def learn_temper(tree, leaf, scores, labels):
    slope = curvature = 0.0
    for label, (count, z) in enumerate(zip(leaf.positives, scores, strict=True)):
        prior = math.log((count + 0.5) / (leaf.evidence - count + 0.5))
        p = 1 / (1 + math.exp(-prior - clip(tree.temper * z)))
        slope += (p - (label in labels)) * z
        curvature += p * (1 - p) * z * z
    tree.curvature = 0.999 * tree.curvature + curvature
    tree.temper = min(1.0, max(0.0, tree.temper - slope / (tree.curvature + 100)))


# -- splits


def _classes(rows, label, feature):
    """Known values of a feature in the rows with and without a label."""
    known = [(v[feature], label in labels) for v, labels in rows if v[feature] is not None]
    return [v for v, member in known if member], [v for v, member in known if not member]


def load_numeric(values, sparse):
    """(zeros kept apart, n, mean, sd) of one class."""
    apart = [v for v in values if v == 0] if sparse else []
    n, mean, m2 = add_value([v for v in values if v or not sparse])
    return len(apart), n, mean, math.sqrt(m2 / (n - 1)) if n > 1 else 0.0


def _below(loaded, threshold):
    zeros, n, mean, sd = loaded
    return tabled_below(n, mean, sd, threshold) + (zeros if threshold >= 0 else 0)


def send_left(rows, label, feature, threshold, sparse):
    """Rows with and without the label expected to go left."""
    return [_below(load_numeric(values, sparse), threshold) for values in _classes(rows, label, feature)]


def load_nominal(rows, label, feature):
    return [len(values) for values in _classes(rows, label, feature)]


def send_value_left(rows, label, feature, value):
    return [values.count(value) for values in _classes(rows, label, feature)]


def _known_entropies(known):
    return entropy_mass(*known) / sum(known) if sum(known) else 0.0


def load_feature(rows, labels, feature, arity):
    """Per label the rows with and without it where the feature is known: the same whatever the feature's kind."""
    if arity:
        return [load_nominal(rows, label, feature) for label in labels]
    return [[len(values) for values in _classes(rows, label, feature)] for label in labels]


def candidate_merit(lefts, knowns, min_branch_fraction):
    left, all_rows = sum(map(sum, lefts)), sum(map(sum, knowns))
    if min(left, all_rows - left) <= min_branch_fraction * all_rows:
        return -math.inf
    merit = 0.0
    for (left_in, left_out), known in zip(lefts, knowns, strict=True):
        right_in, right_out = known[0] - left_in, known[1] - left_out
        after = entropy_mass(left_in, left_out) + entropy_mass(max(right_in, 0), max(right_out, 0))
        merit += _known_entropies(known) - after / sum(known)
    return merit


binary_merit = candidate_merit  # from counts that are whole


def _range_of(values):
    return min(values), max(values)


def best_of_feature(rows, labels, feature, arities, sparse, min_branch_fraction):
    arity = arities[feature]
    seen = [v[feature] for v, _ in rows if v[feature] is not None]
    stored = [v for v in seen if v or not sparse]
    if not stored or (sparse and len(stored) <= min_branch_fraction * len(rows)):
        return -math.inf, 0.0
    knowns = load_feature(rows, labels, feature, arity)
    if arity:
        tests = [float(v) for v in range(arity if arity > 2 else 1)]
    else:
        low, high = _range_of(seen)
        tests = [low + (high - low) / 11 * (i + 1) for i in range(10)]
        tests = [t for t in tests if low < t < high]
        low, high = _range_of(stored)
        if len(stored) < len(seen) and (low > 0 or high < 0):
            tests = [low / 2 if low > 0 else high / 2] + (tests if low < high else [])
    best, threshold = -math.inf, 0.0
    for test in tests:
        if arity:
            lefts = [send_value_left(rows, label, feature, test) for label in labels]
        else:
            lefts = [send_left(rows, label, feature, test, sparse) for label in labels]
        merit = len(seen) / len(rows) * candidate_merit(lefts, knowns, min_branch_fraction)
        if merit > best:
            best, threshold = merit, test
    return best, threshold


def search_splits(rows, n_labels, arities, sparse, min_branch_fraction, log_inverse_confidence):
    """(merit, second merit, feature, threshold, bound, null merit); feature -1 for none."""
    counts = [sum(label in labels for _, labels in rows) for label in range(n_labels)]
    chosen = [label for label in range(n_labels) if 5 <= counts[label] <= len(rows) - 5]
    bound = math.sqrt(log_inverse_confidence / (2 * len(rows)))
    nothing = -math.inf, -math.inf, -1, 0.0, bound, -math.inf
    if not chosen:
        return nothing
    entropy = sum(entropy_mass(counts[c], len(rows) - counts[c]) for c in chosen) / len(rows)
    found = []
    for feature in range(len(arities)):
        merit, threshold = best_of_feature(rows, chosen, feature, arities, sparse, min_branch_fraction)
        if merit > -math.inf:
            found.append((merit / entropy, feature, threshold))
    null = null_merit(len(chosen), 10 * len(found), len(rows), log_inverse_confidence) / entropy
    if not found:
        return (*nothing[:-1], null)
    found.sort()
    merit, feature, threshold = found[-1]
    return merit, found[-2][0] if len(found) > 1 else -math.inf, feature, threshold, bound, null


def split_shares(rows, n_labels, feature, threshold, arities, sparse):
    """Share of all known (row, label) pairs that go left, and of each label's positives (None: none known)."""
    left = known = 0.0
    shares = []
    for label in range(n_labels):
        inside, outside = _classes(rows, label, feature)
        if arities[feature]:
            left_in, left_out = send_value_left(rows, label, feature, threshold)
        else:
            left_in, left_out = send_left(rows, label, feature, threshold, sparse)
        left += left_in + left_out
        known += len(inside) + len(outside)
        shares.append(left_in / len(inside) if inside else None)
    return left / known, shares


# -- the tree


class Tree:
    """`options`: the fields of `TreeParameters`, all of them."""

    def __init__(self, arities, n_labels, sparse, options):
        self.arities, self.n_labels, self.sparse, self.options = arities, n_labels, sparse, options
        self.root = Node(0, n_labels)
        self.temper, self.curvature, self.n_learned = 0.1, 0.0, 0
        self.events = []
        self.closest = math.inf  # how near any choice of a split was to another one

    def process_rows(self, rows, labelsets, modes, first_instance):
        """Logits (3, labels) per row with bit 1 of its mode, None for others; rows with bit 2 are learned."""
        out, learned = [], 0
        for row, labels, mode in zip(rows, labelsets, modes, strict=True):
            x = observe_row(row, self.arities, self.sparse)
            leaf, _ = route(self.root, x, self.arities)
            out.append(leaf_logits(self, leaf, x) if mode & 1 else None)
            if mode & 2:
                self.learn(x, frozenset(labels), first_instance + learned)
                learned += 1
        return out

    def learn(self, x, labels, instance):
        leaf, _ = route(self.root, x, self.arities)
        if leaf_votes(self, leaf) and self.n_learned % 4 == 0:
            learn_temper(self, leaf, leaf.bayes(x), labels)
        loss = leaf_loss(leaf, labels)
        self.n_learned += 1
        watched = []
        node = leaf if leaf.parent is None else leaf.parent
        while node is not None:
            watched.append(node)
            node = node.parent
        attempts = [leaf] if learn_leaf(self, leaf, x, labels) else []
        warned = watch_path(self, watched, x, labels, loss, attempts) if self.options["drift"] else []
        for node in attempts:
            self.attempt(node, instance)
        for node in warned:
            self.warn(node, instance)
        for node in judge_path(self, watched):
            self.judge(node, instance)

    def attempt(self, leaf, instance):
        o = self.options
        merit, second, feature, threshold, bound, null = search_splits(
            leaf.rows,
            self.n_labels,
            self.arities,
            self.sparse,
            o["min_branch_fraction"],
            -math.log(o["split_confidence"]),
        )
        second = max(second, 0.0)
        leaf.last_attempt = len(leaf.rows)
        if feature >= 0:
            self.closest = min(self.closest, abs(merit - null), abs(merit - second), abs(merit - second - bound))
        if not good_enough(merit, second, feature, bound, null, o["tie_threshold"]):
            return
        self.events.append(("split", instance, feature, threshold, merit))
        fraction, shares = split_shares(leaf.rows, self.n_labels, feature, threshold, self.arities, self.sparse)
        for side, part in (("left", fraction), ("right", 1 - fraction)):
            child = Node(leaf.depth + 1, self.n_labels, leaf)
            child.weight = leaf.weight * part
            child.evidence = min(leaf.evidence * part, o["inherited_rows"])
            scale = child.evidence / (leaf.evidence * part) if leaf.evidence * part else 1.0
            child.empty = leaf.empty * part * scale
            for label, share in enumerate(shares):
                own = part if share is None else share if side == "left" else 1 - share
                child.positives[label] = min(leaf.positives[label] * own * scale, child.evidence)
            setattr(leaf, side, child)
        leaf.test, leaf.rows, leaf.bayes = (feature, threshold), [], None
        if leaf.parent is not None:
            leaf.detector = None

    def warn(self, node, instance):
        if node.alternate is not None:
            self.events.append(("drift", instance))
            return
        node.alternate, node.losses = Node(node.depth, self.n_labels), [0.0, 0.0, 0]
        self.events.append(("warning", instance))

    def judge(self, node, instance):
        better = verdict(*node.losses, self.options["comparison_rows"]) > 0
        self.events.append(("swap" if better else "drop", instance))
        alternate, node.alternate = node.alternate, None
        if not better:
            return
        parent, change = node.parent, alternate.weight - node.weight
        alternate.parent = parent
        if parent is None:
            self.root, alternate.detector = alternate, None
        elif parent.left is node:
            parent.left = alternate
        else:
            parent.right = alternate
        while parent is not None:
            parent.weight += change
            parent = parent.parent


def good_enough(merit, second, feature, bound, null, tie_threshold):
    return feature >= 0 and merit > null and (merit - second > bound or bound < tie_threshold)


# `settle` and `fails` do in the kernel what `learn` and `attempt` do where no split comes of it


def prepare(tree, leaf):
    leaf.bayes = prepare_naive_bayes(leaf, tree.arities, tree.sparse)
    leaf.next_refresh = len(leaf.rows) + max(50, len(leaf.rows) // 2)


def attempt_due(tree, leaf):
    if leaf.depth >= tree.options["max_depth"]:
        return False
    return len(leaf.rows) - leaf.last_attempt >= tree.options["grace_period"]


def learn_leaf(tree, leaf, x, labels):
    """Returns whether a split attempt is due; naive Bayes is prepared here when it is due."""
    node = leaf
    while node is not None:
        node.weight += 1
        node = node.parent
    leaf.evidence += 1
    leaf.empty += not labels
    for label in labels:
        leaf.positives[label] += 1
    leaf.n_sets += 1
    add_labelset(leaf.sets, labels)
    leaf.rows.append((x, labels))
    wanted = tree.options["naive_bayes"] and (tree.options["naive_bayes_at_root"] or leaf.parent is not None)
    due = attempt_due(tree, leaf)
    if wanted and len(leaf.rows) >= leaf.next_refresh:
        prepare(tree, leaf)
    return due


def watch_path(tree, watched, x, labels, loss, add_to_agenda):
    """Detectors and alternates of the nodes `watched`, lowest first; returns the nodes whose detector rang."""
    rang = []
    for node in watched:
        if node.alternate is not None:
            other, _ = route(node.alternate, x, tree.arities)
            node.losses = [node.losses[0] + loss, node.losses[1] + leaf_loss(other, labels), node.losses[2] + 1]
            if learn_leaf(tree, other, x, labels):
                add_to_agenda.append(other)
        if node.depth >= tree.options["watch_depth"]:
            continue
        if node.detector is None:
            node.detector = ADWIN(
                delta=tree.options["warning_delta"], clock=32, max_buckets=5, min_window_length=5, grace_period=10
            )
        before = node.detector.estimation
        node.detector.update(loss)
        if node.detector.drift_detected and node.detector.estimation > before:
            rang.append(node)
    return rang


def judge_path(tree, watched):
    comparison_rows = tree.options["comparison_rows"]
    return [n for n in watched if n.alternate is not None and verdict(*n.losses, comparison_rows)]
