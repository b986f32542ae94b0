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
        unconfirmed: what could not be checked against the paper's text or its authors' code.

    Example:
        >>> About("Nguyen et al., AISTATS 2022", "semi-synchronous").keeps
        'nothing'
    """

    citation: str
    timing: Literal["synchronous", "semi-synchronous", "asynchronous"]
    keeps: str = "nothing"
    unconfirmed: str = ""
