"""The third stage of a design: training with successive halving over virtual time and seeds.

At each rung the candidates are trained up to the same cost (of virtual time, bytes, ...), with the
same seeds: equal seeds give all of them the same clients, speeds and mini-batches, so that their
differences are paired. The best third goes on from its checkpoints, further and with more seeds.
Once a candidate has reached the target, nobody is trained much beyond what that has cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from afl_sim.design.jobs import Job, Trainers, let_go
from afl_sim.design.objective import Goal
from afl_sim.design.plan import FINALISTS, Rung, rungs_of
from afl_sim.design.schedule import Schedule, Schedules
from afl_sim.design.screening import IN_WORDS, Entry
from afl_sim.design.spending import Spent, samples_of
from afl_sim.errors import AflSimError
from afl_sim.recording import Run
from afl_sim.run.opened import load_run

PATIENCE: Final = 2.0
"""How many times the least cost so far a candidate may take before it is given up."""

FIRST_PATIENCE: Final = 1.25
"""The same at the first rung, which only chooses who goes on."""

DIVERGED: Final = -0.5
"""The progress of a run that diverged: below any other."""

_GROUP: Final = 8  # candidates of the first rung that are trained before a look, at least
_GROUPS: Final = 8

_LEAST: Final = 2  # candidates and seeds that are compared, if the budget allows any


class Halving:
    """Trains candidates, rung after rung.

    Args:
        goal: what is to be reached, at which cost.
        seeds: with how many seeds the last candidates are compared.
        schedules: computes schedules.
        team: trains.
    """

    def __init__(self, goal: Goal, seeds: int, schedules: Schedules, team: Trainers) -> None:
        self._goal = goal
        self._seeds = seeds
        self._schedules = schedules
        self._team = team
        self._counted: dict[str, int] = {}
        self._of: dict[tuple[int, int], Schedule] = {}  # by candidate and seed

    def plan(self, entries: Sequence[Entry], count: int, spent: Spent) -> list[Rung]:
        """The rungs for so many candidates like these."""
        whole = sum(samples_of(entry) for entry in entries) / len(entries)
        left = spent.left
        return rungs_of(count, self._seeds, None if math.isinf(left) else left, whole)

    def scale(self, entries: Sequence[Entry]) -> float:
        """The cost of a whole run: the median of the candidates'."""
        costs = sorted(
            entry.schedule.cost(self._goal.cost, min(entry.schedule.end_us, entry.late_us))
            for entry in entries
            if entry.schedule is not None
        )
        return costs[len(costs) // 2]

    def first(
        self, entries: Sequence[Entry], limit: float, seeds: int, spent: Spent, patience: float
    ) -> float:
        """Train candidates for the first time: group after group, the most promising ones first.

        Once one of them has reached the target, the others are not trained much further than that
        has cost.

        Args:
            entries, limit, seeds, spent: as for `rung`.
            patience: how many times the least cost until then the others are trained.

        Returns:
            The cost up to which all of them were trained, by which they are judged.
        """
        ordered = sorted(entries, key=lambda entry: (-entry.outlook, entry.number))
        size = max(_GROUP, math.ceil(len(ordered) / _GROUPS))
        for start in range(0, len(ordered), size):
            group = ordered[start : start + size]
            if start and spent.wall is not None and spent.left <= 0:
                for entry in ordered[start:]:
                    entry.rule_out("left out", IN_WORDS["left out"])
                ordered = ordered[:start]
                break
            self._train(group, limit, seeds, spent)
            self.judge(group, limit, seeds)
            least = least_cost([entry for entry in ordered[: start + size] if entry.rungs])
            if least is not None:
                limit = min(limit, patience * least)
        for entry in ordered:
            entry.rungs.clear()
        self.judge(ordered, limit, seeds)
        return limit

    def rung(self, entries: Sequence[Entry], limit: float, seeds: int, spent: Spent) -> None:
        """Train candidates up to a cost with some seeds, and note their progress.

        Args:
            entries: the candidates.
            limit: the cost.
            seeds: how many.
            spent: is told what it took.
        """
        self._train(entries, limit, seeds, spent)
        self.judge(entries, limit, seeds)

    def _train(self, entries: Sequence[Entry], limit: float, seeds: int, spent: Spent) -> None:
        jobs = [
            job
            for entry in entries
            for index in range(seeds)
            for job in self._job(entry, index, limit)
        ]
        failed = self._team.do(jobs, lambda job: None)
        for entry in entries:
            self._count(entry, limit, seeds, failed, spent)

    def affordable(
        self, entries: Sequence[Entry], limit: float, seeds: int, samples: float, least: int
    ) -> int:
        """How many candidates can be trained with so many samples; at least a given number."""
        count = min(least, len(entries))
        price = self._price(entries[:count], limit, seeds)
        for entry in entries[count:]:
            price += self._price([entry], limit, seeds)
            if price > samples:
                break
            count += 1
        return count

    def fitting(
        self, entries: Sequence[Entry], limit: float, seeds: int, spent: Spent
    ) -> tuple[list[Entry], int]:
        """The candidates and seeds of a rung for which the budget is enough, the best first."""
        kept = list(entries)
        while len(kept) > _LEAST and self._price(kept, limit, seeds) > spent.left:
            if len(kept) > FINALISTS or seeds <= _LEAST:
                kept.pop()
            else:
                fewer = self._price(kept[:-1], limit, seeds) <= spent.left
                if fewer or len(kept) > FINALISTS // 2:
                    kept.pop()
                else:
                    seeds -= 1
        while seeds > _LEAST and self._price(kept, limit, seeds) > spent.left:
            seeds -= 1
        return kept, seeds

    def stop(self, entries: Sequence[Entry], rung: int) -> None:
        """Train candidates no further."""
        for entry in entries:
            value = entry.rungs[-1]
            state = f"{value:.0%} of the way" if value < 1 else "slower than others"
            entry.rule_out("stopped", f"after rung {rung}: {state}")
            for index in entry.reaches:
                let_go(self._team.folder / _label(entry, index))

    def run_of(self, entry: Entry, index: int) -> Run:
        """The folder of a candidate's run."""
        return load_run(self._team.folder / _label(entry, index))

    def schedule_of(self, entry: Entry, index: int) -> Schedule:
        """The schedule of a candidate's run.

        Raises:
            AflSimError: it has none.
        """
        known = self._of.get((entry.number, index))
        if known is None:
            assert entry.candidate is not None
            found = self._schedules.of(entry.candidate.run(index))
            if isinstance(found, str):
                raise AflSimError(found)
            known = self._of[entry.number, index] = found
        return known

    def _job(self, entry: Entry, index: int, limit: float) -> list[Job]:
        assert entry.candidate is not None
        try:
            _, until = self._part(entry, index, limit)
        except AflSimError as error:
            entry.rule_out("failed", f"seed {index}: {error}")
            return []
        return [Job(_label(entry, index), entry.candidate.run(index), until)]

    def _part(self, entry: Entry, index: int, limit: float) -> tuple[Schedule, int | None]:
        """A run's schedule, and the version up to which a rung trains it; None: to its end."""
        schedule = self.schedule_of(entry, index)
        return schedule, schedule.version_at(self._before_us(entry, schedule, limit))

    def _before_us(self, entry: Entry, schedule: Schedule, limit: float) -> int:
        return min(entry.late_us, schedule.beyond_us(self._goal.cost, limit))

    def _price(self, entries: Sequence[Entry], limit: float, seeds: int) -> int:
        """The samples that a rung takes more than was trained already, at most."""
        total = 0
        for entry in entries:
            for index in range(seeds):
                reach = entry.reaches.get(index)
                if reach is not None and reach.cost is not None:
                    continue
                schedule, until = self._part(entry, index, limit)
                more = schedule.samples_until(until) - self._counted.get(_label(entry, index), 0)
                total += max(0, more)
        return total

    def _count(
        self,
        entry: Entry,
        limit: float,
        seeds: int,
        failed: dict[str, AflSimError],
        spent: Spent,
    ) -> None:
        """Count the samples that a rung has trained, and rule out a candidate that failed."""
        for index in range(seeds):
            label = _label(entry, index)
            if label in failed:
                entry.rule_out("failed", str(failed[label]).partition("\n")[0])
            if entry.fate != "open":
                return
            schedule, until = self._part(entry, index, limit)
            run = self.run_of(entry, index)
            # The run may have gone further in a design that was interrupted.
            most = schedule.samples_until(until)
            trained = min(most, int(run.summary.get("samples_trained") or 0))
            before = self._counted.get(label, 0)
            spent.samples += max(0, trained - before)
            self._counted[label] = max(trained, before)

    def judge(self, entries: Sequence[Entry], limit: float, seeds: int) -> None:
        """Note how far candidates have come by a cost up to which all of them were trained."""
        for entry in entries:
            if entry.fate != "open":
                continue
            found = [self._progress(entry, index, limit) for index in range(seeds)]
            entry.rungs.append(math.fsum(found) / len(found))

    def _progress(self, entry: Entry, index: int, limit: float) -> float:
        schedule, run = self.schedule_of(entry, index), self.run_of(entry, index)
        before_us = self._before_us(entry, schedule, limit)
        reach = entry.reaches[index] = self._goal.reach(run, schedule, before_us)
        until = schedule.version_at(before_us)
        broke_off = run.status == "diverged" and (
            until is None or int(run.summary.get("versions") or 0) < until
        )
        return DIVERGED if broke_off and reach.cost is None else reach.progress(limit)


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """Candidates by their progress at the last rung; equal ones in the order of their numbers."""
    return sorted(entries, key=lambda entry: (-entry.rungs[-1], entry.number))


def least_cost(entries: Sequence[Entry]) -> float | None:
    """The least mean cost at which a candidate has reached the target with all of its seeds."""
    costs = [
        math.fsum(reach.cost or 0.0 for reach in entry.reaches.values()) / len(entry.reaches)
        for entry in entries
        if entry.reaches and all(reach.cost is not None for reach in entry.reaches.values())
    ]
    return min(costs, default=None)


def _label(entry: Entry, index: int) -> str:
    assert entry.candidate is not None
    return f"{entry.candidate.label}-s{index}"
