"""What reaches the server, in which order, and who gets it: arrival, arrivals, wait, wait_idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import SECOND, run, scenario

from afl_sim.errors import ScheduleError, StrategyError
from afl_sim.strategies import Strategy

Schedule = Iterator[Any]
CHAIN = ("dispatched", "downloaded", "computed", "arrived")


# -- arrival -------------------------------------------------------------------------------------


def test_arrivals_are_taken_in_order_and_ties_in_order_of_dispatch() -> None:
    taken = []

    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 2, 1])
        for _ in range(3):
            update = yield server.arrival()
            taken.append((server.now, update.client))

    run(scenario([2, 1, 1]), schedule)
    assert taken == [(1, 2), (1, 1), (2, 0)]


def test_a_tie_goes_to_the_leg_that_was_started_first() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many([1, 0])  # client 1 computes from 2 to 3, client 0 from 1 to 3
        yield server.sleep(9)

    outcome = run(scenario([2, 1], down={"values": [1, 2]}), schedule)
    assert outcome.story("computed") == [(3, "computed", 0), (3, "computed", 1)]


def test_every_task_logs_its_four_legs_even_where_they_take_no_time() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        yield server.arrival()

    outcome = run(scenario(1, compute={"seconds_per_task": 0}), schedule)
    assert outcome.story() == [(0, kind, 0) for kind in CHAIN]


def test_a_client_is_idle_when_its_arrival_is_taken_and_not_before() -> None:
    seen = []

    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1])
        yield server.sleep(2)
        seen.append(server.idle)
        first = yield server.arrival()
        seen.append(server.idle)
        assert server.pick(2) == [first.client] == [0]
        with pytest.raises(ScheduleError, match="client 1"):
            server.dispatch(1)
        yield server.arrival()
        seen.append(server.idle)

    run(scenario([1, 1]), schedule)
    assert seen == [0, 1, 2]


def test_arrivals_takes_all_that_lie_in_the_inbox() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1, 2])
        yield server.sleep(2)
        assert [update.client for update in server.arrivals()] == [1, 2]
        assert server.idle == 2
        assert server.arrivals() == []

    run(scenario([3, 1, 2]), schedule)


def test_one_process_reads_the_inbox() -> None:
    def reader(server: Any) -> Schedule:
        yield server.arrival()

    def schedule(server: Any) -> Schedule:
        server.spawn(reader(server))
        server.spawn(reader(server))
        yield server.sleep(1)

    with pytest.raises(ScheduleError, match="two processes wait for an arrival"):
        run(scenario([1]), schedule)


@pytest.mark.parametrize("client", [0, 3, -1])
def test_a_busy_or_unknown_client_is_sent_nothing(client: int) -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        server.dispatch(client)
        yield server.arrival()

    with pytest.raises(ScheduleError, match=f"client {client} "):
        run(scenario([1, 1, 1]), schedule)


def test_picking_one_of_nobody_is_refused() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many(server.pick(5))
        assert server.pick(1) == []
        server.pick_one()
        yield server.arrival()

    with pytest.raises(ScheduleError, match="no client is idle"):
        run(scenario([1, 1]), schedule)


# -- wait ----------------------------------------------------------------------------------------


def test_waiting_for_all_gives_them_in_order_of_arrival_and_makes_them_idle() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1, 2])
        server.spawn(watch(server))
        arrived = yield server.wait(tasks)
        assert (server.now, [task.client for task in arrived]) == (3, [1, 2, 0])
        assert server.idle == 3

    def watch(server: Any) -> Schedule:
        yield server.sleep(2)
        assert server.idle == 0  # two have arrived, but the wait goes on
        seen.append(server.now)

    seen: list[float] = []
    run(scenario([3, 1, 2]), schedule)
    assert seen == [2]


def test_waiting_for_the_first_few_leaves_the_others_alone() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1, 2, 3])
        arrived = yield server.wait(tasks, first=2)
        assert (server.now, [task.client for task in arrived]) == (1, [1, 2])
        assert server.idle == 2
        extra = yield server.arrival()  # it came at the same instant, but after the second
        assert (server.now, extra.client) == (1, 3)
        assert [task.client for task in server.in_flight] == [0]
        last = yield server.arrival()
        assert (server.now, last.client) == (4, 0)

    run(scenario([4, 1, 1, 1]), schedule)


@pytest.mark.parametrize(
    ("deadline", "clients", "until"), [(0.5, [], 0.5), (1, [0], 1), (2, [0, 1], 2), (9, [0, 1], 2)]
)
def test_a_deadline_ends_a_wait_after_what_is_due_at_that_instant(
    deadline: float, clients: list[int], until: float
) -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        arrived = yield server.wait(tasks, deadline=deadline)
        assert (server.now, [task.client for task in arrived]) == (until, clients)
        assert server.idle == len(clients)

    run(scenario([1, 2]), schedule)


def test_what_misses_a_deadline_goes_to_the_inbox() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        yield server.wait(tasks, deadline=1)
        late = yield server.arrival()
        assert (server.now, late.client) == (2, 1)

    run(scenario([1, 2]), schedule)


@pytest.mark.parametrize(("word", "until"), [("cancel", 2), ("discard", 5)])
def test_a_wait_ends_when_nothing_more_can_arrive(word: str, until: float) -> None:
    def give_up(server: Any, task: Any) -> Schedule:
        yield server.sleep(2)
        getattr(server, word)(task)

    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        server.spawn(give_up(server, tasks[0]))
        arrived = yield server.wait(tasks)
        assert (server.now, [task.client for task in arrived]) == (until, [1])

    run(scenario([5, 1]), schedule)


def test_waiting_for_nothing_or_for_what_is_there_ends_at_once() -> None:
    def schedule(server: Any) -> Schedule:
        assert (yield server.wait([])) == []
        assert (yield server.wait([], deadline=5)) == []
        tasks = server.dispatch_many([0, 1, 2])
        yield server.sleep(2)
        arrived = yield server.wait(tasks, first=2)
        assert (server.now, [task.client for task in arrived]) == (2, [1, 2])
        left = yield server.arrival()
        assert left.client == 0

    run(scenario([2, 1, 1]), schedule)


def test_a_task_that_fails_just_as_its_wait_is_over_is_not_sent_anew() -> None:
    # Client 1's task arrives at 3 s, the very instant at which client 0 is known to have crashed.
    def schedule(server: Any) -> Schedule:
        tasks = [server.dispatch(1), server.dispatch(0)]
        assert (yield server.wait(tasks, first=1)) == tasks[:1]
        assert server.idle == 2
        yield server.sleep(20)

    faults = {"crash": {"values": [1, 0]}, "noticed_after": 3}
    outcome = run(scenario([2, 3], fleet={"faults": faults}), schedule)
    assert [event.client for event in outcome.of("dispatched")] == [1, 0]
    assert [event.client for event in outcome.of("failed")] == [0]


def test_what_arrives_just_after_its_wait_is_over_goes_to_the_inbox() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1, 2])
        assert (yield server.wait(tasks, first=1)) == tasks[:1]
        assert (yield server.arrival()) is tasks[1]
        assert (yield server.wait(tasks[2:])) == tasks[2:]

    run(scenario([3, 3, 3]), schedule)


def test_an_awaited_arrival_does_not_go_to_the_inbox() -> None:
    read = []

    def reader(server: Any) -> Schedule:
        while True:
            update = yield server.arrival()
            read.append(update.client)

    def schedule(server: Any) -> Schedule:
        server.spawn(reader(server))
        mine = server.dispatch(0)
        server.dispatch(1)
        arrived = yield server.wait([mine])
        assert arrived == [mine]

    run(scenario([1, 2]), schedule)
    assert read == [1]


@pytest.mark.parametrize("arrived", [False, True])
def test_two_waits_for_one_task_are_refused(arrived: bool) -> None:
    def other(server: Any, tasks: list[Any]) -> Schedule:
        yield server.sleep(2 if arrived else 0)
        with pytest.raises(ScheduleError, match=r"two waits for .*client=0.*; only one"):
            server.wait([tasks[0]])

    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        server.spawn(other(server, tasks))
        assert (yield server.wait([*tasks, tasks[0]])) == tasks  # named twice is no second wait
        assert (yield server.wait([tasks[0]])) == [tasks[0]]  # the first one is over

    run(scenario([1, 3]), schedule)


def test_what_a_wait_left_alone_can_be_waited_for_again() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1, 2])
        assert (yield server.wait(tasks, deadline=1)) == [tasks[0]]
        assert (yield server.wait(tasks[1:], first=1)) == [tasks[1]]
        assert (yield server.wait(tasks[2:])) == [tasks[2]]

    run(scenario([1, 2, 3]), schedule)


def test_processes_react_in_the_order_of_the_arrivals_that_wake_them() -> None:
    order = []

    def tier(server: Any, clients: list[int]) -> Schedule:
        yield server.wait(server.dispatch_many(clients))
        order.append(clients)

    def schedule(server: Any) -> Schedule:
        server.spawn(tier(server, [0, 1]))
        server.spawn(tier(server, [2]))
        yield server.sleep(2)  # begun before any of them, and still the last to wake
        order.append([])

    run(scenario([1, 2, 2]), schedule)
    assert order == [[0, 1], [2], []]

    order.clear()
    run(scenario([2, 1, 2]), schedule)
    assert order == [[0, 1], [2], []]


def test_all_of_an_instant_s_arrivals_happen_before_any_reaction() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1])
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])

    outcome = run(scenario([1, 1], stop={"versions": 2}), schedule)
    assert [(event.kind, event.version) for event in outcome.events[-6:]] == [
        ("arrived", 0),
        ("computed", 0),
        ("arrived", 0),
        ("aggregated", 1),
        ("aggregated", 2),
        ("evaluated", 2),
    ]


# -- wait_idle -----------------------------------------------------------------------------------


def test_waiting_until_clients_are_idle() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.wait_idle(3)
        assert server.now == 0
        for task in server.dispatch_many([0, 1, 2]):
            server.discard(task)
        yield server.wait_idle()
        assert (server.now, server.idle) == (1, 1)
        yield server.wait_idle(3)
        assert (server.now, server.idle) == (4, 3)

    run(scenario([4, 1, 3]), schedule)


def test_whoever_waits_for_idle_clients_sees_all_of_an_instant_s() -> None:
    def schedule(server: Any) -> Schedule:
        for task in server.dispatch_many([0, 1, 2]):
            server.discard(task)
        yield server.wait_idle()
        assert (server.now, server.idle) == (1, 2)

    run(scenario([1, 1, 2]), schedule)


# -- coming to rest ------------------------------------------------------------------------------


def test_a_schedule_that_waits_for_ever_is_an_error_that_says_so() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        while True:
            yield server.arrival()

    with pytest.raises(ScheduleError, match=r"came to rest at 1\.5 s, before any stop rule"):
        run(scenario([1.5], stop={"versions": 3}), schedule)


def test_a_schedule_that_ends_early_is_an_error_too() -> None:
    def schedule(server: Any) -> Schedule:
        return
        yield

    settings = {"stop": {"updates": 3}, "evaluation": {"every_seconds": 1}}
    with pytest.raises(ScheduleError, match="came to rest"):
        run(scenario([1], **settings), schedule)


def test_a_run_with_a_horizon_may_come_to_rest_and_ends_there() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        yield server.arrival()

    outcome = run(scenario([1], stop={"virtual_seconds": 7}), schedule)
    assert (outcome.ending.time_us, outcome.ending.rule) == (7 * SECOND, "virtual_seconds")


class StrangeError(Exception):
    """SimPy cannot copy it."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}, {why}")


