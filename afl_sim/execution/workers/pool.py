"""Workers that several runs share: every core trains, and the bits are those of one process.

The runs' tasks wait in a `FairQueue`, and only a few at a time are handed to workers, so that an
urgent task overtakes the others and work that is no longer wanted is never begun. Tasks are pure:
when a worker dies, what it had in hand is done again.

One thread, the pool's own, speaks with the workers. The runs' threads submit tasks and wait.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Protocol

from afl_sim.errors import AflSimError, InputError
from afl_sim.execution.code_digest import code_digest
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.workers.pooled import Pending, PooledExecutor
from afl_sim.execution.workers.queue import FairQueue
from afl_sim.execution.workers.worker import Hello, Reply, Request, Supply, call_request, read
from afl_sim.recording.fingerprints import numerics_differences

_MAX_LOSSES = 5  # of workers in a row, by one task or while they start
_ASK_EVERY = 0.25  # seconds between questions to a call,
_CALLS = 32  # or more where there are more of them than this

Done = Callable[[Reply], None]


class Seat(Protocol):
    """One worker, which does one thing at a time in the order of requests.

    ``done`` is called once for each request, from any thread.
    """

    def start(self, done: Done) -> None:
        """Begin; the reply is a `Hello`."""

    def submit(self, request: Request, done: Done) -> None:
        """Hand over a request."""

    def ask(self, stop: bool) -> Any:
        """The latest message of the call in hand, or None; and tell it whether to stop."""

    def close(self) -> None:
        """End the worker, perhaps in the middle of its work, and wait until it is gone."""


class _Station:
    """A seat, and what was handed to it, the oldest first."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.ready = False
        self.gone = False
        self.jobs: list[Pending] = []


class WorkerPool:
    """A number of workers for any number of runs.

    Args:
        open_seat: makes a worker.
        workers: how many.
        fingerprints: the numerics of this process; a worker that has others is refused.

    Attributes:
        workers: how many.
        ahead: how many tasks a worker may hold, one in hand and the others at the door; 1 is right
            for whole runs.
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
        self._stations: list[_Station] = []
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
        """Have a worker compute ``function(*arguments, line)`` and wait for it.

        A worker that dies in the middle is replaced by one that begins again.

        Args:
            function, arguments: can be pickled.
            supply: what a worker on another machine needs for it.
            on_message: takes the latest of what the function tells its line.
            stop_wanted: what the line answers.
        """
        run = self.executor(_no_runner)
        pending = run.take_on(partial(call_request, supply, function, arguments), 0)
        try:
            while not run.wait(pending, _ASK_EVERY * max(1.0, self.workers / _CALLS)):
                with self.lock:
                    station = self._station_of(pending)
                message = None if station is None else station.seat.ask(stop_wanted())
                if message is not None:
                    on_message(message)
            return pending.result()
        finally:
            run.close()

    def wait_for_worker(self, seconds: float) -> None:
        """Wait until there is one.

        Raises:
            AflSimError: none comes up in that time, or it is refused.
        """
        if not self.first_ready.wait(seconds):
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
        """This run wants nothing more (the lock is held)."""
        self._runs.pop(run.number, None)
        self.queue.forget(run.number)

    def wake(self) -> None:
        """There may be something to hand out."""
        self._inbox.put(self._hand_out)

    def check(self) -> None:
        """Raise what makes it pointless to wait (the lock is held)."""
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Nothing more will be computed, for this reason."""
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
        except BaseException as error:  # nobody else could tell the runs that wait
            self.fail(error)
        for station in self._stations:
            station.seat.close()

    def _open(self) -> None:
        station = _Station(self._open_seat())
        station.seat.start(self._later(self._welcome, station))
        with self.lock:
            self._stations.append(station)

    def _later(self, step: Callable[..., None], *first: Any) -> Done:
        """What a seat may call from any thread: the step is done by the pool's own."""
        return lambda reply: self._inbox.put(partial(step, *first, reply))

    def _welcome(self, station: _Station, reply: Reply) -> None:
        if reply.lost:
            self._losses += 1
            if self._losses > _MAX_LOSSES:
                raise _keep_dying(self._losses, "while they started", reply.error)
            self._replace(station, reply.error)
            return
        if reply.error is not None:
            raise reply.error
        self._losses = 0
        self._refuse_other(reply.value)
        station.ready = True
        self.first_ready.set()
        self._hand_out()

    def _refuse_other(self, worker: Hello) -> None:
        """Refuse a worker whose results might differ.

        Raises:
            InputError: its code or its numerics are not this process's.
        """
        mine = code_digest()
        found = {"code": "" if worker.code == mine else f"{worker.code}, here {mine}"}
        for each, own in zip(worker.fingerprints, self._fingerprints, strict=True):
            found["numerics"] = numerics_differences(each, own)
            if found["numerics"]:
                break
        for what, differing in found.items():
            if differing:
                raise InputError(
                    f"a worker's {what} differ from this process's, so its results might, too "
                    f"({differing})"
                )

    def _replace(self, station: _Station, why: BaseException | None) -> None:
        """A new worker takes the place of one that is lost; what that had in hand waits again."""
        if station.gone:
            return
        station.gone = True
        with self.lock:
            self._stations.remove(station)
            lost, station.jobs = station.jobs, []
            for pending in lost[:1]:  # the others were only at the door
                pending.losses += 1
                if pending.losses > _MAX_LOSSES:
                    error = _keep_dying(pending.losses, "over one task", why)
                    pending.run.settle(pending, error=error)
            for pending in lost:
                pending.run.put_back(pending)
        station.seat.close()
        self._open()

    def _hand_out(self) -> None:
        """Give the next tasks to the workers that have the least to do."""
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

    def _take(self, station: _Station, pending: Pending, request: Request, reply: Reply) -> None:
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

    def _station_of(self, pending: Pending) -> _Station | None:
        return next((s for s in self._stations if s.jobs[:1] == [pending]), None)


def _no_runner() -> TaskRunner:
    raise AssertionError("a call needs no runner")


def _keep_dying(times: int, when: str, why: BaseException | None) -> AflSimError:
    last = "" if why is None else "; the last: " + " ".join(str(why).split())
    return AflSimError(
        f"worker processes died {times} times in a row {when}, perhaps for lack of memory; try "
        f"fewer --workers{last}"
    )
