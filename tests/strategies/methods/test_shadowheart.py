"""Shadowheart SGD: the equilibrium time, what each worker does in it, and the step, by hand."""

from __future__ import annotations

from itertools import permutations
from math import inf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import SMALLEST
from vectors import assert_is, moved, step, vec
from world_runs import Outcome, run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario import Scenario
from afl_sim.strategies import Shadowheart
from afl_sim.strategies.methods.shadowheart import Share, equilibrium_time, shares

# -- the equilibrium time --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3, 10])
@pytest.mark.parametrize("omega", [0.0, 1.0, 99.0])
@pytest.mark.parametrize("noise", [0.0, 1.0, 30.0])
@pytest.mark.parametrize(("h", "tau"), [(1.0, 0.0), (2.0, 5.0), (1.0, 0.001)])
def test_equal_workers_have_it_in_closed_form(
    workers: int, omega: float, noise: float, h: float, tau: float
) -> None:
    # n s^2 = A s + B with A = 2 a, a = tau omega + h noise, and B = 4 tau omega h noise.
    a = tau * omega + h * noise
    root = (a + sqrt(a * a + workers * 4 * tau * omega * h * noise)) / workers
    found = equilibrium_time([h] * workers, [tau] * workers, omega, noise)
    assert found == pytest.approx(max(root, h, tau), rel=1e-12)


def test_a_worker_that_would_take_longer_is_left_out() -> None:
    # The first one alone: s = 2 + sqrt(8). With the second: s^2/(4 s + 4) + s^2/(8 s + 16) = 1.
    alone = equilibrium_time([1.0], [1.0], 1.0, 1.0)
    assert alone == pytest.approx(2 + sqrt(8))
    both = equilibrium_time([1.0, 2.0], [1.0, 2.0], 1.0, 1.0)
    assert both**2 / (4 * both + 4) + both**2 / (8 * both + 16) == pytest.approx(1)
    assert 2 < both < alone
    assert equilibrium_time([1.0, 2.0, 40.0], [1.0, 2.0, 1.0], 1.0, 1.0) == both
    assert equilibrium_time([1.0, 2.0, 1.0], [1.0, 2.0, inf], 1.0, 1.0) == both


def test_it_does_not_depend_on_the_order() -> None:
    workers = [(1.0, 3.0), (2.0, 0.5), (4.0, 1.0), (0.5, 6.0)]
    found = {
        equilibrium_time([h for h, _ in order], [tau for _, tau in order], 9.0, 2.0)
        for order in permutations(workers)
    }
    assert max(found) == pytest.approx(min(found), rel=1e-12)


# -- what a worker does ----------------------------------------------------------------------------


def test_each_computes_and_sends_as_often_as_fits() -> None:
    # t* = 3.62. Worker 0: b = m = 3, weight 9 / (3 + 1 + 3); worker 1: b = m = 1, weight 1/3.
    steps, messages = [1.0, 2.0, 40.0], [1.0, 2.0, 1.0]
    found = shares(steps, messages, 1.0, 1.0)
    assert found == [Share(3, 3, 9 / 7), Share(1, 1, 1 / 3), Share(0, 3, 0)]
    # Two messages of half of the entries are as much as all of them.
    found = shares(steps, messages, 1.0, 1.0, most=2)
    assert found == [Share(3, 2, 1.0), Share(1, 1, 1 / 3), Share(0, 2, 0)]


def test_a_worker_without_time_for_a_message_does_nothing() -> None:
    idle = shares([1.0, 1.0], [1.0, 90.0], 1.0, 1.0)[1]
    assert (idle.messages, idle.weight) == (0, 0)


def test_without_compression_one_message_says_all_and_gradients_count_alike() -> None:
    # A_i = 2 h_i s: t* = 1 / (1/10 + 1/20) = 6 2/3, and the weights are in proportion to b.
    found = shares([1.0, 2.0], [0.0, 1.0], 0.0, 5.0)
    assert [(share.steps, share.messages) for share in found] == [(6, 1), (3, 1)]
    assert found[0].weight == pytest.approx(2 * found[1].weight)


def test_without_noise_the_fewest_gradients_do() -> None:
    # A_i = 2 tau_i omega: t* = 1 / (1/2 + 1/2) = 1 < h, so that it is h. The weights are m / omega.
    assert shares([3.0, 3.0], [1.0, 1.0], 1.0, 0.0) == [Share(1, 3, 3.0)] * 2
    # Without compression as well: the fastest one alone.
    assert shares([3.0, 4.0], [1.0, 1.0], 0.0, 0.0) == [Share(1, 1, 1.0), Share(0, 1, 0)]


# -- the step --------------------------------------------------------------------------------------


def test_the_step_is_the_weighted_mean_of_what_has_arrived() -> None:
    updates = [moved(-4, 0, client=2), moved(0, -8, client=0)]
    # (3 (-4, 0) + 1 (0, -8)) / 4 = (-3, -2); the weights of others do not count.
    params = step(Shadowheart(lr=0.5), vec(1, 1), updates, weights={2: 3.0, 0: 1.0, 1: 9.0})
    assert_is(params, -0.5, 0)


# -- the schedule ----------------------------------------------------------------------------------


