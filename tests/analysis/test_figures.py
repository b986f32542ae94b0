"""The figures: that they show what they say, with units, and without text on text."""

import itertools
import math
import re
import shutil
import subprocess
import sys
import warnings
import zlib

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from fake_runs import fake_run
from figure_checks import assert_texts_are_apart, shown_by, varied, visible_axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from places import SMALLEST

from afl_sim import analysis, load_scenario, simulate
from afl_sim.analysis import FIGURES, CannotDraw, theme
from afl_sim.analysis.curves import curve_of, held
from afl_sim.analysis.drawing import rendered
from afl_sim.analysis.figures.classes import label_mixes
from afl_sim.analysis.figures.timeline import choose_clients, legs, timeline
from afl_sim.analysis.intervals import differences
from afl_sim.analysis.replications import groups, named, short_labels, shorten
from afl_sim.analysis.series import (
    by_speed,
    compute_seconds,
    horizon,
    rounds,
    speeds,
    speeds_by_run,
    transfers,
)
from afl_sim.analysis.statistics import student_interval
from afl_sim.errors import InputError
from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, COMPUTED, DISPATCHED, DOWNLOADED

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")

STUDY = ("sweep", "sweep-map", "differences")
LONG = "fedasync-with-hinge-staleness-a10-b4-and-a-proximal-term"


@pytest.fixture(autouse=True)
def _drawing_changes_nothing_global_and_opens_no_window():
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


