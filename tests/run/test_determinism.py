"""The result of a scenario depends on the scenario alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from places import SMALLEST
from run_checks import digests

from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario import Scenario

STRATEGIES = {
    "fedavg": "{kind: fedavg, clients_per_round: 4}",
    "fedprox": "{kind: fedprox, clients_per_round: 4, stragglers: 0.5, straggler_epochs: 2}",
    "fedasync": "{kind: fedasync, concurrency: 4}",
    "fedbuff": "{kind: fedbuff, concurrency: 5, buffer_size: 3}",
    "ringmaster": "{kind: ringmaster, delay_threshold: 3}",
    "quafl": "{kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}",
    "fedat": "{kind: fedat, tiers: 2, clients_per_round: 3}",
}
NETWORK = "clients.network={upload: {latency: 0.1, bandwidth: {dist: lognorm, s: 1, scale: 3e4}}}"


def small(*settings: str) -> Scenario:
    base = ["data.partition.samples=50", "evaluation.samples=100", "stop.updates=12"]
    return load_scenario(SMALLEST, [*base, *settings])


def schedule(*settings: str, timing_only: bool = True) -> str:
    run = simulate(small(*settings), timing_only=timing_only)
    return str(run.summary["schedule_digest"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_runs_are_the_same_and_another_seed_is_not(strategy: str) -> None:
    chosen = f"strategy={STRATEGIES[strategy]}"
    first, second = simulate(small(chosen)), simulate(small(chosen))
    assert digests(first) == digests(second)
    assert first.events.equals(second.events)
    assert first.metrics.equals(second.metrics)
    other = simulate(small(chosen, "seed=2"))
    assert all(a != b for a, b in zip(digests(first), digests(other), strict=True))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_schedule_is_the_same_without_training(strategy: str) -> None:
    settings = [f"strategy={STRATEGIES[strategy]}", NETWORK]
    trained, timed = schedule(*settings, timing_only=False), schedule(*settings)
    assert trained == timed


@pytest.mark.parametrize(
    "change",
    [
        "training.optimizer={kind: Adam, lr: 0.5}",
        "training.proximal=0.3",
        "training.clip_norm=1.0",
        "training.shuffle=false",
        "training.loss=mse",
        "training.lr_schedule={kind: step, every: 2, factor: 0.5}",
        "data.normalize=raw",
        "data.partition={kind: iid, samples: 50, order: file}",
        "model={kind: mlp, hidden: [20]}",
        "evaluation={every_seconds: 0.5, samples: 50}",
        "recording.trace=false",
        "execution.checkpoint_versions=1",
    ],
)
def test_what_does_not_touch_time_does_not_change_the_schedule(change: str) -> None:
    assert schedule(change) == schedule()


@pytest.mark.parametrize(
    "change",
    [
        "training.batch_size=5",
        "clients.compute.jitter={dist: gamma, a: 20, scale: 0.05}",
        NETWORK,
        "strategy.buffer_size=4",
        "server.aggregation_seconds=0.1",
    ],
)
def test_what_touches_time_changes_the_schedule(change: str) -> None:
    if change.startswith("training.batch_size"):
        speed = "clients.compute={seconds_per_step: {dist: lognorm, s: 0.5, scale: 0.1}}"
        assert schedule(change, speed) != schedule(speed)
    else:
        assert schedule(change) != schedule()


def test_the_model_kind_touches_time_only_through_its_size() -> None:
    mlp = "model={kind: mlp, hidden: [20]}"
    assert schedule(mlp, NETWORK) != schedule(NETWORK)


def test_a_clients_task_takes_the_same_time_under_every_strategy() -> None:
    durations: dict[tuple[int, int], set[int]] = {}
    jitter = "clients.compute.jitter={dist: gamma, a: 20, scale: 0.05}"
    for kind in ("fedavg", "fedasync", "fedbuff"):
        settings = [f"strategy={STRATEGIES[kind]}", jitter, NETWORK, "stop.updates=60"]
        events = simulate(small(*settings), timing_only=True).events
        for (client, task), rows in events.dropna(subset=["client"]).groupby(["client", "task"]):
            times = rows.set_index(rows.kind.astype(str)).time_us
            if {"dispatched", "arrived"} <= set(times.index):
                took = int(times["arrived"] - times["dispatched"])
                durations.setdefault((int(client), int(task)), set()).add(took)
    assert len(durations) > 30
    assert all(len(seen) == 1 for seen in durations.values())


def test_a_run_neither_reads_nor_disturbs_global_state() -> None:
    scenario = small("model={kind: mlp, hidden: [20], dropout: 0.5}")
    threads = torch.get_num_threads()
    seen = []
    for seed, count in ((1, 1), (99, 2)):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # the global generator is what is being tested
        random.seed(seed)
        torch.set_num_threads(count)
        torch_state, python_state = torch.get_rng_state(), random.getstate()
        numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
        seen.append(digests(simulate(scenario)))
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert random.getstate() == python_state
        assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002
        assert torch.get_num_threads() == count
        assert not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    assert seen[0] == seen[1]


def test_the_resolved_scenario_is_the_same_run() -> None:
    first = simulate(small(NETWORK, "training.epochs={dist: randint, low: 1, high: 4}"))
    again = simulate(load_scenario(first.path / "scenario.yaml"))
    assert digests(first) == digests(again)
    assert first.path.name == again.path.name  # the name holds the scenario's identity


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_counts_of_tasks_balance(strategy: str) -> None:
    settings = [f"strategy={STRATEGIES[strategy]}", "stop.updates=50"]
    run = simulate(small(*settings), timing_only=True)
    n = run.summary["updates"]
    assert n["dispatched"] == n["arrived"] + n["failed"] + n["cancelled"] + n["in_flight"]
    assert n["arrived"] == n["aggregated"] + n["discarded"] + n["buffered"]
    rows = run.events.kind.value_counts()
    for kind in ("dispatched", "arrived", "aggregated", "discarded", "cancelled"):
        assert rows[kind] == n[kind]
