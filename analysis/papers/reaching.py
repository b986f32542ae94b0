"""When runs reach an accuracy, by setting and seed: what several papers' tables are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from afl_sim.analysis.metrics import times_to_accuracy
from afl_sim.analysis.replications import groups, seed
from afl_sim.recording import Run

Values = list[float | None]
"""One value for each replication; None where there is none, such as a target not reached."""


def by_setting(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The replications of each setting, by its label in the scenario file."""
    return {group.label: list(group.runs) for group in groups(runs)}


def values(runs: Iterable[Run], measure: Callable[[Run], float | None]) -> Values:
    """A measure of each run."""
    return [measure(run) for run in runs]


def seconds_to(target: float) -> Callable[[Run], float | None]:
    """The measure: virtual seconds to an accuracy that the scenario has among its targets."""

    def measure(run: Run) -> float | None:
        return times_to_accuracy(run).get(target)

    return measure


def updates_to(target: float) -> Callable[[Run], float | None]:
    """The measure: aggregated updates at the first evaluation of an accuracy."""

    def measure(run: Run) -> float | None:
        reached = run.metrics[run.metrics["accuracy"] >= target]
        return float(reached["updates"].iloc[0]) if len(reached) else None

    return measure


def accuracy_at_end(run: Run) -> float | None:
    """The accuracy of the last evaluation, in percent."""
    accuracy = (run.summary.get("final") or {}).get("accuracy")
    return None if accuracy is None else 100 * float(accuracy)


def rounds_to(target: float) -> Callable[[Run], float | None]:
    """The measure: versions at which the best accuracy so far crosses a target.

    Between evaluations it is interpolated linearly, so that 20 of 21 rounds may be 20.4: McMahan et
    al. (AISTATS 2017) make each curve monotone and read the crossing off it.
    """

    def measure(run: Run) -> float | None:
        best = np.maximum.accumulate(run.metrics["accuracy"].to_numpy(dtype="float64"))
        above = np.flatnonzero(best >= target)
        if not len(above):
            return None
        version = run.metrics["version"].to_numpy(dtype="float64")
        at = int(above[0])
        if at == 0:
            return float(version[0])
        share = (target - best[at - 1]) / (best[at] - best[at - 1])
        return float(version[at - 1] + share * (version[at] - version[at - 1]))

    return measure


def paired_differences(
    one: Sequence[Run], other: Sequence[Run], measure: Callable[[Run], float | None]
) -> Values:
    """What ``one`` has more than ``other``, by seed; None where one of the two has no value.

    Runs of one seed share their random draws, so the spread of their differences is that of the
    settings' effect alone.
    """
    others: Mapping[object, float | None] = {seed(run): measure(run) for run in other}
    found: Values = []
    for run in one:
        if seed(run) not in others:
            continue
        a, b = measure(run), others[seed(run)]
        found.append(None if a is None or b is None else a - b)
    return found
