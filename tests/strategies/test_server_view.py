"""What an author of a strategy sees of the server is what the server has."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.strategies import ServerView, TaskView
from afl_sim.strategies.server_view import OLDER_WORDS
from afl_sim.world.server.server import Server
from afl_sim.world.tasks.task import Task


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


WORDS = public(ServerView)
# What the run itself asks of the server, and no schedule.
OF_THE_RUN = {"counts", "under_way"}


def arguments(word: Any) -> list[tuple[Any, ...]]:
    """A word's arguments: those that a schedule names, and the defaults of all."""
    found: list[tuple[Any, ...]] = []
    for argument in list(inspect.signature(word).parameters.values())[1:]:
        named = argument.kind in (argument.KEYWORD_ONLY, argument.VAR_KEYWORD)
        found.append((argument.name if named else "", argument.default))
    return found


def test_the_server_has_these_words_and_no_others() -> None:
    found: set[str] = set()

    def schedule(server: Any) -> Iterator[Any]:
        found.update(public(server))
        yield server.sleep(1)

    run(scenario([1]), schedule)
    assert found - OF_THE_RUN == WORDS


@pytest.mark.parametrize("name", sorted(WORDS))
def test_a_word_takes_what_the_server_takes(name: str) -> None:
    said, done = getattr(ServerView, name), getattr(Server, name, None)
    assert callable(said) == callable(done)
    if not callable(said):
        return
    assert arguments(said) == arguments(done)
    for argument in inspect.signature(said).parameters.values():  # those that may be named
        if argument.kind == argument.POSITIONAL_OR_KEYWORD:
            assert argument.name in inspect.signature(done).parameters


@pytest.mark.parametrize("name", sorted(WORDS - OLDER_WORDS))
def test_a_word_that_is_waited_for_gives_an_event_of_simpy(name: str) -> None:
    if not callable(getattr(ServerView, name)):
        return
    said = str(inspect.signature(getattr(ServerView, name)).return_annotation)
    done = str(inspect.signature(getattr(Server, name)).return_annotation)
    assert said.startswith("Event[") == (done == "simpy.Event")


@pytest.mark.parametrize("kind", [ServerView, TaskView])
def test_every_word_says_what_it_is(kind: type) -> None:
    for name in public(kind):
        assert inspect.getdoc(getattr(kind, name)), name


def test_a_task_has_all_that_an_author_sees_of_it() -> None:
    task = Task(3, 0, 2, steps=5, samples=50, sent_us=0)
    assert {name: getattr(task, name) for name in public(TaskView)} == {
        "client": 3,
        "number": 0,
        "base_version": 2,
        "steps": 5,
        "samples": 50,
        "in_flight": True,
        "arrived": False,
    }


def test_several_clients_are_sent_the_same_order_in_turn() -> None:
    tasks: list[Any] = []

    def schedule(server: Any) -> Iterator[Any]:
        tasks.extend(server.dispatch([2, 0], steps=3, until_polled=True))
        tasks.append(server.dispatch(1))
        yield server.sleep(1)

    run(scenario([4, 4, 4]), schedule)
    assert [(task.client, task.steps, task.until_polled) for task in tasks] == [
        (2, 3, True),
        (0, 3, True),
        (1, 1, False),
    ]


@pytest.mark.parametrize("factor", [0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_an_error(factor: float) -> None:
    def schedule(server: Any) -> Iterator[Any]:
        with pytest.raises(ScheduleError, match=r"lr_factor .*; expected a number above 0"):
            server.dispatch(0, lr_factor=factor)
        yield server.sleep(1)

    run(scenario([1]), schedule)


def test_a_polled_client_goes_on_at_the_same_rate() -> None:
    factors: list[float] = []

    def schedule(server: Any) -> Iterator[Any]:
        server.dispatch(0, steps=5, until_polled=True, lr_factor=0.5)
        yield server.sleep(1)
        server.poll(0)
        factors.append(server.task(0).lr_factor)

    run(scenario([9]), schedule)
    assert factors == [0.5]


def test_older_words_do_what_the_newer_ones_do() -> None:
    def stories(older: bool) -> list[Any]:
        def schedule(server: Any) -> Iterator[Any]:
            if older:
                server.dispatch_many(server.pick(2))
                server.dispatch(server.pick_one())
            else:
                server.dispatch(server.pick(2))
                server.dispatch(server.workers(1))
            yield server.sleep(9)

        return run(scenario([1, 2, 3, 4, 5]), schedule).story()

    assert set(OLDER_WORDS) == {"dispatch_many", "pick_one"}
    assert stories(older=True) == stories(older=False)