def late_mistake(server: Any) -> Schedule:
    yield server.sleep(1)
    raise StrangeError("as it was", "and why")


@pytest.mark.parametrize("spawned", [False, True])
def test_what_a_schedule_raises_becomes_one_error_that_says_where(spawned: bool) -> None:
    def schedule(server: Any) -> Schedule:
        yield server.spawn(late_mistake(server))

    with pytest.raises(
        StrategyError, match=r"schedule raised StrangeError: as it was, and why \(.*arrivals.py:\d+"
    ) as caught:
        run(scenario([1]), schedule if spawned else late_mistake)
    assert isinstance(caught.value.__cause__, StrangeError)


def test_a_schedule_that_never_yields_is_an_error() -> None:
    with pytest.raises(
        ScheduleError,
        match="must be a generator; it returned a NoneType: expected a function that yields",
    ):
        run(scenario([1], strategy={"kind": f"{__name__}:NoSchedule"}))


class NoSchedule(Strategy):
    def schedule(self, server: Any) -> Any:
        return None


def test_a_schedule_that_yields_no_event_is_an_error_that_shows_the_line() -> None:
    def schedule(server: Any) -> Any:
        yield server.now

    with pytest.raises(
        ScheduleError,
        match=r'something other than an event: "0.0" \(.*server.test_arrivals.py:\d+\); '
        r"expected an event, such as server.arrival\(\) returns$",
    ):
        run(scenario([1]), schedule)
