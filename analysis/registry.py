"""The figures that there are, and drawing them into a folder."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from afl_sim.errors import AflSimError, InputError
from afl_sim.recording import Run
from afl_sim.recording.files import reason, write_bytes
from analysis.replications import Group, groups

FORMATS: Final = ("png", "pdf", "svg")
DPI: Final = 200

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CannotDraw(AflSimError):
    """The runs do not hold what a figure shows; the message says what is missing."""


class Draws(Protocol):
    """A figure's function."""

    def __call__(self, runs: Sequence[Run], *, style: str = ...) -> Figure: ...


@dataclass(frozen=True)
class FigureKind:
    """A figure that `draw` knows.

    Attributes:
        name: its name on the command line and its file's stem.
        description: what it shows, in one line.
        needs: what a run must hold for it.
        path: ``package.module:function``, imported when it is drawn.
        per_page: how many settings fit one figure; more make further files. None: any number.
    """

    name: str
    description: str
    needs: str
    path: str
    per_page: int | None = None

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
            "Accuracy against virtual time, targets as light lines, bands over replications.",
            "evaluations (a run with training)",
            "analysis.figures.learning:accuracy",
        ),
        FigureKind(
            "learning",
            "Accuracy and loss against virtual time, versions, samples and bytes.",
            "evaluations (a run with training)",
            "analysis.figures.learning:learning",
        ),
        FigureKind(
            "gradient-norm",
            "Squared gradient norm of the training objective against virtual time, quartile bands.",
            "evaluation.squared_gradient_norm",
            "analysis.figures.gradient:gradient_norm",
        ),
        FigureKind(
            "time-to-accuracy",
            "Virtual time to each target, with what did not reach it shown as such.",
            "targets, and evaluations",
            "analysis.figures.targets:time_to_accuracy",
        ),
        FigureKind(
            "class-accuracy",
            "Accuracy of each class over virtual time, one panel per setting.",
            "evaluations (a run with training)",
            "analysis.figures.classes:class_accuracy",
            per_page=6,
        ),
        FigureKind(
            "fairness",
            "Accuracy on the labels that the fastest and the slowest tenth of the clients hold.",
            "evaluations, and who holds which samples",
            "analysis.figures.classes:fairness",
        ),
        FigureKind(
            "heterogeneity",
            "The clients: speeds, where the time of tasks goes, what labels and samples they hold.",
            "events with finished tasks",
            "analysis.figures.heterogeneity:heterogeneity",
        ),
        FigureKind(
            "stragglers",
            "Waiting in rounds, who is last how often, idle time and contribution by speed.",
            "events with finished tasks",
            "analysis.figures.stragglers:stragglers",
        ),
        FigureKind(
            "staleness",
            "How stale updates were, one panel per setting, with the mean that theory expects.",
            "events with aggregated updates",
            "analysis.figures.staleness:staleness",
            per_page=6,
        ),
        FigureKind(
            "staleness-speed",
            "Mean staleness of each client's updates against its speed.",
            "events with aggregated updates",
            "analysis.figures.staleness:staleness_by_speed",
        ),
        FigureKind(
            "staleness-time",
            "Staleness over virtual time: mean and spread, with the mean that theory expects.",
            "events with aggregated updates",
            "analysis.figures.staleness:staleness_over_time",
            per_page=6,
        ),
        FigureKind(
            "timeline",
            "What 20 clients and the server do over virtual time, with versions and failures.",
            "events",
            "analysis.figures.timeline:timeline",
            per_page=4,
        ),
        FigureKind(
            "network",
            "Bytes by direction, transfers under way, queues and load of the server's links.",
            "transfers that take time",
            "analysis.figures.network:network",
            per_page=4,
        ),
        FigureKind(
            "sweep",
            "Measures against one setting that a study varies, with intervals over replications.",
            "runs of at least two settings",
            "analysis.figures.study:sweep",
        ),
        FigureKind(
            "sweep-map",
            "A measure over two numeric settings of a study, as a heat map.",
            "a study of two numeric settings",
            "analysis.figures.study:sweep_map",
        ),
        FigureKind(
            "differences",
            "Paired differences between settings, with their intervals.",
            "two settings with two seeds in common",
            "analysis.figures.study:paired_differences",
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
    style: str = "paper",
) -> list[Drawn]:
    """Draw figures of runs into a folder, which is made.

    Args:
        runs: the runs to show together.
        out_dir: where the files go, as ``<figure>.<format>``.
        names: which figures, keys of `FIGURES`; default all.
        formats: ``png``, ``pdf``, ``svg``.
        style: a key of `analysis.theme.STYLES`.

    Returns:
        One entry a figure. A figure that the runs cannot supply says so there; it is no error.

    Raises:
        InputError: there is no figure, style or format of that name, no run, or the folder
            cannot be made.
    """
    kinds = [_kind(name) for name in (FIGURES if names is None else names)]
    if not runs:
        raise InputError("there are no runs to draw")
    for form in formats:
        if form not in FORMATS:
            raise InputError(f"there is no figure format {form!r}: expected png, pdf or svg")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out_dir}: {reason(error)}") from error
    return [_draw_one(kind, runs, out_dir, formats, style) for kind in kinds]


def usable(
    runs: Sequence[Run], has: Callable[[Run], bool], lacking: str
) -> tuple[list[Group], list[str]]:
    """The settings that a figure can show.

    Args:
        has: whether a run holds what the figure shows; a run folder error counts as no.
        lacking: what the others lack, as in "they have ``no evaluations``".

    Returns:
        The groups with the runs to show, and the labels of the runs left out.

    Raises:
        CannotDraw: there is none.
    """
    shown: list[Group] = []
    others: list[str] = []
    for group in groups(runs):
        fine = [run for run in group.runs if _holds(run, has)]
        others += [run.label for run in group.runs if run not in fine]
        if fine:
            shown.append(group.with_runs(fine))
    if not shown:
        raise CannotDraw(f"{', '.join(others)}: {lacking}")
    return shown, others


def _holds(run: Run, has: Callable[[Run], bool]) -> bool:
    try:
        return has(run)
    except InputError:
        return False


def _kind(name: str) -> FigureKind:
    if name not in FIGURES:
        from afl_sim.scenario.wording import hint

        known = f"expected {', '.join(FIGURES)}{hint(name, FIGURES)}"
        raise InputError(f"there is no figure {name!r}: {known}")
    return FIGURES[name]


def _draw_one(
    kind: FigureKind, runs: Sequence[Run], out_dir: Path, formats: Sequence[str], style: str
) -> Drawn:
    from analysis import theme

    paths: list[Path] = []
    notes: list[str] = []
    for number, page in enumerate(pages(runs, kind.per_page), start=1):
        try:
            figure = kind.function(page, style=style)
        except CannotDraw as error:
            notes.append(str(error))
            continue
        stem = kind.name if number == 1 else f"{kind.name}-{number}"
        paths += save(figure, out_dir / stem, formats)
        notes += filter(None, [theme.left_out(figure)])
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


def rendered(figure: Figure, form: str, dpi: int = DPI, **settings: Any) -> bytes:
    """A figure as the content of a file.

    Args:
        form: ``png``, ``pdf`` or ``svg``.
        dpi: dots per inch, of what has dots.
        settings: matplotlib's, for the time of writing.
    """
    import matplotlib as mpl

    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "afl_sim", **settings}):
        figure.savefig(buffer, format=form, metadata=undated.get(form), dpi=dpi)
    return buffer.getvalue()
