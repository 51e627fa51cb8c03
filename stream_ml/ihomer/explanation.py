"""What is told of one prediction: plain values, as text and JSON-ready."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Candidate", "ClusterPath", "ExpertVote", "Explanation", "LabelExplanation", "PathStep", "Reason"]

Reason = Literal["threshold", "joint", "fallback", "unlikely"]
"""Why a label is in the decided set or not; see `LabelExplanation`."""

WHY: dict[tuple[Reason, bool], str] = {
    ("threshold", True): "at or above its threshold",
    ("threshold", False): "below its threshold",
    ("joint", True): "in the label set that was chosen",
    ("joint", False): "not in the label set that was chosen",
    ("fallback", True): "likeliest of all, where none reached its threshold",
    ("unlikely", False): "too unlikely to be considered",
}


@dataclass(frozen=True, slots=True)
class PathStep:
    """A test of a tree that the instance met.

    Attributes
    ----------
    feature
        Its name.
    test
        "<=" for a numeric feature, "=" for a nominal one.
    threshold
        What the value is held against: a number, or a value's name.
    value
        The instance's own; None where it is missing, and the instance goes the way that more instances went.
    passed
        Whether the instance went the way of those that pass the test.
    """

    feature: str
    test: Literal["<=", "="]
    threshold: float | str
    value: float | str | None
    passed: bool

    def __str__(self) -> str:
        """E.g. `length <= 3.5 (is 4): no`."""
        told = "is missing" if self.value is None else f"is {_number(self.value)}"
        return f"{self.feature} {self.test} {_number(self.threshold)} ({told}): {'yes' if self.passed else 'no'}"


@dataclass(frozen=True, slots=True)
class ClusterPath:
    """A cluster of labels, and the way of the instance through its tree.

    Attributes
    ----------
    cluster
        Its id.
    labels
        Names of the labels that its tree predicts.
    steps
        The tests from the root on; none where the tree is a single leaf.
    leaf
        Number of the leaf, as in `IHomerClassifier.trees`.
    weight
        Instances that came through the leaf.
    rates
        Of the labels met there the share of these instances that have it.
    """

    cluster: int
    labels: tuple[str, ...]
    steps: tuple[PathStep, ...]
    leaf: int
    weight: float
    rates: dict[str, float]


@dataclass(frozen=True, slots=True)
class ExpertVote:
    """What an expert says of a label.

    Attributes
    ----------
    expert
        Its name, one of those of `IHomerClassifier.expert_weights`.
    log_odds
        Its vote, in nats; 0 where it has no opinion, or sleeps.
    weight
        That stacking gives it for this label.
    awake
        Whether it was asked.
    """

    expert: str
    log_odds: float
    weight: float
    awake: bool

    @property
    def contribution(self) -> float:
        """What it adds to the stacked log-odds."""
        return self.weight * self.log_odds


@dataclass(frozen=True, slots=True)
class LabelExplanation:
    """How one label was decided.

    Attributes
    ----------
    label
        Its name.
    cluster
        Id of its cluster; -1 where it has none yet.
    votes
        Of all experts.
    intercept
        Of the stacking.
    log_odds
        Stacked: the intercept and the votes times their weights, summed; within +-10 when made a probability.
    stacked
        That probability, times those of its gates: what `predict` and `predict_proba_one` give.
    probability
        What decisions are made on: the stacked one mixed with that of the joint posterior over label sets. It is
        `stacked` itself for the objective `hamming_loss`, and for labels that are not among the likely ones.
    threshold
        What that is held against; None where label sets are compared as wholes, or the label was not considered.
    decided
        Whether the label is in the decided set.
    gates
        Where labels are behind gates, the probabilities of those above it, from the root on, each given the one before.
    reason
        `threshold`: by its probability against its threshold. `joint`: the set that was chosen is one that the joint
        posterior proposed, and has the label, or lacks it, whatever its threshold says. `fallback`: no label reached
        its threshold, and this is the likeliest. `unlikely`: in no set that was considered.
    """

    label: str
    cluster: int
    votes: tuple[ExpertVote, ...]
    intercept: float
    log_odds: float
    stacked: float
    probability: float
    threshold: float | None
    decided: bool
    reason: Reason
    gates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A label set that the joint posterior considered, and its probability among all it considered."""

    labels: tuple[str, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model predicts what it predicts for one instance; `str` tells it, `to_dict` is JSON-ready.

    Attributes
    ----------
    n_learned
        Instances that the model had learned.
    objective
        What decisions are best for.
    decided
        The decided label set, names in the order of positions.
    clusters
        Of every cluster the leaf that the instance reached, and the way there; of those with a label in `labels`. Where
        labels are behind gates, clusters have no trees.
    labels
        The decided labels and the likeliest ones, by stacked probability, the likeliest first.
    candidates
        The most probable label sets of the joint posterior, the most probable first.
    coverage
        How often of late the true set was among the candidates: the trust in them. 0 where labels are taken to be
        independent.
    """

    n_learned: int
    objective: str
    decided: tuple[str, ...]
    clusters: tuple[ClusterPath, ...]
    labels: tuple[LabelExplanation, ...]
    candidates: tuple[Candidate, ...]
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """The same as dicts, lists, texts and numbers, ready for JSON."""
        return _plain(asdict(self))

    def __str__(self) -> str:
        """The decision, a table of labels, the experts' votes, the ways through the trees, the likeliest sets."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"decided for {self.objective}, {self.n_learned:,} instances learned: {_names(self.decided)}"
        yield ""
        rows = [("label", "in", "stacked", "mixed", "threshold", "cluster", "why")]
        for each in self.labels:
            cut = "" if each.threshold is None else f"{each.threshold:.3f}"
            why = WHY[each.reason, each.decided]
            chances = f"{each.stacked:.3f}", f"{each.probability:.3f}"
            rows.append((each.label, "yes" if each.decided else "no", *chances, cut, str(each.cluster), why))
        yield from _table(rows, left={0, 1, 6})
        yield ""
        yield "votes: log-odds x stacking weight; with the intercept they sum to the stacked log-odds"
        names = [vote.expert for vote in self.labels[0].votes] if self.labels else []
        rows_of_votes = [["expert", *(each.label for each in self.labels)]]
        for at, name in enumerate(names):
            votes = [each.votes[at] for each in self.labels]
            rows_of_votes.append(
                [name, *(f"{v.log_odds:+.2f} x {v.weight:+.2f}" if v.awake else "asleep" for v in votes)]
            )
        rows_of_votes.append(["intercept", *(f"{each.intercept:+.2f}" for each in self.labels)])
        rows_of_votes.append(["stacked log-odds", *(f"{each.log_odds:+.2f}" for each in self.labels)])
        if any(each.gates for each in self.labels):
            rows_of_votes.append(["gates above", *(" x ".join(f"{p:.2f}" for p in each.gates) for each in self.labels)])
        yield from _blocks_of(rows_of_votes)
        for path in self.clusters:
            yield ""
            yield f"cluster {path.cluster} ({_names(path.labels)}): leaf {path.leaf}, {path.weight:,.0f} instances"
            yield from (f"  {step}" for step in path.steps)
            rates = sorted(path.rates.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMES]
            yield f"  there: {', '.join(f'{name} {rate:.2f}' for name, rate in rates) or 'no label met'}"
        yield ""
        yield f"likeliest label sets (the true one was among the candidates {self.coverage:.0%} of the time)"
        yield from (f"  {candidate.probability:.3f}  {_names(candidate.labels)}" for candidate in self.candidates)


MOST_NAMES = 10
COLUMNS = 5
"""Labels beside each other in the table of votes."""


def _blocks_of(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table too wide for a line, cut into some that repeat the first column."""
    for start in range(1, len(rows[0]), COLUMNS):
        if start > 1:
            yield ""
        yield from _table([[row[0], *row[start : start + COLUMNS]] for row in rows], left={0})


def _table(rows: Sequence[Sequence[str]], left: set[int]) -> Iterator[str]:
    """Rows of cells in columns, those not in `left` to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        yield "  " + "  ".join(cells).rstrip()


def _names(names: Sequence[str]) -> str:
    """Names in a row, the first ones.

    >>> _names([]), _names(["a", "b"])
    ('no label', 'a, b')
    """
    more = len(names) - MOST_NAMES
    return (", ".join(names[:MOST_NAMES]) or "no label") + (f" and {more:,} more" if more > 0 else "")


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
