"""The figures of a study: sweeps, heat maps and differences."""

from copy import copy

import numpy as np
import pytest
from fake_runs import fake_run
from figure_checks import relative_luminance, titled, varied, visible_axes

from afl_sim.analysis import FIGURES, CannotDraw, theme
from afl_sim.analysis.intervals import differences
from afl_sim.analysis.replications import groups

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_a_sweep_is_drawn_along_the_setting_with_the_most_values(study):
    figure = FIGURES["sweep"].function(study)
    panel = visible_axes(figure)[0]
    assert panel.get_xlabel() == "count"
    lines = [line for line in panel.get_lines() if line.get_linestyle() == "-"]
    assert len(lines) == 4  # two strategies at two concurrencies
    labels = [line.get_label() for line in lines]
    assert labels[0] == "fedavg, concurrency 5"
    assert all(line.get_xdata().tolist() == [12, 20, 40] for line in lines)
    accuracy = titled(figure, "final accuracy (%)")
    first = [run.summary["final"]["accuracy"] for run in groups(study)[0].runs]
    assert accuracy.get_lines()[0].get_ydata()[0] == pytest.approx(100 * np.mean(first))


def test_a_point_of_fewer_than_all_seeds_is_hollow_and_says_of_how_many(tmp_path):
    runs = [
        varied(fake_run(tmp_path / f"{a}-{seed}", updates=5, seed=seed), a=a, seconds=10.0 * a)
        for a in (1, 2, 3)
        for seed in (1, 2, 3)
    ]
    runs[3].summary["status"] = "diverged"
    runs[4].summary["status"] = "diverged"
    figure = FIGURES["sweep"].function(runs, measures=["final_accuracy"])
    axes = titled(figure, "final accuracy (%)")
    whole, hollow = axes.get_lines()
    assert whole.get_markevery() == [0, 2]
    there = ~np.isnan(np.asarray(hollow.get_ydata(), dtype=float))
    assert there.tolist() == [False, True, False]
    assert [text.get_text() for text in axes.texts] == ["1 of 3"]


def test_two_settings_make_a_heat_map(study):
    fedavg = [run for run in study if run.strategy == "fedavg"]
    figure = FIGURES["sweep-map"].function(fedavg)
    panel = titled(figure, "final accuracy (%)")
    values = np.asarray(panel.images[0].get_array())
    assert values.shape == (2, 3)
    cell = [r for r in fedavg if r.scenario["clients"]["count"] == 40][2:]
    mean = np.mean([run.summary["final"]["accuracy"] for run in cell])
    assert values[1, 2] == pytest.approx(mean)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("count", "concurrency")


def grid_of(tmp_path, **options):
    return [
        varied(fake_run(tmp_path / f"{a}-{b}", updates=5), a=a, b=b, **options)
        for a in (1, 2)
        for b in (3, 4)
    ]


def test_a_heat_map_shows_no_mean_of_only_those_who_reached_a_target(tmp_path):
    runs = grid_of(tmp_path, seconds=10.0)
    late = fake_run(tmp_path / "late", strategy="fedavg", updates=5)
    runs.append(varied(late, seconds=None, a=1, b=3))
    figure = FIGURES["sweep-map"].function(runs, measures=["seconds_to_0.9"])
    panel = titled(figure, "time to 90 % (s)")
    assert [text.get_text() for text in panel.texts] == ["-", "10.0", "10.0", "10.0"]


def test_a_heat_map_of_runs_that_were_broken_off_says_that_there_is_nothing(tmp_path):
    runs = grid_of(tmp_path, status="interrupted")
    with pytest.raises(CannotDraw, match="none of the measures has a value"):
        FIGURES["sweep-map"].function(runs)


def test_no_two_lines_of_a_sweep_look_alike(tmp_path):
    runs = [
        varied(fake_run(tmp_path / f"{a}-{b}", updates=5), a=a, b=b)
        for a in range(9)
        for b in range(10)
    ]
    panel = visible_axes(FIGURES["sweep"].function(runs, measures=["versions"]))[0]
    lines = [line for line in panel.get_lines() if not line.get_label().startswith("_")]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 9


