"""The referee: the first aggregation, and the number, at which another rule parts from ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.errors import InputError, ScenarioError
from afl_sim.testing import judge

SMALL = (
    "stop.updates=12",
    "data.partition={kind: dirichlet, alpha: 1.0, min_samples: 5}",
    "model={kind: mlp, hidden: [4]}",
    "evaluation={every_versions: 1000, samples: 20}",
    "training={steps: 2, batch_size: 5}",
    "clients.compute={seconds_per_task: {dist: lognorm, s: 0.7, scale: 0.5}}",
    "recording.trace=false",
)
AVERAGE = "strategy={kind: fedavg, clients_per_round: 3}"
MIXING = "strategy={kind: fedasync, concurrency: 4, alpha: 0.5, staleness: constant}"
BUFFER = "strategy={kind: fedbuff, concurrency: 4, buffer_size: 3, staleness: constant}"


def small(strategy: str, *more: str) -> Any:
    return load_scenario(SMALLEST, [*SMALL, strategy, *more])


def mean(begun: Any) -> Callable[[Any], Any]:
    def rule(updates: Any) -> Any:
        total = sum(each.num_samples for each in updates)
        return {
            name: sum(each.num_samples * each.weights[name].astype("f8") for each in updates)
            / total
            for name in begun
        }

    return rule


def mixing(late: float) -> Callable[[Any], Any]:
    """FedAsync with another weight for stale updates."""

    def begin(weights: Any) -> Callable[[Any], Any]:
        model = dict(weights)

        def rule(updates: Any) -> Any:
            (update,) = updates
            share = 0.5 if update.staleness == 0 else late
            for name in model:
                model[name] = (1 - share) * model[name] + share * update.weights[name]
            return model

        return rule

    return begin


def test_the_same_rule_written_again_agrees() -> None:
    verdict = judge(small(AVERAGE), mean)
    assert verdict.agrees
    assert verdict.versions == 4
    assert 0 < verdict.largest < 1e-4  # another order of sums
    assert str(verdict).startswith("the same as fedavg over 4 versions (largest difference ")


def test_a_rule_with_a_model_of_its_own_is_followed_through_all_versions() -> None:
    verdict = judge(small(MIXING), mixing(0.5))
    assert verdict.agrees
    assert verdict.versions == 12


def test_the_parting_is_the_first_aggregation_with_a_stale_update() -> None:
    scenario = small(MIXING)
    verdict = judge(scenario, mixing(0.25))
    parting = verdict.parting
    assert parting is not None
    events = simulate(scenario, timing_only=True).events
    stale = events[(events.kind == "aggregated") & (events.staleness > 0)].iloc[0]
    assert parting.event == stale.seq
    assert parting.seconds == stale.time_us / 1e6
    assert parting.version == verdict.versions == stale.version
    assert parting.clients == (stale.client,)
    assert parting.staleness == (stale.staleness,)
    assert parting.ratio == pytest.approx(0.5, rel=1e-3)
    told = str(verdict).splitlines()
    assert told[0].startswith(f"parts from fedasync at version {stale.version} (event {stale.seq}")
    assert told[2].endswith("times our step")


def test_a_sum_in_place_of_a_mean_is_as_many_times_our_step_as_there_are_updates() -> None:
    def summed(weights: Any) -> Callable[[Any], Any]:
        model = {name: weight.copy() for name, weight in weights.items()}

        def rule(updates: Any) -> Any:
            now = {name: weight.copy() for name, weight in model.items()}
            for update in updates:
                for name in model:
                    model[name] += update.weights[name] - now[name]
            return model

        return rule

    parting = judge(small(BUFFER), summed).parting
    assert parting is not None
    assert parting.version == 1
    assert len(parting.clients) == 3
    assert parting.ratio == pytest.approx(3.0, rel=1e-3)


def test_a_rule_may_change_what_it_is_given() -> None:
    def careless(weights: Any) -> Callable[[Any], Any]:
        def rule(updates: Any) -> Any:
            model = mean(weights)(updates)
            for each in updates:
                for array in each.weights.values():
                    array[:] = 0
            return model

        return rule

    assert judge(small(AVERAGE), careless).agrees


def test_a_number_that_is_not_one_is_a_parting() -> None:
    def broken(weights: Any) -> Callable[[Any], Any]:
        return lambda updates: {name: np.full_like(w, np.nan) for name, w in weights.items()}

    parting = judge(small(AVERAGE), broken).parting
    assert parting is not None
    assert np.isnan(parting.theirs)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda weights: None, "returned a NoneType without '1.weight'"),
        (lambda weights: {"1.weight": weights["1.weight"]}, "returned a model without '1.bias'"),
        (
            lambda weights: {name: weight.ravel() for name, weight in weights.items()},
            r"returned '1.weight' with shape \(3136,\); expected \(4, 784\)",
        ),
    ],
)
def test_what_is_no_model_is_named(returned: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        judge(small(AVERAGE), lambda weights: lambda updates: returned(weights))


def test_a_strategy_of_gradients_has_no_models_to_hand_over() -> None:
    with pytest.raises(InputError, match="asyncsgd: its clients send gradients"):
        judge(small("strategy={kind: asyncsgd, concurrency: 3}"), mean)


def test_a_scenario_that_cannot_be_run_is_refused() -> None:
    with pytest.raises(ScenarioError, match="validation"):
        judge(small(AVERAGE, "evaluation.on=validation"), mean)
