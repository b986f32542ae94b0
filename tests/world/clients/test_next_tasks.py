"""Tasks that are planned ahead have the times of tasks that are planned one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from world_runs import run, scenario

from afl_sim.world.clients.next_tasks import NextTasks
from afl_sim.world.server.parts import Parts
from afl_sim.world.tasks.task import Task

CLIENTS = 50
LOGNORM = {"dist": "lognorm", "s": 0.8, "scale": 5e4}
EXPON = {"dist": "expon"}
TRANSFERS = [
    f"{leg}_{what}" for leg in ("download", "upload") for what in ("us", "bytes", "work_us")
]


def parts(**sections: Any) -> Parts:
    """What the server of a scenario is made of."""

    def nothing(server: Any) -> Iterator[Any]:
        yield server.sleep(1)

    return run(scenario(CLIENTS, **sections), nothing, samples_of=samples).world._parts


def samples(client: int) -> int:
    return client % 7  # some have none


@pytest.mark.parametrize(
    "sections",
    [
        {"compute": {"seconds_per_sample": LOGNORM, "jitter": EXPON}},
        {"compute": {"seconds_per_step": {"dist": "uniform"}, "jitter_seconds": EXPON}},
        {"compute": {"seconds_per_task": 1.5, "jitter": {"dist": "pareto", "b": 1.1}}},
        {"compute": {"seconds_per_task": EXPON, "jitter": EXPON, "max_seconds": 0.5}},
        {"compute": {"seconds_per_sample": {"values": list(range(CLIENTS))}, "jitter": EXPON}},
        {"compute": {"seconds_per_task": 0, "jitter_seconds": {"sequence": [3, 0.1, 2]}}},
        {"compute": {"seconds_per_task": EXPON}, "down": {"latency": 0.1, "bandwidth": LOGNORM}},
        {"compute": {"seconds_per_task": EXPON}, "up": {"latency": EXPON, "loss": 0.3}},
        {"up": {"latency": 0, "loss": 0.5}, "down": {"latency": 0.2, "jitter": EXPON}},
        {"up": {"latency": EXPON, "bandwidth": LOGNORM, "jitter": EXPON, "loss": 0.1}},
        {
            "server": {
                "download": {"kind": "uncontended", "bandwidth": 3e3, "jitter": EXPON},
                "upload": {"kind": "uncontended", "bandwidth": 1e5},
            }
        },
        {"server": {"upload": {"kind": "fifo", "bandwidth": 3e3}}, "up": {"latency": EXPON}},
        {"compute": {"seconds_per_task": {"values": [1e200, *range(1, CLIENTS)]}}, "down": 1e-9},
        {"training": {"steps": 3, "batch_size": 2}, "compute": {"seconds_per_step": EXPON}},
    ],
)
def test_plans_ahead_are_those_of_single_tasks(sections: dict[str, Any]) -> None:
    ahead, single = parts(**sections), parts(**sections)
    assert ahead.durations.in_blocks
    plans: dict[int, Any] = {}
    sent = {3: 5, 7: 1}
    following = NextTasks(ahead.durations, ahead.sender._workload, sent, plans, CLIENTS)
    for clients in ([*range(CLIENTS), 3, 3, 7], [4, 3, 5]):  # the second time, they are known
        following.expect(np.array(clients))
    assert plans
    assert {3 << 32 | number for number in (5, 6, 7)} & plans.keys()
    for address, planned in plans.items():
        client, number = divmod(address, 2**32)
        amount = single.sender._workload.amount(client, number)
        task = Task(client, number, 0, *amount, 0)
        single.durations.plan(task)
        transfers = tuple(getattr(task, name) for name in TRANSFERS)
        assert planned == [*amount, task.compute_us, *transfers]


def test_what_may_be_no_duration_is_not_planned_ahead() -> None:
    never = {"values": [1e308, 1e300, *range(1, CLIENTS - 1)]}
    found = parts(compute={"seconds_per_sample": never, "jitter": EXPON})
    plans: dict[int, Any] = {}
    NextTasks(found.durations, found.sender._workload, {}, plans, 6).expect(np.arange(6))
    assert sorted(plans) == [client << 32 for client in (2, 3, 4, 5)]


@pytest.mark.parametrize("most", [4, 8])
def test_clients_that_share_a_place_take_turns(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("afl_sim.world.clients.next_tasks._PLACES", 4)
    monkeypatch.setattr("afl_sim.world.clients.next_tasks._MOST_PLACES", most)
    found = parts(compute={"seconds_per_sample": 0.001, "jitter": EXPON})
    few: dict[int, Any] = {}
    turns = NextTasks(found.durations, found.sender._workload, {}, few, CLIENTS)
    for clients in ([1, 5, 9], [5], [1, 2], [9, 5], [1], [5], [9]):
        turns.expect(np.array(clients))
    assert turns._places == most
    monkeypatch.undo()
    each: dict[int, Any] = {}
    NextTasks(found.durations, found.sender._workload, {}, each, CLIENTS).expect(np.arange(10))
    assert few == {address: each[address] for address in few}
    assert sorted(few) == [client << 32 for client in (1, 2, 5, 9)]
