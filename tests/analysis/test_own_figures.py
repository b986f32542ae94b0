"""Figures of a user's own: found by path or entry point, drawn in a style, and checked."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import pytest
from fake_runs import fake_run

from afl_sim.analysis import FIGURES, draw
from afl_sim.analysis.own_figures import ENTRY_POINTS, all_figures, figure_kind
from afl_sim.analysis.theme import STYLES
from afl_sim.analysis.usable import CannotDraw
from afl_sim.analysis.view import View
from afl_sim.cli.listing import listing
from afl_sim.errors import InputError, OwnRuleError
from afl_sim.recording import Run
from afl_sim.scenario.own_rules import finding
from afl_sim.testing import check_figure

MODULE = "figures_from_elsewhere"
CODE = """
import random
import matplotlib.pyplot as plt
from afl_sim.analysis import CannotDraw

def ecdf(runs):
    '''Staleness of every run.

    More words.'''
    figure, axes = plt.subplots()
    for run in runs:
        axes.ecdf(run.tasks.staleness.dropna())
    return figure

def styled(runs, *, style="paper"):
    figure = ecdf(runs)
    figure.suptitle(style)
    return figure

def along_x(runs, x="time"):
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([1, 100], [1, 100])
    axes.set_xlabel(x)
    return figure

def fails(runs):
    return runs[99]

def nothing(runs): ...
def lacking(runs): raise CannotDraw("they have no wings")
def no_argument(): ...
def luck(runs):
    figure, axes = plt.subplots()
    axes.plot([0, random.random()])
    return figure
number = 3
"""


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = ModuleType(MODULE)
    exec(compile(CODE, "figures.py", "exec"), found.__dict__)
    monkeypatch.setitem(sys.modules, MODULE, found)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return [fake_run(tmp_path_factory.mktemp("run") / "r", label="r", strategy="k", updates=30)]


def named(name: str) -> str:
    return f"{MODULE}:{name}"


def installed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    entry = EntryPoint(name, value, ENTRY_POINTS)
    monkeypatch.setattr(finding, "entry_points", lambda group: [entry])


def test_a_path_is_drawn_into_a_file_that_no_built_in_figure_has(
    runs: list[Run], tmp_path: Path
) -> None:
    drawn = draw(runs, tmp_path, [named("ecdf"), "staleness"], ("png", "pdf"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{MODULE}-ecdf.pdf",
        f"{MODULE}-ecdf.png",
        "staleness.pdf",
        "staleness.png",
    ]
    assert drawn[0].line.startswith(f"{MODULE}:ecdf: {tmp_path}")
    assert plt.get_fignums() == []


def test_the_style_is_in_force_and_is_handed_in(runs: list[Run]) -> None:
    backgrounds = {
        style: figure_kind(named("ecdf")).function(runs, style=style).get_facecolor()
        for style in ("paper", "dark")
    }
    assert backgrounds["paper"] != backgrounds["dark"]
    figure = figure_kind(named("styled")).function(runs, style="slides")
    assert figure.get_suptitle() == "slides"


def test_it_is_steered_as_the_built_in_ones_are(runs: list[Run]) -> None:
    kind = figure_kind(named("along_x"))
    assert kind.takes == {"x", "xlim", "ylim", "log x", "log y"}
    assert "x" not in figure_kind(named("ecdf")).takes
    view = View("updates", xlim=(2, 50), log=("y",))
    figure = kind.function(runs, style=STYLES["column"].sized(3.0, None), view=view)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_xlim(), axes.get_yscale()) == ("updates", (2, 50), "log")
    assert figure.get_size_inches().tolist() == [3.0, 1.5]
    whole = kind.function(runs, style=STYLES["paper"].sized(None, 5.0))
    assert whole.get_size_inches().tolist() == [7.2, 5.0]
    assert kind.function(runs).get_size_inches().tolist() == [4.0, 2.0]


def test_an_installed_figure_has_a_name_and_is_listed(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, "wings", named("ecdf"))
    assert list(all_figures()) == [*FIGURES, "wings"]
    assert ("wings", "Staleness of every run.") in list(listing("figures"))
    assert draw(runs, tmp_path, ["wings"])[0].paths == (tmp_path / "wings.png",)
    with pytest.raises(InputError, match="did you mean 'wings'"):
        figure_kind("wing")


def test_a_built_in_name_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "accuracy", named("ecdf"))
    assert all_figures() == FIGURES


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("staleness-tim", "package.module:function for your own; did you mean 'staleness-time'?"),
        ("no_such_module:x", "cannot import figure 'no_such_module:x': ModuleNotFoundError"),
        (named("ecd"), "has no 'ecd'; did you mean 'ecdf'?"),
        (named("number"), "is of type int; expected a function of"),
        (named("no_argument"), "expected to call it with the runs"),
    ],
)
def test_what_is_no_figure_is_told_before_anything_is_drawn(
    runs: list[Run], tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(InputError) as caught:
        draw(runs, tmp_path / "figures", ["staleness", name])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fails", "raised IndexError: list index out of range (figures.py:{fails})"),
        ("nothing", "returned a NoneType; expected a matplotlib figure (figures.py:{nothing})"),
    ],
)
def test_a_figure_that_fails_is_one_line_with_its_place(
    runs: list[Run], tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(OwnRuleError) as caught:
        draw(runs, tmp_path, [named(name)])
    lines = CODE.splitlines()
    places = {"fails": lines.index("    return runs[99]") + 1}
    places["nothing"] = lines.index("def nothing(runs): ...") + 1
    assert str(caught.value) == f"figure {MODULE}:{name}: {told.format(**places)}"
    assert list(tmp_path.iterdir()) == []


def test_what_the_runs_lack_is_reported_and_is_no_error(runs: list[Run], tmp_path: Path) -> None:
    (drawn,) = draw(runs, tmp_path, [named("lacking")])
    assert drawn.skipped == "they have no wings"


def test_the_check_draws_in_every_style_and_twice(runs: list[Run]) -> None:
    check_figure(named("ecdf"), runs)
    with pytest.raises(AssertionError, match="other pictures of the same runs"):
        check_figure(named("luck"), runs)
    with pytest.raises(CannotDraw):
        check_figure(named("lacking"), runs)


def test_the_lists_of_rules_have_built_in_and_installed_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def entries(group: str) -> Any:
        known = {"afl_sim.selections": "nearest", "afl_sim.compressors": "Signs"}
        return [EntryPoint("mine", f"own_rules:{known[group]}", group)] if group in known else []

    monkeypatch.setattr(finding, "entry_points", entries)
    assert dict(listing("selections"))["mine"] == "The fastest clients, with some luck."
    assert "oort" in dict(listing("selections"))
    assert dict(listing("compressors"))["mine"] == "A sign for each entry, and their mean size."
    assert list(dict(listing("attacks"))) == ["sign_flip", "scale", "noise", "label_flip"]
    assert list(dict(listing("staleness-weights"))) == ["constant", "polynomial", "hinge"]
