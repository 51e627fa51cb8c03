"""The copy of a state is the state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import serving as twin

from stream_ml.serving import checkpoints
from stream_ml.serving._kernels import copy_rows
from stream_ml.serving.checkpoints import Copies


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.integers(0, 4), st.integers(0, 300), st.integers(0, 70), st.integers(0, 70), st.integers(0, 9))
def test_rows_of_bytes_are_copied_and_nothing_else(rows, width, left, right, beyond):
    rng = np.random.default_rng(rows * width + left)
    source = rng.integers(0, 256, (rows, width + right + beyond), dtype=np.uint8)[:, right : right + width]
    to = np.zeros((rows, width + left + 70), dtype=np.uint8)
    expected = to.copy()
    copy_rows(to[:, left : left + width], source)
    twin.copy_rows(expected[:, left : left + width], source)
    np.testing.assert_array_equal(to, expected)


@pytest.mark.parametrize("piece", [64, 1000, 1 << 24])
def test_a_state_is_copied_whatever_its_arrays_are(monkeypatch, piece):
    monkeypatch.setattr(checkpoints, "PIECE", piece)
    monkeypatch.setattr(checkpoints, "SMALL", 100)
    rng = np.random.default_rng(1)
    large = rng.normal(size=(50, 40))
    arrays = {
        "whole": large,
        "trimmed": large[:47, :33],
        "first rows": large[:7],
        "cube": rng.normal(size=(5, 6, 8))[:, :4],
        "turned": large.T,
        "bits": rng.random((40, 30)) < 0.5,
        "bytes turned": rng.integers(0, 9, (20, 30)).astype(np.uint8).T,
        "read only": np.frombuffer(bytes(500), dtype=np.uint8),
        "small": np.arange(5, dtype=np.int32),
        "one": np.array(3),
        "none": np.zeros((0, 7)),
        "line": np.arange(1001, dtype=np.float32),
    }
    copies = Copies()
    copies.make_room(Copies.size(arrays))
    for _ in range(2):
        found = copies.copy(arrays)
        assert sorted(found) == sorted(arrays)
        for name, array in arrays.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert found[name].flags.c_contiguous
            assert not np.shares_memory(found[name], array)
            np.testing.assert_array_equal(found[name], array)
        large += 1
