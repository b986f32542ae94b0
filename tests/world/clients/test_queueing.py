"""Clients that queue tasks, and what the server's words mean then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from places import SMALLEST
from world_runs import SECOND, Outcome, run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.run.api import load_scenario
from afl_sim.run.summary import check_balance
from afl_sim.streams import Streams

Schedule = Iterator[Any]


def world(durations: Any, *, fleet: dict[str, Any] | None = None, **sections: Any) -> Any:
    return scenario(durations, fleet={"queue": "fifo", **(fleet or {})}, **sections)


def several(server: Any, count: int = 3) -> Schedule:
    """Send client 0 some tasks at once, and wait for what arrives of them."""
    tasks = [server.dispatch(0, retry=False) for _ in range(count)]
    yield server.wait(tasks)


def rows(outcome: Outcome, *kinds: str) -> list[tuple[float, str, int]]:
    """(seconds, kind, task) of these kinds, or of all."""
    return [
        (event.time_us / SECOND, event.kind, event.task)
        for event in outcome.events
        if (event.kind in kinds if kinds else event.kind != "evaluated")
    ]


# -- the queue -------------------------------------------------------------------------------------


def test_a_client_computes_its_tasks_one_at_a_time_in_order() -> None:
    outcome = run(world([[3, 2, 4]]), several)
    assert rows(outcome) == [
        (0, "dispatched", 0),
        (0, "downloaded", 0),
        (0, "dispatched", 1),
        (0, "downloaded", 1),
        (0, "queued", 1),
        (0, "dispatched", 2),
        (0, "downloaded", 2),
        (0, "queued", 2),
        (3, "computed", 0),
        (3, "arrived", 0),
        (3, "started", 1),
        (5, "computed", 1),
        (5, "arrived", 1),
        (5, "started", 2),
        (9, "computed", 2),
        (9, "arrived", 2),
    ]


def test_without_a_queue_a_client_at_work_is_sent_nothing() -> None:
    with pytest.raises(ScheduleError, match="client 0 cannot be sent a task: it has one"):
        run(scenario([3]), several)
    with pytest.raises(ScheduleError, match="client 1 cannot be sent a task"):
        run(world([3]), lambda server: iter([server.dispatch(1)]))


def test_a_task_that_finds_its_client_free_has_no_row_of_its_wait() -> None:
    def schedule(server: Any) -> Schedule:
        for _ in range(3):
            yield server.wait([server.dispatch(0)])

    assert not run(world([2]), schedule).of("queued", "started")


def test_each_queued_task_trains_from_the_version_it_was_sent_with() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        for _ in range(3):
            server.dispatch(1)
            yield server.aggregate([(yield server.arrival())])
            if server.version < 3:
                server.dispatch(0)
        while server.in_flight:
            yield server.aggregate([(yield server.arrival())])

    # Client 0 delivers each second; client 1 takes 10 s for each of what it was sent meanwhile.
    outcome = run(world([1, 10]), schedule)
    found = [(e.time_us / SECOND, e.base_version, e.staleness) for e in outcome.of("aggregated")]
    assert found[:3] == [(1, 0, 0), (2, 1, 0), (3, 2, 0)]
    assert found[3:] == [(10, 0, 3), (20, 1, 3), (30, 2, 3)]


def test_models_queue_as_they_arrive_and_uploads_keep_nobody_waiting() -> None:
    # The first model takes 5 s to arrive, the second 1 s; each upload takes 4 s.
    down = {"latency": 1, "jitter": {"sequence": [5, 1]}}
    outcome = run(world([[3, 6]], down=down, up=4), lambda server: several(server, 2))
    assert rows(outcome, "downloaded", "started", "computed", "arrived") == [
        (1, "downloaded", 1),
        (5, "downloaded", 0),
        (7, "computed", 1),
        (7, "started", 0),
        (10, "computed", 0),
        (11, "arrived", 1),
        (14, "arrived", 0),
    ]


def test_a_slowed_down_client_computes_as_fast_as_it_is_when_the_turn_comes() -> None:
    # Half speed in the first ten seconds of each twenty: 4 s of work take 8 s; 2 + 3 s; 4 s.
    hours = {"speed": [0.5, 1.0], "period_seconds": 20}
    compute = {"seconds_per_task": 4, "hours": hours}
    outcome = run(world(1, compute=compute), lambda server: several(server, 3))
    assert [time for time, _, _ in rows(outcome, "computed")] == [8, 13, 17]


def test_a_queued_task_is_due_after_those_before_it() -> None:
    # What trains first is what is due first.
    def schedule(server: Any) -> Schedule:
        tasks = [server.dispatch(0) for _ in range(3)]
        assert [task.due_us / SECOND for task in tasks] == [4, 6, 10]
        yield server.wait(tasks)
        assert [task.due_us / SECOND for task in tasks] == [4, 6, 10]

    run(world([[3, 2, 4]], up=1), schedule)


# -- the server's words ----------------------------------------------------------------------------


def test_a_client_is_idle_when_none_of_its_tasks_is_left() -> None:
    def schedule(server: Any) -> Schedule:
        first, second = server.dispatch(0), server.dispatch(0)
        assert server.idle == 1
        assert server.task(0) is first
        assert server.in_flight == (first, second)
        assert (yield server.arrival()) is first
        assert server.idle == 1
        assert server.task(0) is second
        assert (yield server.arrival()) is second
        assert server.idle == 2
        assert server.task(0) is None

    run(world([3, 1]), schedule)


def test_a_later_task_may_arrive_first() -> None:
    up = {"latency": 1, "jitter": {"sequence": [9, 1]}}

    def schedule(server: Any) -> Schedule:
        first, second = server.dispatch(0), server.dispatch(0)
        assert (yield server.arrival()) is second
        assert server.task(0) is first
        assert server.idle == 0
        assert (yield server.arrival()) is first
        assert server.idle == 1

    run(world([1], up=up), schedule)


def test_clients_at_work_are_drawn_like_others() -> None:
    drawn: Counter[int] = Counter()

    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1])
        for _ in range(400):
            drawn.update([server.pick_one(), *server.pick(2), *server.workers(1)])
        assert sorted(server.pick(9)) == [0, 1, 2, 3]
        assert server.pick(9, among=[1]) == [1]
        yield server.wait_idle(4)
        assert server.now == 0

    run(world([100] * 4), schedule)
    assert min(drawn.values()) > 330
    assert drawn.total() == 1600


def test_selection_chooses_among_clients_at_work_as_well() -> None:
    def schedule(server: Any) -> Schedule:
        for _ in range(6):
            server.send()
        assert server.idle == 0
        yield server.sleep(1)

    settings = world([100] * 3, server={"selection": "round_robin"})
    assert [row.client for row in run(settings, schedule).of("dispatched")] == [0, 1, 2, 0, 1, 2]


def test_a_strategy_of_constant_concurrency_then_draws_anyone() -> None:
    settings = world(
        4,
        compute={"seconds_per_task": {"dist": "expon", "scale": 1}},
        strategy={"kind": "fedasync", "concurrency": 3},
        stop={"updates": 200},
    )
    outcome = run(settings)
    assert outcome.server.counts.peak_in_flight == 3
    assert outcome.of("started")


def test_a_queued_task_can_be_cancelled_and_discarded() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = [server.dispatch(0) for _ in range(4)]
        yield server.sleep(1)
        server.cancel(tasks[1])
        server.discard(tasks[2])
        assert (yield server.wait(tasks)) == [tasks[0], tasks[3]]

    outcome = run(world([2]), schedule)
    assert rows(outcome, "started", "cancelled", "arrived", "discarded") == [
        (1, "cancelled", 1),
        (2, "arrived", 0),
        (2, "started", 2),
        (4, "arrived", 2),
        (4, "discarded", 2),
        (4, "started", 3),
        (6, "arrived", 3),
    ]
    check_balance(outcome.server.counts)


def test_cancelling_the_task_at_work_makes_way_for_the_next() -> None:
    def schedule(server: Any) -> Schedule:
        first, second = server.dispatch(0), server.dispatch(0)
        yield server.sleep(1)
        server.cancel(first)
        assert server.idle == 0
        assert server.task(0) is second
        yield server.wait([second])

    outcome = run(world([5]), schedule)
    assert rows(outcome)[5:] == [
        (1, "cancelled", 0),
        (1, "started", 1),
        (6, "computed", 1),
        (6, "arrived", 1),
    ]


def test_a_recalled_task_makes_way_and_a_queued_one_has_done_nothing() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = [server.dispatch(0) for _ in range(3)]
        yield server.sleep(2)
        server.recall(tasks[1])
        server.recall(tasks[0])
        arrived = yield server.wait(tasks)
        assert [(task.task, task.steps) for task in arrived] == [(1, 0), (0, 5), (2, 10)]

    outcome = run(world([4], training={"steps": 10}), schedule)
    assert rows(outcome, "computed", "started") == [
        (2, "computed", 1),
        (2, "computed", 0),
        (2, "started", 2),
        (6, "computed", 2),
    ]


def test_a_client_that_queues_cannot_be_polled() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0, until_polled=True)])

    with pytest.raises(ScheduleError, match="clients that queue tasks cannot be polled"):
        run(world([4]), schedule)


def test_waiting_in_a_queue_is_not_work() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = [server.dispatch(0) for _ in range(4)]
        yield server.wait(tasks[:2])
        server.cancel(tasks[3])
        yield server.sleep(99)

    outcome = run(world([[3, 2, 4]], down=1, stop={"virtual_seconds": 7}), schedule)
    # 0: 1 + 3. 1: 1 + 2. 3: its download; the rest of its time it waited.
    assert outcome.server.counts.busy_us == (4 + 3 + 1) * SECOND
    (left,) = outcome.server.in_flight
    assert left.busy_us(7 * SECOND) == 2 * SECOND  # 1 s of download, and at work from 6 s on


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_crash_makes_way_for_the_next_task() -> None:
    streams = Streams(3)
    doomed = [k for k in range(12) if streams.uniform("faults.crash", 0, k) < 0.5]
    settings = world([4], fleet={"faults": {"crash": 0.5}}, seed=3)
    outcome = run(settings, lambda server: several(server, 12))
    assert [task for _, _, task in rows(outcome, "failed")] == doomed
    assert len(outcome.of("arrived")) == 12 - len(doomed)
    assert 0 < len(doomed) < 12
    ends = {task: time for time, _, task in rows(outcome, "failed", "computed")}
    starts = {task: time for time, _, task in rows(outcome, "started")}
    assert starts == {task: ends[task - 1] for task in range(1, 12)}


def leaving(on_leave: str) -> dict[str, Any]:
    """Client 0 leaves at 3 s and is back at 13 s."""
    gone = {"on": {"sequence": [3, 100]}, "off": 10}
    return {"availability": {"kind": "on_off", **gone, "on_leave": on_leave}}


def test_all_that_a_client_has_is_lost_when_it_leaves() -> None:
    outcome = run(world([2], fleet=leaving("lost")), several)
    assert rows(outcome)[8:] == [
        (2, "computed", 0),
        (2, "arrived", 0),
        (2, "started", 1),
        (3, "unavailable", -1),
        (3, "failed", 2),
        (3, "failed", 1),
    ]
    assert outcome.server.idle == 1


def test_all_that_a_client_has_waits_until_it_is_back() -> None:
    outcome = run(world([2], fleet=leaving("paused")), several)
    assert rows(outcome)[10:] == [
        (2, "started", 1),
        (3, "unavailable", -1),
        (13, "available", -1),
        (14, "computed", 1),
        (14, "arrived", 1),
        (14, "started", 2),
        (16, "computed", 2),
        (16, "arrived", 2),
    ]


def test_a_client_that_leaves_sends_what_it_has_done_of_the_task_at_work() -> None:
    settings = world([2], fleet=leaving("partial"), up=2, training={"steps": 10})
    outcome = run(settings, several)
    assert rows(outcome)[9:] == [
        (2, "started", 1),
        (3, "unavailable", -1),
        (3, "failed", 2),
        (3, "computed", 1),
        (4, "arrived", 0),
        (5, "arrived", 1),
    ]
    assert outcome.of("arrived")[1].steps == 5


def test_a_turn_that_comes_while_the_client_is_away_is_taken_when_it_is_back() -> None:
    def schedule(server: Any) -> Schedule:
        first, second = server.dispatch(0), server.dispatch(0)
        yield server.sleep(5)
        server.cancel(first)
        yield server.wait([second])

    outcome = run(world([4], fleet=leaving("paused")), schedule)
    assert rows(outcome)[5:] == [
        (3, "unavailable", -1),
        (5, "cancelled", 0),
        (13, "available", -1),
        (13, "started", 1),
        (17, "computed", 1),
        (17, "arrived", 1),
    ]


def test_tasks_for_a_client_that_is_away_are_all_sent_when_it_is_back() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.sleep(4)
        tasks = [server.dispatch(0), server.dispatch(0)]
        assert server.idle == 0
        server.cancel(server.dispatch(0))
        yield server.wait(tasks)
        assert server.idle == 1

    outcome = run(world([2], fleet=leaving("lost")), schedule)
    assert rows(outcome, "available", "dispatched", "started", "arrived") == [
        (13, "available", -1),
        (13, "dispatched", 0),
        (13, "dispatched", 1),
        (15, "arrived", 0),
        (15, "started", 1),
        (17, "arrived", 1),
    ]


def test_clients_that_are_away_are_not_drawn() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1])
        yield server.sleep(4)
        assert server.pick(3) == []
        yield server.wait_idle(1)
        assert server.now == 13
        assert sorted(server.pick(3)) == [0, 1]

    run(world([20, 20], fleet=leaving("finish")), schedule)


@pytest.mark.parametrize("strategy", ["quafl", "favas"])
def test_polls_and_queues_are_refused_before_a_run(strategy: str) -> None:
    settings = [f"strategy={{kind: {strategy}, clients_per_round: 2}}", "clients.queue=fifo"]
    with pytest.raises(ScenarioError, match=r"clients\.queue: "):
        load_scenario(SMALLEST, settings)
