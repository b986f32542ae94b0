"""Figures of runs that end apart, diverge or lack something: they show what is known and say so."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_runs import fake_run
from figure_checks import assert_texts_are_apart, legend_of, lighter, varied

from afl_sim.analysis import FIGURES, theme
from afl_sim.analysis.curves import held
from afl_sim.analysis.series import rounds
from afl_sim.recording import load_run

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


@pytest.fixture(scope="module")
def ending_apart(tmp_path_factory):
    """Three seeds of one setting, the first the shortest."""
    folder = tmp_path_factory.mktemp("apart")
    lengths = {1: 40, 2: 80, 3: 160}
    return [
        fake_run(folder / f"r{seed}", label=f"fedavg-r{seed}", strategy="fedavg", **settings)
        for seed, updates in lengths.items()
        for settings in [{"seed": seed, "updates": updates, "tau": 30.0}]
    ]


def with_metrics(run, **columns):
    """The run with other columns of its metrics."""
    object.__setattr__(run, "metrics", run.metrics.assign(**columns))
    return run


@pytest.mark.parametrize("name", ["accuracy", "learning", "gradient-norm", "fairness"])
def test_seeds_that_go_on_after_others_are_drawn_lighter_to_their_end(ending_apart, name):
    figure = FIGURES[name].function(ending_apart)
    ends = [run.metrics["time_us"].iloc[-1] / 1e6 for run in ending_apart]
    axes = figure.axes[0]
    whole = axes.get_lines()[0]
    assert whole.get_xdata()[-1] == ends[0]
    two, one = lighter(axes)[:2]
    assert (two.get_xdata()[0], two.get_xdata()[-1]) == (ends[0], ends[1])
    assert (one.get_xdata()[0], one.get_xdata()[-1]) == (ends[1], ends[2])
    assert one.get_color() == whole.get_color()
    if name in {"accuracy", "learning"}:
        last = 100 * ending_apart[2].summary["final"]["accuracy"]
        assert one.get_ydata()[-1] == pytest.approx(last)
    assert legend_of(figure) == ["fedavg", "fewer seeds"]
    said = f"fedavg 2 of 3 from {ends[0]:.3g} s, 1 of 3 from {ends[1]:.0f} s"
    assert said in theme.notes(figure)
    if name != "learning":
        assert "2 of 3" in [text.get_text() for text in axes.texts]
    assert_texts_are_apart(figure)


def test_every_panel_of_learning_goes_to_the_end_of_the_longest_run(ending_apart):
    for axes in FIGURES["learning"].function(ending_apart).axes:
        shown = lighter(axes)[:2]
        assert len(shown) == 2
        assert shown[-1].get_xdata()[-1] == max(max(line.get_xdata()) for line in shown)
        assert shown[-1].get_xdata()[-1] > 2 * axes.get_lines()[0].get_xdata()[-1]


def test_a_setting_of_which_runs_are_left_out_says_how_many_are_shown(ending_apart, tmp_path):
    silent = fake_run(
        tmp_path / "s", label="fedavg-r9", strategy="fedavg", seed=9, training=False, updates=5
    )
    figure = FIGURES["accuracy"].function([*ending_apart[:2], silent])
    assert legend_of(figure) == ["fedavg (2 of 3 runs)", "fewer seeds"]
    assert "without fedavg-r9" in theme.notes(figure)


def test_seeds_that_end_together_have_no_lighter_lines(ending_apart):
    first = ending_apart[0]
    other = with_metrics(replace(ending_apart[1]), **first.metrics)
    figure = FIGURES["accuracy"].function([first, other])
    assert legend_of(figure) == ["fedavg"]
    assert lighter(figure.axes[0]) == []
    assert theme.notes(figure) == ""


def test_classes_are_shown_to_the_end_of_the_longest_run(ending_apart):
    (axes, _) = FIGURES["class-accuracy"].function(ending_apart).axes
    ends = [run.metrics["time_us"].iloc[-1] / 1e6 for run in ending_apart]
    mesh = axes.collections[0]
    edges = mesh.get_coordinates()[0, :, 0]
    assert edges[-1] == ends[2]
    assert set(ends) <= set(edges)
    table = np.asarray(mesh.get_array())
    last = [run.metrics["class_accuracy"].iloc[-2][0] for run in ending_apart]
    assert table[0, -1] == pytest.approx(100 * last[2])  # of the last run alone
    before = int(np.flatnonzero(edges == ends[0])[0]) - 1
    values = [
        100 * held(*seconds_and_class(run, 0), edges[before : before + 1])[0]
        for run in ending_apart
    ]
    assert table[0, before] == pytest.approx(np.mean(values))
    marks = [line.get_xdata()[0] for line in axes.get_lines()]
    assert marks == ends[:2]
    assert [text.get_text() for text in axes.texts] == ["2 of 3", "1 of 3"]


def seconds_and_class(run, number):
    seconds = run.metrics["time_us"].to_numpy() / 1e6
    return seconds, np.stack(run.metrics["class_accuracy"])[:, number]


@pytest.mark.parametrize("name", ["staleness-time", "stragglers"])
def test_pooled_lines_are_lighter_where_seeds_have_ended(ending_apart, name):
    axes = FIGURES[name].function(ending_apart).axes[0]
    shown = lighter(axes)
    assert len(shown) == (2 if name == "staleness-time" else 4)
    lasting = [run.metrics["time_us"].iloc[-1] / 1e6 for run in ending_apart]
    if name == "stragglers":
        lasting = [rounds(run)["version"].max() for run in ending_apart]
    step = (lasting[2] / 60) if name == "staleness-time" else 0.5
    assert shown[0].get_xdata()[0] == pytest.approx(lasting[0], abs=step)
    assert shown[1].get_xdata()[-1] == pytest.approx(lasting[2], abs=step)


def test_a_run_that_diverged_ends_in_a_cross_and_no_longer_counts_in_the_mean(tmp_path):
    runs = [
        fake_run(tmp_path / f"r{n}", label=f"a-r{n}", seed=n, updates=40, tau=30.0) for n in (1, 2)
    ]
    runs[1].summary["status"] = "diverged"
    metrics = runs[1].metrics.copy()
    metrics.loc[8:, ["accuracy", "loss"]] = [np.nan, np.inf]
    object.__setattr__(runs[1], "metrics", metrics)
    figure = FIGURES["learning"].function(runs)
    assert legend_of(figure) == ["a", "diverged", "fewer seeds"]
    known = metrics["time_us"][7] / 1e6
    for axes in figure.axes[0], figure.axes[4]:
        (cross,) = [line for line in axes.get_lines() if line.get_marker() == "X"]
        assert cross.get_xdata() == [known]
        assert np.isfinite(axes.get_ylim()).all()
        whole, rest = axes.get_lines()[0], lighter(axes)[0]
        assert known <= whole.get_xdata()[-1] == rest.get_xdata()[0] < metrics["time_us"][8] / 1e6
        assert rest.get_xdata()[-1] == runs[0].metrics["time_us"].iloc[-1] / 1e6


def test_a_class_that_was_not_tested_does_not_count_as_never_right(tmp_path):
    run = fake_run(tmp_path / "a", updates=30)
    count = len(run.metrics)
    tested = [[0.5] * 9 + [None]] * (count - 1) + [[None] * 10]
    (axes,) = FIGURES["fairness"].function([with_metrics(run, class_accuracy=tested)]).axes
    for line in axes.get_lines()[:2]:
        np.testing.assert_allclose(line.get_ydata(), [50.0] * (count - 1) + [np.nan])
    mesh = FIGURES["class-accuracy"].function([run]).axes[0].collections[0]
    table = np.ma.filled(mesh.get_array(), np.nan)
    assert np.isnan(table[9]).all()
    assert (table[:9, :4] == 50).all()


def test_a_run_of_one_evaluation_has_its_classes_shown(tmp_path):
    run = fake_run(tmp_path / "a", updates=30)
    object.__setattr__(run, "metrics", run.metrics[:1])
    mesh = FIGURES["class-accuracy"].function([run]).axes[0].collections[0]
    first = 100 * np.array(run.metrics["class_accuracy"][0])
    np.testing.assert_allclose(np.asarray(mesh.get_array()), first[:, None])


def test_a_run_without_events_has_curves_and_no_bytes_and_says_so(tmp_path, ending_apart):
    run = fake_run(tmp_path / "a", label="a", updates=30)
    for name in ("events.parquet", "summary.json"):
        (run.path / name).unlink()
    for shown in ([load_run(run.path)], [ending_apart[0], load_run(run.path)]):
        figure = FIGURES["learning"].function(shown)
        for axes in figure.axes:
            bytes_axis = axes.get_xlabel().startswith("bytes")
            drawn = [line for line in axes.get_lines() if len(line.get_xdata())]
            assert len(drawn) == len(shown) - bytes_axis
            said = [text.get_text() for text in axes.texts]
            assert said == (["no events yet"] if bytes_axis and len(shown) == 1 else [])


def test_a_loss_that_is_no_number_is_not_drawn_and_the_panel_says_so(tmp_path):
    run = fake_run(tmp_path / "a", updates=30)
    figure = FIGURES["learning"].function([with_metrics(run, loss=np.inf)])
    for axes in figure.axes:
        is_loss = axes.get_ylim()[1] != 101
        assert [text.get_text() for text in axes.texts] == ["no numbers"] * bool(is_loss)


@pytest.mark.parametrize(
    ("status", "said"), [("interrupted", "not reached so far"), ("diverged", "not reached")]
)
def test_a_target_may_still_be_reached_by_a_run_that_goes_on(tmp_path, status, said):
    run = varied(fake_run(tmp_path / "a", updates=5), status=status)
    (axes,) = FIGURES["time-to-accuracy"].function([run]).axes
    assert [text.get_text() for text in axes.texts] == [said]


def test_accuracy_that_is_not_a_number_leaves_a_gap(tmp_path):
    run = fake_run(tmp_path / "a", updates=30)
    metrics = run.metrics.copy()
    metrics.loc[5:, "accuracy"] = np.nan
    object.__setattr__(run, "metrics", metrics)
    figure = FIGURES["accuracy"].function([run])
    assert_texts_are_apart(figure)
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == run.label]
    assert np.isfinite(np.asarray(line.get_ydata(), dtype=float)).sum() == 5
    assert isinstance(metrics, pd.DataFrame)
