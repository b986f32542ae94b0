"""Worker processes: every core trains, and the outcome is bit for bit that of one process.

Tasks wait in a heap, earliest arrival first, and only a few at a time are handed to the pool, so
that an urgent task overtakes the others and work that is no longer wanted is never begun. Tasks are
pure: when a worker dies, what it had in hand is done again.
"""

from __future__ import annotations

import heapq
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import Future as PoolFuture
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Condition
from time import perf_counter
from typing import Any

from torch import Tensor

from afl_sim.errors import AflSimError
from afl_sim.execution import worker
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import TrainingTask

_AHEAD = 2  # tasks handed out per worker: one in hand, one at the door
_MAX_RESTARTS = 5  # in a row, without a task done in between


class Pending:
    """A task given to the executor, and in time its result."""

    def __init__(self, executor: ProcessExecutor, what: str, order: tuple[int, int]) -> None:
        self._executor = executor
        self.what = what
        self.order = order
        self.task: TrainingTask | None = None
        self.vector: Tensor | None = None
        self.followers: list[Pending] = []
        self.cancelled = False  # need not begin
        self.dropped = False  # was taken out of the queue for that reason
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None

    def __lt__(self, other: Pending) -> bool:
        return self.order < other.order

    def result(self) -> Any:
        """Wait for the result, and take it."""
        self._executor.wait(self)
        if self.error is not None:
            raise self.error
        return self.value

    def payload(self) -> bytes:
        """What the worker is sent; plain bytes, so that no shared memory is involved."""
        if self.what == "evaluate":
            assert self.vector is not None
            return pickle.dumps(self.vector.numpy(), protocol=5)
        assert self.task is not None
        before = self.task.after
        own = None if before is None else before.result().vector.numpy()  # done, or not begun here
        return worker.pack(self.task, own)


class ProcessExecutor:
    """Runs tasks in worker processes.

    Args:
        build: makes a worker's `TaskRunner`; sent to each worker by name and arguments.
        workers: the number of processes.
    """

    def __init__(self, build: Callable[[], TaskRunner], workers: int) -> None:
        self._build = build
        self._workers = workers
        self._changed = Condition()
        self._queue: list[Pending] = []
        self._running: dict[PoolFuture[Any], Pending] = {}
        self._submitted = 0
        self._restarts = 0
        self._closed = False
        self._broken = False
        self.training_seconds = 0.0
        self.evaluation_seconds = 0.0
        self.waiting_seconds = 0.0
        self._pool = self._start()

    def submit(self, task: TrainingTask, due_us: int) -> Pending:
        """Take on a task; it begins when a worker is free and nothing more urgent waits."""
        pending = self._new("train", due_us)
        pending.task = task
        with self._changed:
            before = task.after
            if isinstance(before, Pending) and not before.done:
                before.followers.append(pending)
                self._want(before)
            else:
                heapq.heappush(self._queue, pending)
            self._feed()
        return pending

    def evaluate(self, vector: Tensor, due_us: int) -> Pending:
        """Take on an evaluation, which is as urgent as an arrival at this instant."""
        pending = self._new("evaluate", due_us)
        pending.vector = vector
        with self._changed:
            heapq.heappush(self._queue, pending)
            self._feed()
        return pending

    def cancel(self, future: Any) -> None:
        """Forget a task that has not begun; a result on its way is ignored."""
        with self._changed:
            if not future.followers:
                future.cancelled = True

    def wait(self, pending: Pending) -> None:
        """Wait until a task is done, starting new workers if theirs have died.

        Raises:
            AflSimError: the workers keep dying.
        """
        if pending.done:
            return
        began = perf_counter()
        with self._changed:
            self._want(pending)
            while not self._is_done(pending):
                if self._broken:
                    self._restart()
                self._feed()
                self._changed.wait(timeout=1.0)
        self.waiting_seconds += perf_counter() - began

    def close(self) -> None:
        """Stop the workers; tasks in hand are let finish, all others are abandoned."""
        with self._changed:
            self._closed = True
            self._queue.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _is_done(self, pending: Pending) -> bool:
        return pending.done

    def _want(self, pending: Pending) -> None:
        """A task is wanted after all (the lock is held)."""
        pending.cancelled = False
        if pending.dropped:
            pending.dropped = False
            heapq.heappush(self._queue, pending)

    def _new(self, what: str, due_us: int) -> Pending:
        self._submitted += 1
        return Pending(self, what, (due_us, self._submitted))

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["afl_sim.execution.worker", "afl_sim.preparation"])
        return ProcessPoolExecutor(
            self._workers, context, initializer=worker.initialize, initargs=(self._build,)
        )

    def _feed(self) -> None:
        """Hand out the most urgent tasks (the lock is held)."""
        while self._queue and len(self._running) < self._workers * _AHEAD:
            if self._broken or self._closed:
                return
            pending = heapq.heappop(self._queue)
            if pending.cancelled:
                pending.dropped = True
                continue
            try:
                future = self._pool.submit(worker.do, pending.what, pending.payload())
            except BrokenProcessPool:
                self._broken = True
                heapq.heappush(self._queue, pending)
                return
            self._running[future] = pending
            future.add_done_callback(self._finished)

    def _finished(self, future: PoolFuture[Any]) -> None:
        """A worker has answered, or died (called by the pool's own thread)."""
        with self._changed:
            pending = self._running.pop(future, None)
            if pending is None or future.cancelled():
                return
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                self._broken = True
                heapq.heappush(self._queue, pending)
            elif error is not None:
                pending.error, pending.done = error, True
            else:
                seconds, answer = future.result()
                self._restarts = 0
                if pending.what == "train":
                    self.training_seconds += seconds
                    pending.value = worker.unpack(answer)
                else:
                    self.evaluation_seconds += seconds
                    pending.value = pickle.loads(answer)
                pending.done = True
                pending.task = pending.vector = None  # lets go of the base version
            if pending.done:
                for follower in pending.followers:
                    heapq.heappush(self._queue, follower)
                pending.followers = []
            self._feed()
            self._changed.notify_all()

    def _restart(self) -> None:
        """Start a new pool for one that broke (the lock is held)."""
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise AflSimError(
                f"worker processes died {self._restarts} times in a row, perhaps for lack of "
                "memory; try fewer --workers"
            )
        broken = self._pool
        for pending in self._running.values():
            heapq.heappush(self._queue, pending)
        self._running.clear()
        self._changed.release()
        try:
            broken.shutdown(wait=True, cancel_futures=True)
        finally:
            self._changed.acquire()
        self._pool = self._start()
        self._broken = False
