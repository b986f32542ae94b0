"""FedAT: synchronous tiers whose weights cross over, each at its own pace."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor
from vectors import assert_is, models_after, population, trained, vec
from world_runs import run, scenario

from afl_sim.strategies import FedAT, Update


def after(strategy: FedAT, start: Tensor, *rounds: tuple[int, list[Update]]) -> list[Tensor]:
    """The global models after rounds of (tier, updates)."""
    entries = [(updates, {"tier": tier}) for tier, updates in rounds]
    return models_after(strategy, start, *entries)


def test_the_weight_of_a_tier_is_the_count_of_the_tier_opposite() -> None:
    first, second, third = after(
        FedAT(tiers=2),
        vec(1, 1),
        (0, [trained(3, 5)]),
        (0, [trained(5, 7)]),
        (1, [trained(9, -3)]),
    )
    # Counts (1, 0): tier 1 weighs 0/1, tier 2 weighs 1/1 and still has the initial model.
    assert_is(first, 1, 1)
    # Counts (2, 0): the same.
    assert_is(second, 1, 1)
    # Counts (2, 1): 1/3 (5, 7) + 2/3 (9, -3) = (23/3, 1/3)
    assert_is(third, 23 / 3, 1 / 3)


def test_the_middle_of_three_tiers_keeps_its_own_count() -> None:
    models = after(
        FedAT(tiers=3),
        vec(0, 0),
        (0, [trained(6, 0)]),
        (0, [trained(6, 0)]),
        (0, [trained(6, 0)]),
        (1, [trained(0, 12)]),
        (1, [trained(0, 12)]),
        (2, [trained(6, 6)]),
    )
    # Counts (3, 2, 1), T = 6: weights 1/6, 2/6, 3/6:
    # 1/6 (6, 0) + 1/3 (0, 12) + 1/2 (6, 6) = (1 + 0 + 3, 0 + 4 + 3) = (4, 7)
    assert_is(models[-1], 4, 7)


def test_one_tier_is_fedavg() -> None:
    # (2 * 3 + 1 * 0) / 3 = 2, (2 * 0 + 1 * 6) / 3 = 2
    (model,) = after(FedAT(tiers=1), vec(9, 9), (0, [trained(3, 0, n=2), trained(0, 6, n=1)]))
    assert_is(model, 2, 2)


def test_within_a_tier_models_are_weighted_by_samples() -> None:
    models = after(
        FedAT(tiers=2),
        vec(0, 0),
        (0, [trained(1, 0, n=1)]),
        (1, [trained(4, 0, n=1), trained(0, 8, n=3)]),
    )
    # Tier 2: (4 * 1, 8 * 3) / 4 = (1, 6). Counts (1, 1): (1, 0) / 2 + (1, 6) / 2 = (1, 3)
    assert_is(models[-1], 1, 3)


def test_an_aggregation_changes_no_earlier_state() -> None:
    strategy = FedAT(tiers=2)
    state = strategy.initial_state(vec(1, 1), population())
    strategy.aggregate(vec(1, 1), state, [trained(5, 5)], {"tier": 0})
    assert state["counts"] == [0, 0]
    assert_is(state["models"][0], 1, 1)


def test_tiers_are_made_by_speed_and_run_at_their_own_pace() -> None:
    # Slow and fast clients interleaved; tier 0 is {1, 3} (1, 2 s), tier 1 is {0, 2} (10, 20 s).
    outcome = run(
        scenario(
            [10, 1, 20, 2],
            strategy={"kind": "fedat", "tiers": 2, "clients_per_round": 2},
            stop={"virtual_seconds": 20.5},
        )
    )
    rounds: dict[int, list[Any]] = {0: [], 1: []}
    for event in outcome.of("aggregated"):
        assert event.context is not None
        rounds[json.loads(event.context)["tier"]].append((event.time_us // 1_000_000, event.client))
    assert {client for _, client in rounds[0]} == {1, 3}
    assert {client for _, client in rounds[1]} == {0, 2}
    assert sorted({t for t, _ in rounds[0]}) == list(range(2, 21, 2))
    assert {t for t, _ in rounds[1]} == {20}
    # Tier 1's only round began at version 0; the fast tier made versions meanwhile.
    slow = [e for e in outcome.of("aggregated") if e.client in (0, 2)]
    assert {e.base_version for e in slow} == {0}
    assert {e.staleness for e in slow} <= {9, 10}  # the tie at 20 s may go either way


def test_check_finds_tiers_that_cannot_be_filled() -> None:
    def complaints(**settings: object) -> list[str]:
        return [".".join(path) for path, _ in FedAT(**settings).check(11)]

    assert complaints(tiers=12, clients_per_round=1) == ["tiers"]
    assert complaints(tiers=11, clients_per_round=1) == []
    assert complaints(tiers=3, clients_per_round=4) == ["clients_per_round"]  # 3, 4 and 4 clients
    assert complaints(tiers=3, clients_per_round=3) == []
