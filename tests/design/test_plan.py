"""The rungs of successive halving keep a budget."""

from __future__ import annotations

import pytest

from afl_sim.design.plan import FINALISTS, rungs_of, samples_of


@pytest.mark.parametrize("candidates", [1, 4, 7, 50, 200])
@pytest.mark.parametrize("share", [1.0, 0.2, 0.05])
def test_the_plan_keeps_the_budget(candidates: int, share: float) -> None:
    budget = share * candidates * 5 * 100.0
    rungs = rungs_of(candidates, 5, budget, 100.0)
    assert samples_of(rungs, 100.0) <= max(budget, 100.0)
    assert 0 < rungs[-1].share <= 1.0
    assert [r.candidates for r in rungs] == sorted((r.candidates for r in rungs), reverse=True)
    assert [r.share for r in rungs] == sorted(r.share for r in rungs)
    assert rungs[-1].candidates <= FINALISTS


def test_a_larger_budget_makes_the_first_rung_longer() -> None:
    few, many = (rungs_of(100, 5, budget, 100.0) for budget in (1200.0, 20_000.0))
    assert few[0].share < many[0].share
    assert few[0].candidates == many[0].candidates == 100


def test_without_room_for_all_candidates_fewer_are_trained() -> None:
    rungs = rungs_of(100, 5, 400.0, 100.0)
    assert 0 < rungs[0].candidates < 100


def test_few_candidates_are_compared_at_once() -> None:
    (rung,) = rungs_of(4, 3, None, 100.0)
    assert (rung.candidates, rung.share, rung.seeds) == (4, 1.0, 3)


def test_few_candidates_are_all_trained_with_a_fifth_of_the_grid() -> None:
    for candidates in (14, 30, 66, 200):
        rungs = rungs_of(candidates, 3, 0.2 * candidates * 3 * 100.0, 100.0)
        assert rungs[0].candidates == candidates
