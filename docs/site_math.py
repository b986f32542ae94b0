"""A Python-Markdown extension: `$...$` and `$$...$$` become MathML, which browsers set themselves.

The syntax is that of forges. The site needs no script and no font from elsewhere for it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as etree
from typing import Any

from latex2mathml.converter import convert_to_element
from markdown import Markdown
from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

INLINE = r"(?<![\\$\w])\$(?![\s$])((?:\\.|[^$\n\\])+?)(?<!\s)\$(?![\w$])"


class Inline(InlineProcessor):
    """A formula within a line."""

    def handleMatch(self, found: re.Match[str], data: str) -> tuple[etree.Element, int, int]:
        return formula(found[1], "inline"), found.start(0), found.end(0)


class Display(BlockProcessor):
    """A formula in a block of its own."""

    def test(self, parent: etree.Element, block: str) -> bool:
        return re.fullmatch(r"\s*\$\$.*\$\$\s*", block, re.DOTALL) is not None

    def run(self, parent: etree.Element, blocks: list[str]) -> None:
        text = blocks.pop(0).strip().removeprefix("$$").removesuffix("$$")
        parent.append(formula(text, "block"))


def formula(latex: str, display: str) -> etree.Element:
    """The MathML of a formula, with its LaTeX as what a copy or a screen reader gets."""
    element = convert_to_element(latex.strip(), display=display)
    element.set("alttext", latex.strip())
    return element


class MathExtension(Extension):
    """Registers both; code spans and fences come before it."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.inlinePatterns.register(Inline(INLINE, md), "math", 185)
        md.parser.blockprocessors.register(Display(md.parser), "math", 95)


def makeExtension(**settings: Any) -> MathExtension:
    """Called by Python-Markdown."""
    return MathExtension(**settings)
