"""Which runs a figure can show, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from afl_sim.analysis.replications import Group, groups, named
from afl_sim.errors import AflSimError, InputError
from afl_sim.recording import Run

UNFINISHED: Final = (
    "not finished (in progress or interrupted; `afl-sim resume` continues an interrupted run)"
)
FAILED: Final = "failed before its events and evaluations were written"


class CannotDraw(AflSimError):
    """The runs lack the data of a figure; the message states what is missing."""


def usable(
    runs: Sequence[Run], has: Callable[[Run], bool], lacking: str
) -> tuple[list[Group], str]:
    """The settings that a figure can show.

    Args:
        has: whether a run holds what the figure shows; a run folder error counts as no.
        lacking: what the others lack, as in "they have ``no evaluations``".

    Returns:
        The groups with the runs to show, and which runs are left out, and why.

    Raises:
        CannotDraw: there is none.
    """
    shown: list[Group] = []
    reasons: dict[str, list[str]] = {}  # the labels of the runs left out
    for group in groups(runs):
        fine = []
        for run in group.runs:
            why = _why_not(run, has, lacking)
            if why is None:
                fine.append(run)
            else:
                reasons.setdefault(why, []).append(run.label)
        if fine:
            shown.append(group.with_runs(fine))
    others = "; ".join(f"{named(labels)}: {why}" for why, labels in reasons.items())
    if not shown:
        raise CannotDraw(others)
    return shown, others


def holds(run: Run, has: Callable[[Run], bool]) -> bool:
    """Whether a run has some data. A run that lacks the file of this data does not."""
    return _why_not(run, has, "") is None


def _why_not(run: Run, has: Callable[[Run], bool], lacking: str) -> str | None:
    """Why a run cannot be shown; None if it can."""
    try:
        if has(run):
            return None
    except InputError as error:
        lacking = FAILED if run.status == "failed" else str(error)
    return UNFINISHED if run.status == "unfinished" else lacking
