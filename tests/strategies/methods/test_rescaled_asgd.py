"""Rescaled ASGD: steps in proportion to the workers' times, worked out by hand."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest
from vectors import assert_is, models_after, moved, vec
from world_runs import Outcome, run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.strategies import RescaledASGD


def test_a_gradient_makes_a_step_of_gamma_times_its_workers_factor() -> None:
    models = models_after(
        RescaledASGD(lr=0.5),
        vec(1, 1),
        ([moved(2, 0, client=0)], {"factor": 0.5}),
        ([moved(0, 4, client=1, tau=3)], {"factor": 1.5}),
    )
    assert_is(models[0], 1.5, 1)
    assert_is(models[1], 1.5, 4)  # staleness changes nothing


def work(seconds: list[float], **stop: float) -> Outcome:
    return run(scenario(seconds, strategy={"kind": "rescaled_asgd"}, stop=stop))


def steps_of(outcome: Outcome) -> list[tuple[float, int, float]]:
    """(second, client, factor) of each version."""
    return [
        (e.time_us / 1e6, e.client, json.loads(e.context or "{}")["factor"])
        for e in outcome.of("aggregated")
    ]


def test_a_factor_is_the_workers_time_over_the_harmonic_mean_of_all_times() -> None:
    # tau = 1, 2, 4: (1/3)(1 + 1/2 + 1/4) = 7/12 arrivals a second by a worker.
    steps = steps_of(work([1, 2, 4], versions=7))
    assert [(second, client) for second, client, _ in steps] == [
        *((1, 0), (2, 1), (2, 0), (3, 0), (4, 2), (4, 1), (4, 0)),
    ]
    factor = {client: found for _, client, found in steps}
    assert factor == pytest.approx({0: 7 / 12, 1: 14 / 12, 2: 28 / 12})


def test_every_worker_has_the_same_sum_of_steps_in_a_cycle_and_their_mean_is_gamma() -> None:
    seconds = [1.0, 2.5, 4.0, 10.0]
    steps = steps_of(work(seconds, virtual_seconds=20.5))  # the least common multiple, once
    sums: dict[int, float] = defaultdict(float)
    for _, client, factor in steps:
        sums[client] += factor
    np.testing.assert_allclose(list(sums.values()), sums[0])
    assert np.mean([factor for _, _, factor in steps]) == pytest.approx(1)


def test_equal_workers_make_asynchronous_sgd() -> None:
    steps = steps_of(work([2, 2, 2], versions=6))
    assert {factor for _, _, factor in steps} == {1.0}
    plain = run(scenario([2, 2, 2], strategy={"kind": "asyncsgd"}, stop={"versions": 6}))
    assert [(e.time_us / 1e6, e.client) for e in plain.of("aggregated")] == [
        (second, client) for second, client, _ in steps
    ]


def test_a_worker_goes_on_at_the_version_that_its_gradient_made() -> None:
    outcome = work([1, 2.5], versions=3)
    sent = [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")[2:]]
    assert sent == [(1.0, 0, 1), (2.0, 0, 2)]
    assert [e.staleness for e in outcome.of("aggregated")] == [0, 0, 2]


def test_tasks_without_time_are_refused() -> None:
    with pytest.raises(ScheduleError, match="need tasks that take time, and client 1's take none"):
        work([1, 0], versions=3)


def test_a_fleet_without_any_client_makes_no_step() -> None:
    fleet = {"availability": {"kind": "always", "leaves": 0}}
    nobody = run(scenario([1, 2], strategy={"kind": "rescaled_asgd"}, fleet=fleet))
    assert not nobody.of("aggregated")


def test_times_without_a_mean_are_refused() -> None:
    heavy = {"dist": "pareto", "b": 0.9, "allow_heavy_tail": True}
    settings = scenario(2, strategy={"kind": "rescaled_asgd"}, compute={"jitter": heavy})
    with pytest.raises(Exception, match="mean"):
        run(settings)


def test_a_server_optimizer_is_refused_because_it_would_undo_the_rescaling() -> None:
    with pytest.raises(ScenarioError, match="rescaled_asgd takes none"):
        RescaledASGD(server_optimizer="FedAdam")
