"""The figures of a page; for a large study, also the choice of the runs that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from markupsafe import Markup

from afl_sim.analysis.drawing import pages
from afl_sim.analysis.registry import FIGURES, CannotDraw
from afl_sim.analysis.replications import groups
from afl_sim.analysis.report.svg import inline_svg
from afl_sim.analysis.theme import notes
from afl_sim.recording import Run

SETTINGS: Final = 16
RUNS: Final = 120
WHOLE: Final = ("sweep", "sweep-map", "differences")
"""Figures of all runs of a study, however many: they show a point for each setting."""


@dataclass(frozen=True)
class Drawing:
    """One figure with its description."""

    name: str
    description: str
    svg: Markup
    note: str


@dataclass
class Drawings:
    """The figures of a page, why others are missing, and a note on what they leave out."""

    drawn: list[Drawing] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    note: str = ""


def drawings(
    runs: Sequence[Run], names: Sequence[str], options: Mapping[str, Any] | None = None
) -> Drawings:
    """Figures of runs, drawn one after the other.

    Of a study of more than `SETTINGS` settings or `RUNS` runs most figures show a part.

    Args:
        options: arguments of the figures in `WHOLE`.
    """
    part = shown(runs)
    found = Drawings(note=_said(runs, part) if len(part) < len(runs) else "")
    for name in names:
        kind = FIGURES[name]
        whole = name in WHOLE
        given = options if whole and options else {}
        for number, page in enumerate(pages(runs if whole else part, kind.per_page), start=1):
            try:
                figure = kind.function(page, **given)
            except CannotDraw as error:
                found.lacking.append(f"{name}: {error}")
                continue
            svg = Markup(inline_svg(figure, f"{name}-{number}"))
            found.drawn.append(Drawing(name, kind.description, svg, notes(figure)))
    return found


def shown(runs: Sequence[Run]) -> list[Run]:
    """The runs that figures show: of at most `SETTINGS` settings as many seeds as make `RUNS` runs.

    The settings are spread evenly over the order of the study.
    """
    members = spread(groups(runs), SETTINGS)
    return [run for group in members for run in group.runs[: RUNS // len(members)]]


def spread(things: Sequence[Any], most: int) -> list[Any]:
    """At most this many items, evenly spread over their order, including the first and the last."""
    if len(things) <= most:
        return list(things)
    return [things[round(n * (len(things) - 1) / (most - 1))] for n in range(most)]


def _said(runs: Sequence[Run], part: Sequence[Run]) -> str:
    members = groups(runs)
    settings = len(groups(part))
    seeds, most = RUNS // settings, max(len(group.runs) for group in members)
    what = []
    if settings < len(members):
        what.append(f"{settings} of {len(members):,} settings, spread evenly over the study")
    if most > seeds:
        what.append(f"the first {seeds} of up to {most:,} seeds of a setting")
    whole = f"{', '.join(WHOLE[:-1])} and {WHOLE[-1]}"
    return f"The figures show {'; '.join(what)}. Only {whole} show all {len(runs):,} runs."
