"""The size and the title of a figure."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

from matplotlib import font_manager
from matplotlib.mathtext import MathTextParser

from afl_sim.analysis.theme import NARROW, STYLES, Style
from afl_sim.errors import InputError
from afl_sim.scenario.sections.figure import FigureBlock, inches
from afl_sim.scenario.wording import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_TITLE: Final = "none"
_FORMULA: Final = re.compile(r"\$[^$]*\$")
_NO_BREAK: Final = "\x1f"
_PLACES: Final = ("left", "center", "right")


def style_of(block: FigureBlock) -> Style:
    """The style that a block asks for, in its size."""
    width = None if block.width is None else inches(block.width)
    height = None if block.height is None else inches(block.height)
    narrow = width is not None and width < NARROW
    style = STYLES[block.style or ("column" if narrow else "paper")]
    return style if width is height is None else style.sized(width, height)


def title(figure: Figure, text: str | None, style: Style) -> None:
    """Write a title above a figure, or remove it.

    The panels of a figure with several keep their titles, since these say what a panel shows.

    Args:
        text: the title, with formulas between dollar signs; ``none`` for no title; None leaves the
            figure as it is.

    Raises:
        InputError: a formula cannot be read.
    """
    if text is None:
        return
    panels = [a for a in figure.axes if a.get_visible() and a.get_label() != "<colorbar>"]
    if len(panels) == 1:
        for place in _PLACES:
            panels[0].set_title("", loc=place)
    if figure.get_suptitle():
        figure.suptitle("")
    if text != NO_TITLE:
        points = font_manager.FontProperties(size="medium").get_size_in_points()
        characters = int(figure.get_figwidth() * 72 / (0.6 * points))
        figure.suptitle(_formula(text, characters), fontsize="medium", color=style.colors.ink)


def _formula(text: str, characters: int) -> str:
    """The text in lines of so many characters; a formula is not broken."""
    if text.count("$") < 2:
        return "\n".join(textwrap.wrap(text, characters)).replace("$", r"\$")
    whole = _FORMULA.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    lines = "\n".join(textwrap.wrap(whole, characters, break_long_words=False))
    try:
        MathTextParser("path").parse(text)
    except ValueError as error:
        reason = str(error).strip().splitlines()[-1].partition(": ")[2]
        raise InputError(
            f"title: {show(text)} has a formula that cannot be read: {reason}"
        ) from None
    return lines.replace(_NO_BREAK, " ")
