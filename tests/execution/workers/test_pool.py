"""A pool none of whose workers has started yet, as on a cluster that has no room."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from afl_sim.errors import AflSimError
from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.worker import Line, OnReply, Reply, Request, hello


class LateSeat:
    """A worker that starts when it is let in, and is done with each request at once."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closed = False
        self._started: list[OnReply] = []

    def start(self, done: OnReply) -> None:
        self._started.append(done)

    def let_in(self) -> None:
        self._started.pop()(Reply(hello([])))

    def submit(self, request: Request, done: OnReply) -> None:
        self.requests.append(request)
        done(Reply("done"))

    def ask(self, stop: bool) -> Any:
        return None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def seat() -> LateSeat:
    return LateSeat()


@pytest.fixture
def pool(seat: LateSeat) -> Iterator[WorkerPool]:
    pool = WorkerPool(lambda: seat, 1, [])
    yield pool
    pool.close()
    assert seat.closed


def at_the_third_look() -> Any:
    looks = count(1)
    return lambda: next(looks) >= 3


def work(line: Line) -> str:
    return "done"


def test_the_wait_for_the_first_worker_ends_when_a_stop_is_wanted(pool: WorkerPool) -> None:
    with pytest.raises(KeyboardInterrupt):
        pool.wait_for_worker(600.0, at_the_third_look())


def test_the_wait_for_the_first_worker_ends_in_time(pool: WorkerPool, seat: LateSeat) -> None:
    with pytest.raises(AflSimError, match="no worker could be started within 0 s"):
        pool.wait_for_worker(0.1, lambda: False)
    seat.let_in()
    pool.wait_for_worker(60.0, lambda: True)  # it is there: nothing is waited for


def test_a_call_that_no_worker_has_begun_is_given_up_when_a_stop_is_wanted(
    pool: WorkerPool, seat: LateSeat
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pool.call(work, stop_wanted=at_the_third_look())
    seat.let_in()
    assert pool.call(work) == "done"
    assert len(seat.requests) == 1  # the first was never begun
