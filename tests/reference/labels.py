"""Plain twins of the kernels of `stream_ml.labels`: dictionaries and lists, the definitions spelled out."""

from itertools import combinations
from math import sqrt


def find_pair(keys, key):
    """Where `key` is in a list, or -1."""
    return keys.index(key) if key in keys else -1


def insert_pairs(pairs, new_pairs):
    """A dictionary with the new pairs put in."""
    return {**pairs, **new_pairs}


def count_rows(rows, modes, fading, max_row_labels):
    """Fading counts of labels, pairs and sizes, the last row learned counting 1."""
    learned = [row for row, mode in zip(rows, modes, strict=True) if mode & 2]
    singles, pairs, sizes = {}, {}, {}
    for age, row in enumerate(reversed(learned)):
        weight = fading**age
        for label in row:
            singles[label] = singles.get(label, 0.0) + weight
        for pair in combinations(row[:max_row_labels], 2):
            pairs[pair] = pairs.get(pair, 0.0) + weight
        sizes[len(row)] = sizes.get(len(row), 0.0) + weight
    return singles, pairs, sizes


def cross_pairs(rows, modes, max_row_labels, cluster_of):
    out = []
    for row, mode in zip(rows, modes, strict=True):
        pairs = list(combinations(row[:max_row_labels], 2)) if mode & 2 else []
        cut = [cluster_of[a] != cluster_of[b] for a, b in pairs]
        out.append(sum(cut) / len(cut) if cut else -1.0)
    return out


def similarities(pairs, singles, total):
    """Per pair its Jaccard similarity and what of it is more than chance and a standard deviation."""
    out = {}
    for (i, j), both in pairs.items():
        either = singles[i] + singles[j] - both
        chance = singles[i] * singles[j] / total
        out[i, j] = both / either, max(0.0, both - chance - sqrt(chance)) / either
    return out


def build_graph(pairs, n_labels):
    """Per label its neighbours, in the order of the pairs, with what `pairs` says of them."""
    out = [[] for _ in range(n_labels)]
    for (i, j), value in pairs.items():
        out[i].append((j, *value))
        out[j].append((i, *value))
    return out


def inside_edges(pairs, labels):
    """Pairs with both labels in `labels`, by position there."""
    at = {label: k for k, label in enumerate(labels)}
    return {tuple(sorted((at[i], at[j]))): value for (i, j), value in pairs.items() if i in at and j in at}


def heaviest_stranger(pairs, labels, counts):
    """The largest sum of counts of two labels that never met, or None."""
    strangers = [(i, j) for i, j in combinations(labels, 2) if (i, j) not in pairs and (j, i) not in pairs]
    return max((counts[i] + counts[j] for i, j in strangers), default=None)


def attractions(weights, slot_of):
    """Per label the weight to its own cluster, and per other cluster the weight to it."""
    home, others = [0.0] * len(slot_of), [{} for _ in slot_of]
    for (i, j), weight in weights.items():
        for a, b in ((i, j), (j, i)):
            if slot_of[a] == slot_of[b]:
                home[a] += weight
            elif weight > 0:
                others[a][slot_of[b]] = others[a].get(slot_of[b], 0.0) + weight
    return home, others


def weight_inside(weights, slot_of, n_slots):
    inside = [0.0] * n_slots
    for (i, j), weight in weights.items():
        if slot_of[i] == slot_of[j] >= 0:
            inside[slot_of[i]] += weight
    return inside


def best_unions(weights, slot_of, n_slots, max_size, least_share):
    """Per cluster its partner of the highest average weight, if any is allowed, and the weight between them."""
    size = [slot_of.count(s) for s in range(n_slots)]
    inside = weight_inside(weights, slot_of, n_slots)
    between = {}
    for (i, j), weight in weights.items():
        if slot_of[i] != slot_of[j]:
            key = frozenset((slot_of[i], slot_of[j]))
            between[key] = between.get(key, 0.0) + weight
    out = []
    for s in range(n_slots):
        allowed = []
        for key, gain in between.items():
            if s in key and gain > 0 and sum(size[t] for t in key) <= max_size:
                (other,) = key - {s}
                if gain >= least_share * (gain + min(inside[s], inside[other])):
                    allowed.append((gain / (size[s] * size[other]), other, gain))
        out.append(max(allowed)[1:] if allowed else (-1, 0.0))
    return out


def _best_edges(weights, groups, cap):
    """Average similarities of the groups that fit together."""
    out = {}
    for (a, members), (b, others) in combinations(groups.items(), 2):
        links = [weights.get((min(i, j), max(i, j))) for i in members for j in others]
        if len(members) + len(others) <= cap and any(link is not None for link in links):
            out[a, b] = sum(link or 0.0 for link in links) / len(links)
    return out


def link_groups(weights, n, cap):
    """The two groups with the highest average similarity that fit join, one pair after the other."""
    groups = {i: [i] for i in range(n)}
    while edges := _best_edges(weights, groups, cap):
        a, b = max(edges, key=edges.get)
        groups[min(a, b)] = groups.pop(a) + groups.pop(b)
    return sorted(sorted(members) for members in groups.values())
