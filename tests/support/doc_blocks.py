"""Pages of the documentation, taken apart: fenced blocks, command lines, and code in the text."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from places import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
# Every block of these is run, in the order of the page (tests/cli/test_guides.py).
GUIDES = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
# Pages whose blocks tests/cli/test_readme.py runs one after the other, as a reader would.
READ_IN_ORDER = [ROOT / "README.md", DOCS / "studies.md", DOCS / "python.md"]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page it begins in."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is the content of, from its first line `# file: NAME`."""
        found = re.match(r"# file: (\S+)\n", self.text)
        return found[1] if found else None


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(found[1], found[2], text[: found.start()].count("\n") + 1)
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def commands(block: Block) -> list[list[str]]:
    """The command lines of a console block, comments dropped."""
    return [
        shlex.split(line.removeprefix("$ "), comments=True)
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    """What stands in code within the text of a page."""
    return re.findall(r"`([^`\n]+)`", prose(text))
