"""Figures of the user's own: a function from runs to a matplotlib figure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis.registry import FIGURES, Draws, FigureKind
from afl_sim.analysis.view import View, along_of
from afl_sim.errors import AflSimError, InputError, OwnRuleError
from afl_sim.recording import Run
from afl_sim.scenario.own_rules import installed, load
from afl_sim.scenario.wording import hint
from afl_sim.user_code import place_of, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from afl_sim.analysis.theme import Style

ENTRY_POINTS: Final = "afl_sim.figures"


def all_figures() -> dict[str, FigureKind]:
    """Every figure that has a name, in the order in which they are drawn: built-in, installed.

    Raises:
        InputError: an installed package's figure cannot be imported, or is no figure.
    """
    found = dict(FIGURES)
    for name, entry in installed(ENTRY_POINTS).items():
        if name not in found:
            found[name] = _own(name, entry.value)
    return found


def figure_kind(name: str) -> FigureKind:
    """The figure of this name, or the one that ``package.module:function`` names.

    Raises:
        InputError: there is none, it cannot be imported, or it is no function of runs.
    """
    if name in FIGURES:
        return FIGURES[name]
    if ":" in name:
        return _own(name, name)
    entries = installed(ENTRY_POINTS)
    if name in entries:
        return _own(name, entries[name].value)
    raise InputError(unknown(name))


def unknown(name: str) -> str:
    """The message on a name that no figure has."""
    known = [*FIGURES, *installed(ENTRY_POINTS)]
    return (
        f"there is no figure {name!r}: expected {', '.join(known)}, or package.module:function "
        f"for your own{hint(name, known)}"
    )


def _own(name: str, path: str) -> FigureKind:
    function = load(path, "figure")
    if not callable(function):
        raise InputError(
            f"{path!r} is of type {type(function).__name__}; expected a function of (runs)"
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        raise InputError(
            f"{path} does not say what it takes; expected a function of (runs)"
        ) from None
    offered = {"style": "paper", "x": "time"}
    asked = {key: value for key, value in offered.items() if key in signature.parameters}
    try:
        signature.bind([], **asked)
    except TypeError as error:
        raise InputError(
            f"{path}{signature}: {error}; expected to call it with the runs, and with style= and "
            f"x= if it has such parameters{place_of(function)}"
        ) from None
    about = (inspect.getdoc(function) or "").partition("\n")[0]
    takes = frozenset({"xlim", "ylim", "log x", "log y"} | ({"x"} & asked.keys()))
    return FigureKind(
        name,
        about,
        "",
        path,
        own=_drawer(name, function, tuple(asked)),
        takes=takes,
        along="time" if "x" in asked else None,
    )


def _drawer(name: str, function: Callable[..., Any], asked: Sequence[str]) -> Draws:
    """The function as a built-in figure's: in the style and size that are asked for, and checked.

    Args:
        asked: which of ``style`` and ``x`` it takes.
    """

    def draw(
        runs: Sequence[Run], *, style: str | Style = "paper", view: View | None = None
    ) -> Figure:
        from matplotlib.figure import Figure

        from afl_sim.analysis.theme import themed

        with themed(style) as chosen:
            offered = {"style": chosen.name, "x": along_of(view)}
            try:
                figure = function(runs, **{key: offered[key] for key in asked})
            except (AflSimError, MemoryError):  # `CannotDraw` is one
                raise
            except Exception as error:
                home = getattr(sys.modules.get(function.__module__), "__file__", None)
                raise OwnRuleError(f"figure {name}: raised {told(error, home)}") from error
        if not isinstance(figure, Figure):
            raise OwnRuleError(
                f"figure {name}: returned a {type(figure).__name__}; expected a matplotlib figure"
                f"{place_of(function)}"
            )
        _fit(figure, chosen, view)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)  # it can still be saved
        return figure

    return draw


def _fit(figure: Figure, style: Style, view: View | None) -> None:
    """Give a figure the size, the scales and the limits that are asked for."""
    from afl_sim.analysis.figures.panels import fit
    from afl_sim.analysis.theme import STYLES

    if style != STYLES[style.name]:
        width, height = figure.get_size_inches()
        figure.set_size_inches(style.width, style.whole or height * style.width / width)
    if view is not None:
        for axes in figure.axes:
            if axes.get_label() != "<colorbar>":
                fit(axes, view)
