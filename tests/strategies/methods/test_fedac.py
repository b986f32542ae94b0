"""FedAC: weights by agreement, the momentum one step ahead, and control variates, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from places import SMALLEST
from vectors import assert_is, models_after, population, trained, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario
from afl_sim.strategies import FedAC, Update
from afl_sim.strategies.base import Client, Work
from afl_sim.testing.quadratics import targets
from afl_sim.testing.toy import Case, executor_of, learner_of, turn

START = vec(0, 0)
HALVES = FedAC(buffer_size=2, server_lr=1, beta1=0.5, beta2=0.75, eps=1e-30, least_similarity=0.25)


def keeping(update: Update, *numbers: float) -> Update:
    """The update with what its client keeps: its variate, and how that has changed."""
    return replace(update, client_state=vec(*numbers))


def test_the_first_step_is_that_of_equal_weights_and_the_momentum_one_step_ahead() -> None:
    # D = (2, -4), m = (1, -2), v = (1, 4), mhat = m/2 + D/2 = (1.5, -3): the step is (1.5, -3/2).
    (model,) = models_after(HALVES, START, [trained(4, 0), trained(0, -8)])
    assert_is(model, 1.5, -1.5)


def test_moments_decay_and_are_not_corrected_for_their_start() -> None:
    # Fresh updates throughout. Second step: D = (4, 0), m = (1, -2)/2 + (4, 0)/2 = (2.5, -1),
    # v = 3/4 (1, 4) + (16, 0)/4 = (4.75, 3), mhat = (2.5, -1)/2 + (2, 0) = (3.25, -0.5).
    one = vec(1.5, -1.5)
    second = [trained(5.5, -1.5, base=one.tolist())] * 2
    models = models_after(HALVES, START, [trained(4, 0), trained(0, -8)], second)
    assert_is(models[1] - models[0], 3.25 / 4.75**0.5, -0.5 / 3**0.5)


def test_updates_count_by_how_far_they_agree_with_the_servers_way() -> None:
    # The server went from (0, 0) to (3, 0). cos is 1 for (1, 0), 0.6 for (3, 4), and 0 and -1 for
    # the others, which count by 0.25: p = 1, 0.6, 0.25, 0.25 over 2.1.
    now = vec(3, 0)
    updates = [trained(1, 0, tau=1), trained(3, 4, tau=2), trained(0, 2, tau=1)]
    updates.append(trained(-1, 0, tau=1))
    state = HALVES.initial_state(now, population(4))
    _, after = HALVES.aggregate(now, state, updates, {})
    mean = vec(1 + 0.6 * 3 - 0.25, 0.6 * 4 + 0.25 * 2) / 2.1
    assert_is(after["m"], *(mean / 2).tolist())
    assert_is(after["v"], *(mean * mean / 4).tolist())


def test_an_update_of_the_current_model_has_the_least_similarity() -> None:
    # Rounding must not decide: w - w_base is 0 up to the last bit.
    now = vec(0.1, 0.7)
    fresh, stale = trained(1.3, 0.9, base=[0.1, 0.7]), trained(0.1, 0.7, tau=3)
    _, after = HALVES.aggregate(now, HALVES.initial_state(now, population(4)), [fresh, stale], {})
    # r = 0.25 and 1: the stale one lies on the way.
    mean = 0.2 * fresh.delta + 0.8 * stale.delta
    assert_is(after["m"], *(mean / 2).tolist())


def test_local_steps_are_corrected_by_the_difference_of_the_variates() -> None:
    state = {**HALVES.initial_state(START, population(4)), "c": vec(1, 2)}
    assert_is(HALVES.correction(START, state, Client(0, None)), 1, 2)
    known = Client(0, START, vec(3, 0, 9, 9))
    assert_is(HALVES.correction(START, state, known), -2, 2)
    # c_i+ = (3, 0) - (1, 2) + (2, -4)/(4 * 0.5); the change is (0, -4).
    assert_is(HALVES.client_state(START, state, known, Work(4, 0.5, vec(-2, 4))), 3, -4, 0, -4)


def test_changes_of_variates_are_weighted_as_the_updates_are_or_over_all_clients() -> None:
    now = vec(3, 0)
    # p = 1/1.25 and 0.25/1.25
    updates = [keeping(trained(1, 0, tau=1), 0, 0, 5, 0), keeping(trained(0, 1, tau=1), 0, 0, 0, 5)]
    updates.append(replace(updates[0], steps=0))  # it tells nothing new
    state = HALVES.initial_state(now, population(10))
    _, after = HALVES.aggregate(now, state, updates[:2], {})
    assert_is(after["c"], 4, 1)
    over_all = HALVES.model_copy(update={"variates": "clients"})
    _, after = over_all.aggregate(now, state, updates, {})
    assert_is(after["c"], 0.5, 0.5)
    assert after["clients"] == 10


def test_of_n_clients_in_buffers_of_k_the_server_has_n_over_k_times_their_mean() -> None:
    # Four clients, two at a time, all fresh: c = (c_0 + c_1)/2 + (c_2 + c_3)/2.
    variates = [(1, 0), (3, 0), (0, 4), (0, 8)]
    state = HALVES.initial_state(START, population(4))
    for first in (0, 2):
        both = [keeping(trained(0, 0), *c, *c) for c in variates[first : first + 2]]
        _, state = HALVES.aggregate(START, state, both, {})
    assert_is(state["c"], 2, 6)  # twice (1, 3)


def distance(strategy: FedAC) -> float:
    """Between the model after 400 versions and the optimum of clients that differ."""
    case = Case(strategy, versions=400)
    vector = turn(case, learner_of(case, executor_of(case.clients, "spread"))).vector
    assert vector is not None
    return float((vector - targets(case.clients, "spread").mean(0)).norm())


def test_with_the_mean_of_the_clients_variates_it_settles_at_the_optimum_of_all() -> None:
    settings = {"concurrency": 4, "buffer_size": 2, "server_lr": 0.02}
    assert distance(FedAC(**settings, variates="clients")) < 0.05
    assert distance(FedAC(**settings)) > 0.2


def test_the_schedule_is_that_of_fedbuff() -> None:
    settings = {"concurrency": "all", "buffer_size": 2}
    durations = [[1, 4], 2.6, [3, 1, 9]]
    one, other = (
        run(scenario(durations, strategy={"kind": kind, **settings}, stop={"versions": 3}))
        for kind in ("fedac", "fedbuff")
    )
    assert one.schedule_digest == other.schedule_digest
    # 0 arrives at 1 s and goes on at version 0; 1 fills the buffer at 2.6 s and goes on at version
    # 1, as does 2 at 3 s, whose next update fills the second one at 4 s. 0 and 1 fill the third.
    assert [(e.version, e.client, e.staleness) for e in one.of("aggregated")] == [
        *((1, 0, 0), (1, 1, 0)),
        *((2, 2, 1), (2, 2, 0)),
        *((3, 0, 2), (3, 1, 1)),
    ]


def test_the_local_optimizer_must_be_plain_sgd() -> None:
    optimizer = "training.optimizer={kind: Adam, lr: 0.01}"
    with pytest.raises(ScenarioError, match="got 'Adam', but the rule of fedac assumes"):
        load_scenario(SMALLEST, ["strategy={kind: fedac, concurrency: 3}", optimizer])


def test_a_buffer_without_any_move_leaves_the_model_where_it_is() -> None:
    still = [trained(0, 0), trained(0, 0)]
    params, state = HALVES.aggregate(START, HALVES.initial_state(START, population(2)), still, {})
    assert torch.equal(params, START)
    assert torch.equal(state["v"], START)
