"""The second stage of a design: timing-only runs tell which candidates are worth training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from afl_sim.design.bounds import Floats, bound_of, mean_seconds, refuted
from afl_sim.design.objective import SPENT, Reach, broken_by_schedule, cut_us
from afl_sim.design.problem import Candidate, Problem
from afl_sim.design.schedule import NEVER, Schedule, Schedules
from afl_sim.design.space import Point
from afl_sim.scenario.sections.design import Limit

Fate = Literal[
    "open", "invalid", "refuted", "excluded", "left out", "failed", "stopped", "finalist"
]

IN_WORDS: Final[dict[Fate, str]] = {
    "invalid": "settings that do not go together",
    "refuted": "ruled out by a closed form",
    "excluded": "ruled out by the schedule",
    "left out": "not trained, since the budget does not reach",
    "failed": "a run failed",
    "stopped": "stopped early",
    "finalist": "trained with all seeds",
}
"""What becomes of candidates, in words."""


@dataclass
class Entry:
    """What is known of a candidate so far.

    Attributes:
        number, point, title: as of a `Candidate`.
        candidate: None if its settings do not go together.
        schedule: with the first seed; None if it was not computed.
        fate: what has become of it.
        why: the reason, in a line.
        broken: the limits that its schedule does not keep, with the values found.
        late_us: when a run must have reached the target to keep the limits of its costs.
        outlook: orders candidates before any is trained, the larger the better.
        reaches: by seed, how far its runs have come.
        rungs: its progress at each rung.
    """

    number: int
    point: Point
    title: str
    candidate: Candidate | None = None
    schedule: Schedule | None = None
    fate: Fate = "open"
    why: str = ""
    broken: list[tuple[Limit, float]] = field(default_factory=list)
    late_us: int = NEVER
    outlook: float = 0.0
    reaches: dict[int, Reach] = field(default_factory=dict)
    rungs: list[float] = field(default_factory=list)

    def rule_out(self, fate: Fate, why: str) -> None:
        """The candidate is not considered any further."""
        self.fate, self.why = fate, why


class Screen:
    """Looks at candidates before any is trained.

    Args:
        problem: what is asked for.
        schedules: computes schedules.
    """

    def __init__(self, problem: Problem, schedules: Schedules) -> None:
        self._problem = problem
        self._schedules = schedules
        self._times: dict[str, Floats | None] = {}

    def look(self, number: int, point: Point) -> Entry:
        """Everything about a point that needs no training."""
        made = self._problem.candidate(number, point)
        entry = Entry(number, point, self._problem.space.title(point))
        if isinstance(made, str):
            entry.rule_out("invalid", made)
            return entry
        entry.candidate = made
        seconds = self._seconds(made)
        bound = None if seconds is None else bound_of(made.scenario, seconds)
        against = None if bound is None else refuted(bound, made.scenario, self._problem.design)
        if against is not None:
            entry.broken = [] if against.broken is None else [against.broken]
            entry.rule_out("refuted", against.why)
            return entry
        schedule = self._schedules.of(made.scenario)
        if isinstance(schedule, str):
            entry.rule_out("excluded", schedule)
            return entry
        entry.schedule = schedule
        self._judge(entry, schedule)
        return entry

    def _judge(self, entry: Entry, schedule: Schedule) -> None:
        design = self._problem.design
        entry.broken = broken_by_schedule(design, schedule)
        entry.late_us, limit = cut_us(design, schedule)
        entry.outlook = outlook(schedule)
        if entry.broken:
            found = "; ".join(f"{limit}: found {value:.4g}" for limit, value in entry.broken)
            entry.rule_out("excluded", found)
        elif not schedule.versions or schedule.version_us[0] >= entry.late_us:
            if limit is not None:
                entry.broken = [(limit, _first_cost(schedule, limit))]
            entry.rule_out(
                "excluded", "it makes no version" + (f" within {limit}" if limit else "")
            )

    def _seconds(self, candidate: Candidate) -> Floats | None:
        scenario = candidate.scenario
        key = scenario.model_dump_json(include={"clients", "model", "training", "data", "seed"})
        if key not in self._times:
            world = self._schedules.world(scenario)
            self._times[key] = mean_seconds(world, scenario.clients.count)
        return self._times[key]


def outlook(schedule: Schedule) -> float:
    """How much training a schedule does: the updates until its end, each divided by the square
    root of one more than its staleness.

    It is a guess, used only where the budget does not reach for all candidates.
    """
    return float((1 / np.sqrt(1.0 + schedule.staleness)).sum())


def binding(entries: Sequence[Entry], limits: Iterable[Limit]) -> str | None:
    """Which limits leave no candidate, in a line; None if some candidate keeps all of them."""
    seen = [entry for entry in entries if entry.schedule is not None or entry.broken]
    if not seen or any(not entry.broken for entry in seen):
        return None
    told = Counter(limit for entry in seen for limit, _ in entry.broken)
    alone = [limit for limit in limits if told[limit] == len(seen)]
    if not alone:
        named = ", ".join(str(limit) for limit, _ in told.most_common())
        return f"each of {named} is kept by some candidate, but no candidate keeps all of them"
    parts = []
    for limit in alone:
        found = [
            (value, entry.title)
            for entry in seen
            for broken, value in entry.broken
            if broken == limit
        ]
        nearest = min(found) if limit.sign == "<=" else max(found)
        parts.append(f"no candidate keeps {limit}; the nearest is {nearest[0]:.4g} ({nearest[1]})")
    return "; ".join(parts)


def _first_cost(schedule: Schedule, limit: Limit) -> float:
    if not schedule.versions:
        return float("inf")
    return schedule.cost(SPENT[limit.measure], int(schedule.version_us[0]))
