"""Every figure: axes have units, no text lies on another, and extreme runs can be drawn."""

import re

import pytest
from fake_runs import fake_run
from figure_checks import LONG, STUDY, assert_texts_are_apart, shown_by, visible_axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from afl_sim.analysis import FIGURES
from afl_sim.analysis.replications import shorten
from afl_sim.analysis.theme import STYLES
from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, COMPUTED, DISPATCHED, DOWNLOADED

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def assert_axes_have_units(figure):
    without = {"label", "class", "client", "round", "loss", "samples", "transfers", "versions"}
    without |= {"samples trained", "clients from the fastest to the slowest"}
    without |= {"client (slowest at the top)", "squared gradient norm"}
    labels = [axes.get_xlabel() for axes in figure.axes] + [a.get_ylabel() for a in figure.axes]
    labels = [label for label in labels if label]
    assert labels
    for label in labels:
        assert label in without or re.search(
            r"\((s|%|versions.*|MB|kB/s|clients|updates)\)$", label
        ), label


COLUMN = STYLES["column"].sized(84 / 25.4, None)  # millimetres of a column of a journal


@pytest.mark.parametrize(
    ("count", "style"),
    [(1, "paper"), (3, "slides"), (7, COLUMN), (7, "paper")],
    ids=["1-paper", "3-slides", "7-84mm", "7-paper"],
)
@pytest.mark.parametrize("name", [name for name in FIGURES if name not in STUDY])
def test_axes_have_units_and_no_text_lies_on_another_or_leaves_the_figure(runs, name, count, style):
    figure = FIGURES[name].function(shown_by(name, runs, count), style=style)
    assert_axes_have_units(figure)
    assert_texts_are_apart(figure)


@pytest.mark.parametrize("style", ["paper", COLUMN, "slides"], ids=["paper", "84mm", "slides"])
@pytest.mark.parametrize("name", [*STUDY, "accuracy", "time-to-accuracy", "stragglers"])
def test_no_text_lies_on_another_in_a_studys_figures(study, name, style):
    assert_texts_are_apart(FIGURES[name].function(shown_by(name, study, len(study)), style=style))


@pytest.mark.parametrize("figure", ["time-to-accuracy", "staleness", "sweep"])
def test_settings_that_differ_in_the_middle_of_their_names_are_told_apart(figure, tmp_path):
    runs = [
        fake_run(tmp_path / name, label=name, strategy=f"k{n}", updates=20)
        for n, name in enumerate(f"fedbuff_seconds={n}_alpha=0.30000" for n in range(3))
    ]
    axes = visible_axes(FIGURES[figure].function(runs, style="column"))
    if figure == "time-to-accuracy":
        names = [text.get_text() for text in axes[0].get_yticklabels()]
    elif figure == "sweep":
        names = [text.get_text() for text in axes[0].get_xticklabels()]
    else:
        names = [panel.get_title() or panel.get_title(loc="left") for panel in axes[:3]]
    assert len(names) == 3
    assert all(f"s={n}" in name for n, name in enumerate(names))


def test_a_setting_keeps_its_colour_in_every_figure(runs, timing_only):
    mixed = [timing_only, *runs[:2]]
    colors = {}
    for name in ("accuracy", "staleness-speed", "stragglers"):
        figure = FIGURES[name].function(mixed)
        lines = [line for axes in figure.axes for line in axes.get_lines()]
        colors[name] = {line.get_label(): line.get_color() for line in lines}
    for label in ("fedavg", shorten(LONG)):
        assert len({found[label] for found in colors.values()}) == 1


def test_one_fleet_has_one_line_and_another_its_own(runs, tmp_path):
    other = fake_run(tmp_path / "other", strategy="fedavg", clients=30, updates=20)
    for members, count in ((runs[:3], 1), ([runs[0], other], 2)):
        speed = FIGURES["heterogeneity"].function(members).axes[0]
        assert len(speed.get_lines()) == count


EVENTS_ONLY = ["heterogeneity", "stragglers", "staleness", "staleness-time", "timeline"]


@pytest.mark.parametrize("name", EVENTS_ONLY)
def test_clients_all_alike_can_be_drawn(tmp_path, name):
    run = fake_run(tmp_path / "a", spread=0.0, clients=3, concurrency=3, updates=12)
    assert_texts_are_apart(FIGURES[name].function([run]))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in STUDY])
def test_a_single_update_can_be_drawn(tmp_path, name):
    run = fake_run(tmp_path / "a", clients=1, concurrency=1, buffer=1, updates=1)
    FigureCanvasAgg(FIGURES[name].function(shown_by(name, [run], 1))).draw()


def test_clients_that_compute_in_no_time_can_be_drawn(tmp_path):
    folder = RunFolder.create(tmp_path / "a", "name: a\nclients: {count: 2}\n", {})
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for client in range(2):
            for kind in (DISPATCHED, DOWNLOADED, COMPUTED, ARRIVED):
                log.append(0, kind, client, 0, 0, 0)
            log.append(0, AGGREGATED, client, 0, client + 1, 0, client)
    run = load_run(folder.path)
    for kind in EVENTS_ONLY:
        FigureCanvasAgg(FIGURES[kind].function([run])).draw()
