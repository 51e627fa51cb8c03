"""Grid lines and names along axes are where matplotlib's ticks would have them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from stream_ml.report.canvas import WIDE, Canvas, count_axis, drawing, name_places

quick = settings(deadline=None, derandomize=True, max_examples=30)


def panel(low, high):
    canvas = Canvas(WIDE, 200)
    axes = canvas.axes(60, 10, 800, 150)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return canvas, axes


@quick
@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e4), st.integers(1, 10**7))
def test_scales_are_those_of_ticks(low, size, last):
    with drawing():
        canvas, axes = panel(low, low + size)
        count_axis(axes, canvas.narrow, last)
        canvas.finished()
        lines = [line.get_segments() for line in axes.collections if isinstance(line, LineCollection)]
        drawn = [text.get_text() for text in canvas.figure.texts]
        _, ticked = panel(low, low + size)
        count_axis(ticked, canvas.narrow, last)
        expected, grid = [], []
        for axis, labels in ((ticked.xaxis, ticked.get_xticklabels()), (ticked.yaxis, ticked.get_yticklabels())):
            view = sorted(axis.get_view_interval())
            inside = [view[0] <= at <= view[1] for at in axis.get_majorticklocs()]
            expected += [label.get_text() for label, shown in zip(labels, inside, strict=True) if shown]
            grid.append(axis.get_majorticklocs()[inside])
    assert drawn == expected
    np.testing.assert_array_equal([segment[0][0] for segment in lines[0]], grid[0])
    np.testing.assert_array_equal([segment[0][1] for segment in lines[1]], grid[1])


@pytest.mark.parametrize("top", [3e-7, 0.004, 1.0, 2e7])
def test_small_and_large_values_are_written_out(top):
    with drawing():
        canvas, axes = panel(0, top)
        axes.xaxis.set_visible(False)
        canvas.finished()
    assert max(float(text.get_text()) for text in canvas.figure.texts) == pytest.approx(top, rel=0.3)


def test_a_figure_is_finished_once():
    with drawing():
        canvas, axes = panel(0, 1)
        name_places(axes.xaxis, [0, 1, 7], ["a", "", "out of sight"])
        canvas.finished()
        before = [text.get_text() for text in canvas.finished().texts]
    assert before == ["a", "0.00", "0.25", "0.50", "0.75", "1.00"]
    assert len(axes.collections) == 2
