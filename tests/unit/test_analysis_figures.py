"""The figures: that they show what they say, with units, and without text on text."""

import itertools
import math
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from fake_runs import fake_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import analysis
from afl_sim.errors import InputError
from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run
from afl_sim.world.events import AGGREGATED, ARRIVED, COMPUTED, DISPATCHED, DOWNLOADED
from analysis import FIGURES, CannotDraw, theme
from analysis.figures.heterogeneity import compute_seconds, update_share
from analysis.figures.timeline import choose_clients, legs

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")

LONG = "fedasync-with-hinge-staleness-a10-b4-and-a-proximal-term"


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


def texts_on(figure):
    """Every text that is really drawn, with its box in pixels."""
    drawn = {}
    draw = Text.draw

    def record(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn[text] = None
        return draw(text, renderer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure).draw()
    return [(text.get_text(), text.get_window_extent()) for text in drawn]


def assert_texts_are_apart(figure):
    width, height = figure.canvas.get_width_height()
    boxes = texts_on(figure)
    assert len(boxes) > 4
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for (text_a, a), (text_b, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or down <= 1.5, f"{text_a!r} lies on {text_b!r}"


def visible_axes(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.mark.parametrize(
    ("count", "size"), [(1, "page"), (3, "page"), (7, "column"), (7, "slides")]
)
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_lies_on_another_or_leaves_the_figure(runs, name, count, size):
    most = FIGURES[name].runs_per_page or count
    assert_texts_are_apart(FIGURES[name].function(runs[: min(count, most)], size=size))


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_has_a_unit(runs, name):
    figure = FIGURES[name].function(runs[:2])
    labels = [text for text, _ in texts_on(figure)]
    units = ("(s)", "(%)", "(versions)", "(slowest at the top)")
    assert sum(any(unit in label for unit in units) for label in labels) >= 2


def test_drawing_changes_nothing_global_and_opens_no_window(runs):
    before = dict(mpl.rcParams)
    for kind in FIGURES.values():
        kind.function(runs[:1])
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_listing_figures_imports_no_plotting_library():
    code = (
        "import sys; from analysis import FIGURES; print(*FIGURES); "
        "print([m for m in ('matplotlib', 'seaborn', 'torch', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == ["accuracy heterogeneity staleness timeline", "[]"]


def test_the_palette_is_colour_blind_safe():
    assert set(theme.PALETTE) <= set(sns.color_palette("colorblind").as_hex())
    assert len(set(theme.PALETTE)) == len(theme.MARKERS) == 8


def test_labels_are_short_and_unique(runs):
    labels = theme.unique_labels([runs[1], runs[1], runs[0]])
    assert len(set(labels)) == 3
    assert labels[2] == "fedavg"
    assert all(len(label) <= theme.LONGEST_LABEL + 4 for label in labels)
    assert labels[0].startswith("fedasync-with")
    assert labels[0].endswith("term")
    assert len(theme.shorten("x" * 100, 20)) == 20


def test_all_figures_are_drawn_unless_some_are_named(runs, tmp_path):
    drawn = analysis.draw(runs[:1], tmp_path)
    assert [entry.figure for entry in drawn] == list(FIGURES)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{f}.png" for f in FIGURES)


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
        (entry,) = analysis.draw(runs[:1], tmp_path / name, ["staleness"], formats=("png", "pdf"))
        files.append([path.read_bytes() for path in entry.paths])
    assert files[0] == files[1]


def test_more_runs_than_fit_one_page_make_further_files(runs, tmp_path):
    (entry,) = analysis.draw(runs, tmp_path, ["timeline"])
    assert [path.name for path in entry.paths] == ["timeline.png", "timeline-2.png"]


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
    with pytest.raises(CannotDraw, match="a: no tasks"):
        FIGURES["timeline"].function([run])


def test_wrong_requests_are_input_errors(runs, tmp_path):
    with pytest.raises(InputError, match=r"no figure 'stalenes'.*did you mean 'staleness'"):
        analysis.draw(runs, tmp_path, ["stalenes"])
    with pytest.raises(InputError, match="no runs"):
        analysis.draw([], tmp_path)
    with pytest.raises(InputError, match=r"format 'gif'.*png, pdf or svg"):
        analysis.draw(runs[:1], tmp_path, ["staleness"], formats=["gif"])
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


def test_compute_seconds_and_shares_by_hand(by_hand):
    seconds = compute_seconds(by_hand)
    assert seconds.groupby(level=0).mean().to_dict() == {0: 2.0, 1: 8.0}
    share = update_share(by_hand)
    assert share.to_dict() == pytest.approx({0: 2 / 3, 1: 1 / 3, 2: 0.0, 3: 0.0})


def test_heterogeneity_shows_the_fair_share_and_the_unknown_clients(by_hand):
    figure = FIGURES["heterogeneity"].function([by_hand])
    left, right = visible_axes(figure)
    fair = [line for line in right.get_lines() if list(line.get_ydata()) == [25.0, 25.0]]
    assert len(fair) == 1
    (note,) = left.texts
    assert note.get_text().splitlines()[-1] == "2 clients finished no task"
    group_line = next(line for line in right.get_lines() if line.get_label() == "hand")
    assert group_line.get_xdata() == pytest.approx([2.0, 8.0])
    assert group_line.get_ydata() == pytest.approx([200 / 3, 100 / 3])


def test_one_population_has_one_line_and_two_seeds_have_two(runs):
    same = FIGURES["heterogeneity"].function(runs[:2])
    other = FIGURES["heterogeneity"].function([runs[0], runs[6]])
    assert len(same.axes[0].get_lines()) == 1
    assert len(other.axes[0].get_lines()) == 2


def test_legs_by_hand(by_hand):
    tasks = by_hand.tasks
    assert legs(tasks[tasks["client"] == 0], until=8.0) == {
        "download": [(0.0, 1.0)],
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


@pytest.mark.parametrize("name", ["heterogeneity", "staleness", "timeline"])
def test_clients_all_alike_can_be_drawn(tmp_path, name):
    run = fake_run(tmp_path / "a", spread=0.0, clients=3, concurrency=3, updates=12)
    assert_texts_are_apart(FIGURES[name].function([run]))


@pytest.mark.parametrize("name", ["heterogeneity", "staleness", "timeline"])
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
    for kind in ("heterogeneity", "staleness", "timeline"):
        FigureCanvasAgg(FIGURES[kind].function([run])).draw()


def test_accuracy_that_is_not_a_number_leaves_a_gap(tmp_path, runs):
    run = fake_run(tmp_path / "a", updates=30)
    metrics = run.metrics.copy()
    metrics.loc[5:, "accuracy"] = np.nan
    object.__setattr__(run, "metrics", metrics)
    figure = FIGURES["accuracy"].function([run])
    assert_texts_are_apart(figure)
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == run.label]
    assert np.isfinite(np.asarray(line.get_ydata(), dtype=float)).sum() == 5
    assert isinstance(metrics, pd.DataFrame)