def work(omega: float = 1.0, **settings: Any) -> Outcome:
    """Messages of 1,000 bytes that take 1, 2 and 1 seconds."""
    strategy = {"kind": "shadowheart", **settings}
    compute = {"seconds_per_step": {"values": [1, 2, 40]}}
    up = {"bandwidth": {"values": [1000, 500, 1000]}}
    fields = scenario(3, strategy=strategy, compute=compute, up=up, stop={"versions": 2})
    return run(fields, update_variance=omega)


def told(outcome: Outcome) -> list[tuple[float, int, int, int]]:
    """(second, client, steps, bytes) of each arrival."""
    return [(e.time_us / 1e6, e.client, e.steps, e.bytes) for e in outcome.of("arrived")]


def test_a_round_is_over_when_all_have_sent_their_messages() -> None:
    outcome = work()
    assert told(outcome) == [
        (4, 1, 1, 1000),
        (5, 0, 3, 2000),  # three gradients, and two messages
        (9, 1, 1, 1000),
        (10, 0, 3, 2000),
    ]
    made = outcome.of("aggregated")
    assert [(e.time_us / 1e6, e.version, e.client) for e in made] == [
        *((5, 1, 1), (5, 1, 0)),
        *((10, 2, 1), (10, 2, 0)),
    ]
    assert all(e.staleness == 0 for e in made)


def test_messages_need_not_be_bounded() -> None:
    assert told(work(clip_messages=False))[1] == (6, 0, 3, 3000)


def test_without_compression_each_sends_once() -> None:
    # t* = 1 / (1/10 + 1/20): six gradients and three.
    assert told(work(omega=0.0, noise=5))[:2] == [(7, 0, 6, 1000), (8, 1, 3, 1000)]


def test_an_update_that_is_lost_leaves_the_others() -> None:
    strategy = {"kind": "shadowheart", "noise": 0}
    fleet = {"availability": {"kind": "always", "leaves": {"values": [1.5, 900]}}}
    stop = {"versions": 3}
    fields = scenario(
        2, strategy=strategy, compute={"seconds_per_step": 1}, up=0, fleet=fleet, stop=stop
    )
    outcome = run(fields)
    # t* = 1 s. Client 0 leaves in the second round and is left out of the third.
    assert [(e.version, e.client) for e in outcome.of("aggregated")] == [
        *((1, 0), (1, 1)),
        *((2, 1), (3, 1)),
    ]


# -- runs, and what is refused ---------------------------------------------------------------------


def small(*more: str, upload: str = "{kind: randk, fraction: 0.1}") -> Scenario:
    settings = [
        "strategy={kind: shadowheart, concurrency: 3, noise: 3, lr: 0.1}",
        f"training={{steps: 1, batch_size: 32, compression: {{upload: {upload}}}}}",
        "clients.compute={seconds_per_step: {dist: uniform, scale: 2}}",
        "clients.network={upload: {bandwidth: 5000}}",
        "stop={versions: 4}",
        "evaluation.samples=100",
    ]
    return load_scenario(SMALLEST, [*settings, *more])


def test_wherever_workers_compute_their_messages_are_the_same(tmp_path: Path) -> None:
    whole = simulate(small())
    assert max(whole.tasks["steps"]) > 1
    sizes = set(whole.events["bytes"][whole.events["kind"] == "arrived"])
    assert max(sizes) > 4 * 785  # more than a message of a tenth of 7,850 parameters
    elsewhere = simulate(small("execution={executor: processes, workers: 2}"))
    assert elsewhere.summary["model_digest"] == whole.summary["model_digest"]
    together = simulate(small("numerics={mode: batched, group: 4}"))  # these have other bits
    for name, part in whole.model().items():
        np.testing.assert_allclose(part, together.model()[name], atol=1e-4)
    assert simulate(small("seed=9")).summary["model_digest"] != whole.summary["model_digest"]


@pytest.mark.parametrize("kind", ["topk", "qsgd", "bf16"])
def test_compression_of_unknown_variance_is_refused(kind: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        small(upload=kind)
    assert f"upload: got '{kind}', but shadowheart goes by the variance" in str(caught.value)
    assert "expected one of these" in str(caught.value)


def test_tasks_that_take_as_long_whatever_their_steps_are_refused() -> None:
    with pytest.raises(ScenarioError, match="shadowheart gives clients steps by the time"):
        small("clients.compute={seconds_per_task: 3}")


def test_messages_that_take_no_time_must_be_bounded() -> None:
    free = "clients.network={upload: {latency: 0}}"
    simulate(small(free), timing_only=True)
    unbounded = "strategy={kind: shadowheart, clip_messages: false}"
    with pytest.raises(ScheduleError, match="expected clip_messages: true"):
        simulate(small(free, unbounded), timing_only=True)


@pytest.mark.parametrize("noise", ["1e308", "2e12"])
def test_noise_of_which_no_time_makes_enough_is_refused(noise: str) -> None:
    with pytest.raises(ScenarioError, match=r"strategy\.noise: got .*; expected at most"):
        small(f"strategy.noise={noise}")


def test_tasks_of_too_many_steps_are_the_strategys() -> None:
    told = r"the strategy: client \d's task 0 has .* local steps; expected at most 100,000,000"
    with pytest.raises(ScenarioError, match=told):
        simulate(small("strategy.noise=1e12"), timing_only=True)
