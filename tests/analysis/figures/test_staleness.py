"""The figures of staleness and of who contributes."""

import math

import pytest
from figure_checks import visible_axes

from afl_sim.analysis import FIGURES

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_staleness_panels_hold_every_update(runs):
    figure = FIGURES["staleness"].function(runs[:3])
    assert len(visible_axes(figure)) == 3
    for axes, run in zip(figure.axes, runs, strict=False):
        assert math.isclose(sum(patch.get_height() for patch in axes.patches), 100.0)
        stale = run.events["staleness"].dropna()
        assert axes.get_lines()[0].get_xdata()[0] == pytest.approx(float(stale.mean()))
        at_zero = next(patch for patch in axes.patches if patch.get_x() == -0.5)
        assert at_zero.get_height() == pytest.approx(100 * (stale == 0).mean())


def test_staleness_over_time_is_the_mean_of_each_span(by_hand):
    (axes,) = FIGURES["staleness-time"].function([by_hand]).axes
    line = axes.get_lines()[0]
    assert line.get_ydata() == pytest.approx([2 / 3])  # three updates: one span


def test_staleness_by_speed_is_each_clients_mean(by_hand):
    (axes,) = FIGURES["staleness-speed"].function([by_hand]).axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == "hand"]
    assert line.get_xdata() == pytest.approx([2.0, 8.0])
    assert line.get_ydata() == pytest.approx([0.0, 2.0])


def test_contribution_shows_the_fair_share_and_the_unknown_clients(by_hand):
    figure = FIGURES["stragglers"].function([by_hand])
    idle, share = visible_axes(figure)
    fair = [line for line in share.get_lines() if list(line.get_ydata()) == [25.0, 25.0]]
    assert len(fair) == 1
    assert share.get_title(loc="right") == "2 never finished"
    line = next(line for line in share.get_lines() if line.get_label() == "hand")
    assert line.get_xdata() == pytest.approx([2.0, 8.0])
    assert line.get_ydata() == pytest.approx([200 / 3, 100 / 3])
    line = next(line for line in idle.get_lines() if line.get_label() == "hand")
    assert line.get_ydata() == pytest.approx([25.0, 0.0])  # client 0 is free from 6 s to 8 s
