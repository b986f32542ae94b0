"""The three stages of a design, one after the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from afl_sim.design.halving import FIRST_PATIENCE, PATIENCE, Halving, best_first, least_cost
from afl_sim.design.objective import COSTS, Goal, goal_of
from afl_sim.design.plan import FINALISTS, Rung
from afl_sim.design.problem import Problem
from afl_sim.design.proposals import Proposals
from afl_sim.design.schedule import Schedules
from afl_sim.design.screening import IN_WORDS, Entry, Screen, binding
from afl_sim.design.spending import Spent, least_samples, spent_of, whole_samples
from afl_sim.design.unread import sentences
from afl_sim.errors import AflSimError

_WAVES = 4  # parts in which a sampled space is proposed, so that later points follow the best


@dataclass
class Search:
    """What a design has found.

    Attributes:
        problem: what was asked for.
        goal: the objective.
        entries: every candidate, in the order of their numbers.
        rungs: those that were planned.
        grid_samples: samples that all trained candidates with all seeds would take.
        spent: what the training has taken.
        halving: has the runs.
        finalists: the candidates that were compared with all seeds, the best first.
        seeds: with how many seeds they were compared.
        limit: the cost up to which they were trained.
    """

    problem: Problem
    goal: Goal
    entries: list[Entry] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    grid_samples: int = 0
    spent: Spent = field(default_factory=lambda: Spent(None, None))
    halving: Halving | None = None
    finalists: list[Entry] = field(default_factory=list)
    seeds: int = 0
    limit: float = 0.0

    @property
    def open(self) -> list[Entry]:
        """The candidates that are still considered."""
        return [entry for entry in self.entries if entry.fate == "open"]


@dataclass(frozen=True)
class Ways:
    """How a search is done; nothing here changes its result.

    Attributes:
        folder: of the design; the runs go into ``runs`` below.
        say: shows a line.
        stop_wanted: whether to stop now.
        timing_only: end after the second stage.
        wall_before: wall seconds that were spent before it was interrupted.
        begin: called once there is something to train.
    """

    folder: Path
    say: Callable[[str], None]
    stop_wanted: Callable[[], bool]
    timing_only: bool = False
    wall_before: float = 0.0
    begin: Callable[[], None] = lambda: None


def search(problem: Problem, ways: Ways) -> tuple[Search, Proposals]:
    """Solve a design, up to the comparison of its finalists.

    Raises:
        ScenarioError: no candidate can be used; the line states what binds.
        AflSimError: every run failed.
        KeyboardInterrupt: a stop was wanted; runs in progress have their checkpoints.
    """
    design = problem.design
    schedules = Schedules()
    proposals = Proposals(problem.space, problem.scenario.seed, design.candidates)
    screen = Screen(problem, schedules)
    found = Search(problem, _goal(problem, schedules))
    wave = proposals.expected
    if not (proposals.is_whole or ways.timing_only):
        wave = math.ceil(design.candidates / _WAVES)
    _propose(found, proposals, screen, wave, ways)
    _tell_of_screening(found, ways)
    if not found.open:
        _refuse_all(found)
    if ways.timing_only:
        return found, proposals
    from afl_sim.design.training import team  # which needs PyTorch

    first = found.open
    expected = len(first) if proposals.is_whole else _expected(found, proposals)
    ratio = expected / len(first)
    found.grid_samples = round(whole_samples(first, design.seeds) * ratio)
    found.spent = spent_of(design.budget, found.grid_samples, ways.wall_before)
    _check_budget(found, first)
    scenarios = [entry.candidate.scenario for entry in first if entry.candidate is not None]
    execution = problem.scenario.execution
    ways.begin()
    with team(ways.folder / "runs", execution, scenarios, ways.stop_wanted) as trainers:
        found.halving = Halving(found.goal, design.seeds, schedules, trainers)
        _train(found, proposals, screen, ways, expected, wave)
    return found, proposals


def _goal(problem: Problem, schedules: Schedules) -> Goal:
    """The objective, by the scenario as it stands."""
    metrics = schedules.metrics(problem.scenario)
    schedule = schedules.of(problem.scenario)
    if isinstance(schedule, str):
        problem.refuse("vary", f"the scenario as it stands has no schedule: {schedule}")
    return goal_of(problem, metrics, schedule)


def _propose(
    found: Search, proposals: Proposals, screen: Screen, count: int, ways: Ways
) -> list[Entry]:
    """Look at new candidates; those that cannot be used are told to be bad."""
    new = []
    for number, point in proposals.next(count):
        if ways.stop_wanted():
            raise KeyboardInterrupt
        entry = screen.look(number, point)
        found.entries.append(entry)
        new.append(entry)
        if entry.fate != "open":
            proposals.tell(number, None)
    return [entry for entry in new if entry.fate == "open"]


def _tell_of_screening(found: Search, ways: Ways) -> None:
    fates = Counter(entry.fate for entry in found.entries)
    size = found.problem.space.size
    of = "" if size == len(found.entries) else f" of {size:,.0f}" if size < math.inf else ""
    for line in sentences(found.problem.left_out):
        ways.say(line)
    ways.say(f"{len(found.entries)}{of} candidates, {fates['open']} of them to be trained")
    for fate, words in IN_WORDS.items():
        if fates[fate]:
            first = next(entry for entry in found.entries if entry.fate == fate)
            ways.say(f"  {fates[fate]}: {words}, such as {first.title}: {first.why}")


def _refuse_all(found: Search) -> None:
    """Refuse a design without a candidate; states what binds."""
    problem = found.problem
    bound = binding(found.entries, problem.design.constraints)
    if bound is not None:
        problem.refuse("constraints", bound)
    reasons = Counter(entry.why for entry in found.entries).most_common(1)
    why = reasons[0][0] if reasons else "there are no points"
    problem.refuse("vary", f"no candidate can be run: {why}")


def _check_budget(found: Search, entries: Sequence[Entry]) -> None:
    """Refuse a budget that is too small for any result."""
    budget, limit, least = found.problem.design.budget, found.spent.limit, least_samples(entries)
    if limit is not None and limit < least and (budget.samples or budget.share):
        found.problem.refuse(
            "budget",
            f"this is {limit:,.0f} samples, but a run to its end takes at least {least:,} "
            f"({min(entries, key=lambda entry: least_samples([entry])).title}); expected more, to "
            "compare several candidates",
        )


def _expected(found: Search, proposals: Proposals) -> int:
    """How many candidates of a sampled space will be trained, if later ones are like the first."""
    return max(1, round(proposals.expected * len(found.open) / len(found.entries)))


def _train(
    found: Search, proposals: Proposals, screen: Screen, ways: Ways, expected: int, wave: int
) -> None:
    halving = found.halving
    assert halving is not None
    found.rungs = halving.plan(found.open, expected, found.spent)
    whole = halving.scale(found.open)
    ways.say(
        "plan: "
        + ", ".join(f"{rung.candidates} to {rung.share:.0%} x {rung.seeds}" for rung in found.rungs)
    )
    entries = _first_rung(found, proposals, screen, ways, whole, wave)
    for number, rung in enumerate(found.rungs[1:], start=2):
        entries = best_first([entry for entry in entries if entry.fate == "open"])
        limit = _limit(rung, whole, entries)
        # What earlier rungs have left over lets more go on.
        rest = len(found.rungs) - number + 1
        most = 2 * rung.candidates if rest > 1 else max(FINALISTS, rung.candidates)
        count = halving.affordable(
            entries[:most], limit, rung.seeds, found.spent.left / rest, rung.candidates
        )
        kept, seeds = halving.fitting(entries[:count], limit, rung.seeds, found.spent)
        halving.stop(entries[len(kept) :], number - 1)
        if kept:
            _tell_of_rung(ways, found, number, len(kept), limit, seeds)
            halving.rung(kept, limit, seeds, found.spent)
        entries, found.seeds, found.limit = kept, seeds, limit
    entries = [entry for entry in entries if entry.fate == "open"]
    if not entries:
        why = next((entry.why for entry in found.entries if entry.fate == "failed"), "")
        raise AflSimError(f"every run failed: {why}")
    _go_on(found, entries, whole, ways)
    found.finalists = best_first(entries)
    for entry in found.finalists:
        entry.fate = "finalist"


def _first_rung(
    found: Search,
    proposals: Proposals,
    screen: Screen,
    ways: Ways,
    whole: float,
    wave: int,
) -> list[Entry]:
    """Train the candidates for the first time; in waves, if later points follow earlier ones."""
    halving, rung = found.halving, found.rungs[0]
    assert halving is not None
    patience = PATIENCE if len(found.rungs) == 1 else FIRST_PATIENCE
    limit = rung.share * whole
    trained: list[Entry] = []  # or left out, if there was no time
    waiting = found.open
    while waiting and len(trained) < rung.candidates:
        waiting = sorted(waiting, key=lambda entry: (-entry.outlook, entry.number))
        chosen = waiting[: rung.candidates - len(trained)]
        for entry in waiting[len(chosen) :]:
            entry.rule_out("left out", IN_WORDS["left out"])
            proposals.tell(entry.number, None)
        _tell_of_rung(ways, found, 1, len(chosen), limit, rung.seeds)
        limit = halving.first(chosen, limit, rung.seeds, found.spent, patience)
        if limit <= 0:
            text = f"{found.goal.text} is reached before anything is trained; expected a harder one"
            found.problem.refuse("minimize", text)
        for entry in chosen:
            proposals.tell(entry.number, entry.rungs[-1] if entry.rungs else None)
        trained += chosen
        if proposals.is_whole:
            break
        waiting = _propose(found, proposals, screen, wave, ways)
    if not proposals.is_whole:  # later waves may have been trained less far
        trained = [entry for entry in trained if entry.fate != "left out"]
        for entry in trained:
            entry.rungs.clear()
        halving.judge(trained, limit, rung.seeds)
    found.seeds, found.limit = rung.seeds, limit
    return trained


def _tell_of_rung(
    ways: Ways, found: Search, number: int, count: int, limit: float, seeds: int
) -> None:
    name, unit, scale = COSTS[found.goal.cost]
    ways.say(
        f"rung {number}: {count} candidate{'' if count == 1 else 's'}, {seeds} "
        f"seed{'' if seeds == 1 else 's'}, up to {limit * scale:,.4g} {unit} of {name}"
    )


def _limit(rung: Rung, whole: float, entries: Sequence[Entry]) -> float:
    """The cost up to which a rung trains: not much beyond what reaching the target has cost."""
    least = least_cost(entries)
    limit = rung.share * whole
    return limit if least is None else min(limit, PATIENCE * least)


def _go_on(found: Search, entries: Sequence[Entry], whole: float, ways: Ways) -> None:
    """Train the finalists further while the best of them has not reached the target each time."""
    halving = found.halving
    assert halving is not None
    number = len(found.rungs)
    while found.limit < whole:
        best = best_first(entries)[0]
        if all(reach.cost is not None for reach in best.reaches.values()):
            return
        limit = min(whole, PATIENCE * found.limit)
        kept, seeds = halving.fitting(best_first(entries), limit, found.seeds, found.spent)
        if len(kept) < len(entries) or seeds < found.seeds:
            return  # the budget is spent
        number += 1
        _tell_of_rung(ways, found, number, len(entries), limit, found.seeds)
        halving.rung(entries, limit, found.seeds, found.spent)
        found.limit = limit
        entries = [entry for entry in entries if entry.fate == "open"]
