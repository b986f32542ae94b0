"""The figures that there are, and drawing them into a folder."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from afl_sim.errors import AflSimError, InputError
from afl_sim.recording import Run
from afl_sim.recording.files import reason, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CannotDraw(AflSimError):
    """The runs do not hold what a figure shows; the message says what is missing."""


class Draws(Protocol):
    """A figure's function."""

    def __call__(self, runs: Sequence[Run], *, size: str = ...) -> Figure: ...


@dataclass(frozen=True)
class FigureKind:
    """A figure that `draw` knows.

    Attributes:
        name: its name on the command line and its file's stem.
        description: what it shows, in one line.
        needs: what a run must hold for it.
        path: ``package.module:function``, imported when it is drawn.
        runs_per_page: how many runs fit one figure; more make further files. None: any number.
    """

    name: str
    description: str
    needs: str
    path: str
    runs_per_page: int | None = None

    @property
    def function(self) -> Draws:
        """The function that draws it, from runs to a matplotlib figure."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)


FIGURES: Final = {
    kind.name: kind
    for kind in (
        FigureKind(
            "accuracy",
            "Accuracy against virtual time, one line per run, targets as light lines.",
            "evaluations (a run with training)",
            "analysis.figures.accuracy:accuracy_over_time",
        ),
        FigureKind(
            "heterogeneity",
            "How fast the clients compute, and how much of the model each contributes.",
            "events with finished tasks",
            "analysis.figures.heterogeneity:heterogeneity",
        ),
        FigureKind(
            "staleness",
            "How stale the aggregated updates were, one panel per run.",
            "events with aggregated updates",
            "analysis.figures.staleness:staleness",
        ),
        FigureKind(
            "timeline",
            "What 20 clients do over virtual time: download, compute, upload, idle.",
            "events",
            "analysis.figures.timeline:timeline",
            runs_per_page=4,
        ),
    )
}
"""Every figure by name, in the order in which they are drawn."""


@dataclass(frozen=True)
class Drawn:
    """What became of one figure.

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
    size: str = "page",
) -> list[Drawn]:
    """Draw figures of runs into a folder, which is made.

    Args:
        runs: the runs to show together.
        out_dir: where the files go, as ``<figure>.<format>``.
        names: which figures, keys of `FIGURES`; default all.
        formats: ``png``, ``pdf``, ``svg``.
        size: a key of `analysis.theme.SIZES`.

    Returns:
        One entry a figure. A figure that the runs cannot supply says so there; it is no error.

    Raises:
        InputError: there is no figure of that name, no run, or the folder cannot be made.
    """
    kinds = [_kind(name) for name in (FIGURES if names is None else names)]
    if not runs:
        raise InputError("there are no runs to draw")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out_dir}: {reason(error)}") from error
    return [_draw_one(kind, runs, out_dir, formats, size) for kind in kinds]


def usable(
    runs: Sequence[Run], has: Callable[[Run], bool], lacking: str
) -> tuple[list[int], list[str]]:
    """Which runs a figure can show.

    Args:
        has: whether a run holds what the figure shows; a run folder error counts as no.
        lacking: what the others lack, as in "they have ``no evaluations``".

    Returns:
        The indices of the runs to show, and the labels of the others.

    Raises:
        CannotDraw: there is none.
    """
    shown: list[int] = []
    others: list[str] = []
    for index, run in enumerate(runs):
        try:
            fine = has(run)
        except InputError:
            fine = False
        if fine:
            shown.append(index)
        else:
            others.append(run.label)
    if not shown:
        raise CannotDraw(f"{', '.join(others)}: {lacking}")
    return shown, others


def _kind(name: str) -> FigureKind:
    if name not in FIGURES:
        from afl_sim.scenario.wording import hint

        known = f"expected {', '.join(FIGURES)}{hint(name, FIGURES)}"
        raise InputError(f"there is no figure {name!r}: {known}")
    return FIGURES[name]


def _draw_one(
    kind: FigureKind, runs: Sequence[Run], out_dir: Path, formats: Sequence[str], size: str
) -> Drawn:
    from analysis import theme

    step = kind.runs_per_page or len(runs)
    pages = [runs[first : first + step] for first in range(0, len(runs), step)]
    paths: list[Path] = []
    notes: list[str] = []
    for number, page in enumerate(pages, start=1):
        try:
            figure = kind.function(page, size=size)
        except CannotDraw as error:
            notes.append(str(error))
            continue
        stem = kind.name if number == 1 else f"{kind.name}-{number}"
        paths += save(figure, out_dir / stem, formats)
        notes += filter(None, [theme.left_out(figure)])
    return Drawn(kind.name, tuple(paths), "; ".join(notes) or None)


def save(figure: Figure, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure as ``stem.<format>`` for each format; a reader never sees half a file.

    The files hold no date, so that the same runs give the same bytes.
    """
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    paths = []
    for name in formats:
        if name not in {"png", "pdf", "svg"}:
            raise InputError(f"there is no figure format {name!r}: expected png, pdf or svg")
        buffer = io.BytesIO()
        figure.savefig(buffer, format=name, metadata=undated.get(name), dpi=200)
        path = stem.with_name(f"{stem.name}.{name}")
        write_bytes(path, buffer.getvalue())
        paths.append(path)
    return paths
