"""How many candidates are trained how far, with how many seeds, so that a budget is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FINALISTS: Final = 6
"""Candidates that are trained with all seeds, unless the budget allows fewer only."""

_KEPT: Final = 3  # one candidate in so many goes on to the next rung
_LADDERS: Final = tuple(
    (first, finalists, last)
    for firsts in ((0.15, 0.1), (0.07, 0.05, 0.035))
    for finalists in (FINALISTS, 4, 3)
    for last in (1.0, 0.5, 0.3)
    for first in firsts
)
"""Lengths of the first rung, numbers of finalists and lengths of the last rung, the better first.
Lengths are shares of a whole run. Finalists that have not reached the target in a short last rung
go on with what is left of the budget."""


@dataclass(frozen=True)
class Rung:
    """A stage of successive halving.

    Attributes:
        candidates: how many are trained.
        share: up to which part of the cost of a whole run.
        seeds: with how many seeds.
    """

    candidates: int
    share: float
    seeds: int


def rungs_of(candidates: int, seeds: int, budget: float | None, whole: float) -> list[Rung]:
    """The rungs for a number of candidates: the first one is as long as the budget allows.

    Short first rungs let many candidates be seen, and long ones judge better. If even the shortest
    with the fewest finalists is too dear, fewer candidates are trained.

    Args:
        candidates: that may be trained, at least one.
        seeds: with which the last ones are compared.
        budget: samples; None for any number.
        whole: samples that a candidate trains in one whole run, on average.

    Example:
        >>> [(r.candidates, r.share, r.seeds) for r in rungs_of(54, 5, None, 100.0)]
        [(54, 0.15, 1), (18, 0.387, 2), (6, 1.0, 5)]
    """
    for count in range(candidates, 0, -1):
        for first, finalists, last in _LADDERS:
            rungs = _ladder(count, finalists, seeds, first, last)
            if budget is None or samples_of(rungs, whole) <= budget:
                return rungs
    few = max(1, min(seeds, int((budget or 0) / whole))) if whole else 1
    return [Rung(1, 1.0, few)]


def samples_of(rungs: Sequence[Rung], whole: float) -> float:
    """The samples that rungs take, if each candidate takes as many as the average."""
    total, before = 0.0, 0.0
    for rung in rungs:
        each = rung.share * rung.seeds
        total += rung.candidates * (each - before) * whole
        before = each
    return total


def _ladder(
    candidates: int, finalists: int, seeds: int, first: float, longest: float
) -> list[Rung]:
    counts = [candidates]
    while counts[-1] > finalists:
        counts.append(max(finalists, math.ceil(counts[-1] / _KEPT)))
    last = len(counts) - 1
    if not last:
        return [Rung(candidates, longest, seeds)]
    return [
        Rung(
            count,
            round(first ** (1 - i / last) * longest ** (i / last), 3),
            _seeds_at(i, last, seeds),
        )
        for i, count in enumerate(counts)
    ]


def _seeds_at(rung: int, last: int, seeds: int) -> int:
    if rung == last:
        return seeds
    return min(seeds, 2 if rung and rung == last - 1 else 1)