def test_figures_of_very_many_settings_show_a_part_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr("afl_sim.analysis.figures.differences.MOST_PAIRS", 3)
    monkeypatch.setattr("afl_sim.analysis.figures.study.LOOKS", 2)
    monkeypatch.setattr("afl_sim.analysis.figures.sweep_map.MOST_NUMBERS", 12)
    monkeypatch.setattr("afl_sim.analysis.figures.study.MOST_NAMES", 3)
    runs = [
        varied(
            fake_run(tmp_path / f"{a}{b}-r{n}", label=f"{a}{b}-r{n}", seed=n, updates=5), a=a, b=b
        )
        for a in range(3)
        for b in range(5)
        for n in (1, 2)
    ]
    figure = FIGURES["differences"].function(runs)
    assert theme.notes(figure) == "the first 3 of 14 pairs of settings"
    assert all(len(axes.get_yticks()) == 3 for axes in visible_axes(figure))
    figure = FIGURES["sweep"].function(runs, measures=["versions"])
    lines = [line for line in figure.axes[0].get_lines() if line.get_label()[0] != "_"]
    assert [line.get_label() for line in lines] == ["a 0", "a 1"]
    assert theme.notes(figure) == "the first 2 of 3 lines"
    figure = FIGURES["sweep-map"].function(runs, measures=["versions"])
    assert len(figure.axes[0].texts) == 0
    assert len(figure.axes) == 2  # and its bar of colours
    for run in runs[:10]:
        run.scenario["clients"].update(a=f"x{run.label}", b=0)
    figure = FIGURES["sweep"].function(runs[:10:2], measures=["versions"])
    assert len(figure.axes[0].get_xticks()) == 3


def test_numbers_on_a_heat_map_stand_out_even_where_all_are_equal(study):
    figure = FIGURES["sweep-map"].function(study, measures=["max_staleness", "steady_utilisation"])
    for panel in visible_axes(figure):
        (image,) = panel.images
        for text, value in zip(panel.texts, np.ravel(image.get_array()), strict=True):
            ink, ground = relative_luminance(text.get_color()), image.cmap(image.norm(value))
            light, dark = sorted((ink, float(np.dot(ground[:3], [0.3, 0.6, 0.1]))), reverse=True)
            assert light - dark > 0.3


def test_a_study_of_strategies_alone_has_no_axis_to_sweep(study, runs):
    figure = FIGURES["sweep"].function(runs[:3])
    names = [text.get_text() for text in visible_axes(figure)[0].get_xticklabels()]
    assert names[0] == "fedavg"
    with pytest.raises(CannotDraw, match="no two numeric settings"):
        FIGURES["sweep-map"].function(runs[:3])
    with pytest.raises(CannotDraw, match="no two settings have two seeds"):
        FIGURES["differences"].function(runs[:3])


def test_differences_of_what_has_no_unit_name_none(study):
    runs = [copy(run) for run in study]
    for total, run in enumerate(runs):
        object.__setattr__(run, "summary", {**run.summary, "price": {"total": float(total**2)}})
    figure = FIGURES["differences"].function(runs)
    assert titled(figure, "price").get_xlabel() == "difference"
    assert titled(figure, "mean staleness").get_xlabel() == "difference (versions)"


def test_differences_are_drawn_with_their_intervals(study):
    figure = FIGURES["differences"].function(study)
    found = differences(groups(study))
    panel = titled(figure, "final accuracy")
    rows = found[(found["measure"] == "final_accuracy") & found["low"].notna()]
    points = next(line for line in panel.get_lines() if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_xdata(), 100 * rows["difference"])
    np.testing.assert_allclose(
        [path.vertices[:, 0] for path in panel.collections[0].get_paths()],
        100 * rows[["low", "high"]],
    )


def test_a_measure_in_which_nothing_differs_has_no_panel(study):
    assert titled(FIGURES["differences"].function(study), "virtual time")
    runs = [copy(run) for run in study]
    for run in runs:
        object.__setattr__(run, "summary", {**run.summary, "virtual_seconds": 400.0})
    figure = FIGURES["differences"].function(runs)
    assert "virtual time" not in {axes.get_title() for axes in visible_axes(figure)}
    assert titled(figure, "final accuracy")
