"""Where a method becomes another one: whole runs on the toy problem, model by model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from vectors import assert_is, models_after, moved, vec

from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Scenario, ValidationContext
from afl_sim.strategies import Strategy, strategies
from afl_sim.testing import toy
from afl_sim.testing.checks import close
from afl_sim.testing.quadratics import targets
from afl_sim.testing.toy import Case, Trail, calls_of, executor_of, learner_of, turn


def made(kind: str, **settings: Any) -> Strategy:
    return strategies()[kind](**settings)


def run(strategy: Strategy, kind: str = "spread", **more: Any) -> Trail:
    case = Case(strategy, **more)
    return turn(case, learner_of(case, executor_of(case.clients, kind)))


def models(strategy: Strategy, kind: str = "spread", **more: Any) -> list[Tensor]:
    return [call.params for call in calls_of(Case(strategy, **more), kind)]


def assert_same_runs(one: Strategy, other: Strategy, **more: Any) -> None:
    first, second = run(one, **more), run(other, **more)
    assert first.staleness == second.staleness
    for a, b in zip(models(one, **more), models(other, **more), strict=True):
        assert close(a, b)


def test_fedbuff_of_one_with_a_constant_weight_is_asynchronous_fedavg() -> None:
    assert_same_runs(
        made("fedbuff", concurrency="all", buffer_size=1, staleness={"kind": "constant"}),
        made("async_weighted", weights="identical"),
    )


def test_fedasync_with_alpha_one_replaces_the_model() -> None:
    strategy = made("fedasync", concurrency="all", alpha=1, staleness={"kind": "constant"})
    calls = calls_of(Case(strategy))
    for call, later in pairwise(calls):
        assert torch.equal(later.params, call.updates[0].params)


@pytest.fixture
def equal_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afl_sim.testing.toy._SECONDS", (1,) * 8)


@pytest.mark.usefixtures("equal_times")
def test_rennala_with_b_of_n_and_equal_times_is_minibatch_sgd() -> None:
    rennala = calls_of(Case(made("rennala", batch_size=6, lr=0.2)))
    for call, later in pairwise(rennala):
        assert sorted(update.client for update in call.updates) == list(range(6))
        gradient = torch.stack([update.delta for update in call.updates]).mean(0)
        assert close(later.params, call.params + 0.2 * gradient)
        assert all(torch.equal(update.params, call.params) for update in call.updates)
    # Malenia is the same there: every client has sent one.
    assert_same_runs(made("rennala", batch_size=6, lr=0.2), made("malenia", lr=0.2))


@pytest.mark.parametrize("stops", [True, False])
def test_ringmaster_with_a_threshold_that_is_never_reached_is_asynchronous_sgd(
    stops: bool,
) -> None:
    assert_same_runs(
        made("ringmaster", delay_threshold=10**6, lr=0.1, stops=stops), made("asyncsgd", lr=0.1)
    )


def test_generalized_asyncsgd_of_one_client_and_one_task_is_asynchronous_sgd() -> None:
    lone = {"clients": 1, "versions": 10}
    for sampling in ("uniform", "speed", (3.0,)):
        one = made("generalized_asyncsgd", concurrency=1, lr=0.1, sampling=sampling)
        assert_same_runs(one, made("asyncsgd", lr=0.1), **lone)


@pytest.mark.parametrize("sampling", ["uniform", "speed", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)])
def test_generalized_asyncsgd_with_one_task_is_sgd_with_weighted_draws(sampling: Any) -> None:
    one = made("generalized_asyncsgd", concurrency=1, lr=0.1, sampling=sampling)
    calls = calls_of(Case(one))
    for call, later in pairwise(calls):
        (update,) = call.updates
        assert update.staleness == 0
        gradient = call.params - targets(6, "spread")[update.client]
        factor = call.context["factor"]
        if sampling == "uniform":
            assert factor == 1
        elif sampling != "speed":
            assert factor == pytest.approx(21 / 6 / (update.client + 1))
        assert close(later.params, call.params - 0.1 * factor * gradient)


def test_delay_adaptive_steps_are_asynchronous_sgd_while_no_delay_exceeds_n() -> None:
    lone = {"clients": 1, "versions": 10}
    assert_same_runs(made("delay_adaptive", lr=0.1), made("asyncsgd", lr=0.1), **lone)
    threshold = made("delay_adaptive", lr=0.1, form="threshold", critical_delay=99, smoothness=9)
    assert_same_runs(threshold, made("asyncsgd", lr=0.1))


def test_fedat_with_one_tier_is_fedavg() -> None:
    assert_same_runs(
        made("fedat", tiers=1, clients_per_round=6), made("fedavg", clients_per_round=6)
    )


def test_tifl_with_one_tier_is_fedavg() -> None:
    assert_same_runs(
        made("tifl", tiers=1, clients_per_round=6), made("fedavg", clients_per_round=6)
    )


def test_fedprox_without_mu_and_stragglers_is_fedavg() -> None:
    assert_same_runs(
        made("fedprox", mu=0, stragglers=0, clients_per_round=3),
        made("fedavg", clients_per_round=3),
    )


def test_mifa_of_everybody_is_fedavg_of_everybody() -> None:
    assert_same_runs(
        made("mifa", clients_per_round=1.0),
        made("fedavg", clients_per_round=1.0, weighting="uniform"),
    )


def test_ca2fl_on_equal_clients_comes_to_the_step_of_fedbuff() -> None:
    # Deltas shrink while the model converges, so the two come together rather than coincide.
    settings = {"concurrency": 4, "buffer_size": 2, "server_lr": 0.3}
    ca2fl = run(made("ca2fl", **settings), "same", versions=60)
    constant = {"kind": "constant"}
    fedbuff = run(made("fedbuff", **settings, staleness=constant), "same", versions=60)
    assert ca2fl.staleness == fedbuff.staleness
    assert ca2fl.vector is not None
    assert fedbuff.vector is not None
    assert float((ca2fl.vector - fedbuff.vector).norm()) < 1e-2


def test_ca2fl_steps_by_a_delta_that_all_have_sent_and_send_again() -> None:
    deltas = [[moved(1, 2, client=2 * (n % 2) + i) for i in range(2)] for n in range(4)]
    found = models_after(made("ca2fl", buffer_size=2), vec(0, 0), *deltas, clients=4)
    steps = [b - a for a, b in zip([vec(0, 0), *found], found, strict=False)]
    assert_is(steps[0], 1, 2)  # nothing cached
    assert_is(steps[1], 1.5, 3)  # h is half of it, and the two clients are new
    assert_is(steps[2], 1, 2)
    assert_is(steps[3], 1, 2)


def test_port_of_one_fresh_update_is_replacement() -> None:
    lone = {"clients": 1, "versions": 8}
    calls = calls_of(Case(made("port", concurrency=1, buffer_size=1), **lone))
    for call, later in pairwise(calls):
        assert close(later.params, call.updates[0].params)


@pytest.mark.usefixtures("equal_times")
def test_fedfix_with_the_interval_of_everybodys_task_is_fedavg_of_everybody() -> None:
    assert_same_runs(made("fedfix", interval=1.0), made("fedavg", clients_per_round=1.0))


@pytest.mark.usefixtures("equal_times")
def test_safa_of_everybody_without_failures_is_fedavg_of_everybody() -> None:
    assert_same_runs(made("safa", clients_per_round=1.0), made("fedavg", clients_per_round=1.0))


def test_ringleader_with_one_client_is_sgd() -> None:
    lone = {"clients": 1, "versions": 10}
    assert_same_runs(made("ringleader", lr=0.1), made("asyncsgd", lr=0.1), **lone)


def test_ia2sgd_with_one_client_makes_the_steps_of_sgd_after_an_idle_gradient() -> None:
    lone = {"clients": 1, "versions": 10}
    found, sgd = (run(made(kind, lr=0.1), **lone) for kind in ("ia2sgd", "asyncsgd"))
    assert found.vector is not None
    assert sgd.vector is not None
    assert close(found.vector, sgd.vector)
    assert len(found.staleness) == len(sgd.staleness) + 1


@pytest.fixture
def unequal_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the clients take five times as long, and all hold as much."""
    whole = toy.scenario_of

    def scenario_of(case: Case, availability: Any = "always") -> Any:
        block = whole(case, availability).model_dump(mode="json", by_alias=True)
        block["clients"]["compute"]["jitter"] = {"values": [1, 1.01, 1.02, 5, 5.01, 5.02]}
        return Scenario.model_validate(block, context=ValidationContext(catalogue()))

    monkeypatch.setattr(toy, "scenario_of", scenario_of)
    monkeypatch.setattr(toy, "_SAMPLES", (1,))


