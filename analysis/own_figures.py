"""Figures of the user's own: a function from runs to a matplotlib figure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis.registry import FIGURES, Draws, FigureKind
from afl_sim.errors import AflSimError, InputError, OwnRuleError
from afl_sim.recording import Run
from afl_sim.scenario.own_rules import installed, load
from afl_sim.scenario.wording import hint
from afl_sim.user_code import place_of, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    known = [*FIGURES, *entries]
    raise InputError(
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
    takes_style = "style" in signature.parameters
    try:
        signature.bind([], **({"style": "paper"} if takes_style else {}))
    except TypeError as error:
        raise InputError(
            f"{path}{signature}: {error}; expected to call it with the runs, and with style= if it "
            f"has such a parameter{place_of(function)}"
        ) from None
    about = (inspect.getdoc(function) or "").partition("\n")[0]
    return FigureKind(name, about, "", path, own=_drawer(name, function, takes_style))


def _drawer(name: str, function: Callable[..., Any], takes_style: bool) -> Draws:
    """The function as a built-in figure's: in the style that is asked for, and checked."""

    def draw(runs: Sequence[Run], *, style: str = "paper") -> Figure:
        from matplotlib.figure import Figure

        from afl_sim.analysis.theme import themed

        with themed(style):
            try:
                figure = function(runs, style=style) if takes_style else function(runs)
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
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)  # it can still be saved
        return figure

    return draw
