"""The source and the type of a strategy, for listings and the reference page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class About:
    """What ``afl-sim list strategies`` says about a strategy, besides its docstring's first line.

    Attributes:
        citation: the paper, in one line.
        timing: ``synchronous`` if the server waits for a whole cohort; ``semi-synchronous`` if it
            waits for a part of one or for a fixed time; ``asynchronous`` if it takes each update.
        keeps: what the server keeps besides the model, and what clients keep.
        checked: what the rule was checked against: the ``paper``'s text, the ``authors' code``, or
            ``re-implementations`` by others; empty if nothing of these was found.
        source: where that is: a part of the paper, or a repository and its file.
        unconfirmed: what could not be checked, and what was looked for.

    Example:
        >>> About("Nguyen et al., AISTATS 2022", "semi-synchronous").keeps
        'nothing'
    """

    citation: str
    timing: Literal["synchronous", "semi-synchronous", "asynchronous"]
    keeps: str = "nothing"
    checked: Literal["", "paper", "authors' code", "re-implementations"] = ""
    source: str = ""
    unconfirmed: str = ""

    @property
    def standing(self) -> str:
        """How sure the rule is: ``confirmed``, ``authors' code``, and so on, for listings."""
        if not self.checked:
            return "unconfirmed" if self.unconfirmed else ""
        return "confirmed" if self.checked == "paper" else self.checked
