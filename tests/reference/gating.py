"""Plain-Python twins of the kernels of `stream_ml.gating`: groups and children are objects, weights lie in dicts.

A child of a group goes by its step `(group, index)`, a path is the list of steps above a label, and what a row has, or
neighbours vote for, is a set of steps. What only brings memory near has no twin: it changes nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict

from reference.experts import _Shared, clip, sigmoid

WIDTH, EXPERTS, MOST_SEEN, BEST, LEAST_P = 16, 5, 128, 5, 0.002
REACH, WORD = 16, 1 << 64
FIRST_WEIGHTS = (0.3, 0.2, 0.1, 0.1, 0.3, 0.0)
LOWEST = 1e-4


# -- the table of blocks ----------------------------------------------------------------------------------------------


def _home(key, size):
    """Fibonacci hashing of `(group, column)`, twice."""
    golden = 0x9E3779B97F4A7C15
    mixed = (key[0] << 32 | key[1]) * golden % WORD
    mixed = (mixed ^ mixed >> 29) * golden % WORD
    return (mixed >> 32) * size >> 32


class Table:
    """Which keys `(group, column)` have a block: `places` holds keys or None, `blocks` their numbers."""

    def __init__(self, size, most):
        self.places, self.most = [None] * size, most
        self.blocks, self.needed = {}, {}
        self.used = self.forgotten = 0

    def _near(self, key):
        """The places from the key's home on that are taken, and the free one behind them, if that is near enough."""
        size, taken = len(self.places), []
        for step in range(REACH):
            place = (_home(key, size) + step) % size
            if self.places[place] is None:
                return taken, place
            taken.append(place)
        return taken, None

    def find_blocks(self, group, columns):
        """Numbers of blocks, None where there is none."""
        return [self.blocks.get((group, column)) for column in columns]

    def make_blocks(self, group, columns):
        """The same, blocks made for what had none."""
        for key in [(group, column) for column in columns if (group, column) not in self.blocks]:
            taken, free = self._near(key)
            if free is not None and self.used < self.most:
                self.places[free], self.blocks[key] = key, self.used
                self.used += 1
            elif taken:
                place = min(taken, key=lambda p: self.needed[self.places[p]])
                old = self.places[place]
                self.places[place], self.blocks[key] = key, self.blocks.pop(old)
                del self.needed[old]
                self.forgotten += 1
            else:
                continue
            self.needed[key] = 0.0
        return self.find_blocks(group, columns)

    def rehash(self, size):
        """A table of so many places; what finds none is lost."""
        old, self.places = self.places, [None] * size
        for key in filter(None, old):
            _, free = self._near(key)
            if free is None:
                del self.blocks[key], self.needed[key]
                self.forgotten += 1
            else:
                self.places[free] = key


# -- the tree ---------------------------------------------------------------------------------------------------------


class Child:
    """A label, or a gate with a group `below` it, and what is kept of it beside weights of columns."""

    def __init__(self, label=None):
        self.label, self.below = label, None
        self.bias, self.squares, self.step_bias, self.step_squares = 0.0, 0.01, 0.0, 1.0
        self.count, self.mass, self.share, self.prior = 0.0, 0.0, sigmoid(-2.2), -2.2
        self.own, self.own_squares = [0.0] * (EXPERTS + 1), [1.0] * (EXPERTS + 1)

    @property
    def size(self):
        return 1 if self.below is None else sum(child.size for child in self.below.children)

    def believe(self, share):
        self.share, self.prior = share, max(-8.0, math.log(share / (1 - share)))


class Group:
    def __init__(self, number, above=None):
        self.number, self.above, self.children = number, above, []
        self.rows = self.mass = 0.0

    def all_children(self):
        """With those that are not there yet."""
        return self.children + [Child() for _ in range(WIDTH - len(self.children))]


