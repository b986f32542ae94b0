"""The result of a scenario depends on the scenario alone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from afl_sim.recording import Run
from afl_sim.scenario import Scenario
from afl_sim.simulation import load_scenario, simulate

SMALLEST = Path(__file__).parents[2] / "scenarios" / "smallest.yaml"
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


BASE = ["data.partition.samples=50", "evaluation.samples=100", "stop.updates=12"]


def small(*settings: str) -> Scenario:
    return load_scenario(SMALLEST, [*BASE, *settings])


def digests(run: Run) -> tuple[str, str]:
    return run.summary["schedule_digest"], run.summary["model_digest"]


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


@pytest.fixture(scope="module")
def trained() -> tuple[str, str]:
    """The digests of a run of the scenario as it is."""
    return digests(simulate(small()))


@pytest.mark.parametrize(
    "change",
    [
        "training.optimizer.lr=0.2",
        "training.optimizer={kind: Adam, lr: 0.5}",
        "training.proximal=0.3",
        "training.clip_norm=1.0",
        "training.shuffle=false",
        "training.loss=mse",
        "training.lr_schedule={kind: step, every: 2, factor: 0.5}",
        "data.normalize=raw",
        "data.validation=0.1",
        "data.partition={kind: iid, samples: 50, order: file}",
        "model={kind: mlp, hidden: [20]}",
        "strategy.server_lr=0.5",
    ],
)
def test_what_only_touches_learning_changes_the_model_alone(
    change: str, trained: tuple[str, str]
) -> None:
    found = digests(simulate(small(change)))
    assert found[0] == trained[0]
    assert found[1] != trained[1], "the setting had no effect: this test could not fail"


@pytest.mark.parametrize(
    "change",
    [
        "evaluation={every_seconds: 0.5, samples: 50}",
        "evaluation.every_versions=1",
        "recording.trace=false",
        "execution.checkpoint_versions=1",
        "name=another",
    ],
)
def test_what_only_looks_on_changes_nothing(change: str, trained: tuple[str, str]) -> None:
    assert digests(simulate(small(change))) == trained


PER_TASK = "clients.compute={seconds_per_task: {dist: lognorm, s: 0.5}}"
DIRICHLET = "data.partition={kind: dirichlet, alpha: 0.3}"


def test_the_partition_touches_time_only_through_the_work_it_makes() -> None:
    for partition in (DIRICHLET, "data.partition={kind: shards, per_client: 2}"):
        assert schedule(partition, PER_TASK) == schedule(PER_TASK)
        assert schedule(partition) != schedule()  # seconds per sample, and other samples


def test_the_model_kind_touches_time_only_through_its_size() -> None:
    mlp = "model={kind: mlp, hidden: [20]}"
    assert schedule(mlp) == schedule()
    assert schedule(mlp, NETWORK) != schedule(NETWORK)


PER_STEP = "clients.compute={seconds_per_step: {dist: lognorm, s: 0.5, scale: 0.1}}"


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ("seed=2", []),
        ("clients.count=11", []),
        (PER_TASK, []),
        ("clients.compute.seconds_per_sample.scale=0.011", []),
        ("clients.compute.jitter={dist: gamma, a: 20, scale: 0.05}", []),
        ("clients.compute.jitter_seconds=0.01", []),
        ("training.epochs=2", []),
        ("training.batch_size=5", [PER_STEP]),
        (NETWORK, []),
        ("server.aggregation_seconds=0.1", []),
        ("strategy.buffer_size=4", []),
        ("strategy.concurrency=6", []),
        ("stop.updates=22", []),
    ],
)
def test_what_touches_time_changes_the_schedule(change: str, settings: list[str]) -> None:
    assert schedule(*settings, change) != schedule(*settings)


def test_a_clients_task_takes_the_same_time_under_every_strategy() -> None:
    durations: dict[tuple[int, int], list[int]] = {}
    jitter = "clients.compute.jitter={dist: gamma, a: 20, scale: 0.05}"
    for kind in ("fedavg", "fedasync", "fedbuff"):
        settings = [f"strategy={STRATEGIES[kind]}", jitter, NETWORK, "stop.updates=60"]
        events = simulate(small(*settings), timing_only=True).events
        for (client, task), rows in events.dropna(subset=["client"]).groupby(["client", "task"]):
            times = rows.set_index(rows.kind.astype(str)).time_us
            if {"dispatched", "arrived"} <= set(times.index):
                took = int(times["arrived"] - times["dispatched"])
                durations.setdefault((int(client), int(task)), []).append(took)
    shared = [took for took in durations.values() if len(took) == 3]
    assert len(shared) > 20
    assert all(len(set(took)) == 1 for took in shared)
    assert len({took[0] for took in shared}) == len(shared)  # not one duration for all


@pytest.fixture
def global_state() -> Iterator[None]:
    """Puts back what the test sets, also where it fails."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


@pytest.mark.usefixtures("global_state")
@pytest.mark.parametrize("model", ["{kind: mlp, hidden: [20], dropout: 0.5}", "lenet"])
def test_a_run_neither_reads_nor_disturbs_global_state(model: str) -> None:
    scenario = small(f"model={model}")
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
    assert seen[0] == seen[1]


@pytest.mark.usefixtures("global_state")
def test_a_run_that_fails_puts_the_global_state_back() -> None:
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    run = simulate(small("training.optimizer.lr=1e38", "data.normalize=raw"))
    assert run.status == "diverged"
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


PRINT_DIGESTS = """
import sys
from afl_sim import load_scenario, simulate
summary = simulate(load_scenario(sys.argv[1], sys.argv[2:])).summary
print(summary["schedule_digest"], summary["model_digest"])
"""


def test_another_process_gives_the_same_digests(trained: tuple[str, str]) -> None:
    """Python's hashes, and with them the order of sets of words, are other ones there."""
    seed_of_hashes = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS, str(SMALLEST), *BASE],
        env={**os.environ, "PYTHONHASHSEED": seed_of_hashes, "OMP_NUM_THREADS": "2"},
        cwd=SMALLEST.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert tuple(done.stdout.split()) == trained


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
