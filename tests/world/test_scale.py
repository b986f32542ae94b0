"""Size: what a run costs does not grow with the population, nor its memory with its length."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from world_runs import scenario

from afl_sim.global_model.null import NullLearner
from afl_sim.recording import events, load_run
from afl_sim.recording.events import EventLog
from afl_sim.run.api import load_scenario, simulate
from afl_sim.streams import Streams
from afl_sim.world.clients.idle import IdleClients
from afl_sim.world.world import World

TASK: Any = object()


def fisher_yates(streams: Streams, drawn: int, n: int, pool: Sequence[int]) -> list[int]:
    """The textbook's shuffle of a whole list, cut off after n."""
    pool = list(pool)
    n = min(n, len(pool))
    for i in range(n):
        j = i + int(streams.uniform("selection", 0, drawn + i) * (len(pool) - i))
        pool[i], pool[j] = pool[j], pool[i]
    return pool[:n]


def test_few_idle_clients_are_drawn_as_if_listed_anew_each_time() -> None:
    streams, clients = Streams(3), 50
    idle = IdleClients(clients, streams)
    for client in range(clients):
        idle.start(client, TASK)
    script = np.random.default_rng(1)
    drawn = 0
    for _ in range(400):
        for client in script.choice(clients, 3, replace=False).tolist():
            if client in idle.busy:
                idle.end(client)
            elif len(idle) > 2:
                idle.start(client, TASK)
        n = int(script.integers(1, 4))
        if len(idle) * 8 >= clients + 8 * n:  # many are idle: drawn by rejection, and put back
            for client in [c for c in range(clients) if c in idle][2:]:
                idle.start(client, TASK)
        free = [client for client in range(clients) if client not in idle.busy]
        expected = fisher_yates(streams, drawn, n, free)
        assert idle.draw(n) == expected
        drawn += len(expected)
    assert drawn > 400


def test_the_list_of_the_idle_goes_when_many_are_idle_again() -> None:
    idle = IdleClients(100, Streams(1))
    for client in range(95):
        idle.start(client, TASK)
    assert set(idle.draw(5)) == set(range(95, 100))
    for client in range(95):
        idle.end(client)
    drawn = idle.draw(100)
    assert sorted(drawn) == list(range(100))


def test_nobody_is_drawn_where_nobody_is_asked_for() -> None:
    idle = IdleClients(100, Streams(1))
    assert idle.draw(0) == []
    for client in range(95):
        idle.start(client, TASK)
    assert idle.draw(0) == []


def test_a_task_in_place_of_another_leaves_the_client_busy() -> None:
    idle = IdleClients(4, Streams(1))
    for client in range(3):
        idle.start(client, TASK)
    assert idle.draw(1) == [3]
    idle.start(1, TASK)
    assert idle.draw(4) == [3]


def test_a_sample_of_all_clients_is_the_textbooks() -> None:
    idle = IdleClients(30, Streams(7))
    assert idle.sample(20) == fisher_yates(Streams(7), 0, 20, range(30))


FEDBUFF = {"kind": "fedbuff", "concurrency": 200, "buffer_size": 20}


def memory_of(
    clients: int, updates: int, folder: Path, strategy_block: dict[str, Any] = FEDBUFF
) -> float:
    """The most memory (MB) that a run of 200 concurrent tasks allocates."""
    compute = {
        "seconds_per_task": {"dist": "lognorm", "s": 1.0},
        "jitter": {"dist": "gamma", "a": 4, "scale": 0.25},
    }
    built = scenario(
        clients,
        strategy=strategy_block,
        compute=compute,
        down=0.01,
        up={"dist": "expon"},
        stop={"updates": updates},
    )
    strategy: Any = built.strategy
    tracemalloc.start()
    try:
        with EventLog(folder / f"{clients}-{updates}.parquet") as log:
            World(built, strategy, lambda client: 10, 1000, NullLearner(), log.append).run()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> float:
    monkeypatch.setattr(events, "_BLOCKS_PER_ROW_GROUP", 1)  # of 8192 events, not 131,072
    memory_of(300, 2000, tmp_path)  # imports
    return memory_of(300, 3000, tmp_path)


def test_memory_does_not_grow_with_the_length_of_a_run(small: float, tmp_path: Path) -> None:
    assert memory_of(300, 9000, tmp_path) < small + 0.5  # 30,000 further events are 2.6 MB


def test_a_hundred_million_clients_cost_what_those_that_are_sent_tasks_cost(
    small: float, tmp_path: Path
) -> None:
    found = memory_of(100_000_000, 3000, tmp_path)
    assert found < small + 3200 * 0.0015  # 1.5 kB for each: its number of tasks, and bounded caches


def test_queues_cost_nothing_where_there_are_no_tasks(small: float, tmp_path: Path) -> None:
    queues = {"kind": "generalized_asyncsgd", "concurrency": 200}
    found = memory_of(100_000_000, 3000, tmp_path, queues)
    assert found < small + 3200 * 0.0015


def test_ten_billion_clients_that_draw_on_demand_are_simulated_and_read(tmp_path: Path) -> None:
    settings = [
        "clients={count: 10000000000, compute: {seconds_per_task: 1.0}}",
        "data.partition={kind: iid, samples: 10, replacement: true}",
        "stop.updates=20",
    ]
    large = load_scenario("scenarios/smallest.yaml", settings)
    run = simulate(large, tmp_path / "run", timing_only=True)
    tasks = load_run(run.path).tasks
    assert int((tasks["fate"] == "aggregated").sum()) == 20
    assert tasks["client"].max() > 2**32
    assert len(tasks) == run.summary["updates"]["dispatched"]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_as_many_idle_clients_are_drawn_as_are_asked_for(n: int) -> None:
    assert len(IdleClients(100, Streams(1)).draw(n)) == n
