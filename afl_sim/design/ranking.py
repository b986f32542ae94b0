"""The candidates that were trained with all seeds, in order, with simultaneous intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from afl_sim.analysis.statistics import CONFIDENCE
from afl_sim.design.halving import best_first
from afl_sim.design.screening import Entry
from afl_sim.design.search import Search


@dataclass(frozen=True)
class Ratio:
    """How many times the cost of the best candidate another one takes.

    Attributes:
        mean: the geometric mean over the seeds.
        low, high: ends of the interval; NaN if there are too few seeds.
    """

    mean: float
    low: float = math.nan
    high: float = math.nan

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)


@dataclass(frozen=True)
class Placed:
    """A candidate in the ranking.

    Attributes:
        rank: from 1.
        entry: the candidate.
        costs: by seed, what it cost to reach the target; None where it did not.
        ratio: to the best; None if it did not always reach the target, or the best did not.
    """

    rank: int
    entry: Entry
    costs: tuple[float | None, ...]
    ratio: Ratio | None

    @property
    def mean(self) -> float | None:
        """The geometric mean of the costs; None if the target was not always reached."""
        return geometric_mean(self.costs)

    @property
    def verdict(self) -> str:
        """How it compares with the best, in words."""
        if self.rank == 1:
            return "best" if self.mean is not None else "came nearest"
        reached = sum(cost is not None for cost in self.costs)
        if reached < len(self.costs):
            return f"reached with {reached} of {len(self.costs)} seeds"
        if self.ratio is None:
            return "not compared"
        if not self.ratio.is_known:
            return f"{_percent(self.ratio.mean)}, too few seeds for an interval"
        if self.ratio.low <= 1:
            return "not told apart from the best"
        return f"{_percent(self.ratio.mean)} dearer"


def ranking(found: Search, entries: Sequence[Entry]) -> list[Placed]:
    """The finalists in order: by mean cost if the target was always reached, else by progress.

    Means are geometric, as ratios of costs are paired by seed: the ratio of two means is then the
    mean of the ratios, and no candidate comes out below the best. The ratios to the best have
    intervals that hold for all pairs of candidates at once, and so for a best one that the same
    data has chosen: Tukey's, for the logarithms of the costs, with the seeds as blocks. Their
    variance is what is left once candidates and seeds have their means.

    Args:
        found: the search.
        entries: the finalists that keep all constraints.
    """
    rows = {entry.number: _costs(entry, found.seeds) for entry in entries}
    means = {number: geometric_mean(row) for number, row in rows.items()}
    whole = [entry for entry in entries if means[entry.number] is not None]
    part = [entry for entry in best_first(entries) if entry not in whole]
    part.sort(key=lambda entry: -sum(cost is not None for cost in rows[entry.number]))
    whole.sort(key=lambda entry: (means[entry.number] or 0.0, entry.number))
    ratios = _ratios([_known(rows[entry.number]) for entry in whole])
    placed = [
        Placed(rank, entry, rows[entry.number], ratios[rank - 1])
        for rank, entry in enumerate(whole, start=1)
    ]
    return placed + [
        Placed(rank, entry, rows[entry.number], None)
        for rank, entry in enumerate(part, start=len(whole) + 1)
    ]


def _ratios(costs: Sequence[Sequence[float]]) -> list[Ratio]:
    """The ratio of each candidate to the first, with Tukey's simultaneous intervals."""
    if not costs:
        return []
    logs = [_logarithms(row) for row in costs]
    n, seeds = len(logs), len(logs[0])
    means = [math.fsum(row) / seeds for row in logs]
    differences = [mean - means[0] for mean in means]
    half = math.nan
    if n > 1 and seeds > 1:
        blocks = [math.fsum(row[j] for row in logs) / n for j in range(seeds)]
        centre = math.fsum(blocks) / seeds
        left = math.fsum(
            (logs[i][j] - means[i] - blocks[j] + centre) ** 2
            for i in range(n)
            for j in range(seeds)
        )
        freedom = (n - 1) * (seeds - 1)
        half = _width(n, freedom) * math.sqrt(left / freedom / seeds)
    return [
        Ratio(1.0, 1.0, 1.0)
        if not i
        else Ratio(math.exp(each), math.exp(each - half), math.exp(each + half))
        for i, each in enumerate(differences)
    ]


@cache
def _width(n: int, freedom: int) -> float:
    # a search of an integral, some tens of milliseconds
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(CONFIDENCE, n, freedom))


_LEAST: Final = 1e-9  # a cost of nothing has no logarithm


def geometric_mean(costs: Sequence[float | None]) -> float | None:
    """The geometric mean; None if a cost is not known."""
    known = _known(costs)
    return (
        math.exp(math.fsum(_logarithms(known)) / len(known)) if len(known) == len(costs) else None
    )


def _logarithms(costs: Sequence[float]) -> list[float]:
    return [math.log(max(cost, _LEAST)) for cost in costs]


def _costs(entry: Entry, seeds: int) -> tuple[float | None, ...]:
    return tuple(entry.reaches[index].cost for index in range(seeds))


def _known(costs: Sequence[float | None]) -> list[float]:
    return [cost for cost in costs if cost is not None]


def _percent(ratio: float) -> str:
    return f"{ratio - 1:.1%}" if ratio < 2 else f"{ratio:.3g} times"


@dataclass(frozen=True)
class Trade:
    """A candidate that reached the target with the first seed, and two of its costs.

    Attributes:
        entry: the candidate.
        costs: of the objective, and of the other cost.
        on_front: whether no other candidate is at most as dear in both, and less in one.
    """

    entry: Entry
    costs: tuple[float, float]
    on_front: bool


def trades(found: Search) -> tuple[str, list[Trade]]:
    """The other cost, and every candidate that reached the target with the first seed.

    The other cost is energy where it is known, else bytes; beside bytes and energy it is time.
    """
    known = next(e.schedule.spending for e in found.entries if e.schedule is not None)
    goal = found.goal.cost
    other = "time"
    if goal == "time":
        other = "energy" if "energy" in known else "bytes"
    points = []
    for entry in found.entries:
        reach = entry.reaches.get(0)
        if reach is None or reach.time_us is None or entry.schedule is None:
            continue
        costs = (reach.cost or 0.0, entry.schedule.cost(other, reach.time_us))
        points.append((entry, costs))
    return other, [
        Trade(entry, costs, not any(_dominates(b, costs) for _, b in points))
        for entry, costs in points
    ]


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b
