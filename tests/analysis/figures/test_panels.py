"""Axes of several figures: numbers that have room beside each other."""

from __future__ import annotations

from itertools import pairwise

import pytest

from afl_sim.analysis.figures.panels import virtual_time
from afl_sim.analysis.theme import new_figure, themed


@pytest.mark.parametrize("end", [9.0, 900.0, 172_800.0, 12_345_678.0])
@pytest.mark.parametrize("width", [2.0, 3.3, 7.0])
def test_numbers_of_long_times_do_not_touch(width: float, end: float) -> None:
    with themed("paper"):
        figure = new_figure(width, 2.0)
        axes = figure.subplots()
        axes.plot([0.0, end], [0.0, 1.0])
        virtual_time(axes)
        figure.canvas.draw()
        boxes = [
            label.get_window_extent()
            for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if 0 <= tick <= end
        ]
        assert len(boxes) >= 2
        height = boxes[0].height
        for left, right in pairwise(boxes):
            assert right.x0 - left.x1 > 0.3 * height
