"""What the window of neighbours gives back of its rows, beside a plain record of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from experts.test_neighbours import arrays, random_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.experts._neighbour_kernels import SEGMENT
from stream_ml.experts.neighbours import Neighbours

N_LABELS = 5


def learn(expert, stream, a, b, n_columns=8):
    """Learn rows, some of them being only predicted; gives those that were learned."""
    rows, labels, mode, prior = stream
    expert.grow(n_columns)
    for start in range(a, b, 50):
        stop = min(b, start + 50)
        batch, design = arrays(rows[start:stop], labels[start:stop], mode[start:stop], N_LABELS)
        expert.process(batch, design, N_LABELS, prior[start:stop], np.zeros((stop - start, N_LABELS), np.float32))
    return [(rows[i], labels[i]) for i in range(a, b) if mode[i] & 2]


def check_recent(expert, record, sparse, n_columns=8):
    """The last rows of the record, oldest first: as many as the closed segments of the window and the open one hold."""
    found = expert.recent()
    storages = len(expert.state.norms) // SEGMENT
    first = max(0, len(record) // SEGMENT - (storages - 2)) * SEGMENT
    if not record:
        assert found is None
        return
    design, y_indptr, y_indices = found
    expected = record[first:]
    assert len(design.indptr) == len(y_indptr) == len(expected) + 1
    for i, (cells, labels) in enumerate(expected):
        own = slice(design.indptr[i], design.indptr[i + 1])
        given_back = dict(zip(design.indices[own].tolist(), design.standard[own].tolist(), strict=True))
        whole = cells if sparse else {column: cells.get(column, 0.0) for column in range(n_columns)}
        assert given_back == whole, i
        assert list(given_back) == sorted(whole)
        assert np.linalg.norm(design.unit[own]) == pytest.approx(1.0, rel=1e-5)
        assert y_indices[y_indptr[i] : y_indptr[i + 1]].tolist() == sorted(labels), i
    np.testing.assert_array_equal(design.values, design.standard)
    assert [a.dtype for a in design] == [np.int64, np.int32, np.float32, np.float32, np.float32]
    assert [y_indptr.dtype, y_indices.dtype] == [np.int64, np.int32]


@settings(deadline=None, derandomize=True, max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(0, 800), st.booleans())
def test_recent_rows(seed, n, sparse):
    """Of the open segment, across segments, and after the storages were used again."""
    expert = Neighbours(sparse=sparse, window=256, neighbours=2)
    check_recent(expert, learn(expert, random_stream(seed, n, 8, N_LABELS, sparse), 0, n), sparse)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("n", [SEGMENT, 2 * SEGMENT, 4 * SEGMENT, 4 * SEGMENT + 1])
def test_at_the_ends_of_segments(sparse, n):
    stream = random_stream(1, n, 8, N_LABELS, sparse)
    stream[2][:] = 3
    expert = Neighbours(sparse=sparse, window=256, neighbours=2)
    check_recent(expert, learn(expert, stream, 0, n), sparse)


@pytest.mark.parametrize("sparse", [True, False])
def test_columns_that_come_late_and_rows_that_are_forgotten(sparse):
    stream = random_stream(2, 600, 8, N_LABELS, sparse)
    expert = Neighbours(sparse=sparse, window=256, neighbours=2)
    record = learn(expert, stream, 0, 450)
    record += learn(expert, stream, 450, 600, n_columns=11)
    check_recent(expert, record, sparse, n_columns=11)
    expert.forget(np.array([0], np.int32), 70, everywhere=True)
    assert expert.recent()[2].tolist() == [m for _, labels in record[-70:] for m in sorted(labels)]
    expert.forget(np.array([0], np.int32), 0, everywhere=True)
    assert expert.recent() is None


@pytest.mark.parametrize("sparse", [True, False])
def test_labels_by_number(sparse):
    """Rows keep their labels under other names, and those that come are learned beside them."""
    stream = random_stream(3, 700, 8, N_LABELS, sparse)
    expert = Neighbours(sparse=sparse, window=256, neighbours=2)
    record = learn(expert, stream, 0, 500)
    expert.forget(np.array([1], np.int32), 100)
    recent = [m for _, labels in record[-(len(record) % SEGMENT + 2 * SEGMENT) :] for m in labels]
    assert set(recent) == set(range(N_LABELS))
    names = np.array([3, 0, 4, 2, 1], np.int32)
    expert.renumber(names)
    assert not len(expert.state.valid)
    named = [(cells, {int(names[m]) for m in labels}) for cells, labels in record]
    found = expert.recent()
    for i, (_, labels) in enumerate(named[-(len(found[1]) - 1) :]):
        assert set(found[2][found[1][i] : found[1][i + 1]].tolist()) == labels
    state = {name: array.copy() for name, array in expert.state_dict().items()}
    again = Neighbours(sparse=sparse, window=256, neighbours=2)
    again.load_state_dict(state, 8, N_LABELS)
    named += learn(again, stream, 500, 700)
    assert {m for _, labels in named[-100:] for m in labels} == set(range(N_LABELS))
    sizes = np.diff(again.recent()[1])
    assert sizes.tolist() == [len(labels) for _, labels in named[-len(sizes) :]]


def test_rows_with_a_label_of_no_number_have_none():
    """They have left the window, else their labels would have numbers."""
    stream = random_stream(4, 100, 8, N_LABELS, True)
    expert = Neighbours(sparse=True, window=256, neighbours=2)
    record = learn(expert, stream, 0, 100)
    expert.renumber(np.array([0, -1, 1], np.int32))  # 3 and 4 are beyond
    y_indptr = expert.recent()[1]
    assert np.diff(y_indptr).tolist() == [0 if labels & {1, 3, 4} else len(labels) for _, labels in record]
    expert.renumber(np.zeros(0, np.int32))
    assert not np.diff(expert.recent()[1]).any()
    Neighbours(sparse=True).renumber(np.zeros(0, np.int32))  # nothing was learned
