"""Figures that are steered: which runs, which axes, which size, and by options or by the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image as mpimg
import numpy as np
import pytest
from fake_runs import fake_run
from figure_checks import assert_texts_are_apart, legend_of, shown_by, varied

from afl_sim.analysis import FIGURES, CannotDraw, drawing
from afl_sim.analysis.choosing import chosen, split
from afl_sim.analysis.curves import curve_of
from afl_sim.analysis.drawing import DPI, Drawn, draw_blocks
from afl_sim.analysis.finishing import style_of, title
from afl_sim.analysis.replications import groups
from afl_sim.analysis.steering import blocks_of, check, read_block, read_options, wanted
from afl_sim.analysis.theme import STYLES
from afl_sim.analysis.view import View
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.scenario.sections.figure import FigureBlock

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three settings with two seeds each."""
    folder = tmp_path_factory.mktemp("runs")
    found = []
    for size, name in enumerate(("FedBuff, K=2", "fedavg", "fedasync"), start=2):
        for seed in (0, 1):
            label = f"case{size}-r{seed}"
            run = fake_run(
                folder / label, label=label, strategy="k", buffer=size, seed=seed, updates=60, tau=9
            )
            object.__setattr__(run, "title", name)
            found.append(varied(run, size=size))
    return found


def labels(members: list[Run]) -> list[str]:
    return [group.label for group in groups(members)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


# Which runs, in which order.


def test_settings_are_chosen_by_their_names_and_runs_by_their_labels(runs: list[Run]) -> None:
    assert labels(chosen(runs, ["fedavg"])) == ["fedavg"]
    assert labels(chosen(runs, ["FEDA*"])) == ["fedavg", "fedasync"]
    assert chosen(runs, ["case3-r1"]) == [runs[3]]
    assert chosen(runs, ["case2*"]) == runs[:2]


def test_the_named_settings_come_first_and_the_others_follow(runs: list[Run]) -> None:
    assert labels(chosen(runs, order=["fedasync", "fedb*"])) == [
        "fedasync",
        "FedBuff, K=2",
        "fedavg",
    ]
    assert labels(chosen(runs, ["feda*"], ["fedasync"])) == ["fedasync", "fedavg"]


def test_a_comma_separates_names_unless_it_is_a_part_of_one(runs: list[Run]) -> None:
    assert split(["FedBuff, K=2"], runs) == ["FedBuff, K=2"]
    assert split(["fedavg, fedasync", "FedBuff, K=2"], runs) == [
        "fedavg",
        "fedasync",
        "FedBuff, K=2",
    ]


@pytest.mark.parametrize("where", ["settings", "order"])
def test_a_name_that_fits_nothing_is_told_with_the_nearest(runs: list[Run], where: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen(runs, **{where: ["fedvag"]})
    assert str(caught.value) == (
        f"--{where}: there is no setting 'fedvag'; expected one of 'FedBuff, K=2', 'fedavg', "
        "'fedasync', or a name with *; did you mean 'fedavg'?"
    )


# The axes.


def lines_of(figure: Any) -> list[Any]:
    return [line for line in figure.axes[0].get_lines() if line.get_marker() not in ("", "None")]


@pytest.mark.parametrize("axis", ["versions", "updates", "samples", "bytes"])
@pytest.mark.parametrize("name", ["accuracy", "gradient-norm", "fairness", "metrics"])
def test_a_curve_is_drawn_against_what_is_asked_for(runs: list[Run], name: str, axis: str) -> None:
    figure = FIGURES[name].function([runs[0]], view=View(x=axis))
    column = {"gradient-norm": "squared_gradient_norm"}.get(name, "accuracy")
    expected = curve_of(runs[0], axis, column).x
    drawn = next(line.get_xdata() for line in lines_of(figure) if len(line.get_xdata()) > 1)
    np.testing.assert_array_equal(drawn, expected)
    assert figure.axes[0].get_xlabel().startswith(axis)
    assert_texts_are_apart(figure)


def test_a_reached_target_is_marked_where_it_was_reached_on_this_axis(runs: list[Run]) -> None:
    figure = FIGURES["accuracy"].function([runs[0]], view=View(x="updates"))
    curve = curve_of(runs[0], "updates", "accuracy")
    first = int(np.flatnonzero(curve.y >= 90)[0])
    marks = [line.get_xydata().tolist() for line in figure.axes[0].get_lines()]
    assert [[curve.x[first], curve.y[first]]] in marks


def test_learning_shows_the_one_axis_that_is_asked_for(runs: list[Run]) -> None:
    for style in ("paper", "column"):
        figure = FIGURES["learning"].function(runs, style=style, view=View("updates", (0, 30)))
        assert {axes.get_xlabel() for axes in figure.axes} == {"updates aggregated"}
        assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy (%)", "loss"]
        assert all(axes.get_xlim() == (0, 30) for axes in figure.axes)
        assert_texts_are_apart(figure)


LIMITED = [name for name, kind in FIGURES.items() if {"xlim", "ylim"} & kind.takes]
SCALED = [
    name for name, kind in FIGURES.items() if {"log x", "log y"} & kind.takes and name != "pareto"
]


@pytest.mark.parametrize(
    "name", [name for name in LIMITED if name not in ("presence", "bandwidth", "pareto")]
)
def test_each_figure_has_the_limits_that_it_is_said_to_take(runs: list[Run], name: str) -> None:
    takes = FIGURES[name].takes
    view = View(
        "time" if name == "learning" else None,
        xlim=(12.0, 14.0) if "xlim" in takes else None,
        ylim=(0.5, 7.0) if "ylim" in takes else None,
    )
    figure = FIGURES[name].function(shown_by(name, runs, len(runs)), view=view)
    assert view.xlim in (None, figure.axes[0].get_xlim())
    assert view.ylim in (None, figure.axes[0].get_ylim())
    assert_texts_are_apart(figure)


@pytest.mark.parametrize("name", SCALED)
def test_each_figure_has_the_scales_that_it_is_said_to_take(runs: list[Run], name: str) -> None:
    log = tuple(axis for axis in "xy" if f"log {axis}" in FIGURES[name].takes)
    view = View("time" if name == "learning" else None, log=log)
    figure = FIGURES[name].function(shown_by(name, runs, len(runs)), view=view)
    axes = figure.axes[0]
    scales = {"x": axes.get_xscale(), "y": axes.get_yscale()}
    assert {scales[axis] for axis in log} == {"log"}
    assert_texts_are_apart(figure)


@pytest.mark.parametrize(
    ("x", "text", "expected"),
    [
        ("time", ["30 s", "2 h"], (30.0, 7200.0)),
        (None, [None, "1.5 min"], (None, 90.0)),
        ("bytes", ["500 kB", "2 GB"], (0.5, 2000.0)),
        ("energy", ["1 kWh", 5000], (3600.0, 5000.0)),
    ],
)
def test_limits_may_have_units(x: Any, text: list[Any], expected: tuple[float | None, ...]) -> None:
    block = read_block({"name": "accuracy", "x": x, "xlim": text})
    assert View.of(block).xlim == expected
    check(FIGURES["accuracy"], block)


def test_limits_with_units_are_checked_against_the_axis(runs: list[Run]) -> None:
    asked = read_options(runs, {"xlim": "1 min,2 min"}, {})
    assert View.of(asked).xlim == (60.0, 120.0)
    for name, kind in FIGURES.items():
        if "xlim" in kind.takes and name != "learning":
            block = asked.model_copy(update={"name": name})
            if kind.along is None:
                with pytest.raises(InputError, match=rf"horizontal axis of {name} has a unit of"):
                    check(kind, block)
            else:
                check(kind, block)
    assert {name for name, kind in FIGURES.items() if "xlim" in kind.takes and not kind.along} == {
        *("staleness", "staleness-speed", "sweep", "pareto")
    }


def test_a_figure_over_time_is_one_whose_axis_says_so(runs: list[Run]) -> None:
    """`along` is what the figure draws, as far as these runs have it."""
    drawn = 0
    for name, kind in FIGURES.items():
        try:
            figure = kind.function(runs)
        except CannotDraw:
            continue
        if "xlim" in kind.takes and name != "learning":
            drawn += 1
            labels = {axes.get_xlabel() for axes in figure.axes}
            assert ("virtual time (s)" in labels) == (kind.along == "time"), name
    assert drawn >= 10


def test_a_target_outside_the_limits_is_not_named(runs: list[Run]) -> None:
    figure = FIGURES["accuracy"].function(runs, view=View(ylim=(92, 100)))
    assert [text.get_text() for text in figure.axes[0].texts if "%" in text.get_text()] == ["95 %"]


def test_what_a_figure_has_no_use_for_is_refused_before_anything_is_drawn(
    runs: list[Run], tmp_path: Path
) -> None:
    for block, told in (
        (FigureBlock(name="heterogeneity", ylim=(0, 1)), "--ylim: the figure heterogeneity has no"),
        (FigureBlock(x="updates"), "--x: for which figure? expected --figure NAME"),
        (FigureBlock(name="staleness", log=("x",)), "--log: the figure staleness has no use for"),
    ):
        with pytest.raises(InputError) as caught:
            draw_blocks(runs, tmp_path / "new", [FigureBlock(name="accuracy"), block])
        assert str(caught.value).startswith(told)
    assert not (tmp_path / "new").exists()


# Size and title.


@pytest.mark.parametrize("name", ["accuracy", "stragglers", "timeline"])
def test_a_figure_has_exactly_the_size_that_is_asked_for(
    runs: list[Run], folder: Path, name: str
) -> None:
    block = FigureBlock(name=name, file=f"sized-{name}", width="84mm", height="12 cm")
    (drawn,) = draw_blocks(runs, folder, [block])
    height, width, _ = mpimg.imread(drawn.paths[0]).shape
    assert (width, height) == (int(84 / 25.4 * DPI), int(12 / 2.54 * DPI))


def test_a_narrow_figure_has_the_text_of_a_column_and_keeps_its_proportions() -> None:
    style = style_of(FigureBlock(width="84mm"))
    column = STYLES["column"]
    assert (style.name, style.text, style.whole) == ("column", column.text, None)
    assert style.width / style.height == pytest.approx(column.width / column.height)
    assert style_of(FigureBlock(width="6in")).name == "paper"
    assert style_of(FigureBlock(width="84mm", style="dark")).name == "dark"
    assert style_of(FigureBlock()) is STYLES["paper"]


def test_a_title_stands_above_in_lines_that_fit_and_none_removes_it(runs: list[Run]) -> None:
    style = style_of(FigureBlock(width="84mm"))
    figure = FIGURES["staleness"].function(runs[:1], style=style)
    title(figure, "Staleness of FedBuff with $K = 2$, of a fleet with very slow phones", style)
    assert_texts_are_apart(figure)
    assert "$K = 2$" in figure.get_suptitle()
    assert figure.axes[0].get_title(loc="left") == ""
    title(figure, "none", style)
    assert figure.get_suptitle() == ""
    with pytest.raises(InputError, match="has a formula that cannot be read"):
        title(figure, "$a_{$", style)
    title(figure, "5 $ a piece", style)
    assert figure.get_suptitle() == r"5 \$ a piece"


def test_panels_keep_the_titles_that_say_what_they_show(runs: list[Run]) -> None:
    figure = FIGURES["stragglers"].function(runs)
    before = [axes.get_title() for axes in figure.axes]
    title(figure, "none", STYLES["paper"])
    assert [axes.get_title() for axes in figure.axes] == before


# The blocks of the file, and options that override them.


def with_blocks(run: Run, *blocks: Any) -> Run:
    return Run(
        run.path, run.name, run.label, {**run.scenario, "figure": list(blocks)}, run.summary, {}
    )


def test_options_override_the_blocks_of_the_file() -> None:
    blocks = [
        FigureBlock(name="accuracy", x="updates", width="84mm"),
        FigureBlock(name="accuracy", file="zoom", ylim=(90, 100)),
        FigureBlock(style="slides"),
    ]
    options = FigureBlock(width="10cm", format=("pdf",))
    all_of_them = wanted(blocks, options, None)
    assert [block.name for block in all_of_them] == ["accuracy", "accuracy", None]
    assert {block.width for block in all_of_them} == {"10cm"}
    assert all_of_them[0].x == "updates"
    assert [block.file for block in wanted(blocks, options, ["accuracy"])] == [None, "zoom"]
    assert [block.ylim for block in wanted(blocks, options, ["zoom"])] == [(90, 100)]
    (other,) = wanted(blocks, options, ["staleness"])
    assert (other.name, other.style, other.width) == ("staleness", "slides", "10cm")
    assert wanted([], options, None) == [options]


def test_the_files_own_figures_are_drawn_and_an_unnamed_block_is_for_the_others(
    runs: list[Run], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afl_sim.analysis.drawing.rendered", lambda figure, form: b"")
    named = [FigureBlock(name="accuracy", file="one", format=("pdf", "svg"), settings=("fedavg",))]
    drawn = draw_blocks(runs, folder, named)
    assert [path.name for path in drawn[0].paths] == ["one.pdf", "one.svg"]
    monkeypatch.setattr(drawing, "_draw_one", lambda kind, *rest: Drawn(kind.name))
    rest = draw_blocks(runs, folder, [*named, FigureBlock()])
    others = [name for name in FIGURES if name != "accuracy"]
    assert [each.figure for each in rest] == ["accuracy", *others]


def test_the_blocks_of_runs_are_read_and_told_if_they_differ(runs: list[Run]) -> None:
    one = with_blocks(runs[0], {"name": "accuracy", "xlim": [0, 5]})
    other = with_blocks(runs[1], {"name": "staleness"})
    assert blocks_of([runs[0], one, one]) == ([FigureBlock(name="accuracy", xlim=(0, 5))], "")
    blocks, note = blocks_of([one, other])
    assert blocks[0].name == "accuracy"
    assert note == "the runs have different `figure:` blocks; those of case2-r0 are used"
    with pytest.raises(InputError, match=r"scenario.yaml: figure.xlim: got 5; expected two"):
        blocks_of([with_blocks(runs[0], {"xlim": 5})])


def test_options_are_read_as_the_file_is(runs: list[Run]) -> None:
    words = {"xlim": ",30", "ylim": "1,", "width": None, "title": "none"}
    several = {
        "log": ["x,y"],
        "settings": ["fedavg,fedasync"],
        "order": None,
        "format": ["png,pdf"],
    }
    assert read_options(runs, words, several) == FigureBlock(
        xlim=(None, 30),
        ylim=(1, None),
        log=("x", "y"),
        title="none",
        settings=("fedavg", "fedasync"),
        format=("png", "pdf"),
    )
    for words, told in (
        ({"xlim": "1;2"}, "--xlim: got a list of 1; expected two numbers, LOW and HIGH"),
        ({"xlim": "a,2"}, "--xlim: got 'a'; expected a number in the unit of the axis, or text"),
        ({"style": "colum"}, "--style: got 'colum'; expected one of paper, column, slides, dark"),
        ({"x": "update"}, "did you mean 'updates'?"),
    ):
        with pytest.raises(InputError) as caught:
            read_options(runs, words, {})
        assert told in str(caught.value)
    with pytest.raises(InputError, match=r"^--log: got 'z'; expected one of x, y$"):
        read_options(runs, {}, {"log": ["z"]})


def test_a_block_with_several_mistakes_tells_all() -> None:
    with pytest.raises(InputError) as caught:
        read_block({"width": "wide", "log": "z"})
    assert len(str(caught.value).splitlines()) == 2


def test_the_legend_has_the_order_that_is_asked_for(runs: list[Run]) -> None:
    figure = FIGURES["accuracy"].function(chosen(runs, order=["fedasync"]))
    assert legend_of(figure)[:3] == ["fedasync", "FedBuff, K=2", "fedavg"]
