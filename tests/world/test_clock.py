"""The clock's queue has SimPy's order, and a task may be due in place of an event."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st
from simpy.core import EmptySchedule

from afl_sim.world.clock import Clock, Wake
from afl_sim.world.tasks.task import Task

Plan = list[tuple[int, int, list[tuple[int, int]]]]
"""Events to put at the start: delay, priority, and the events that each puts when it happens."""

puts = st.tuples(st.integers(0, 3), st.integers(0, 2))
plans = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.lists(puts, max_size=3)))


def order(env: simpy.Environment, plan: Plan) -> list[tuple[float, str]]:
    """What happens when, by name."""
    seen: list[tuple[float, str]] = []

    def put(name: str, delay: int, priority: int, after: list[tuple[int, int]]) -> None:
        def happen(_: simpy.Event) -> None:
            seen.append((env.now, name))
            for number, (later, then) in enumerate(after):
                put(f"{name}.{number}", later, then, [])

        event = env.event()
        event._ok, event._value = True, None
        event.callbacks.append(happen)
        env.schedule(event, priority, delay)  # type: ignore[arg-type]

    def process(name: str) -> Generator[Any, Any, None]:
        for delay in (1, 0, 2):
            yield env.timeout(delay)
            seen.append((env.now, name))

    for number, (delay, priority, after) in enumerate(plan):
        put(str(number), delay, priority, after)
        if number % 3 == 0:
            env.process(process(f"process {number}"))
    env.run()
    return seen


@given(plans)
def test_events_happen_in_the_order_of_simpy(plan: Plan) -> None:
    assert order(Clock(), plan) == order(simpy.Environment(initial_time=0), plan)


def test_a_process_that_fails_fails_as_in_simpy() -> None:
    def failing(env: simpy.Environment) -> Generator[Any, Any, None]:
        yield env.timeout(1)
        raise ValueError("why")

    for env in (Clock(), simpy.Environment(initial_time=0)):
        env.process(failing(env))
        with pytest.raises(ValueError, match="why") as caught:
            env.run()
        assert isinstance(caught.value.__cause__, ValueError)


def test_a_clock_without_events_has_no_next_one() -> None:
    clock = Clock()
    assert clock.peek() == float("inf")
    with pytest.raises(EmptySchedule):
        clock.step()


def test_it_stops_before_an_end_and_after_a_number_of_events() -> None:
    clock = Clock()
    for delay in (1, 2, 2, 5):
        clock.timeout(delay)
    assert clock.turn(2, most=10) == 1
    assert clock.turn(10, most=2) == 2
    assert (clock.now, clock.now_us, clock.peek()) == (2, 2, 5)


def test_an_event_can_pause_it() -> None:
    clock = Clock()
    first, _ = clock.timeout(1), clock.timeout(1)
    first.callbacks.append(lambda _: clock.pause())
    assert clock.turn(10, most=10) == 1
    assert clock.turn(10, most=10) == 1


def leg(clock: Clock, delay: int, ended: list[int]) -> Task:
    task = Task(0, 0, 0, 1, 1, 0)
    task.then = lambda _: ended.append(clock.now_us)
    task.pending = clock.end_leg(task, delay)
    return task


def test_a_leg_ends_unless_another_one_takes_its_place() -> None:
    clock, ended = Clock(), list[int]()
    leg(clock, 3, ended)
    leg(clock, 4, ended).pending = None
    clock.run()
    assert ended == [3]


def test_what_is_withdrawn_does_not_happen_and_moves_no_clock() -> None:
    clock, ended = Clock(), list[int]()
    tasks = [leg(clock, delay, ended) for delay in (2, 2, 7)]
    for task, at_us in zip(tasks[1:], (2, 7), strict=True):
        assert isinstance(task.pending, tuple)
        clock.withdraw(at_us, task.pending[3])
    clock.run()
    assert (ended, clock.now_us, clock.more_than(0)) == ([2], 2, False)


def test_who_watches_is_told_before_an_event_comes_to_where_a_task_passes() -> None:
    clock, met = Clock(), list[int]()

    def meet(at_us: int) -> None:
        del clock.due[at_us]
        met.append(at_us)

    clock.watch(meet)
    clock.due[5] = Task(0, 0, 0, 1, 1, 0)
    Wake(clock, 4)
    assert met == []
    Wake(clock, 5)
    assert met == [5]
    assert clock.more_than(1)


def test_where_a_task_passes_nothing_is_due() -> None:
    clock = Clock()
    Wake(clock, 5)
    (entry,) = clock.due.values()
    clock.withdraw(5, entry[3])
    clock.due[5] = task = Task(0, 0, 0, 1, 1, 0)
    assert clock.peek() == float("inf")
    assert not clock.more_than(0)
    clock.run()
    assert clock.now_us == 0
    assert clock.due == {5: task}


def test_it_knows_whether_more_is_due_than_a_number() -> None:
    clock = Clock()
    for delay in (0, 1, 1):
        clock.timeout(delay)
    assert clock.more_than(2)
    assert not clock.more_than(3)