@pytest.fixture
def _unrendered(monkeypatch):
    """Figures are drawn and their files written, but empty."""
    monkeypatch.setattr("afl_sim.analysis.drawing.rendered", lambda figure, form: b"")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    kinds = ["fedavg", "fedasync", "fedbuff", "ringmaster", "quafl", "fedat", "fedprox"]
    labels = ["fedavg", LONG, "fedbuff", "ringmaster", "quafl", "fedat-" + LONG, "fedprox-mu-0.01"]
    return [
        fake_run(
            folder / kind,
            label=label,
            strategy=kind,
            buffer=index + 1,
            updates=150,
            tau=10.0 * (index + 1),
            seed=index // 4 + 1,
        )
        for index, (kind, label) in enumerate(zip(kinds, labels, strict=True))
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two strategies, three sizes of fleet, two concurrencies, two seeds."""
    folder = tmp_path_factory.mktemp("study")
    found = []
    cells = itertools.product(("fedavg", "fedbuff"), (12, 20, 40), (5, 10), (1, 2))
    for kind, clients, concurrency, seed in cells:
        label = f"{kind}_count={clients}_concurrency={concurrency}-r{seed}"
        run = fake_run(
            folder / label,
            label=label,
            strategy=kind,
            clients=clients,
            concurrency=concurrency,
            seed=seed,
            updates=40,
            tau=5.0 if kind == "fedbuff" else 60.0,
        )
        run.scenario["strategy"]["concurrency"] = concurrency
        found.append(run)
    return found


@pytest.fixture(scope="module")
def timing_only(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("t") / "t", label="clock", training=False, updates=60)


@pytest.fixture
def by_hand(tmp_path):
    """Three clients: 0 computes 2 s twice, 1 computes 8 s once, 2 never finishes."""
    scenario = "name: hand\nclients: {count: 4}\nstrategy: {kind: fedasync}\n"
    folder = RunFolder.create(tmp_path / "hand", scenario, {})
    second = 1_000_000
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for client in range(3):
            log.append(0, DISPATCHED, client, 0, 0, 0)
        log.append(second, DOWNLOADED, 0, 0, 0, 0)
        log.append(3 * second, COMPUTED, 0, 0, 0, 0)
        log.append(4 * second, ARRIVED, 0, 0, 0, 0)
        log.append(4 * second, AGGREGATED, 0, 0, 1, 0, 0)
        log.append(4 * second, DISPATCHED, 0, 1, 1, 1)
        log.append(4 * second, DOWNLOADED, 0, 1, 1, 1)
        log.append(6 * second, COMPUTED, 0, 1, 1, 1)
        log.append(6 * second, ARRIVED, 0, 1, 1, 1)
        log.append(6 * second, AGGREGATED, 0, 1, 2, 1, 0)
        log.append(8 * second, COMPUTED, 1, 0, 2, 0)
        log.append(8 * second, ARRIVED, 1, 0, 2, 0)
        log.append(8 * second, AGGREGATED, 1, 0, 3, 0, 2)
    return load_run(folder.path)


def assert_axes_have_units(figure):
    without = {"label", "class", "client", "round", "loss", "samples", "transfers", "versions"}
    without |= {"samples trained", "clients from the fastest to the slowest"}
    without |= {"client (slowest at the top)", "squared gradient norm"}
    labels = [axes.get_xlabel() for axes in figure.axes] + [a.get_ylabel() for a in figure.axes]
    labels = [label for label in labels if label]
    assert labels
    for label in labels:
        assert label in without or re.search(r"\((s|%|versions.*|MB)\)$", label), label


def titled(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


@pytest.mark.parametrize(("count", "style"), [(1, "paper"), (3, "slides"), (7, "column")])
@pytest.mark.parametrize("name", [name for name in FIGURES if name not in STUDY])
def test_axes_have_units_and_no_text_lies_on_another_or_leaves_the_figure(runs, name, count, style):
    figure = FIGURES[name].function(shown_by(name, runs, count), style=style)
    assert_axes_have_units(figure)
    assert_texts_are_apart(figure)


@pytest.mark.parametrize("style", ["paper", "column", "slides"])
@pytest.mark.parametrize("name", [*STUDY, "accuracy", "time-to-accuracy", "stragglers"])
def test_no_text_lies_on_another_in_a_studys_figures(study, name, style):
    assert_texts_are_apart(FIGURES[name].function(study, style=style))


def test_listing_figures_imports_no_plotting_library():
    code = (
        "import sys; from afl_sim.analysis import FIGURES; print(*FIGURES); "
        "print([m for m in ('matplotlib', 'seaborn', 'torch', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == [" ".join(FIGURES), "[]"]


def test_the_palette_is_colour_blind_safe():
    assert set(theme.PALETTE) <= set(sns.color_palette("colorblind").as_hex())
    assert len(set(theme.PALETTE)) == len(theme.MARKERS) == 8
    assert len(set(theme.PALETTE_ON_DARK)) == 8


@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK])
def test_lines_stand_out_from_the_page(colors):
    page = relative_luminance(colors.page)
    for color in (*colors.palette, colors.ink, *colors.legs):
        light, dark = sorted((relative_luminance(color), page), reverse=True)
        # WCAG asks 3 of graphics; the lightest of the palette's hues has 2.3 on white.
        assert (light + 0.05) / (dark + 0.05) > 2.2, color
    light, dark = sorted((relative_luminance(colors.ink), page), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 7


def relative_luminance(color):
    channels = np.array([int(color[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_labels_are_short_and_unique(runs):
    labels = short_labels([LONG, LONG, "fedavg"])
    assert len(set(labels)) == 3
    assert labels[2] == "fedavg"
    assert all(len(label) <= 40 for label in labels)
    assert labels[0].startswith("fedasync-with")
    assert labels[0].endswith("term")
    assert len(shorten("x" * 100, 20)) == 20


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


@pytest.mark.usefixtures("_unrendered")
def test_all_figures_are_drawn_unless_some_are_named(runs, tmp_path):
    drawn = analysis.draw(runs[:1], tmp_path)
    assert [entry.figure for entry in drawn] == list(FIGURES)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(f"{name}.png" for name in FIGURES if name not in STUDY)
    for entry in drawn:
        if entry.figure in STUDY:
            assert "there is only one setting, so there is nothing to compare" in entry.line


def test_figures_are_drawn_in_each_format(runs, tmp_path):
    folder = tmp_path / "new" / "figures"
    drawn = analysis.draw(runs[:2], folder, ["staleness", "accuracy"], ("png", "svg", "pdf"))
    assert [entry.figure for entry in drawn] == ["staleness", "accuracy"]
    for entry in drawn:
        assert [path.name for path in entry.paths] == [
            f"{entry.figure}.{form}" for form in ("png", "svg", "pdf")
        ]
        assert all(path.stat().st_size > 3000 for path in entry.paths)
        assert entry.skipped is None
        assert str(entry.paths[0]) in entry.line


def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    files = []
    for name in ("a", "b"):
        (entry,) = analysis.draw(
            runs[:1], tmp_path / name, ["staleness"], formats=("png", "pdf", "svg")
        )
        files.append([path.read_bytes() for path in entry.paths])
    assert files[0] == files[1]


def fonts_in(pdf):
    """The kinds of fonts that a PDF holds, also in compressed streams, and how many programs."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    parts = [pdf, *(unpacked(stream) for stream in streams)]
    kinds = {
        kind.decode()
        for part in parts
        for kind in re.findall(rb"/Subtype\s*/(Type\w+|TrueType|CIDFont\w+)", part)
    }
    return kinds, sum(part.count(b"/FontFile2 ") for part in parts)


def unpacked(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


@pytest.mark.parametrize("style", theme.STYLES)
def test_pdfs_embed_truetype_fonts_in_every_style_and_for_math(runs, style, tmp_path):
    figure = FIGURES["gradient-norm"].function(runs[:2], style=style)  # powers of ten are math
    figure.axes[0].set_title(r"$\alpha_i^{-3}\;\mathcal{L}\;\frac{x}{y}\;\sqrt{2}$ − … é")
    figure.savefig(tmp_path / "plain.pdf")
    for content in rendered(figure, "pdf"), (tmp_path / "plain.pdf").read_bytes():
        kinds, programs = fonts_in(content)
        assert kinds == {"Type0", "CIDFontType2"}
        assert programs >= 3  # upright, italic and the symbols


def test_the_fonts_of_a_pdf_are_found(tmp_path):
    figure = mpl.figure.Figure()
    figure.text(0.5, 0.5, "one")
    figure.savefig(tmp_path / "a.pdf")
    assert fonts_in((tmp_path / "a.pdf").read_bytes()) == ({"Type3"}, 0)
    packed = b"stream\n" + zlib.compress(b"<< /Subtype /Type3 >>") + b"\nendstream"
    assert fonts_in(packed)[0] == {"Type3"}


@pytest.mark.usefixtures("_unrendered")
def test_more_runs_than_fit_one_page_make_further_files(runs, tmp_path):
    (entry,) = analysis.draw(runs, tmp_path, ["timeline"])
    assert [path.name for path in entry.paths] == ["timeline.png", "timeline-2.png"]


@pytest.mark.usefixtures("_unrendered")
def test_a_figure_that_a_run_cannot_supply_says_so(timing_only, runs, tmp_path):
    drawn = {entry.figure: entry for entry in analysis.draw([timing_only], tmp_path)}
    assert drawn["accuracy"].paths == ()
    assert drawn["accuracy"].line == "accuracy: not drawn: clock: no evaluations (timing only)"
    assert drawn["timeline"].paths
    (mixed,) = analysis.draw([runs[0], timing_only], tmp_path, ["accuracy"])
    assert len(mixed.paths) == 1
    assert "without clock: no evaluations" in mixed.line


def test_a_run_that_has_not_ended_is_skipped_not_fatal(tmp_path):
    RunFolder.create(tmp_path / "a", "name: a\nstrategy: {kind: fedavg}\n", {})
    run = load_run(tmp_path / "a")
    drawn = analysis.draw([run], tmp_path / "figures")
    assert all(entry.skipped and not entry.paths for entry in drawn)
    lines = {entry.figure: entry.line for entry in drawn}
    for figure in ("accuracy", "time-to-accuracy", "timeline", "sweep"):
        assert "a: not finished (in progress or interrupted; `afl-sim resume`" in lines[figure]
        assert "timing only" not in lines[figure]
    with pytest.raises(CannotDraw, match="a: not finished"):
        FIGURES["timeline"].function([run])


@pytest.mark.usefixtures("_unrendered")
def test_of_runs_that_are_left_out_each_says_why(timing_only, runs, tmp_path):
    RunFolder.create(tmp_path / "begun", "name: begun\nstrategy: {kind: fedavg}\n", {})
    damaged = shutil.copytree(runs[0].path, tmp_path / "damaged")
    mixed = [runs[0], timing_only, load_run(tmp_path / "begun"), load_run(damaged)]
    (damaged / "metrics.parquet").write_bytes(b"PAR1")
    (entry,) = analysis.draw(mixed, tmp_path / "figures", ["accuracy"])
    assert len(entry.paths) == 1
    assert "clock: no evaluations (timing only)" in entry.line
    assert "begun: not finished" in entry.line
    assert "metrics.parquet is damaged" in entry.line


def test_wrong_requests_are_input_errors(runs, tmp_path):
    with pytest.raises(InputError, match=r"no figure 'stalenes'.*did you mean 'staleness'"):
        analysis.draw(runs, tmp_path, ["stalenes"])
    with pytest.raises(InputError, match="no runs"):
        analysis.draw([], tmp_path)
    with pytest.raises(InputError, match=r"format 'gif'.*png, pdf or svg"):
        analysis.draw(runs[:1], tmp_path, ["staleness"], formats=["gif"])
    with pytest.raises(InputError, match=r"style 'papper'.*did you mean 'paper'"):
        analysis.draw(runs[:1], tmp_path, ["staleness"], style="papper")
    with pytest.raises(InputError, match="style 'papper'"):  # though there is nothing to draw
        analysis.draw(runs[:1], tmp_path, ["sweep"], style="papper")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        analysis.draw(runs[:1], tmp_path / "file" / "figures", ["staleness"])


def test_accuracy_is_drawn_in_percent_over_virtual_seconds(runs):
    (axes,) = FIGURES["accuracy"].function(runs[:2]).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    metrics = runs[0].metrics
    np.testing.assert_allclose(lines["fedavg"].get_xdata(), metrics["time_us"] / 1e6)
    np.testing.assert_allclose(lines["fedavg"].get_ydata(), metrics["accuracy"] * 100)
    targets = [line.get_ydata()[0] for line in axes.get_lines() if len(set(line.get_ydata())) == 1]
    assert {90.0, 95.0} <= set(targets)


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


def test_one_fleet_has_one_line_and_another_its_own(runs, tmp_path):
    other = fake_run(tmp_path / "other", strategy="fedavg", clients=30, updates=20)
    for members, count in ((runs[:3], 1), ([runs[0], other], 2)):
        speed = FIGURES["heterogeneity"].function(members).axes[0]
        assert len(speed.get_lines()) == count


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


def test_what_was_not_reached_is_an_outline_and_says_so(runs):
    late = [runs[0], runs[6]]  # accuracy rises with 10 s and with 70 s
    for run in late:
        run.summary["time_to_accuracy"]["0.95"] = None
    ninety, ninety_five = FIGURES["time-to-accuracy"].function(late).axes
    reached = late[0].summary["time_to_accuracy"]["0.9"]
    assert ninety.patches[0].get_width() == pytest.approx(reached)
    assert ninety.patches[0].get_fill()
    assert [text.get_text() for text in ninety_five.texts] == ["not reached"] * 2
    assert not any(patch.get_fill() for patch in ninety_five.patches)
    length = late[0].summary["virtual_seconds"]
    assert ninety_five.patches[0].get_width() == pytest.approx(length)


def test_bars_over_replications_never_leave_out_who_did_not_reach(study):
    members = groups(study)[6].runs
    members[0].summary["time_to_accuracy"] = {"0.9": 10.0, "0.95": None}
    members[1].summary["time_to_accuracy"] = {"0.9": 12.0, "0.95": 20.0}
    ninety, ninety_five = FIGURES["time-to-accuracy"].function(members).axes
    assert ninety.patches[0].get_width() == pytest.approx(11.0)
    assert len(ninety.collections) == 1  # the interval
    assert [text.get_text() for text in ninety_five.texts] == ["reached (1 of 2)"]


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


def test_the_network_shows_every_byte_by_direction(runs):
    moved, under_way = visible_axes(FIGURES["network"].function(runs[:1]))
    events = runs[0].events
    for line, kind in zip(moved.get_lines(), ("downloaded", "arrived"), strict=True):
        total = events.loc[events["kind"] == kind, "bytes"].sum()
        assert line.get_ydata()[-1] == pytest.approx(total / 1e6)
    # Averages over time times the length are the seconds that the transfers took in all.
    length = events["time_us"].iloc[-1] / 1e6
    table = transfers(runs[0])
    for line, way in zip(under_way.get_lines(), ("download", "upload"), strict=True):
        mine = table[table["direction"] == way]
        spent = (mine["end"] - mine["begin"]).sum()
        assert np.mean(line.get_ydata()) * length == pytest.approx(spent)


def test_a_line_for_the_servers_link_is_drawn_where_there_is_one(by_hand):
    by_hand.scenario["server"] = {"upload": {"kind": "fifo", "slots": 1, "bandwidth": 10.0}}
    _, under_way, busy = visible_axes(FIGURES["network"].function([by_hand]))
    assert len(under_way.get_lines()) == 3  # down, up, and in line
    used = busy.get_lines()[0].get_ydata()
    assert np.mean(used) == pytest.approx(100 * 1 / 8)  # one upload of 1 s in 8 s
    assert busy.get_ylabel() == "busy (%)"


@pytest.mark.parametrize("kind", ["fifo", "shared"])
def test_a_clients_own_path_is_no_part_of_the_servers_link(kind, tmp_path):
    link = f"{{kind: {kind}, bandwidth: 4.0e4}}"
    own = "{latency: 0.7, bandwidth: {dist: lognorm, s: 0.5, scale: 3.0e4}}"
    settings = (
        f"server={{download: {link}, upload: {link}}}",
        f"clients.network={{download: {own}, upload: {own}}}",
        "strategy={kind: fedavg, clients_per_round: 8}",  # at its end nothing is under way
        "stop={versions: 5}",
    )
    run = simulate(load_scenario(SMALLEST, settings), tmp_path / kind, timing_only=True)
    table = transfers(run)
    for way in ("download", "upload"):
        mine = table[table["direction"] == way]
        spent = mine["link_end"] - mine["link_begin"]
        links = run.summary["links"][way]
        assert len(spent) == links["transfers"] == 40
        assert spent.mean() == pytest.approx(links["mean_seconds"])
        assert (spent < mine["end"] - mine["begin"] - 0.69).all()
    *_, busy = visible_axes(FIGURES["network"].function([run]))
    for line, way in zip(busy.get_lines(), ("download", "upload"), strict=True):
        used = np.mean(line.get_ydata()) / 100
        assert used == pytest.approx(run.summary["links"][way]["utilisation"])


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


def test_a_target_reached_in_no_time_has_an_axis_of_its_own(tmp_path):
    run = varied(fake_run(tmp_path / "run", updates=5), seconds=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of an axis without length
        axes = FIGURES["time-to-accuracy"].function([run]).axes[0]
    assert axes.get_xlim()[1] > 0


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
    monkeypatch.setattr("afl_sim.analysis.figures.study.MOST_NUMBERS", 12)
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


def test_labels_in_a_sentence_are_few():
    assert named(["a", "b"]) == "a, b"
    assert named([str(n) for n in range(9)], most=4) == "0, 1, 2 and 6 more"


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


def test_tasks_that_wait_in_a_queue_are_drawn_and_named(by_hand):
    settings = ["clients.queue=fifo", "strategy.concurrency=9"]
    run = simulate(load_scenario(SMALLEST, settings), timing_only=True)
    waits = legs(run.tasks[run.tasks["client"] == 0], until=horizon(run))["queueing"]
    assert waits
    assert all(end > begin for begin, end in waits)
    for shown, expected in ((run, True), (by_hand, False)):
        (key,) = FIGURES["timeline"].function([shown]).legends
        assert ("queueing" in [text.get_text() for text in key.texts]) == expected
        panels = visible_axes(FIGURES["heterogeneity"].function([shown]))
        labels = [label.get_text() for panel in panels for label in panel.get_yticklabels()]
        assert ("queueing" in labels) == expected


def test_legs_by_hand(by_hand):
    tasks = by_hand.tasks
    assert legs(tasks[tasks["client"] == 0], until=8.0) == {
        "download": [(0.0, 1.0)],
        "queueing": [],
        "compute": [(1.0, 3.0), (4.0, 6.0)],
        "upload": [(3.0, 4.0)],
    }
    # Still on its way down when the run ended.
    assert legs(tasks[tasks["client"] == 2], until=8.0)["download"] == [(0.0, 8.0)]


def test_the_timeline_orders_its_clients_by_speed(by_hand, runs):
    assert choose_clients([by_hand], 20) == [0, 1, 2]
    assert choose_clients([by_hand], 2) == [0, 2]
    chosen = choose_clients(runs[:1], 20)
    assert len(chosen) == len(set(chosen)) == 20
    means = compute_seconds(runs[0]).groupby(level=0).mean()
    speeds = [means[client] for client in chosen if client in means.index]
    assert speeds == sorted(speeds)


def test_the_timeline_takes_a_window(runs):
    figure = FIGURES["timeline"].function(runs[:2], window=(10.0, 20.0))
    for axes in visible_axes(figure):
        assert axes.get_xlim() == (10.0, 20.0)


EVENTS_ONLY = ["heterogeneity", "stragglers", "staleness", "staleness-time", "timeline"]


@pytest.mark.parametrize("name", EVENTS_ONLY)
def test_clients_all_alike_can_be_drawn(tmp_path, name):
    run = fake_run(tmp_path / "a", spread=0.0, clients=3, concurrency=3, updates=12)
    assert_texts_are_apart(FIGURES[name].function([run]))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in STUDY])
def test_a_single_update_can_be_drawn(tmp_path, name):
    run = fake_run(tmp_path / "a", clients=1, concurrency=1, buffer=1, updates=1)
    FigureCanvasAgg(FIGURES[name].function([run])).draw()


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


def test_the_timeline_numbers_versions_and_takes_chosen_clients(by_hand):
    (axes,) = FIGURES["timeline"].function([by_hand], clients=[1, 0]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["1", "0", "server"]
    assert [text.get_text() for text in axes.texts] == ["1", "2"]  # version 3 ends the run


def test_sixty_clients_are_named_on_a_timeline(tmp_path):
    run = fake_run(tmp_path / "a", clients=80, concurrency=60, updates=200)
    figure = timeline([run], clients=60)
    assert len(figure.axes[0].get_yticklabels()) == 61
    assert_texts_are_apart(figure)
