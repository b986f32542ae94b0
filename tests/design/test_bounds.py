"""The closed forms of the first stage, against sums over subsets and against runs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from designs import BASE

from afl_sim.design.bounds import bound_of, mean_seconds, refuted, slowest_of, update_rate
from afl_sim.design.schedule import Schedules
from afl_sim.run.loading import load_scenario
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.design import Design
from afl_sim.theory.formulas import upload_rate

TIMES = np.array([0.5, 1.0, 1.0, 4.0, 9.0])


@pytest.mark.parametrize("m", [1, 2, 4, 5])
def test_the_rate_is_the_ratio_of_symmetric_polynomials(m: int) -> None:
    assert update_rate(m, TIMES) == pytest.approx(upload_rate(m, list(TIMES)), rel=1e-12)


def test_the_rate_of_very_many_clients_does_not_overflow() -> None:
    assert update_rate(500, np.full(2000, 3.0)) == pytest.approx(500 / 3.0)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_slowest_of_a_round_is_a_mean_over_subsets(k: int) -> None:
    every = [max(subset) for subset in combinations(TIMES, k)]
    assert slowest_of(k, TIMES) == pytest.approx(np.mean(every))


def _scenario(strategy: str, seconds: float = 400) -> Scenario:
    settings = [f"strategy={strategy}", f"stop.virtual_seconds={seconds}"]
    return load_scenario(BASE, settings)


@pytest.mark.parametrize(
    "strategy",
    ["{kind: fedasync, concurrency: 3}", "{kind: fedbuff, concurrency: 4, buffer_size: 2}"],
)
def test_runs_come_close_to_the_rate_where_tasks_are_uncontended(strategy: str) -> None:
    scenario, schedules = _scenario(strategy), Schedules()
    seconds = mean_seconds(schedules.world(scenario), scenario.clients.count)
    assert seconds is not None
    bound, schedule = bound_of(scenario, seconds), schedules.of(scenario)
    assert bound is not None
    assert not isinstance(schedule, str)
    assert schedule.versions / 400 == pytest.approx(bound.versions_per_second, rel=0.1)
    if bound.mean_staleness is not None:
        assert schedule.staleness_figure("mean") == pytest.approx(bound.mean_staleness, rel=0.05)


def test_no_round_is_shorter_than_its_bound_on_average() -> None:
    scenario, schedules = _scenario("{kind: fedavg, clients_per_round: 4}"), Schedules()
    seconds = mean_seconds(schedules.world(scenario), scenario.clients.count)
    assert seconds is not None
    bound, schedule = bound_of(scenario, seconds), schedules.of(scenario)
    assert bound is not None
    assert not isinstance(schedule, str)
    assert schedule.versions / 400 <= 1.1 * bound.versions_per_second


def test_a_round_that_is_cut_has_no_bound() -> None:
    scenario = _scenario("{kind: fedavg, clients_per_round: 4, deadline: 3}")
    assert bound_of(scenario, TIMES) is None


def test_a_bound_refutes_what_is_too_slow_and_what_is_too_stale() -> None:
    block = {"vary": {"training.epochs": [1, 2]}, "minimize": {"time_to_accuracy": 0.9}}
    free = Design.model_validate(block)
    limited = Design.model_validate({**block, "constraints": ["mean_staleness <= 1"]})
    slow = _scenario("{kind: fedbuff, concurrency: 1, buffer_size: 20}", 10)
    bound = bound_of(slow, TIMES)
    assert bound is not None
    found = refuted(bound, slow, free)
    assert found is not None
    assert found.why.startswith("a version takes ")
    stale = _scenario("{kind: fedasync, concurrency: 4}")
    bound = bound_of(stale, TIMES)
    assert bound is not None
    assert refuted(bound, stale, free) is None
    found = refuted(bound, stale, limited)
    assert found is not None
    assert found.broken == (limited.constraints[0], 3.0)
