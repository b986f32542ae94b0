"""The figures of accuracy and loss, by class and by what they cost."""

import numpy as np
import pytest
from fake_runs import fake_run

from afl_sim.analysis import FIGURES
from afl_sim.analysis.curves import curve_of, held
from afl_sim.analysis.figures.classes import label_mixes
from afl_sim.analysis.replications import groups
from afl_sim.analysis.series import by_speed, speeds, speeds_by_run
from afl_sim.analysis.statistics import student_interval

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_accuracy_is_drawn_in_percent_over_virtual_seconds(runs):
    (axes,) = FIGURES["accuracy"].function(runs[:2]).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    metrics = runs[0].metrics
    np.testing.assert_allclose(lines["fedavg"].get_xdata(), metrics["time_us"] / 1e6)
    np.testing.assert_allclose(lines["fedavg"].get_ydata(), metrics["accuracy"] * 100)
    targets = [line.get_ydata()[0] for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    assert {90.0, 95.0} <= set(targets)


def test_curves_are_drawn_against_what_they_cost(runs):
    figure = FIGURES["learning"].function(runs[:1])
    metrics = runs[0].metrics
    moved = runs[0].events.groupby("time_us")["bytes"].sum().cumsum()
    at = np.searchsorted(moved.index, metrics["time_us"], side="right") - 1
    expected = {
        "virtual time (s)": metrics["time_us"] / 1e6,
        "versions": metrics["version"],
        "samples trained": metrics["samples"],
        "bytes transferred (MB)": moved.to_numpy()[at] / 1e6,
    }
    axes = [axes for axes in figure.axes if axes.get_ylim()[1] == 101]
    assert [panel.get_xlabel() for panel in axes] == list(expected)
    for panel, x in zip(axes, expected.values(), strict=True):
        np.testing.assert_allclose(panel.get_lines()[0].get_xdata(), x)
        np.testing.assert_allclose(panel.get_lines()[0].get_ydata(), 100 * metrics["accuracy"])


def test_replications_share_a_line_of_means_and_a_band(study):
    members = groups(study)[:1]
    (axes,) = FIGURES["accuracy"].function(members[0].runs).axes
    curves = [curve_of(run, "time", "accuracy") for run in members[0].runs]
    line = axes.get_lines()[0]
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert x[-1] == min(curve.x[-1] for curve in curves)
    at = len(x) // 2
    values = [held(curve.x, curve.y, x[at : at + 1])[0] for curve in curves]
    interval = student_interval(values)
    assert y[at] == pytest.approx(interval.mean)
    (band,) = axes.collections
    edge = band.get_paths()[0].vertices
    assert interval.low == pytest.approx(edge[edge[:, 0] == x[at]][:, 1].min())
    assert interval.high == pytest.approx(edge[edge[:, 0] == x[at]][:, 1].max())


def test_class_accuracy_is_a_row_for_each_class(runs):
    figure = FIGURES["class-accuracy"].function(runs[:1])
    mesh = figure.axes[0].collections[0]
    table = np.asarray(mesh.get_array())
    assert table.shape[0] == 10
    last = np.stack(runs[0].metrics["class_accuracy"])[-2]  # the last begins where the run ends
    np.testing.assert_allclose(table[:, -1], 100 * last)


def test_label_mixes_are_those_of_the_fastest_and_slowest_tenth(runs):
    run = runs[0]
    known = speeds_by_run(runs)[run.path]
    order = by_speed(known, run)
    mixes = label_mixes(known, run)
    fastest = run.label_counts.loc[order[:4]].sum()
    np.testing.assert_allclose(mixes["fastest"], fastest / fastest.sum())
    slowest = run.label_counts.loc[order[-4:]].sum()
    np.testing.assert_allclose(mixes["slowest"], slowest / slowest.sum())


def test_fairness_weighs_the_classes_by_the_labels_held(runs, tmp_path):
    run = fake_run(tmp_path / "a", updates=30)
    metrics = run.metrics.copy()
    metrics["class_accuracy"] = [np.arange(10) / 10] * len(metrics)
    object.__setattr__(run, "metrics", metrics)
    (axes,) = FIGURES["fairness"].function([run]).axes
    fast, slow = axes.get_lines()[:2]
    mixes = label_mixes(speeds([run]), run)
    for line, which in ((fast, "fastest"), (slow, "slowest")):
        np.testing.assert_allclose(line.get_ydata(), 100 * mixes[which] @ (np.arange(10) / 10))
    assert (fast.get_linestyle(), slow.get_linestyle()) == ("-", "--")