class Tree:
    def __init__(self):
        self.groups, self.place = [Group(0)], {}

    def path(self, label):
        """Steps from a label up to the root; none of a label that did not enter."""
        step, steps = self.place.get(label), []
        while step is not None:
            steps.append(step)
            step = self.groups[step[0]].above
        return steps

    def mark_path(self, labels):
        """All steps above some labels."""
        return {step for label in labels for step in self.path(label)}

    def _put(self, group, label):
        child = Child(label)
        child.believe(0.1 / (group.rows + 1))
        self.place[label] = group.number, len(group.children)
        group.children.append(child)

    def _choose(self, group, positive, chances):
        """The likeliest child of at most twice the mean size, or a group's; of equals the smaller, then the first.

        No label when the groups of the gates beside it have more room than one.
        """
        sizes = [child.size for child in group.children]
        room = sum(WIDTH - len(child.below.children) for child in group.children if child.below is not None)
        likely = [child.share for child in group.children] if chances is None else list(chances)
        likely = [1.0 if (group.number, i) in positive else p for i, p in enumerate(likely)]
        light = [i for i in range(WIDTH) if sizes[i] <= max(2 * sum(sizes) / WIDTH, WIDTH - 1)]
        light = [i for i in light if room <= WIDTH or group.children[i].below is not None]
        if not light:
            return min(range(WIDTH), key=lambda i: (sizes[i], i))
        return max(light, key=lambda i: (likely[i], -sizes[i], -i))

    def _deepen(self, group, index):
        """A group below a label, which moves there; in its place stays a gate that knows what was known of it."""
        gate, below = group.children[index], Group(len(self.groups), (group.number, index))
        self.groups.append(below)
        self._put(below, gate.label)
        gate.label, gate.below = None, below
        below.rows = below.children[0].count = gate.count
        below.children[0].share, below.children[0].prior = 0.999, math.log(999)

    def enter_label(self, label, positive, chances):
        """`positive`: steps; `chances`: by number of a group, of its children."""
        group = self.groups[0]
        while len(group.children) == WIDTH:
            index = self._choose(group, positive, chances.get(group.number))
            if group.children[index].below is None:
                self._deepen(group, index)
            group = group.children[index].below
        self._put(group, label)


# -- the experts of a group, and a row's way through the tree ---------------------------------------------------------


class Block:
    """Weights of one column for the children of one group, by index."""

    def __init__(self):
        self.weight, self.step_weight, self.odds, self.count = (defaultdict(float) for _ in range(4))
        self.squares = defaultdict(lambda: 0.01)
        self.rows = self.due = 0.0


def _presence_odds(have, both, mass, child_mass):
    """Of `have` rows with the column `both` have the child too; masses are occurrences of all columns."""
    share = 2 * (have + 1) / (mass + 1)
    return math.log((both + share) / (child_mass + 2)) - math.log((have - both + share) / (mass - child_mass + 2))


class Row:
    """A row's `cells` (column, value, standardised, of unit length), its neighbours' label sets and their votes."""

    def __init__(self, cells, near):
        self.cells, self.near = cells, near
        self.total = sum(weight for _, weight in near)
        self.pseudo = near[0][1] if near else 0.0
        self.votes = {}


