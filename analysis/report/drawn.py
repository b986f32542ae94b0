"""The figures of a page; for a large study, also the choice of the runs that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from markupsafe import Markup

from afl_sim.analysis.choosing import chosen
from afl_sim.analysis.curves import AXES
from afl_sim.analysis.drawing import pages
from afl_sim.analysis.finishing import title
from afl_sim.analysis.own_figures import figure_kind
from afl_sim.analysis.registry import FIGURES, FigureKind
from afl_sim.analysis.replications import groups
from afl_sim.analysis.report.svg import inline_svg
from afl_sim.analysis.steering import blocks_of, check
from afl_sim.analysis.theme import STYLES, notes
from afl_sim.analysis.view import View
from afl_sim.errors import AflSimError, InputError
from afl_sim.recording import Run
from afl_sim.scenario.sections.figure import FigureBlock

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

    Those of the runs' blocks ``figure:`` come first. Of a block counts what the figure shows, not
    its size, style and file, since the page has its own. Of a study of more than `SETTINGS`
    settings or `RUNS` runs most figures show a part.

    Args:
        options: arguments of the figures in `WHOLE`.
    """
    part = shown(runs)
    found = Drawings(note=_said(runs, part) if len(part) < len(runs) else "")
    page = _Page(found, runs, part, options or {})
    blocks, unlike = _blocks(runs, found)
    found.note = " ".join(filter(None, [found.note, unlike]))
    for block in blocks:
        if block.name is not None:
            page.add(block.name, block)
    own = {block.name for block in blocks}
    general = next((block for block in blocks if block.name is None), FigureBlock())
    for name in names:
        if name not in own:
            page.add(name, general)
    return found


def _blocks(runs: Sequence[Run], found: Drawings) -> tuple[list[FigureBlock], str]:
    """The runs' blocks, and a note if they do not agree.

    A page of one run has no settings to choose from.
    """
    try:
        blocks, note = blocks_of(runs)
    except InputError as error:  # of an older version
        found.lacking.append(str(error))
        return [], ""
    if len(groups(runs)) == 1:
        blocks = [block.model_copy(update={"settings": (), "order": ()}) for block in blocks]
    return blocks, f"{note[:1].upper()}{note[1:]}." if note else ""


@dataclass(frozen=True)
class _Page:
    """What figures are added to.

    Attributes:
        found: takes them.
        runs: all runs.
        part: those that most figures show.
        options: arguments of the figures in `WHOLE`.
    """

    found: Drawings
    runs: Sequence[Run]
    part: Sequence[Run]
    options: Mapping[str, Any]

    def add(self, name: str, block: FigureBlock) -> None:
        """Draw a figure as a block describes it, or say why that is not possible."""
        called = block.file or name
        try:
            kind = FIGURES.get(name) or figure_kind(name)
            check(kind, block, "")
            members = self.runs if name in WHOLE else self.part
            members = chosen(members, block.settings, block.order, "")
        except AflSimError as error:
            self.found.lacking.append(f"{called}: {error}")
            return
        for page in pages(members, kind.per_page):
            self._draw(called, kind, page, block)

    def _draw(self, called: str, kind: FigureKind, runs: Sequence[Run], block: FigureBlock) -> None:
        given = self.options if kind.name in WHOLE else {}
        try:
            figure = kind.function(runs, **given, **View.of(block).arguments)
            title(figure, block.title, STYLES["paper"])
        except AflSimError as error:
            self.found.lacking.append(f"{called}: {error}")
            return
        svg = Markup(inline_svg(figure, f"{kind.stem}-{len(self.found.drawn) + 1}"))
        described = kind.description
        if block.x is not None:
            described = described.replace("virtual time", AXES[block.x].partition(" (")[0])
        self.found.drawn.append(Drawing(called, described, svg, notes(figure)))


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
