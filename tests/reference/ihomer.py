"""Plain-Python twins of `stream_ml.ihomer._kernels`."""

from __future__ import annotations

from reference.labels import cross_pairs


def route_labels(labels, slot_of, position_of, n_slots):
    """Per cluster, per row: the positions of the row's labels in the cluster."""
    return [[[position_of[m] for m in row if slot_of[m] == slot] for row in labels] for slot in range(n_slots)]


def numbered(numbers, rows):
    """What each row's labels are numbered, in order, and how many have no number: below 0."""
    found = [_sort(numbers[label] for label in row) for row in rows]
    return found, sum(number < 0 for row in found for number in row)


def _sort(values):
    return sorted(values)


def scatter_logits(part, labels, out):
    """`part`: rows x experts x cluster labels; `out`: rows x experts x all labels, changed."""
    for row, experts in enumerate(part):
        for e, values in enumerate(experts):
            for label, value in zip(labels, values, strict=True):
                out[row][e][label] = value


def cluster_losses(probabilities, labels, unknown, modes, slot_of, n_slots):
    result = []
    for p, positive, hidden, mode in zip(probabilities, labels, unknown, modes, strict=True):
        row = []
        known = [m for m in range(len(p)) if m not in hidden]
        for group in [*([m for m in known if slot_of[m] == s] for s in range(n_slots)), known]:
            if hidden and not group:
                row.append(-1.0)
                continue
            y = [float(m in positive) for m in group]
            q = [float(p[m]) for m in group]
            error = sum(abs(a - b) for a, b in zip(q, y, strict=True))
            row.append(error / (1.0 + sum(max(a, b) for a, b in zip(q, y, strict=True))) if mode & 2 else -1.0)
        result.append(row)
    return result


def likely_losses(likely, labels, modes, in_part):
    """`likely`: per row label -> probability; other labels have none."""
    result = []
    for p, positive, mode, partial in zip(likely, labels, modes, in_part, strict=True):
        pairs = [(p.get(m, 0.0), float(m in positive)) for m in set(p) | positive]
        error, either = sum(abs(q - y) for q, y in pairs), sum(max(q, y) for q, y in pairs)
        result.append(error / (1.0 + either) if mode & 2 and not partial else -1.0)
    return result


def watch_clusters(p, sets, unknown, mode, slot_of, cluster_of, n_slots, most, detectors):
    """The losses of the clusters, of the whole and of dependence, and what is found in them."""
    losses = cluster_losses(p, sets, unknown, mode, slot_of, n_slots)
    cut = cross_pairs([sorted(row) for row in sets], mode, most, cluster_of)
    losses = [[*row, share] for row, share in zip(losses, cut, strict=True)]
    return losses, watch_losses(losses, detectors)


def watch_losses(losses, detectors):
    """`detectors`: per column one for warnings and one for drifts, whose `update(value)` gives +1, 0 or -1;
    after the latter what is left of the window is kept.

    Gives (row, column, kind), and of the newest losses: their mean, their number, and how far that is above the mean.
    """
    found = []
    for r, row in enumerate(losses):
        for c, loss in enumerate(row):
            if loss >= 0:
                for kind, detector in enumerate(detectors[c], start=1):
                    before = detector.mean()
                    change = detector.update(loss)
                    if change < 0:
                        detector.keep()
                    elif change > 0:
                        n, mean = detector.newest()
                        found.append((r, c, kind, mean, n, mean - before))
    return found
