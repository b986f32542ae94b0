"""The executor of one run in a worker pool: the run's tasks, and what the run waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Condition, Lock
from time import perf_counter
from typing import Any, Protocol

from afl_sim.execution.tasks import OwnParts, TrainingTask
from afl_sim.execution.workers.queue import FairQueue
from afl_sim.execution.workers.worker import Request, Supply, evaluate_request, train_request
from afl_sim.lazy import Tensor


class Pool(Protocol):
    """The methods of a pool that its runs use."""

    lock: Lock
    queue: FairQueue[Pending]

    def next_number(self) -> int:
        """The next number in the order of submission."""

    def wake(self) -> None:
        """Look whether there is something to hand to a worker."""

    def check(self) -> None:
        """Raise the error that has ended the pool, if one has."""

    def remove(self, run: PooledExecutor) -> None:
        """Forget a run and its tasks in the queue."""


class Pending:
    """A task in a pool, and later its result.

    Args:
        run: the run of the task.
        request: makes the worker's request, once the tasks that it needs are done.
        order: when the result is due, then the order of submission.
    """

    def __init__(
        self, run: PooledExecutor, request: Callable[[], Request], order: tuple[int, int]
    ) -> None:
        self.run = run
        self.request: Callable[[], Request] | None = request
        self.order = order
        self.followers: list[Pending] = []
        self.before = 0  # tasks that it waits for
        self.cancelled = False  # need not begin
        self.dropped = False  # was taken out of the queue for that reason
        self.losses = 0  # workers that died over it
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None

    def result(self) -> Any:
        """Wait for the result."""
        self.run.wait(self)
        if self.error is not None:
            raise self.error
        return self.value


class PooledExecutor:
    """Runs the tasks of one run with the workers of a pool.

    Args:
        pool: has the workers.
        number: the number of the run in the pool.
        build: the pickled callable that makes the run's `TaskRunner`.
        supply: what workers need for that.
    """

    def __init__(self, pool: Pool, number: int, build: bytes, supply: Supply | None) -> None:
        self._pool = pool
        self._build = build
        self._supply = supply
        self._closed = False
        self.number = number
        self.changed = Condition(pool.lock)
        self.training_seconds = 0.0
        self.evaluation_seconds = 0.0
        self.waiting_seconds = 0.0

    def submit(self, task: TrainingTask, due_us: int) -> Pending:
        """Take on a task; it begins when a worker is free and nothing more urgent waits."""
        request = partial(train_request, self._build, self._supply, task)
        return self.take_on(request, due_us, [task.after])

    def evaluate(self, vector: Tensor, due_us: int, own: OwnParts | None = None) -> Pending:
        """Take on an evaluation, which is as urgent as an arrival at this instant."""
        request = partial(evaluate_request, self._build, self._supply, vector, own)
        return self.take_on(request, due_us, () if own is None else own.last.values())

    def take_on(
        self, request: Callable[[], Request], due_us: int, after: Iterable[Any] = ()
    ) -> Pending:
        """Take on a request, to begin once other tasks of this run are done, if any are given."""
        with self._pool.lock:
            pending = Pending(self, request, (due_us, self._pool.next_number()))
            for task in after:
                if isinstance(task, Pending) and not task.done:
                    task.followers.append(pending)
                    pending.before += 1
                    self._want(task)
            if not pending.before:
                self._push(pending)
        self._pool.wake()
        return pending

    def cancel(self, future: Any) -> None:
        """Forget a task that has not begun; if it has begun, its result is ignored."""
        with self._pool.lock:
            if not future.followers:
                future.cancelled = True

    def wait(self, pending: Pending, seconds: float | None = None) -> bool:
        """Wait until a task is done, or at most so many seconds; returns whether it is done.

        Raises:
            AflSimError: workers died again and again, or were refused.
        """
        if pending.done:
            return True
        began = perf_counter()
        with self._pool.lock:
            self._want(pending)
            self._pool.wake()
            while not pending.done:
                self._pool.check()
                if not self.changed.wait(seconds):
                    break
        self.waiting_seconds += perf_counter() - began
        return pending.done

    def close(self) -> None:
        """Abandon unfinished tasks; the workers stay for the other runs."""
        with self._pool.lock:
            self._closed = True
            self._pool.remove(self)

    # -- for the pool, which holds its lock ----------------------------------------------------

    def begin(self, pending: Pending) -> Request | None:
        """The request of a task whose turn has come; None if the task is no longer wanted."""
        if pending.cancelled:
            pending.dropped = True
        else:
            assert pending.request is not None
            try:
                return pending.request()
            except Exception as error:  # of the task before it
                self.settle(pending, error=error)
        self._pool.queue.release(self.number)
        return None

    def count(self, what: str, seconds: float) -> None:
        """Add to the time that workers spent on this run."""
        if what == "evaluate":
            self.evaluation_seconds += seconds
        else:
            self.training_seconds += seconds

    def settle(
        self, pending: Pending, value: Any = None, error: BaseException | None = None
    ) -> None:
        """Note that a task is done, and wake the thread that waits for it."""
        pending.value, pending.error, pending.done = value, error, True
        pending.request = None  # lets go of the base version
        for follower in pending.followers:
            follower.before -= 1
            if not follower.before:
                self._push(follower)
        pending.followers = []
        self.changed.notify_all()

    def put_back(self, pending: Pending) -> None:
        """Let a task that a lost worker had wait again."""
        self._pool.queue.release(self.number)
        self._push(pending)

    def _want(self, pending: Pending) -> None:
        """Note that a task is wanted, even if it was cancelled before."""
        pending.cancelled = False
        if pending.dropped:
            pending.dropped = False
            self._push(pending)

    def _push(self, pending: Pending) -> None:
        if not self._closed and not pending.done:
            self._pool.queue.push(self.number, pending.order, pending)
