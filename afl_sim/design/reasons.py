"""Why the winner wins: what its runs do in the time to the target, and what the others do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from afl_sim.design.halving import Halving
from afl_sim.design.objective import COSTS
from afl_sim.design.ranking import Placed, geometric_mean
from afl_sim.design.schedule import PHASES
from afl_sim.design.screening import Entry
from afl_sim.design.search import Search
from afl_sim.run.kinds import strategy_of
from afl_sim.world.microseconds import MICROSECONDS


@dataclass(frozen=True)
class Profile:
    """What a candidate's runs do, as means over seeds unless it is by seed.

    Attributes:
        title: the candidate.
        strategy: its kind.
        costs: by seed, to the target; None if it was not reached as far as it was trained.
        updates: by seed, aggregated until the target; None like the cost.
        updates_per_second, versions_per_second: of virtual time, over the whole schedule.
        mean_staleness, staleness_p95: in versions, over the whole schedule.
        idle_fraction, wasted_fraction: as of a `Schedule`.
        phases: the share of each phase in the time of tasks.
    """

    title: str
    strategy: str
    costs: tuple[float | None, ...]
    updates: tuple[float | None, ...]
    updates_per_second: float
    versions_per_second: float
    mean_staleness: float
    staleness_p95: float
    idle_fraction: float
    wasted_fraction: float
    phases: dict[str, float]

    @property
    def cost(self) -> float | None:
        """The geometric mean of the costs; None if one is not known."""
        return geometric_mean(self.costs)


def profile(found: Search, entry: Entry) -> Profile:
    """What the runs of a candidate do, as far as they were trained."""
    halving = found.halving
    assert halving is not None
    assert entry.candidate is not None
    schedules = {index: halving.schedule_of(entry, index) for index in entry.reaches}
    seconds = [schedule.end_us / MICROSECONDS for schedule in schedules.values()]
    totals = {
        phase: math.fsum(s.phase_seconds[phase] for s in schedules.values()) for phase in PHASES
    }
    spent = math.fsum(totals.values()) or 1.0
    each = list(schedules.values())

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    return Profile(
        entry.title,
        strategy_of(entry.candidate.scenario).kind,
        tuple(reach.cost for reach in entry.reaches.values()),
        tuple(_updates(halving, entry, index) for index in entry.reaches),
        math.fsum(s.updates for s in each) / math.fsum(seconds),
        math.fsum(s.versions for s in each) / math.fsum(seconds),
        mean([s.staleness_figure("mean") for s in each]),
        mean([s.staleness_figure("p95") for s in each]),
        mean([s.idle_fraction for s in each]),
        mean([s.wasted_fraction for s in each]),
        {phase: total / spent for phase, total in totals.items()},
    )


def _updates(halving: Halving, entry: Entry, index: int) -> float | None:
    """The updates that a run aggregates until it reaches the target; None if it does not."""
    schedule, time_us = halving.schedule_of(entry, index), entry.reaches[index].time_us
    if time_us is None:
        return None
    return float((schedule.spending["samples"].time_us <= time_us).sum())


def rivals(found: Search, placed: Sequence[Placed]) -> list[Entry]:
    """The winner, the next one, and the best candidate of each other strategy that was trained."""
    chosen = [each.entry for each in placed[:2]]
    kinds = {_kind(entry) for entry in chosen}
    trained = [entry for entry in found.entries if entry.rungs and entry.reaches]
    trained.sort(key=lambda entry: (-len(entry.rungs), -entry.rungs[-1], entry.number))
    for entry in trained:
        if _kind(entry) not in kinds:
            kinds.add(_kind(entry))
            chosen.append(entry)
    return chosen


def _kind(entry: Entry) -> str:
    assert entry.candidate is not None
    return strategy_of(entry.candidate.scenario).kind


def sentences(found: Search, profiles: Sequence[Profile]) -> list[str]:
    """What tells the winner from the others, a sentence for each."""
    winner, *others = profiles
    return [_sentence(found, winner, other) for other in others]


def _sentence(found: Search, winner: Profile, other: Profile) -> str:
    goal = found.goal
    common = min(len(winner.costs), len(other.costs))  # the first ones, so that costs are paired
    times = _ratio(other.costs[:common], winner.costs[:common])
    more = _ratio(other.updates[:common], winner.updates[:common])
    if times is None or more is None:
        but = "" if winner.cost is not None else f" (the winner {_reached(winner, 'it')})"
        return (
            f"{other.title} {_reached(other, goal.text)} as far as it was trained{but}: "
            f"{_schedule_words(winner, other)}."
        )
    seeds = ""
    if common < len(winner.costs):
        seeds = f" (by {common} seed{'' if common == 1 else 's'})"
    return (
        f"{other.title} takes {_times(times)} the {COSTS[goal.cost][0]}{seeds}: it needs "
        f"{_times(more)} the updates to {goal.text}, and {_schedule_words(winner, other)}."
    )


def _ratio(ones: Sequence[float | None], others: Sequence[float | None]) -> float | None:
    """The mean of ratios that are paired by seed; None if not all are known."""
    above, below = geometric_mean(ones), geometric_mean(others)
    return None if above is None or below is None else above / below


def _reached(profile: Profile, what: str) -> str:
    """How often a candidate reached the target, in words."""
    count, seeds = sum(cost is not None for cost in profile.costs), len(profile.costs)
    if not count:
        return f"did not reach {what}"
    return f"reached {what} with {count} of {seeds} seed{'' if seeds == 1 else 's'}"


def _schedule_words(winner: Profile, other: Profile) -> str:
    rate = other.updates_per_second / winner.updates_per_second
    fast = "as fast" if _times(rate) == _times(1.0) else f"{_times(rate)} as fast"
    words = f"its updates come {fast}"
    pairs = (
        ("mean staleness", winner.mean_staleness, other.mean_staleness, "{:.1f}", 0.5),
        ("idle time", winner.idle_fraction, other.idle_fraction, "{:.0%}", 0.03),
        ("wasted work", winner.wasted_fraction, other.wasted_fraction, "{:.0%}", 0.03),
    )
    differing = [
        f"{name} {form.format(theirs)} instead of {form.format(ours)}"
        for name, ours, theirs, form, least in pairs
        if abs(theirs - ours) >= least
    ]
    return "; ".join([words, ", ".join(differing)]) if differing else words


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times"
