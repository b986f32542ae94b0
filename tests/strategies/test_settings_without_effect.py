"""Which settings of training have no effect beside a strategy, by what its runs do."""

from __future__ import annotations

from typing import Any

import pytest
from world_runs import run, scenario

from afl_sim import simulate
from afl_sim.strategies import strategies

TIERS = {"tiers": 2, "clients_per_round": 2}
ROUND = {"clients_per_round": 2}
CONCURRENT = {"concurrency": 3}
BUFFER = {"concurrency": 3, "buffer_size": 2}
FEW: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("fedat", "tifl"), TIERS),
    **dict.fromkeys(("fedbuff", "ca2fl", "fadas", "port", "fedstaleweight"), BUFFER),
    "momentum_approximation": BUFFER,
    **dict.fromkeys(("quafl", "favas", "fedavg", "fedprox", "scaffold", "feddyn", "safa"), ROUND),
    **dict.fromkeys(("fedasync", "fedfa"), CONCURRENT),
    "mindflayer": {"trials": 3, "allotted_seconds": 1000},
    "flanp": {"initial_clients": 5},
}


def schedule(kind: str, amount: dict[str, int]) -> str:
    found = scenario(
        5,
        strategy={"kind": kind, **FEW.get(kind, {})},
        compute={"seconds_per_step": {"values": [1, 1.3, 1.7, 2.1, 2.9]}},
        training=amount,
        stop={"updates": 20, "virtual_seconds": 20_000},
    )
    return run(found).schedule_digest


@pytest.mark.parametrize("kind", sorted(strategies()))
def test_the_amount_of_work_has_no_effect_if_and_only_if_the_strategy_gives_steps(
    kind: str,
) -> None:
    gives = strategies()[kind].gives_steps
    assert (schedule(kind, {"steps": 3}) == schedule(kind, {"steps": 5})) == gives
    assert (schedule(kind, {"epochs": 1}) == schedule(kind, {"epochs": 2})) == gives


@pytest.mark.parametrize("kind", ["ata", "rennala_mvr", "asyncsgd", "area", "fedasync"])
def test_the_local_rate_has_no_effect_if_and_only_if_clients_send_gradients(kind: str) -> None:
    digests = {
        simulate(
            {
                "seed": 3,
                "model": "logistic",
                "data": {"partition": {"kind": "iid", "samples": 20}},
                "clients": {"count": 4, "compute": {"seconds_per_step": 1}},
                "training": {"batch_size": 10, "optimizer": {"kind": "SGD", "lr": lr}},
                "strategy": {"kind": kind, **FEW.get(kind, {})},
                "evaluation": {"samples": 50},
                "stop": {"updates": 6},
            }
        ).summary["model_digest"]
        for lr in (0.1, 0.2)
    }
    assert (len(digests) == 1) == strategies()[kind].gradient
