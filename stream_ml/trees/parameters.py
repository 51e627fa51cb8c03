"""The parameters of a multi-label Hoeffding tree."""

from __future__ import annotations

from dataclasses import dataclass

from stream_ml.errors import ConfigError

__all__ = ["TreeParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeParameters:
    """Parameters of `MultiLabelHoeffdingTree`.

    Parameters
    ----------
    grace_period
        Rows a leaf observes between two split attempts.
    split_confidence
        One minus the confidence with which a split must be the best one (delta of the Hoeffding bound), and with which
        it must be better than none.
    tie_threshold
        Bound under which the best of near-equal splits is taken all the same.
    min_branch_fraction
        A test must send more than this share of the rows each way.
    max_share_to_split
        River mode only: no split where one class has a larger share.
    max_depth
        Tests on the longest path.
    inherited_rows
        Weight, in rows, up to which a new leaf takes over its parent's label counts.
    memory_limit_mb
        Bound on what the active leaves observe; past it the least promising leaf stops observing. One always may, but
        for 0.
    naive_bayes, naive_bayes_at_root
        Whether leaves vote by naive Bayes, and whether a tree of one leaf does too.
    drift
        Whether tests are watched for drift and alternate subtrees grown.
    warning_delta
        ADWIN's confidence for the warning on which an alternate subtree starts.
    watch_depth
        Levels of the tree, from the root, whose tests are watched; what is below is replaced with them.
    comparison_rows
        Rows after which an alternate subtree is compared with the one it could replace.
    river
        Make the splits that river's `HoeffdingTreeClassifier(leaf_prediction="mc", binary_split=True)` makes under the
        same `grace_period`, `delta`, `tau`, `min_branch_fraction`, `max_share_to_split`: one label only, extremes
        per class, plain information gain, no null merit.

    Raises
    ------
    ConfigError
        A value out of its range.
    """

    grace_period: int = 200
    split_confidence: float = 1e-5
    tie_threshold: float = 0.2
    min_branch_fraction: float = 0.01
    max_share_to_split: float = 0.99
    max_depth: int = 20
    inherited_rows: float = 100.0
    memory_limit_mb: float = 64.0
    naive_bayes: bool = True
    naive_bayes_at_root: bool = False
    drift: bool = True
    warning_delta: float = 0.01
    watch_depth: int = 4
    comparison_rows: int = 200
    river: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        checks = {
            "grace_period": self.grace_period >= 1,
            "split_confidence": 0.0 < self.split_confidence < 1.0,
            "tie_threshold": self.tie_threshold >= 0.0,
            "min_branch_fraction": 0.0 <= self.min_branch_fraction < 0.5,
            "max_share_to_split": 0.0 < self.max_share_to_split <= 1.0,
            "max_depth": 0 <= self.max_depth <= 1000,
            "inherited_rows": self.inherited_rows > 0.0,
            "memory_limit_mb": self.memory_limit_mb >= 0.0,
            "warning_delta": 0.0 < self.warning_delta < 1.0,
            "watch_depth": self.watch_depth >= 1,
            "comparison_rows": self.comparison_rows >= 1,
        }
        for name, good in checks.items():
            if not good:
                raise ConfigError(f"tree parameter {name} out of range: {getattr(self, name)!r}")
