"""Drawing figures into a folder."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis.choosing import chosen
from afl_sim.analysis.own_figures import all_figures, figure_kind
from afl_sim.analysis.registry import FigureKind
from afl_sim.analysis.replications import groups
from afl_sim.analysis.steering import check
from afl_sim.analysis.usable import CannotDraw
from afl_sim.analysis.view import View
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.recording.files import make_folder, write_bytes
from afl_sim.scenario.sections.figure import FigureBlock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = ("png", "pdf", "svg")
DPI: Final = 200


@dataclass(frozen=True)
class Drawn:
    """The outcome of one figure.

    Attributes:
        figure: its name.
        paths: the files written; none where it was skipped.
        skipped: why it was not drawn, or which runs it leaves out; None where all went well.
    """

    figure: str
    paths: tuple[Path, ...] = ()
    skipped: str | None = None

    @property
    def line(self) -> str:
        """One line for the user."""
        files = ", ".join(map(str, self.paths))
        if not self.paths:
            return f"{self.figure}: not drawn: {self.skipped}"
        return f"{self.figure}: {files}" + (f" ({self.skipped})" if self.skipped else "")


def draw(
    runs: Sequence[Run],
    out_dir: Path,
    names: Iterable[str] | None = None,
    formats: Sequence[str] = ("png",),
    style: str = "paper",
) -> list[Drawn]:
    """Draw figures of runs into a folder, which is made.

    Args:
        runs: the runs to show together.
        out_dir: where the files go, as ``<figure>.<format>``.
        names: which figures: keys of `FIGURES`, names of installed packages' figures, or
            ``package.module:function``; default all that have a name.
        formats: ``png``, ``pdf``, ``svg``.
        style: a key of `afl_sim.analysis.theme.STYLES`.

    Returns:
        One entry a figure. A figure for which the runs lack data is reported there and is not an
        error.

    Raises:
        InputError: there is no figure, style or format of that name, no run, or the folder
            cannot be made.
        OwnRuleError: a figure of the user's own raised an exception, or returned no figure.
    """
    from afl_sim.analysis.theme import themed

    wanted: list[str | None] = [None] if names is None else list(names)
    with themed(style):  # a wrong name is told, even if there is nothing to draw in it
        pass
    for form in formats:
        if form not in FORMATS:
            raise InputError(f"there is no figure format {form!r}: expected png, pdf or svg")
    said: dict[str, Any] = {"style": style, "format": tuple(formats)}
    return draw_blocks(
        runs, out_dir, [FigureBlock.model_construct(name=name, **said) for name in wanted]
    )


def draw_blocks(runs: Sequence[Run], out_dir: Path, blocks: Sequence[FigureBlock]) -> list[Drawn]:
    """Draw figures as blocks ``figure:`` describe them.

    Args:
        runs, out_dir: as for `draw`.
        blocks: each draws a figure, or without a name all that no other block names.

    Raises:
        InputError, OwnRuleError: as `draw` does; or a block asks for what its figure cannot do.
    """
    if not runs:
        raise InputError("there are no runs to draw")
    todo = []
    for block in blocks:
        kinds = [figure_kind(block.name)] if block.name else _others(blocks)
        shown = chosen(runs, block.settings, block.order)
        for kind in kinds:
            check(kind, block)
            todo.append((kind, block, shown))
    make_folder(out_dir)
    return [_draw_one(kind, shown, out_dir, block) for kind, block, shown in todo]


def _others(blocks: Sequence[FigureBlock]) -> list[FigureKind]:
    """The figures that no block names."""
    own = {block.name for block in blocks}
    return [kind for kind in all_figures().values() if kind.name not in own]


def _draw_one(kind: FigureKind, runs: Sequence[Run], out_dir: Path, block: FigureBlock) -> Drawn:
    from afl_sim.analysis import theme
    from afl_sim.analysis.finishing import style_of, title

    style, view = style_of(block), View.of(block)
    paths: list[Path] = []
    notes: list[str] = []
    for number, page in enumerate(pages(runs, kind.per_page), start=1):
        try:
            figure = kind.function(page, style=style, **view.arguments)
        except CannotDraw as error:
            notes.append(str(error))
            continue
        title(figure, block.title, style)
        stem = block.file or kind.stem
        stem = stem if number == 1 else f"{stem}-{number}"
        paths += save(figure, out_dir / stem, block.format or FORMATS[:1])
        notes += filter(None, [theme.notes(figure)])
    return Drawn(kind.name, tuple(paths), "; ".join(notes) or None)


def pages(runs: Sequence[Run], per_page: int | None) -> list[list[Run]]:
    """Runs split so that a page holds so many settings, each with all its replications."""
    members = groups(runs)
    step = per_page or len(members)
    return [
        [run for group in members[first : first + step] for run in group.runs]
        for first in range(0, len(members), step)
    ]


def save(figure: Figure, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure as ``stem.<format>`` for each format; a reader never sees half a file.

    The files hold no date and no random names, so that the same runs give the same bytes.
    """
    paths = []
    for name in formats:
        path = stem.with_name(f"{stem.name}.{name}")
        write_bytes(path, rendered(figure, name))
        paths.append(path)
    return paths


def rendered(figure: Figure, form: str, dpi: int = DPI, settings: Any = None) -> bytes:
    """A figure as the content of a file.

    Args:
        form: ``png``, ``pdf`` or ``svg``.
        dpi: dots per inch, of what has dots.
        settings: matplotlib's, for the time of writing.
    """
    import matplotlib as mpl

    from afl_sim.analysis.theme import TRUETYPE

    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    settings = {**TRUETYPE, "svg.hashsalt": "afl_sim", **(settings or {})}
    buffer = io.BytesIO()
    with mpl.rc_context(settings):
        figure.savefig(buffer, format=form, metadata=undated.get(form), dpi=dpi)
    return buffer.getvalue()
