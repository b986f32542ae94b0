"""Figures as SVG inside a page, with colours that follow its theme and unique names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from afl_sim.analysis.drawing import rendered
from afl_sim.analysis.theme import LIGHT

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

_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "http://www.w3.org/1999/xlink"


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as an ``svg`` element that fits the width it is given.

    Args:
        name: goes before every id, as a page holds several figures.
    """
    root = ElementTree.fromstring(rendered(figure, "svg", settings={"svg.fonttype": "none"}))
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    # What is written in the figure is left alone: only attributes change.
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _on_page(key, value, name))
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _on_page(key: str, value: str, name: str) -> str:
    """An attribute's value with the figure's name before ids, and the page's colours."""
    if key == "id":
        return f"{name}-{value}"
    if key in {"href", f"{{{_XLINK}}}href"} and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
    if key == "style":
        for color, variable in VARIABLES.items():
            value = re.sub(rf"(fill|stroke): ?{color}", rf"\1: {variable}", value)
        if "font:" in value and "fill:" not in value:  # text that is black by default
            value = f"fill: var(--ink); {value}"
    return value
