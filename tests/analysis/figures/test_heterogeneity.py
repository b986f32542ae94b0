"""The figures of speeds, of where time goes, and of who is waited for."""

import numpy as np
import pytest
from figure_checks import titled, visible_axes
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.analysis import FIGURES
from afl_sim.analysis.activity import spans_of, tasks_of
from afl_sim.analysis.series import by_speed, horizon, rounds, speeds

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_rounds_show_who_is_waited_for(runs):
    figure = FIGURES["stragglers"].function(runs[:1])
    waiting, last, *_ = visible_axes(figure)
    table = rounds(runs[0])
    assert waiting.get_lines()[0].get_ydata() == pytest.approx(100 * table["waiting"])
    names = [int(text.get_text()) for text in last.get_xticklabels()]
    heights = [patch.get_height() for patch in last.patches]
    often = 100 * table["last"].value_counts(normalize=True)
    assert heights == pytest.approx(often[names].tolist())
    assert heights == sorted(heights, reverse=True)
    assert len(visible_axes(FIGURES["stragglers"].function(runs[2:3]))) == 2


def test_the_heat_map_and_the_samples_are_in_order_of_speed(runs):
    figure = FIGURES["heterogeneity"].function(runs[:1])
    heat, samples = titled(figure, "Labels by client"), titled(figure, "Samples by client")
    order = by_speed(speeds(runs[:1]), runs[0])
    counts = runs[0].label_counts.loc[order]
    shares = 100 * counts.div(counts.sum(axis=1), axis=0)
    np.testing.assert_allclose(heat.images[0].get_array(), shares.to_numpy().T)
    (stairs,) = samples.patches
    np.testing.assert_allclose(stairs.get_data().values, counts.sum(axis=1))


def test_boxes_show_where_the_time_of_a_task_goes(by_hand):
    legs_axes = titled(
        FIGURES["heterogeneity"].function([by_hand]), "Where the time of a task goes"
    )
    # Three tasks: downloads of 1, 0 and 0 s; computing 2, 2 and 8 s; uploads of 1, 0 and 0 s.
    boxes = [(box.get_x(), box.get_width()) for box in legs_axes.patches]
    assert boxes == [(1.0, 0.0), (2.0, 3.0), (1.0, 0.0)]
    notes = [text.get_text() for text in legs_axes.texts]
    assert notes == ["none in 67 %", "none in 67 %", "none in 100 %"]


def test_tasks_that_wait_in_a_queue_are_drawn_and_named(by_hand):
    settings = ["clients.queue=fifo", "strategy.concurrency=9"]
    run = simulate(load_scenario(SMALLEST, settings), timing_only=True)
    (tasks, *_) = tasks_of(run, [0])
    waits = spans_of(tasks, until=horizon(run))["queueing"]
    assert waits
    assert all(end > begin for begin, end in waits)
    for shown, expected in ((run, True), (by_hand, False)):
        (key,) = FIGURES["timeline"].function([shown]).legends
        assert ("queueing" in [text.get_text() for text in key.texts]) == expected
        panels = visible_axes(FIGURES["heterogeneity"].function([shown]))
        labels = [label.get_text() for panel in panels for label in panel.get_yticklabels()]
        assert ("queueing" in labels) == expected
