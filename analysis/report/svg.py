"""Figures as SVG inside a page: colours that follow its theme, names of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analysis.drawing import rendered
from analysis.theme import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIABLES: Final = {
    LIGHT.page: "var(--page)",
    LIGHT.ink: "var(--ink)",
    LIGHT.faint: "var(--faint)",
    LIGHT.grid: "var(--grid)",
    LIGHT.idle: "var(--idle)",
}
"""Colours of the light theme that the page's style replaces."""


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as an ``svg`` element that fits the width it is given.

    Args:
        name: goes before every id, as a page holds several figures.
    """
    text = rendered(figure, "svg", settings={"svg.fonttype": "none"}).decode()
    text = text[text.index("<svg") :]
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    text = f"{head}>{rest}"
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    for color, variable in VARIABLES.items():
        text = re.sub(rf"(fill|stroke): ?{color}", rf"\1: {variable}", text)
    # What has no colour of its own is black: text above all.
    return re.sub(r"font: (?![^\"]*fill:)", "fill: var(--ink); font: ", text)
