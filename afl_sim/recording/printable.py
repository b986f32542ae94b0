"""Text from a folder that somebody else may have made, for terminals, files and pages."""

from __future__ import annotations

from typing import Final

_UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """``text`` with a replacement for every character that is not to be seen.

    Such are line ends, escape sequences of terminals, marks that turn the direction of writing,
    and bytes of a file's name that are no text.
    """
    return "".join(letter if letter.isprintable() else _UNKNOWN for letter in text)
