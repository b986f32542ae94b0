"""Mean round trips: true where durations are cut off, and refused where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import poisson
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Distribution, read_study
from afl_sim.streams import Streams
from afl_sim.world.tasks.profile import mean_of_capped, mean_of_capped_steps

PARETO = {"dist": "pareto", "b": 0.9, "allow_heavy_tail": True}
TEXT = """
clients:
  count: 6
  compute:
    seconds_per_task: {values: [1, 2, 3, 4, 5, 6]}
    jitter: {dist: pareto, b: 0.9, allow_heavy_tail: true}
stop: {updates: 10}
strategy: """


@pytest.mark.parametrize(
    "strategy",
    [
        "fedfix",
        "async_weighted",
        "{kind: tifl, tiers: 2, clients_per_round: 2}",
        "{kind: fedat, tiers: 2, clients_per_round: 2}",
        "flanp",
        "{kind: generalized_asyncsgd, sampling: speed}",
    ],
)
def test_a_strategy_that_goes_by_mean_times_refuses_laws_that_have_none(strategy: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_study(TEXT + strategy, catalogue())
    (line,) = str(caught.value).splitlines()
    assert line.startswith("<text>:8: strategy: ")
    assert "uses mean round trips, but clients.compute.jitter has no finite mean" in line
    assert read_study(TEXT.replace("0.9", "1.1") + strategy, catalogue()).cases


@pytest.mark.parametrize(
    "strategy",
    ["{kind: async_weighted, weights: identical}", "generalized_asyncsgd", "safa"],
)
def test_other_strategies_take_laws_without_a_mean(strategy: str) -> None:
    assert read_study(TEXT + strategy, catalogue()).cases


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("clients.compute.jitter_seconds", ("    jitter: ", "    jitter_seconds: ")),
        ("clients.network.upload.jitter", ("    jitter:", "  network:\n    upload: {jitter:")),
        ("training.steps", ("    jitter: ", "training:\n  steps: ")),
    ],
)
def test_every_law_of_a_round_trip_is_looked_at(key: str, change: tuple[str, str]) -> None:
    text = TEXT.replace(*change).replace("seconds_per_task", "seconds_per_step")
    if "upload" in change[1]:
        text = text.replace("true}", "true}}")
    with pytest.raises(ScenarioError, match=f"{key} has no finite mean"):
        read_study(text + "fedfix", catalogue())


def test_a_schedule_that_asks_for_a_mean_that_is_none_is_told_so() -> None:
    def schedule(server: Any) -> Any:
        server.expected_seconds(1)
        yield server.sleep(1)

    compute = {"seconds_per_sample": 1, "jitter": PARETO}
    steps = {"seconds_per_sample": 1}, {"training": {"steps": PARETO}}
    for settings in (scenario(2, compute=compute), scenario(2, compute=steps[0], **steps[1])):
        with pytest.raises(ScenarioError, match="the tasks of client 1 have no finite mean"):
            run(settings, schedule)


def drawn_mean(usual: float, jitter: Distribution, extra: Distribution, longest: float) -> float:
    """By very many draws."""
    u = Streams(3).uniforms("a", 0, np.arange(60_000))
    v = Streams(3).uniforms("b", 0, np.arange(60_000))
    seconds = usual * jitter.quantiles(u) + extra.quantiles(v)
    return float(np.minimum(seconds, longest).mean())


@pytest.mark.parametrize("longest", [0.5, 3.0, 50.0])
@pytest.mark.parametrize(
    ("jitter", "extra"),
    [
        (PARETO, 0.0),
        ({"dist": "expon"}, {"dist": "lognorm", "s": 1.5}),
        (1.0, {"dist": "halfcauchy", "allow_heavy_tail": True}),
        ({"dist": "uniform"}, 0.25),
    ],
)
def test_a_capped_mean_is_that_of_draws(jitter: Any, extra: Any, longest: float) -> None:
    laws = Distribution(jitter), Distribution(extra)
    expected = drawn_mean(1.3, *laws, longest)
    assert mean_of_capped(1.3, *laws, 0, longest) == pytest.approx(expected, rel=0.02)


def test_a_capped_mean_of_steps_is_that_of_their_sums() -> None:
    # The sum of four exponentials is gamma.
    expon, nothing = Distribution({"dist": "expon"}), Distribution(0.0)
    gamma = Distribution({"dist": "gamma", "a": 4})
    found = mean_of_capped_steps(1.0, 4, expon, nothing, 0, 5.0, Streams(1))
    assert found == pytest.approx(drawn_mean(1.0, gamma, nothing, 5.0), rel=0.02)


@pytest.mark.parametrize("per", ["task", "step"])
def test_clients_of_different_speed_differ_even_where_most_tasks_are_cut_off(per: str) -> None:
    def schedule(server: Any) -> Any:
        seconds = [server.expected_seconds(client) for client in range(4)]
        assert seconds[0] < seconds[1] == seconds[2] < seconds[3] < 2
        yield server.sleep(1)

    compute = {
        "seconds_per_step": {"values": [1, 2, 2, 6]},
        "jitter": {"dist": "halfcauchy", "allow_heavy_tail": True},
        "jitter_per": per,
        "max_seconds": 2,
    }
    run(scenario(4, compute=compute, training={"steps": 3}), schedule)


def steps_found(compute: dict[str, Any], clients: int = 1, **sections: Any) -> list[Any]:
    """`expected_steps` of each client: at most 20 steps, polled every 7 s with chance 1/5."""
    found = []

    def ask(server: Any) -> Any:
        for client in range(clients):
            found.append(server.expected_steps(client, most=20, every=7.0, chance=0.2))
        return
        yield

    run(scenario(clients, compute=compute, **sections), ask)
    return found


def test_expected_steps_of_constant_times_are_exact() -> None:
    # 7, 14, ... s hold 3, 7, 10, 14, 17 and 20 steps of 2 s, and the rounds are geometric.
    shares = [0.2 * 0.8**k for k in range(5)]
    mean = sum(p * n for p, n in zip(shares, (3, 7, 10, 14, 17), strict=True)) + 0.8**5 * 20
    assert steps_found({"seconds_per_step": 2}) == [(pytest.approx(mean), 1.0)]
    # The units of a task and of samples: 20 steps of a task, and batches of 1 of 10 samples.
    assert steps_found({"seconds_per_task": 40}) == [(pytest.approx(mean), 1.0)]
    found = steps_found({"seconds_per_sample": 2}, training={"batch_size": 1})
    assert found == [(pytest.approx(mean), 1.0)]
    assert steps_found({"seconds_per_task": 0}) == [(20.0, 1.0)]
    # With one second of download, 6, 13, 20, ... s are left: 3, 6, 10, 13, 17 and 20 steps.
    mean = sum(p * n for p, n in zip(shares, (3, 6, 10, 13, 17), strict=True)) + 0.8**5 * 20
    assert steps_found({"seconds_per_step": 2}, down=1) == [(pytest.approx(mean), 1.0)]
    # A limit of 20 s for the task makes it 20 steps of 1 s: 7, 14 and 20.
    mean = 0.2 * 7 + 0.16 * 14 + 0.64 * 20
    assert steps_found({"seconds_per_step": 2, "max_seconds": 20}) == [(pytest.approx(mean), 1.0)]


def test_expected_steps_of_exponential_times_are_those_of_the_poisson_process() -> None:
    compute = {
        "seconds_per_step": {"values": [2, 16]},
        "jitter": {"dist": "expon"},
        "jitter_per": "step",
    }
    for mean, (steps, some) in zip((2, 16), steps_found(compute, clients=2), strict=True):
        rounds = np.arange(1, 400)
        at_least = poisson.sf(np.arange(20)[:, None], 7 * rounds / mean)
        exact = (at_least * 0.2 * 0.8 ** (rounds - 1)).sum(axis=1)
        assert steps == pytest.approx(exact.sum(), rel=0.005)
        assert some == pytest.approx(exact[0], rel=0.005)


def test_expected_steps_with_a_jitter_of_the_whole_task() -> None:
    # 20 steps of one length, 1 or 10 s: 7, 14, 20 steps, or 0, 1, 2, 2, 3, 4, 4, 5, 6, 7, ...
    law = {"mixture": [{"weight": 1, "dist": 1.0}, {"weight": 1, "dist": 10.0}]}
    fast = 0.2 * 7 + 0.16 * 14 + 0.64 * 20
    slow = sum(0.2 * 0.8 ** (r - 1) * min(20, 7 * r // 10) for r in range(1, 200))
    ((mean, some),) = steps_found({"seconds_per_step": 1, "jitter": law})
    assert mean == pytest.approx((fast + slow) / 2, rel=0.01)
    assert some == pytest.approx((1 + 0.8) / 2, rel=0.01)
