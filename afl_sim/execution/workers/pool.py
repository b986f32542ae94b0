"""Workers that several runs share: all cores train, and the bits are those of one process.

The tasks of the runs wait in a `FairQueue`. Only a few at a time are handed to workers, so an
urgent task overtakes the others, and work that is no longer wanted is never begun. Tasks are pure:
if a worker dies, its current tasks are done again.

The pool has a thread of its own, which alone talks to the workers. The threads of the runs submit
tasks and wait.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from afl_sim.errors import AflSimError
from afl_sim.execution.workers.pooled import Pending, PooledExecutor
from afl_sim.execution.workers.queue import FairQueue
from afl_sim.execution.workers.seats import Seat, Station, check_worker, keep_dying
from afl_sim.execution.workers.worker import (
    OnReply,
    Reply,
    Request,
    Supply,
    call_request,
    read,
)

if TYPE_CHECKING:
    from afl_sim.execution.runner import TaskRunner

_MAX_LOSSES = 5  # of workers in a row, by one task or while they start
_ASK_EVERY = 0.25  # seconds between two questions to a call
_CALLS = 32  # with more calls than this, each is asked less often


class WorkerPool:
    """A number of workers for any number of runs.

    Args:
        open_seat: makes a worker.
        workers: how many.
        fingerprints: the numerics of this process; a worker with other numerics is refused.

    Attributes:
        workers: how many.
        ahead: how many tasks a worker may hold: the one that it does, and others that wait. 1 is
            right for whole runs.
    """

    def __init__(
        self,
        open_seat: Callable[[], Seat],
        workers: int,
        fingerprints: Sequence[Mapping[str, Any]],
    ) -> None:
        self._open_seat = open_seat
        self._fingerprints = list(fingerprints)
        self.workers = workers
        self.ahead = 2
        self._losses = 0  # of workers that had not yet said hello
        self._runs: dict[int, PooledExecutor] = {}
        self._numbers = count()
        self._failure: BaseException | None = None
        self.first_ready = Event()  # a worker has introduced itself, or none ever will
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.lock = Lock()
        self.queue: FairQueue[Pending] = FairQueue()
        self._stations: list[Station] = []
        self._thread = Thread(target=self._serve, name="worker pool", daemon=True)
        self._thread.start()

    # -- for the runs --------------------------------------------------------------------------

    def executor(
        self, build: Callable[[], TaskRunner], supply: Supply | None = None
    ) -> PooledExecutor:
        """The executor of one more run.

        Args:
            build: makes a worker's `TaskRunner`; sent there by name and arguments.
            supply: what a worker on another machine needs for that.
        """
        with self.lock:
            number = next(self._numbers)
            run = self._runs[number] = PooledExecutor(self, number, pickle.dumps(build), supply)
            return run

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        supply: Supply | None = None,
        on_message: Callable[[Any], None] = lambda message: None,
        stop_wanted: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Have a worker compute ``function(*arguments, line)``, and wait for the result.

        If the worker dies, another begins again.

        Args:
            function, arguments: can be pickled.
            supply: what a worker on another machine needs for it.
            on_message: takes the latest message that the function has left with ``line``.
            stop_wanted: what ``line.stop_wanted()`` returns to the function.

        Raises:
            KeyboardInterrupt: a stop was wanted while no worker had begun with it.
        """
        run = self.executor(_no_runner)
        pending = run.take_on(partial(call_request, supply, function, arguments), 0)
        try:
            while not run.wait(pending, _ASK_EVERY * max(1.0, self.workers / _CALLS)):
                stopping = stop_wanted()
                with self.lock:
                    station = self._station_of(pending)
                    if station is None and stopping and not pending.done:
                        pending.cancelled = True
                        raise KeyboardInterrupt
                message = None if station is None else station.seat.ask(stopping)
                if message is not None:
                    on_message(message)
            return pending.result()
        finally:
            run.close()

    def wait_for_worker(
        self, seconds: float, stop_wanted: Callable[[], bool] | None = None
    ) -> None:
        """Wait until the first worker has started.

        Raises:
            AflSimError: none has started in that time, or it is refused.
            KeyboardInterrupt: a stop is wanted.
        """
        end = monotonic() + seconds
        while not self.first_ready.wait(max(0.0, min(_ASK_EVERY, end - monotonic()))):
            if stop_wanted is not None and stop_wanted():
                raise KeyboardInterrupt
            if monotonic() >= end:
                raise AflSimError(f"no worker could be started within {seconds:.0f} s")
        with self.lock:
            self.check()

    def close(self) -> None:
        """End the workers; what is unfinished is abandoned."""
        if self._thread.is_alive():
            self._inbox.put(None)
            self._thread.join()

    def abort(self) -> None:
        """Make every wait raise `KeyboardInterrupt`, and end the workers."""
        self.fail(KeyboardInterrupt())
        self.close()

    # -- for their executors -------------------------------------------------------------------

    def next_number(self) -> int:
        """Numbers in order of submission (the lock is held)."""
        return next(self._numbers)

    def remove(self, run: PooledExecutor) -> None:
        """Forget a run that wants nothing more (the lock is held)."""
        self._runs.pop(run.number, None)
        self.queue.forget(run.number)

    def wake(self) -> None:
        """Look whether there is something to hand out."""
        self._inbox.put(self._hand_out)

    def check(self) -> None:
        """Raise the error that has ended the pool, if one has (the lock is held)."""
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """End the pool with this error: every wait raises it."""
        with self.lock:
            self._failure = self._failure or error
            for run in self._runs.values():
                run.changed.notify_all()
        self.first_ready.set()

    # -- the pool's own thread -----------------------------------------------------------------

    def _serve(self) -> None:
        try:
            for _ in range(self.workers):
                self._open()
            while (step := self._inbox.get()) is not None:
                step()
        except BaseException as error:  # else the runs would wait for ever
            self.fail(error)
        for station in self._stations:
            station.seat.close()

    def _open(self) -> None:
        station = Station(self._open_seat())
        station.seat.start(self._later(self._welcome, station))
        with self.lock:
            self._stations.append(station)

    def _later(self, step: Callable[..., None], *first: Any) -> OnReply:
        """A callback for any thread; the pool's own thread does the step."""
        return lambda reply: self._inbox.put(partial(step, *first, reply))

    def _welcome(self, station: Station, reply: Reply) -> None:
        if reply.lost:
            self._losses += 1
            if self._losses > _MAX_LOSSES:
                raise keep_dying(self._losses, "while they started", reply.error)
            self._replace(station, reply.error)
            return
        if reply.error is not None:
            raise reply.error
        self._losses = 0
        check_worker(reply.value, self._fingerprints)
        station.ready = True
        self.first_ready.set()
        self._hand_out()

    def _replace(self, station: Station, why: BaseException | None) -> None:
        """Start a new worker in place of a lost one, whose tasks wait again."""
        if station.gone:
            return
        station.gone = True
        with self.lock:
            self._stations.remove(station)
            lost, station.jobs = station.jobs, []
            for pending in lost[:1]:  # the others were not begun
                pending.losses += 1
                if pending.losses > _MAX_LOSSES:
                    error = keep_dying(pending.losses, "over one task", why)
                    pending.run.settle(pending, error=error)
            for pending in lost:
                pending.run.put_back(pending)
        station.seat.close()
        self._open()

    def _hand_out(self) -> None:
        """Hand the next tasks to the workers that have the fewest."""
        while True:
            with self.lock:
                ready = [station for station in self._stations if station.ready]
                station = min(ready, key=lambda station: len(station.jobs), default=None)
                if station is None or len(station.jobs) >= self.ahead:
                    return
                if station.jobs and len(self.queue) < len(ready):
                    return  # the last few wait for whoever is free first
                pending = self.queue.pop()
                if pending is None:
                    return
                request = pending.run.begin(pending)
                if request is None:
                    continue
                station.jobs.append(pending)
            done = self._later(self._take, station, pending, request)
            try:
                station.seat.submit(request, done)
            except Exception as error:  # it cannot be sent
                done(Reply(error=error))

    def _take(self, station: Station, pending: Pending, request: Request, reply: Reply) -> None:
        """A worker has answered, or died."""
        if reply.lost:
            self._replace(station, reply.error)
        elif not station.gone:
            value = None if reply.error is not None else read(request, reply.value)
            with self.lock:
                station.jobs.remove(pending)
                pending.run.count(request.what, reply.seconds)
                pending.run.settle(pending, value, reply.error)
                self.queue.release(pending.run.number)
        self._hand_out()

    def _station_of(self, pending: Pending) -> Station | None:
        return next((s for s in self._stations if s.jobs[:1] == [pending]), None)


def _no_runner() -> TaskRunner:
    raise AssertionError("a call needs no runner")
