"""FedQueue: budgets, admission and rounds, worked out by hand from the authors' scheduler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vectors import assert_is, step, trained, vec
from world_runs import Outcome, run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.strategies import FedQueue
from afl_sim.strategies.methods.fedqueue import Queues
from afl_sim.world.server.server import Server
from afl_sim.world.tasks.task import Phase, Task, Timing

SMALL: dict[str, Any] = {
    "kind": "fedqueue",
    **{"round_seconds": 20, "safety_seconds": 2, "queue_seconds": 0, "warm_up_steps": 4},
    "admission": 0.1,
}


def test_the_model_is_the_mean_of_models_by_steps_and_staleness() -> None:
    batch = [replace(trained(7, 0), steps=6), replace(trained(0, 14, tau=2), steps=2)]
    # 6 and 2 / (1 + 2/2): weights of 6/7 and 1/7
    assert_is(step(FedQueue(), vec(9, 9), batch), 6, 2)
    constant = FedQueue(staleness={"kind": "constant"})
    assert_is(step(constant, vec(9, 9), batch), 5.25, 3.5)


def test_shares_may_be_those_of_samples() -> None:
    batch = [replace(trained(8, 0, n=1), steps=6), replace(trained(0, 8, n=3, tau=0), steps=2)]
    assert_is(step(FedQueue(shares="samples"), vec(9, 9), batch), 2, 6)


def test_updates_that_count_nothing_leave_the_model_as_it_is() -> None:
    assert_is(step(FedQueue(), vec(9, 9), [replace(trained(7, 0), steps=0)]), 9, 9)


def arrived(client: int, steps: int, base: int = 0) -> Task:
    task = Task(client, 0, base, steps, steps, 0)
    task.phase = Phase.ARRIVED
    return task


def test_work_is_what_fits_into_a_round_after_the_expected_queue() -> None:
    queues = Queues(FedQueue(**SMALL))
    queues.arrive(arrived(0, steps=4), Timing(waited=0, computed=4))
    queues.arrive(arrived(1, steps=4), Timing(waited=1, computed=8))
    assert queues.work(0) == (18, 8 / 18)  # (20 - 0 - 2) / 1
    assert queues.work(1) == (8, 1)  # (20 - 1/2 - 2) / 2 = 8.75
    queues.arrive(arrived(1, steps=8), Timing(waited=6, computed=32))
    # q = 6/2 + 0.5/2 = 3.25, c = 4/2 + 2/2 = 3: 14.75 / 3 = 4.9, and at least 4
    assert queues.work(1) == (4, 1)
    queues.arrive(arrived(0, steps=18), Timing(waited=90, computed=18))
    assert queues.work(0) == (4, 1)  # 0.5 s are left: not even one step


def test_the_margin_of_an_admission_is_counted_from_the_queue_that_was_expected() -> None:
    queues = Queues(FedQueue(**{**SMALL, "queue_seconds": 3}))
    queues.arrive(arrived(0, steps=4), Timing(waited=5, computed=4))  # 3 + 0.1 * 20
    queues.arrive(arrived(1, steps=4), Timing(waited=5.01, computed=4))
    assert [task.client for task in queues.admitted] == [0]
    assert [task.client for task in queues.late] == [1]
    # Now 4 + 2 are expected of client 0.
    queues.arrive(arrived(0, steps=4), Timing(waited=6, computed=4))
    assert [task.client for task in queues.admitted] == [0, 0]


def made(outcome: Outcome) -> list[tuple[float, int, int, int, int]]:
    """(second, version, client, steps, staleness) of each aggregated update."""
    return [
        (e.time_us / 1e6, e.version, e.client, e.steps, e.staleness)
        for e in outcome.of("aggregated")
    ]


def work(compute: dict[str, Any], until: float, clients: int = 2, **settings: Any) -> Outcome:
    stop = {"virtual_seconds": until}
    strategy = {**SMALL, **settings}
    return run(scenario(clients, strategy=strategy, compute=compute, stop=stop))


QUEUES = {
    "seconds_per_step": {"values": [1, 2]},
    "jitter_seconds": {"values": [0, {"sequence": [1, 6, 1]}]},
}


def test_a_client_that_waits_too_long_has_a_part_in_the_step_after_the_next() -> None:
    outcome = work(QUEUES, until=68)
    assert made(outcome) == [
        (9, 1, 0, 4, 0),
        (9, 1, 1, 4, 0),
        (31, 2, 0, 18, 0),  # client 1 has waited for 6 s: late
        (49, 3, 1, 8, 1),
        (49, 3, 0, 18, 0),
        (67, 4, 1, 7, 0),  # a queue of 3.25 s was expected
        (67, 4, 0, 18, 0),
    ]


def test_tasks_are_sent_with_the_rate_of_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    factors: list[tuple[int, float]] = []
    dispatch = Server.dispatch

    def spy(self: Server, client: Any, **order: Any) -> Any:
        if "lr_factor" in order:
            factors.append((client, order["lr_factor"]))
        return dispatch(self, client, **order)

    monkeypatch.setattr(Server, "dispatch", spy)
    work(QUEUES, until=68)
    assert factors == [
        *((0, 8 / 18), (1, 1)),  # at 9 s
        (0, 7 / 18),  # at 31 s
        *((0, 7 / 18), (1, 1)),  # at 49 s
        *((1, 1), (0, 7 / 18)),  # at 67 s, in the order of arrival
    ]


def test_a_round_ends_without_those_who_are_not_there() -> None:
    # Client 1 computes three times as long in its second task: until 58 s.
    slow = {"seconds_per_step": 1, "jitter": {"values": [1, {"sequence": [1, 3, 1]}]}}
    outcome = work(slow, until=69)
    assert made(outcome) == [
        (4, 1, 0, 4, 0),
        (4, 1, 1, 4, 0),
        (27, 2, 0, 18, 0),  # 1.15 * 20 s after the step before
        (50, 3, 0, 18, 0),
        (68, 4, 1, 18, 2),
        (68, 4, 0, 18, 0),
    ]


def test_if_all_are_late_they_make_the_step() -> None:
    waiting = {"seconds_per_step": 1, "jitter_seconds": 9}
    outcome = work(waiting, until=30, clients=1)
    assert [row[:4] for row in made(outcome)][:1] == [(13, 1, 0, 4)]


def test_after_a_round_without_an_arrival_the_next_arrival_begins_one() -> None:
    # Client 0 makes the step at 27 s, and then computes for 18 * 9 s; client 1 comes at 80 s.
    slow = {
        "seconds_per_step": 1,
        "jitter": {"values": [{"sequence": [1, 9, 1]}, {"sequence": [20, 1]}]},
    }
    outcome = work(slow, until=104)
    assert made(outcome) == [(27, 1, 0, 4, 0), (103, 2, 1, 4, 1)]


def test_the_work_of_a_client_that_is_lost_is_not_waited_for_for_ever() -> None:
    fleet = {"availability": {"kind": "always", "leaves": {"values": [1000, 5]}}}
    compute = {"seconds_per_step": 1}
    outcome = run(scenario(2, strategy=SMALL, compute=compute, fleet=fleet, stop={"versions": 4}))
    assert [row[2] for row in made(outcome)][-3:] == [0, 0, 0]


def test_a_task_has_no_more_than_the_most_steps() -> None:
    queues = Queues(FedQueue(**SMALL, max_steps=7))
    queues.arrive(arrived(0, steps=4), Timing(waited=0, computed=4e-6))
    assert queues.work(0) == (7, 1)
    assert [path for path, _ in FedQueue(warm_up_steps=9, max_steps=8).check(5)] == [
        ("warm_up_steps",)
    ]


def test_steps_must_take_time() -> None:
    queues = Queues(FedQueue(**SMALL))
    with pytest.raises(ScheduleError, match="the scheduler needs the time of a step, and client 3"):
        queues.arrive(arrived(3, steps=4), Timing(waited=1, computed=0))
    queues.arrive(arrived(4, steps=0), Timing(waited=1, computed=0))  # it has no samples
    assert queues.work(4) == (4, 1)
