"""The sentences on why the winner wins: their numbers are those of the ranking."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from afl_sim.design.objective import Goal
from afl_sim.design.ranking import _ratios
from afl_sim.design.reasons import Profile, sentences

FOUND: Any = SimpleNamespace(goal=Goal("time", "accuracy", 0.9, "higher"))


def profile(title: str, costs: list[float | None], rate: float = 2.0) -> Profile:
    updates = tuple(None if cost is None else 2 * cost for cost in costs)
    phases = {"compute": 1.0}
    return Profile(title, "fedbuff", tuple(costs), updates, rate, rate, 1.0, 2.0, 0.0, 0.0, phases)


def test_a_sentence_has_the_ratio_of_the_ranking() -> None:
    """The mean of paired ratios, which is neither the ratio of sums nor the mean of them."""
    best, other = [10.0, 10.0, 40.0], [10.0, 20.0, 50.0]
    (ratio,) = _ratios([best, other])[1:]
    assert f"{ratio.mean:.2f}" == "1.36"  # the cube root of 1 x 2 x 1.25; of sums it is 1.33
    (told,) = sentences(FOUND, [profile("one", [*best]), profile("two", [*other])])
    assert told == (
        "two takes 1.36 times the virtual time: it needs 1.36 times the updates to 90 %, and its "
        "updates come as fast."
    )


def test_one_that_was_trained_with_fewer_seeds_is_compared_on_those() -> None:
    best = profile("one", [10.0, 40.0, 90.0])
    (told,) = sentences(FOUND, [best, profile("two", [30.0], rate=1.0)])
    assert told == (
        "two takes 3.00 times the virtual time (by 1 seed): it needs 3.00 times the updates to "
        "90 %, and its updates come 0.50 times as fast."
    )


def test_it_says_how_often_the_target_was_reached() -> None:
    best = profile("one", [10.0, 40.0])
    (part,) = sentences(FOUND, [best, profile("two", [10.0, None])])
    assert part.startswith("two reached 90 % with 1 of 2 seeds as far as it was trained: its")
    (none,) = sentences(FOUND, [best, profile("two", [None])])
    assert none.startswith("two did not reach 90 % as far as it was trained: its")
    nearest = profile("one", [10.0, None])
    (more,) = sentences(FOUND, [nearest, profile("two", [20.0])])
    assert more.startswith("two takes 2.00 times the virtual time (by 1 seed)")
    (both,) = sentences(FOUND, [nearest, profile("two", [None, None])])
    assert "(the winner reached it with 1 of 2 seeds)" in both
