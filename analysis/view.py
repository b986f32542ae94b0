"""The axes of a figure, as far as a user says something about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from afl_sim.scenario.sections.figure import FigureBlock


@dataclass(frozen=True)
class View:
    """The axes of a figure, as far as they are given.

    Attributes:
        x: what curves are drawn against, one of `afl_sim.analysis.curves.AXES`; None: as the figure
            does by itself.
        xlim, ylim: lower and upper limit, None where it is left open.
        log: the axes with a logarithmic scale.
    """

    x: str | None = None
    xlim: tuple[float | None, float | None] | None = None
    ylim: tuple[float | None, float | None] | None = None
    log: tuple[str, ...] = ()

    @classmethod
    def of(cls, block: FigureBlock) -> View:
        """What a block says about the axes."""
        return cls(block.x, block.limits("x"), block.limits("y"), block.log)

    @property
    def arguments(self) -> dict[str, Any]:
        """What a figure's function is called with: nothing if nothing is given."""
        return {} if self == View() else {"view": self}


def along_of(view: View | None) -> str:
    """What curves are drawn against: virtual time, unless a view names something else."""
    return "time" if view is None or view.x is None else view.x
