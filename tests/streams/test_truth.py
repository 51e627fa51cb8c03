"""What is known about drifts is written and read back; what is no such file is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.errors import DataError
from stream_ml.streams import Drift
from stream_ml.streams.truth import read_truth, truth_lines

NAMES = ["a", "b c", 'd"', "é"]
groups = st.sampled_from([None, ((0, 1), (2, 3)), ((0,), (1, 2, 3))])
drifts = st.builds(
    Drift,
    instance=st.integers(0, 10**6),
    kind=st.sampled_from(["concept", "dependence", "noise"]),
    labels=st.sets(st.integers(0, 3)).map(lambda s: tuple(sorted(s))),
    shape=st.sampled_from(["sudden", "gradual"]),
    last=st.integers(10**6, 2 * 10**6),
    before=groups,
    after=groups,
)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(drifts, max_size=4))
def test_read_back(tmp_path_factory, given_drifts):
    path = tmp_path_factory.mktemp("truth") / "x.truth.jsonl"
    path.write_bytes(truth_lines(given_drifts, NAMES))
    assert read_truth(path, NAMES) == (given_drifts, NAMES)


def test_labels_that_are_not_known_yet_come_after_the_others(tmp_path):
    path = tmp_path / "x.truth.jsonl"
    path.write_bytes(truth_lines([Drift(5, "appear", (1, 3))], NAMES))
    found, names = read_truth(path, ["é", "a"])
    assert names == ["é", "a", "b c"]
    assert found == [Drift(5, "appear", (0, 2), last=5)]


@pytest.mark.parametrize("text", ["{", "[]", '{"first": 1}', '{"first": 1, "labels": 3}', "3"])
def test_what_is_no_drift_is_told(tmp_path, text):
    path = tmp_path / "x.truth.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(DataError, match="line 1: not a drift; expected"):
        read_truth(path, NAMES)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read: no such file"):
        read_truth(tmp_path / "none", NAMES)
