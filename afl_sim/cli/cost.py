"""Prints what runs will cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import TYPE_CHECKING, Any

from afl_sim.cli.importing import importing

if TYPE_CHECKING:
    from afl_sim.scenario import Study
    from afl_sim.study.costs import Cost

_SHOWN = 30  # runs with a row of their own
_TERA = 1e12


def print_cost(study: Study) -> None:
    """Measure what the runs of a scenario file cost, and print it as a table.

    Raises:
        AflSimError: a run fails.
    """
    with importing():
        from afl_sim.run.partition_table import print_whole
        from afl_sim.study.costs import costs, shared

    found = list(costs(study))
    print_whole(_table(found))
    for line in _notes(found):
        print(line)
    if len(found) > 1:
        same = shared(study)
        print(
            f"shared: {len(found)} runs have {_several(same.partitions, 'partition')}, "
            f"{_several(same.models, 'initial model')}, {_several(same.fleets, 'fleet')} and "
            f"{_several(same.schedules, 'schedule')}"
        )


def duration(seconds: float) -> str:
    """Wall time with two units at most, as in ``1 min 30 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours / 24:.1f} days"


def _table(found: Sequence[Cost]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("run", no_wrap=True)
    for name in ("updates", "steps", "samples", "TFLOP", "evaluations", "wall time"):
        table.add_column(name, justify="right", no_wrap=True)
    for cost in found[:_SHOWN]:
        table.add_row(cost.label, *_cells([cost]))
    if len(found) > _SHOWN:
        table.add_row(f"{len(found) - _SHOWN} others", *_cells(found[_SHOWN:]))
    if len(found) > 1:
        table.add_row(f"all {len(found)}", *_cells(found))
    return table


def _cells(found: Sequence[Cost]) -> list[str]:
    """The numbers of runs, added up; a number that is not known for all of them is a dash."""
    works = [cost.work for cost in found if not isinstance(cost.work, str)]
    if len(works) < len(found):
        return ["-"] * 6
    most = "<= " if any(work.at_most for work in works) else ""
    flops = [cost.flops for cost in found]
    tera = "-" if None in flops else f"{most}{fsum(f or 0.0 for f in flops) / _TERA:.3g}"
    return [
        *(
            f"{most}{sum(getattr(work, name) for work in works):,}"
            for name in ("updates", "steps", "samples")
        ),
        tera,
        f"{most}{sum(work.evaluations for work in works):,}",
        most + duration(fsum(cost.seconds or 0.0 for cost in found)),
    ]


def _notes(found: Sequence[Cost]) -> list[str]:
    lines = ["wall time: in one process, from a first part of the run that was measured here"]
    workers = max(cost.workers for cost in found)
    best = [cost.seconds_at_best for cost in found]
    if workers > 1 and None not in best:
        at_best = duration(fsum(seconds or 0.0 for seconds in best))
        lines.append(f"with the scenario's workers: {at_best} at best")
    if any(not isinstance(cost.work, str) and cost.work.at_most for cost in found):
        lines.append("<=: a stop rule that reads a metric may end the run earlier")
    if any(cost.flops is None and not isinstance(cost.work, str) for cost in found):
        lines.append("TFLOP: not known, since a layer of the model cannot be counted")
    for cost in found:
        if isinstance(cost.work, str):
            step = cost.rates.step * 1000
            lines.append(
                f"{cost.label}: only training tells how much work it is ({cost.work}); a step "
                f"takes {step:.3g} ms, an evaluation {cost.rates.evaluation:.3g} s"
            )
    return lines


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
