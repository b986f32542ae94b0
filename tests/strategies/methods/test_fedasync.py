"""FedAsync: mixing with alpha s(tau), and the three shapes of s."""

from __future__ import annotations

import pytest
from vectors import assert_is, population, step, trained, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.strategies import FedAsync
from afl_sim.strategies.toolkit.staleness import Constant, Hinge, Polynomial


def test_a_constant_weight_mixes_by_alpha_whatever_the_staleness() -> None:
    # (1 - 0.25) (2, 4) + 0.25 (6, 0) = (3, 3)
    strategy = FedAsync(alpha=0.25, staleness={"kind": "constant"})
    for tau in (0, 1, 50):
        assert_is(step(strategy, vec(2, 4), [trained(6, 0, tau=tau)]), 3, 3)


def test_a_polynomial_weight_is_one_at_staleness_zero() -> None:
    strategy = FedAsync(alpha=0.5, staleness={"kind": "polynomial", "exponent": 0.5})
    # s(0) = 1^-0.5 = 1:  0.5 (2, 4) + 0.5 (6, 0) = (4, 2)
    assert_is(step(strategy, vec(2, 4), [trained(6, 0, tau=0)]), 4, 2)
    # s(3) = 4^-0.5 = 0.5:  alpha_t = 0.25, so (3, 3)
    assert_is(step(strategy, vec(2, 4), [trained(6, 0, tau=3)]), 3, 3)


def test_a_hinge_weight_is_one_up_to_b_and_falls_beyond() -> None:
    strategy = FedAsync(alpha=0.55, staleness={"kind": "hinge", "a": 10, "b": 4})
    # tau = 4 = b:  alpha_t = 0.55:  0.45 (2, 4) + 0.55 (6, 0) = (4.2, 1.8)
    assert_is(step(strategy, vec(2, 4), [trained(6, 0, tau=4)]), 4.2, 1.8)
    # tau = 5:  s = 1 / (10 * 1 + 1) = 1/11, alpha_t = 0.05:  0.95 (2, 4) + 0.05 (6, 0) = (2.2, 3.8)
    assert_is(step(strategy, vec(2, 4), [trained(6, 0, tau=5)]), 2.2, 3.8)
    # tau = 9:  s = 1 / (10 * 5 + 1) = 1/51:  2 + 4 * 0.55 / 51 = 2.0431373, 4 - 4 * 0.55 / 51
    assert_is(step(strategy, vec(2, 4), [trained(6, 0, tau=9)]), 2.0431373, 3.9568627)


def test_the_weights_at_the_edges_of_their_ranges() -> None:
    assert [Constant()(tau) for tau in (0, 7)] == [1.0, 1.0]
    assert Polynomial(exponent=0.0)(9) == 1.0
    assert Polynomial(exponent=1.0)(3) == 0.25
    assert Hinge(a=2, b=0)(0) == 1.0
    assert Hinge(a=2, b=0)(1) == pytest.approx(1 / 3)
    assert Hinge(a=0.5, b=2.5)(3) == pytest.approx(1 / (0.5 * 0.5 + 1))  # b need not be whole


@pytest.mark.parametrize("kind", ["constant", "polynomial", "hinge"])
def test_alpha_is_the_same_after_many_updates(kind: str) -> None:
    strategy = FedAsync(alpha=0.5, staleness={"kind": kind})
    params, state = vec(0, 0), strategy.initial_state(vec(0, 0), population(2))
    for _ in range(300):
        params, state = strategy.aggregate(params, state, [trained(1, 1, tau=20)], {})
    assert strategy.alpha == 0.5
    # A fresh model is mixed in with the full 0.5, as the very first would have been.
    fresh = strategy.aggregate(vec(2, 4), state, [trained(6, 0, tau=0)], {})[0]
    assert_is(fresh, 4, 2)


def test_updates_in_one_call_are_mixed_in_one_after_the_other_not_averaged() -> None:
    strategy = FedAsync(alpha=0.5, staleness={"kind": "constant"})
    # (0, 0) -> 0.5 (4, 0) = (2, 0) -> 0.5 (2, 0) + 0.5 (0, 8) = (1, 4); not (2, 4).
    assert_is(step(strategy, vec(0, 0), [trained(4, 0), trained(0, 8)]), 1, 4)


def test_simultaneous_arrivals_make_a_version_each() -> None:
    outcome = run(
        scenario(
            [2, 2],
            strategy={"kind": "fedasync", "concurrency": "all"},
            stop={"updates": 4},
        )
    )
    rows = [(e.time_us, e.version, e.staleness) for e in outcome.of("aggregated")]
    assert rows == [(2_000_000, 1, 0), (2_000_000, 2, 1), (4_000_000, 3, 1), (4_000_000, 4, 1)]


def test_updates_more_stale_than_the_limit_are_discarded() -> None:
    # Client 1 takes 4 s; in that time client 0 makes versions at 1, 2, 3 (and at 4, after it).
    def fates(limit: int) -> list[str]:
        outcome = run(
            scenario(
                [1, 4],
                strategy={"kind": "fedasync", "concurrency": "all", "max_staleness": limit},
                stop={"virtual_seconds": 4.5},
            )
        )
        return [e.kind for e in outcome.of("aggregated", "discarded") if e.client == 1]

    assert fates(2) == ["discarded"]
    assert fates(3) == ["aggregated"]


def test_rho_is_the_weight_of_the_local_proximal_term() -> None:
    assert FedAsync(rho=0.1).proximal == 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0},
        {"alpha": 1.1},
        {"staleness": {"kind": "exponential"}},
        {"staleness": {"kind": "hinge", "a": 0}},
        {"staleness": {"kind": "hinge", "b": -1}},
        {"staleness": {"kind": "polynomial", "exponent": -1}},
        {"max_staleness": -1},
        {"concurrency": 0},
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ScenarioError):
        FedAsync(**wrong)


def test_check_finds_more_concurrency_than_clients() -> None:
    assert [path for path, _ in FedAsync(concurrency=11).check(10)] == [("concurrency",)]
    assert not list(FedAsync(concurrency=10).check(10))
    assert not list(FedAsync(concurrency="all").check(10))
