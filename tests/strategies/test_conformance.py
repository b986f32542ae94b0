"""Every strategy passes the checks that third parties run on theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from afl_sim.strategies import strategies
from afl_sim.testing import CHECKS, Case


def case(name: str, settings: dict[str, Any] | None = None, **promises: Any) -> Case:
    return Case(strategies()[name](**settings or {}), **promises)


ADAM = {"kind": "Adam", "lr": 0.1}
FED_ADAM = {"kind": "FedAdam", "lr": 0.1, "tau": 0.1}
YOGI = {"kind": "FedYogi", "lr": 0.1, "tau": 0.1}
ALL = {"concurrency": "all"}
TWO = {"concurrency": 4, "buffer_size": 2}
ONE_CLIENT = {"concurrency": 1}
ONE = {**ONE_CLIENT, "buffer_size": 1}
POLLS = {"interaction_seconds": 2, "wait_seconds": 1, "local_steps": 4}

# Every way in which a built-in strategy computes.
CASES: dict[str, Case] = {
    "fedavg": case("fedavg", {"clients_per_round": 3}, lone={"clients_per_round": 1}),
    "fedavg over-selecting": case("fedavg", {"clients_per_round": 2, "over_selection": 0.5}),
    "fedavg with partial work": case(
        "fedavg", {"clients_per_round": 4, "deadline": 2.0, "partial": "keep"}
    ),
    "fedavg with Adam": case(
        "fedavg", {"clients_per_round": 3, "server_optimizer": ADAM}, versions=120
    ),
    "fedprox": case(
        "fedprox",
        {"clients_per_round": 4, "mu": 0.1, "stragglers": 0.5},
        lone={"clients_per_round": 1, "stragglers": 0},
    ),
    "fedasync": case("fedasync", ALL, lone={"concurrency": 1, "alpha": 1}),
    "fedasync with a maximum": case("fedasync", {**ALL, "max_staleness": 2}, max_staleness=2),
    "fedasmu": case("fedasmu", ALL),
    "fedasmu of some clients": case(
        "fedasmu",
        {"concurrency": 4, "request_after": 0.2, "staleness_limit": 3, "control_rate": 0.5},
        max_staleness=2,
        versions=80,
    ),
    "fedasmu without requests": case("fedasmu", {**ALL, "request_after": None}),
    "fedbuff": case("fedbuff", TWO, lone=ONE),
    "fedbuff with Adam": case("fedbuff", {**TWO, "server_optimizer": ADAM}, versions=120),
    "fedbuff with FedYogi": case("fedbuff", {**TWO, "server_optimizer": YOGI}, versions=200),
    "fedstaleweight": case("fedstaleweight", TWO, lone=ONE),
    "fedstaleweight with FedYogi": case(
        "fedstaleweight", {**TWO, "server_optimizer": YOGI}, versions=200
    ),
    "momentum_approximation": case("momentum_approximation", {**TWO, "momentum": 0.5}),
    "fedpsa": case("fedpsa", {**TWO, "window": 6}, lone={**ONE, "window": 2}),
    "fedpsa that is cold": case(
        "fedpsa", {**TWO, "window": 3, "temperature_scale": 0, "least_temperature": 0.1}
    ),
    # Its control variates leave an offset, also where all clients have the same optimum.
    "fedac": case("fedac", {**TWO, "server_lr": 0.05}, versions=120, shrinks_to=0.2),
    "fedac with the clients' mean": case(
        "fedac", {**TWO, "server_lr": 0.05, "variates": "clients"}, versions=120
    ),
    "ringmaster": case("ringmaster", {"delay_threshold": 3, "lr": 0.3}, lone={}, max_staleness=2),
    "ringmaster without stops": case(
        "ringmaster",
        {"delay_threshold": 3, "lr": 0.3, "stops": False},
        lone={},
        max_staleness=2,
    ),
    "ringmaster with FedAdam": case(
        "ringmaster", {"delay_threshold": 3, "server_optimizer": FED_ADAM}, versions=120
    ),
    "fedasync with FedYogi": case("fedasync", {**ALL, "server_optimizer": YOGI}, versions=120),
    "scaffold with FedAdagrad": case(
        "scaffold",
        {"clients_per_round": 3, "server_optimizer": {"kind": "FedAdagrad", "lr": 0.5}},
        versions=120,
    ),
    "quafl": case("quafl", {**POLLS, "clients_per_round": 2}),
    "quafl quantised": case(
        "quafl", {**POLLS, "clients_per_round": 2, "bits": 24, "quantization_step": 1e-6}
    ),
    "fedat": case(
        "fedat",
        {"tiers": 2, "clients_per_round": 2},
        lone={"tiers": 1, "clients_per_round": 1},
    ),
    "asyncsgd": case("asyncsgd", {"lr": 0.2}, lone={}, max_staleness=None),
    "asyncsgd with Adam": case(
        "asyncsgd", {"server_optimizer": {"kind": "Adam", "lr": 0.05}}, versions=200
    ),
    "generalized_asyncsgd": case(
        "generalized_asyncsgd", {"concurrency": 9, "lr": 0.05}, lone={"concurrency": 1}
    ),
    "generalized_asyncsgd by speed": case(
        "generalized_asyncsgd", {"concurrency": 4, "lr": 0.1, "sampling": "speed"}, versions=80
    ),
    "optimized_asyncsgd": case(
        "optimized_asyncsgd", {"lr": 0.1, "concurrency": 4}, lone={"concurrency": 1}, versions=80
    ),
    "delay_adaptive": case("delay_adaptive", {"lr": 0.2}, lone={}),
    "delay_adaptive threshold": case(
        "delay_adaptive", {"lr": 0.2, "form": "threshold", "smoothness": 1}, lone={}
    ),
    "rennala": case("rennala", {"batch_size": 4, "lr": 0.5}, lone={"batch_size": 1}),
    "rennala letting finish": case("rennala", {"batch_size": 4, "lr": 0.5, "late": "discard"}),
    "rennala_mvr": case("rennala_mvr", {"batch_size": 4, "lr": 0.3, "first_batch_size": 6}),
    "rennala_mvr letting finish": case(
        "rennala_mvr", {"batch_size": 4, "lr": 0.3, "late": "discard"}
    ),
    "shadowheart": case("shadowheart", {"lr": 0.5, "noise": 4}, lone={}, max_staleness=0),
    "malenia": case("malenia", {"lr": 0.5}, max_staleness=0),
    "malenia with more": case("malenia", {"lr": 0.5, "batch": 1.5, "late": "discard"}),
    "mindflayer": case(
        "mindflayer",
        {"lr": 0.1, "trials": 2, "allotted_seconds": 3},
        lone={"trials": 1, "allotted_seconds": 100},
    ),
    "ata": case("ata", {"lr": 0.5, "batch_size": 4}, lone={"batch_size": 1}, max_staleness=0),
    "ata with known times": case("ata", {"lr": 0.5, "batch_size": 7, "alpha": 1e-9}),
    "ringleader": case("ringleader", {"lr": 0.1}, lone={}, max_staleness=2 * 6 - 2),
    "ia2sgd": case("ia2sgd", {"lr": 0.1}, versions=60),
    "aced": case("aced", {"lr": 0.1, "staleness_limit": 4}, lone={}, versions=60),
    "aced by the age of tasks": case("aced", {"lr": 0.1, "staleness_limit": 3, "age": "task"}),
    "aced without a limit": case("aced", {"lr": 0.1, "staleness_limit": None}, versions=60),
    "dude_asgd": case(
        "dude_asgd", {"lr": 0.1, "workers_per_step": 2}, lone={"workers_per_step": 1}
    ),
    "dude_asgd with FedAdam": case(
        "dude_asgd", {"workers_per_step": 2, "server_optimizer": FED_ADAM}, versions=120
    ),
    "rescaled_asgd": case("rescaled_asgd", {"lr": 0.05}, lone={}, versions=80),
    "fedfa": case(
        "fedfa", {"concurrency": 4, "queue_size": 3}, lone={**ONE_CLIENT, "queue_size": 1}
    ),
    "area": case("area", {"buffer_size": 3}, lone={"buffer_size": 1, "replacement": "after_step"}),
    "area replacing after the step": case("area", {"buffer_size": 2, "replacement": "after_step"}),
    "fedcompass": case(
        "fedcompass",
        {"min_steps": 2, "max_steps": 8, "alpha": 1},
        lone={"staleness": {"kind": "constant"}, "latest_time_factor": 100},
    ),
    "fedcompass with FedAdam": case(
        "fedcompass", {"min_steps": 2, "max_steps": 8, "server_optimizer": FED_ADAM}, versions=120
    ),
    "fedqueue": case(
        "fedqueue",
        {"round_seconds": 8, "safety_seconds": 1, "warm_up_steps": 2, "max_steps": 8},
        lone={"admission": 100},
    ),
    "async_weighted": case(
        "async_weighted", {"server_lr": 0.2}, lone={"server_lr": 1}, versions=80
    ),
    "async_weighted identical": case(
        "async_weighted", {"weights": "identical", "server_lr": 0.3}, lone={"server_lr": 1}
    ),
    "fedfix": case("fedfix", {"interval": 2, "server_lr": 0.5}),
    "ca2fl": case("ca2fl", {**TWO, "server_lr": 0.5}),
    "fadas": case("fadas", {**TWO, "server_lr": 0.3}, versions=80),
    "mifa": case("mifa", {"clients_per_round": 3}, lone={}),
    "tifl": case(
        "tifl", {"tiers": 2, "clients_per_round": 2}, lone={"tiers": 1, "clients_per_round": 1}
    ),
    "tifl adaptive": case(
        "tifl",
        {"tiers": 2, "clients_per_round": 2, "policy": "adaptive", "interval": 3, "credits": 5},
    ),
    "favas": case("favas", {**POLLS, "clients_per_round": 2}, versions=80),
    "favas stochastic": case(
        "favas",
        {**POLLS, "clients_per_round": 2, "reweighting": "stochastic"},
        versions=80,
    ),
    "port": case("port", {**TWO, "staleness_bound": 2}, lone=ONE, max_staleness=3),
    "asofed": case("asofed", {"decay": 0.5, "dynamic_step": False}, versions=200),
    "scaffold": case("scaffold", {"clients_per_round": 3}, lone={}),
    "feddyn": case("feddyn", {"clients_per_round": 3, "alpha": 0.5}, versions=80),
    "flanp": case("flanp", {"stage_rounds": 5}, lone={}),
    "flanp by threshold": case("flanp", {"threshold": 0.1}),
    "safa": case(
        "safa",
        {"clients_per_round": 3, "lag_tolerance": 2, "deadline": 4.0},
        lone={"clients_per_round": 1},
    ),
}

# The checks that ask how near a run comes to the optimum, for which some cases need longer ones.
COME_NEAR = {"a_quadratic_converges", "refused_updates_have_no_part"}


def test_every_built_in_strategy_has_a_case() -> None:
    assert {name.split()[0] for name in CASES} == set(strategies())


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", CASES)
def test_conforms(name: str, check: str) -> None:
    case = CASES[name]
    if check not in COME_NEAR:
        case = replace(case, versions=min(case.versions, Case.versions))
    CHECKS[check](case)