@pytest.mark.usefixtures("unequal_clients")
def test_fast_clients_bias_what_takes_updates_as_they_come_and_not_what_undoes_it() -> None:
    optima = targets(6, "spread")
    rates = 1 / torch.tensor([1, 1.01, 1.02, 5, 5.01, 5.02])
    fast, fair = rates / rates.sum() @ optima, optima.mean(0)

    def settles_at(kind: str, versions: int = 600, **settings: Any) -> Tensor:
        calls = calls_of(Case(made(kind, **settings), versions=versions))
        return torch.stack([call.params for call in calls[versions // 2 :]]).mean(0)

    assert float((fast - fair).norm()) > 0.25
    for kind, settings in {
        "asyncsgd": {"lr": 0.02},
        "async_weighted": {"weights": "identical", "server_lr": 0.03},
    }.items():
        assert float((settles_at(kind, **settings) - fast).norm()) < 0.05, kind
    for sampling in ("uniform", "speed"):  # clients drawn more often take smaller steps
        drawn = {"concurrency": 6, "lr": 0.02, "sampling": sampling}
        found = settles_at("generalized_asyncsgd", versions=2400, **drawn)
        assert float((found - fair).norm()) < 0.12, sampling  # draws are random
    for kind, settings in {
        "ringleader": {"lr": 0.02},
        "ia2sgd": {"lr": 0.02},
        "malenia": {"lr": 0.2},
        "async_weighted": {"server_lr": 0.03},
        "ca2fl": {"concurrency": "all", "buffer_size": 1, "server_lr": 0.05},
    }.items():
        assert float((settles_at(kind, **settings) - fair).norm()) < 0.05, kind