class Gates:
    """`centred`: by column; the other arguments as of `stream_ml.gating.Gates`."""

    def __init__(self, centred, fading, own_rate, decay, ridge, reach):
        self.centred, self.fading, self.own_rate, self.reach = centred, fading, own_rate, reach
        self.tree, self.blocks = Tree(), defaultdict(Block)
        self.shared = {kind: _Shared(FIRST_WEIGHTS, decay, ridge) for kind in ("gate", "label")}
        self.learned = 0

    def _stack_of(self, child):
        return self.shared["label" if child.below is None else "gate"]

    def is_present(self, column, value):
        return value != 0 and not self.centred[column]

    def cast_votes(self, row):
        """By step the votes for it; a neighbour votes once for a gate, however many of its labels are below."""
        row.votes, voters = defaultdict(float), set()
        for labels, weight in row.near:
            for step in self.tree.mark_path(labels):
                row.votes[step] += weight
                self._note(step, voters)
        return sum(weight for _, weight in row.near), len(voters)

    def _note(self, step, voters):
        voters.add(step[0])

    def look(self, row):
        """Squared lengths of a row as both linear experts see it, and its columns that are present."""
        lengths = sum(unit**2 for *_, unit in row.cells), sum(standard**2 for *_, standard, _ in row.cells)
        return *lengths, sum(self.is_present(column, value) for column, value, *_ in row.cells)

    def _vote(self, group, row):
        inside = row.total if group.above is None else row.votes[group.above]
        for index, child in enumerate(group.all_children()):
            votes = row.votes.get((group.number, index), 0.0)
            if inside <= 0 or row.pseudo <= 0:
                yield child.prior
            elif votes > 0:
                p = (votes + row.pseudo * child.share) / (inside + row.pseudo)
                p = min(1 - LOWEST, max(LOWEST, p))
                yield math.log(p / (1 - p))
            else:
                yield max(math.log(LOWEST / (1 - LOWEST)), child.prior + math.log(row.pseudo / (inside + row.pseudo)))

    def _evidence(self, group, index, row):
        """What the columns of a row say of a child: to both linear experts, and to naive Bayes."""
        linear = step = odds = 0.0
        for column, value, standard, unit in row.cells:
            if (group.number, column) in self.blocks:
                block = self.blocks[group.number, column]
                linear += block.weight[index] * unit
                step += block.step_weight[index] * standard
                odds += block.odds[index] * self.is_present(column, value)
        return linear, step, odds

    def consult(self, group, row):
        """Per child, also of those that are not there yet, the experts' log-odds and their stacked probability."""
        result, votes = [], list(self._vote(group, row))
        for index, child in enumerate(group.all_children()):
            linear, step, odds = self._evidence(group, index, row)
            odds = odds / math.sqrt(max(1, len(row.cells))) + child.prior
            logits = [clip(child.bias + linear), clip(child.step_bias + step), clip(odds), child.prior, votes[index]]
            weights = [w + o for w, o in zip(self._stack_of(child).weights, child.own, strict=True)]
            z = sum(w * x for w, x in zip(weights, [*logits, 1.0], strict=True))
            result.append((logits, sigmoid(clip(z, 10.0))))
        return result

    def _keep_found(self, found, group, likely, figures):
        """`found`: (label, probability), in the order in which they are met."""
        for child, (_, chance) in zip(group.children, figures, strict=False):
            if child.below is None and likely * chance >= LEAST_P:
                found.append((child.label, likely * chance))

    def _likeliest(self, found, most):
        return sorted(found, key=lambda pair: -pair[1])[:most]

    def _open_gate(self, frontier, group, likely):
        frontier.append((likely, group))

    def _close_gate(self, frontier):
        """The likeliest of those that may be visited, which is none any more."""
        return frontier.pop(max(range(len(frontier)), key=lambda i: frontier[i][0]))

    def _descend(self, row, most):
        """The likeliest labels, and the figures of the groups on the way, by number."""
        found, seen, frontier = [], {}, [(1.0, self.tree.groups[0])]
        while frontier and len(seen) < MOST_SEEN:
            likely, group = self._close_gate(frontier)
            best = self._likeliest(found, BEST)
            if likely < self.reach and len(best) == BEST and best[-1][1] >= likely:
                break
            seen[group.number] = figures = self.consult(group, row)
            for child, (_, chance) in zip(group.children, figures, strict=False):
                if child.below is not None and likely * chance >= LEAST_P:
                    self._open_gate(frontier, child.below, likely * chance)
            self._keep_found(found, group, likely, figures)
        return self._likeliest(found, most), seen

    def probability(self, label, row):
        """Of any label, wherever the descent would have ended: the product along its path."""
        p = 1.0
        for number, index in self.tree.path(label):
            p *= self.consult(self.tree.groups[number], row)[index][1]
        return p

    def _paths(self, labels, seen):
        """The steps above a row's labels, of which new ones enter."""
        chances = {number: [chance for _, chance in figures] for number, figures in seen.items()}
        positive = self.tree.mark_path(labels)
        for label in sorted(set(labels) - set(self.tree.place)):
            self.tree.enter_label(label, positive, chances)
            positive |= self.tree.mark_path([label])
        return positive | self.tree.mark_path(labels)  # some have moved

    def _learn_lanes(self, group, positive, known, counts, present, figures):
        """Biases and priors; gives by index what both linear experts are wrong by."""
        if counts:
            group.rows = group.rows * self.fading + 1
            group.mass += present
        errors = {}
        for index in known:
            child, hit, (logits, _) = group.children[index], index in positive, figures[index]
            a, b = sigmoid(logits[0]) - hit, sigmoid(logits[1]) - hit
            child.squares += a * a
            child.bias -= 0.3 * a / math.sqrt(child.squares)
            child.step_squares += b * b
            child.count = child.count * (self.fading if counts else 1.0) + hit
            child.mass += present * hit * counts
            child.believe(min(0.999, (child.count + 0.1) / (group.rows + 1)))
            errors[index] = a, b
        return errors

    def _learn_linear(self, group, row, errors):
        unit_length, length, _ = self.look(row)
        step = 0.3 / max(1.0, math.sqrt(unit_length))
        for index, (a, b) in errors.items():
            child = group.children[index]
            b *= 6.0 / (1.0 + length) / math.sqrt(child.step_squares)
            child.step_bias -= b
            for column, _, standard, unit in row.cells:
                block = self.blocks[group.number, column]
                block.squares[index] += (a * unit) ** 2
                block.weight[index] -= step * a * unit / math.sqrt(block.squares[index])
                block.step_weight[index] -= b * standard

    def _learn_bayes(self, group, row, positive):
        for column, value, *_ in row.cells:
            block = self.blocks[group.number, column]
            block.rows += 1
            if not self.is_present(column, value):
                continue
            due = block.rows >= block.due
            if due:
                block.due = block.rows * 1.25 + 1 - 1e-6  # whole numbers are met in single precision
            for index, child in enumerate(group.children):
                block.count[index] += index in positive
                if due or index in positive:
                    block.odds[index] = _presence_odds(block.rows, block.count[index], group.mass, child.mass)

    def learn_group(self, group, positive, known, counts, row, figures):
        *_, present = self.look(row)
        errors = self._learn_lanes(group, positive, known, counts, present, figures)
        self._learn_linear(group, row, errors)
        if counts:
            self._learn_bayes(group, row, positive)

    def learn_stack(self, group, positive, known, figures):
        for index in known:
            child, (logits, chance) = group.children[index], figures[index]
            error, x, part = chance - (index in positive), [*logits, 1.0], self._stack_of(child)
            gradient = [error * value for value in x]
            part.gradient = [total + g for total, g in zip(part.gradient, gradient, strict=True)]
            if abs(error) >= 0.01:
                for i, g in enumerate(gradient):
                    child.own_squares[i] += g * g
                    child.own[i] -= self.own_rate * g / math.sqrt(child.own_squares[i])
            if chance * (1 - chance) >= 0.01:
                for i, xi in enumerate(x):
                    for j, xj in enumerate(x):
                        part.information[i][j] += chance * (1 - chance) * xi * xj

    def move_shared(self):
        self.learned += 1
        for part in self.shared.values():
            if self.learned <= 1000 or self.learned % 4 == 0:
                part.step()
            part.fade()

    def _learn_row(self, row, labels, absent, in_part, counts, seen):
        """Gives how many groups learned."""
        positive = self._paths(labels, seen)
        asked = {self.tree.place[label] for label in absent if label in self.tree.place}
        touched = {number for number, _ in positive} or {0}
        for number in touched:
            group = self.tree.groups[number]
            figures = seen.get(number) or self.consult(group, row)
            hits = {i for n, i in positive if n == number}
            known = hits | {i for n, i in asked if n == number} if in_part else set(range(len(group.children)))
            self.learn_stack(group, hits, known, figures)
            self.learn_group(group, hits, known, counts, row, figures)
        self.move_shared()
        return len(touched)

    def gates_block(self, rows, labels, absent, in_part, modes, most):
        """Per row: (label, probability), likeliest first; groups seen, groups taught; probabilities of all labels."""
        for at, row in enumerate(rows):
            self.cast_votes(row)
            top, seen = self._descend(row, most)
            every = {label: self.probability(label, row) for label in self.tree.place}
            taught = 0
            if modes[at] & 2:
                counts = not modes[at] & 4
                taught = self._learn_row(row, labels[at], absent[at], in_part[at], counts, seen)
            yield top, len(seen), taught, every
