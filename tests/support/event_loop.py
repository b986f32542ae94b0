"""The schedules once more, on a bare heap of pending ends: what the engine's logs are held to.

Written from the rules of virtual time, not from the engine, and sharing nothing with it but the
addressed random draws. At each instant comes first whatever is due, in the order in which it was
started; then the server, which takes arrivals in the order in which they came. A schedule
(`plain_schedules`) is a function that asks for the next instant when it has nothing left to do:
there are no processes. Times and durations are integer microseconds, and a leg of 0 is no event.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from afl_sim.streams import Streams

Row = tuple[int, str, int, int, int, int, int]
"""time_us, kind, client, task, version, base_version, staleness."""

ENDS = ("downloaded", "computed", "arrived")
COMPUTING, UPLOADING = 1, 2


class RunEnds(Exception):
    """A stop rule holds, or the horizon is reached."""


@dataclass(frozen=True)
class Faults:
    """Probabilities, and times in microseconds that are positive or not asked for."""

    crash: float = 0.0
    noticed: int = 0  # after the task was sent
    loss: float = 0.0
    retries: int = 0
    timeout: int = 1
    backoff: int = 0
    corruption: float = 0.0
    duplication: float = 0.0
    copy_later: int = 1


@dataclass(eq=False)
class Task:
    client: int
    number: int
    base: int
    sent: int
    polled: bool = False  # computes until it is polled
    drawn: bool = False  # if it fails, any client will do
    retry: bool = True  # if it fails, another is sent
    leg: int = 0  # 3: arrived
    pending: int | None = None  # which end on the heap is this task's; any other is stale
    since: int = -1  # when it began to compute
    steps: int | None = None  # of a task that was recalled
    unwanted: bool = False
    crashed: bool = False  # unnoticed
    failed: bool = False
    tries: int = 0  # uploads that were lost


class EventLoop:
    """Clients, links, the clock and the server's words.

    Args:
        clients: how many.
        legs: a client's times (download, compute, upload) for its task of this number.
        seed: the run's.
        versions: how many end the run.
        horizon: the run's end, itself excluded.
        aggregation: how long an aggregation takes.
        faults: what goes wrong.
    """

    def __init__(
        self,
        clients: int,
        legs: Callable[[int, int], tuple[int, int, int]],
        seed: int,
        *,
        versions: int,
        horizon: int | None = None,
        aggregation: int = 0,
        faults: Faults = Faults(),
    ) -> None:
        self.clients, self.legs, self.streams = clients, legs, Streams(seed)
        self.versions, self.horizon, self.aggregation = versions, horizon, aggregation
        self.now = self.version = self.draws = self.started = 0
        self.faults = faults
        self.due: list[tuple[int, int, Task, Callable[[Task], None]]] = []
        self.sent = [0] * clients
        self.busy: dict[int, Task] = {}  # in order of dispatch
        self.inbox: list[Task] = []
        self.awaited: Sequence[Task] = ()  # if one of them fails, no other is sent
        self.ended: list[Task] = []  # that arrived or failed, in order
        self.rows: list[Row] = []
        self.recalled: list[Task] = []

    def run(self, schedule: Callable[..., None], *args: object) -> list[Row]:
        with suppress(RunEnds):
            schedule(self, *args)
        return self.rows

    # -- the world -------------------------------------------------------------------------------

    def log(self, kind: str, task: Task, staleness: int = -1) -> None:
        row = (self.now, kind, task.client, task.number, self.version, task.base, staleness)
        self.rows.append(row)

    def dispatch(
        self, client: int, polled: bool = False, drawn: bool = False, retry: bool = True
    ) -> Task:
        assert client not in self.busy, "a client does one task at a time"
        task = Task(client, self.sent[client], self.version, self.now, polled, drawn, retry)
        self.sent[client] += 1
        self.busy[client] = task
        self.log("dispatched", task)
        self.proceed(task)
        return task

    def plan(self, task: Task, delay: int, action: Callable[[Task], None]) -> None:
        self.started += 1
        task.pending = self.started
        heapq.heappush(self.due, (self.now + delay, self.started, task, action))

    def proceed(self, task: Task) -> None:
        """Begin the leg that is next; a leg of no time ends at once."""
        task.pending = None
        if task.leg == COMPUTING:
            task.since = self.now
            if self.hit("crash", task, self.faults.crash):
                whole = self.legs(task.client, task.number)[COMPUTING]
                moment = self.streams.uniform("faults.crash_moment", task.client, task.number)
                self.plan(task, max(1, int(moment * whole)), self.crash)
                return
            if task.polled:
                return
        if task.leg < len(ENDS):
            duration = self.duration(task)
            if duration == 0:
                self.end_leg(task)
            else:
                self.plan(task, duration, self.end_leg)
            return
        self.ended.append(task)
        if task.unwanted:
            self.drop(task)
        else:
            self.inbox.append(task)
        if self.hit("duplication", task, self.faults.duplication):
            copy = Task(task.client, task.number, task.base, task.sent)
            self.plan(copy, self.faults.copy_later, lambda copy: self.log("duplicate", copy))

    def duration(self, task: Task) -> int:
        """Of the leg that begins now."""
        return self.legs(task.client, task.number)[task.leg]

    def end_leg(self, task: Task) -> None:
        if task.leg == UPLOADING and self.loses(task):
            return
        if task.leg == UPLOADING and self.hit("corruption", task, self.faults.corruption):
            self.log("corrupted", task)
        self.log(ENDS[task.leg], task)
        task.leg += 1
        self.proceed(task)

    def hit(self, what: str, task: Task, probability: float) -> bool:
        """Whether this goes wrong with the task."""
        address = f"faults.{what}", task.client, task.number
        return probability > 0 and self.streams.uniform(*address) < probability

    def crash(self, task: Task) -> None:
        left = task.sent + self.faults.noticed - self.now
        if left > 0:
            task.crashed = True
            self.plan(task, left, self.fail)
        else:
            self.fail(task)

    def loses(self, task: Task) -> bool:
        """Whether the upload that ends is lost: it is tried again, or given up."""
        faults = self.faults
        if not self.hit("upload_loss", task, faults.loss ** (task.tries + 1)):
            return False
        self.log("lost", task)
        wait = faults.timeout
        if task.tries < faults.retries:
            wait += faults.backoff * 2**task.tries
        self.plan(task, wait, self.proceed if task.tries < faults.retries else self.fail)
        task.tries += 1
        return True

    def fail(self, task: Task) -> None:
        self.log("failed", task)
        task.failed, task.pending = True, None
        self.ended.append(task)
        self.free(task)
        if task in self.awaited or task.unwanted or not task.retry:
            return
        for client in self.pick(1) if task.drawn else [task.client]:
            self.dispatch(client, task.polled, task.drawn)

    def instant(self, last: int | None = None) -> bool:
        """Go to the next time at which something is due, and do all of it.

        False if that would be after ``last``: it is ``last`` then, and nothing was due.
        """
        while self.due and self.due[0][2].pending != self.due[0][1]:
            heapq.heappop(self.due)
        if not self.due and last is None:
            raise RunEnds("nothing is due")
        found = bool(self.due) and (last is None or self.due[0][0] <= last)
        self.now = self.due[0][0] if found else last  # type: ignore[assignment]
        if self.horizon is not None and self.now >= self.horizon:
            raise RunEnds("the horizon")
        while self.due and self.due[0][0] == self.now:
            _, order, task, action = heapq.heappop(self.due)
            if task.pending == order:
                action(task)
        return found

    # -- the server's words ----------------------------------------------------------------------

    def free(self, task: Task) -> None:
        if task in self.inbox:
            self.inbox.remove(task)
        if self.busy.get(task.client) is task:
            del self.busy[task.client]

    def take(self) -> Task:
        while not self.inbox:
            self.instant()
        task = self.inbox[0]
        self.free(task)
        return task

    def sleep(self, duration: int) -> None:
        end = self.now + duration
        while self.now < end:
            self.instant(end)

    def wait(self, tasks: Sequence[Task], first: int, deadline: int | None = None) -> list[Task]:
        last = None if deadline is None else self.now + deadline
        tasks = [task for task in tasks if not task.failed]
        first = min(first, len(tasks))
        self.awaited = tasks
        while sum(task in tasks for task in self.inbox) < first:
            if self.now == last or all(task in self.ended for task in tasks):
                break
            self.instant(last)
        self.awaited = ()
        came = [task for task in self.inbox if task in tasks][:first]
        for task in came:
            self.free(task)
        return came

    def drop(self, task: Task) -> None:
        self.log("discarded", task)
        self.free(task)

    def cancel(self, task: Task) -> None:
        if task.failed:
            return
        if task.leg == len(ENDS):
            self.drop(task)
        else:
            self.log("cancelled", task)
            task.pending = None
            self.free(task)

    def recall(self, task: Task, limit: int) -> None:
        """End the computation; its ``limit`` steps are equally long and take all of its leg."""
        task.retry = False
        if task.crashed and not task.failed:
            self.fail(task)
            return
        if task.leg > COMPUTING or task.failed:
            return
        whole = self.legs(task.client, task.number)[COMPUTING]
        computing = self.now - task.since if task.leg == COMPUTING else 0
        task.steps = min(limit, limit * computing // whole)
        if task.leg < COMPUTING:
            self.log("downloaded", task)  # the leg ends, without the model
        task.leg = COMPUTING
        self.recalled.append(task)
        self.end_leg(task)

    def poll(self, client: int, limit: int) -> Task:
        task = self.busy.pop(client)
        self.recall(task, limit)
        self.dispatch(client, polled=True)
        return task

    def aggregate(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        self.sleep(self.aggregation)
        self.version += 1
        for task in tasks:
            self.log("aggregated", task, self.version - 1 - task.base)
        if self.version >= self.versions:
            raise RunEnds("enough versions")

    # -- uniform draws: the n-th of a run is number n of its stream "selection" ------------------

    def draw(self) -> float:
        self.draws += 1
        return self.streams.uniform("selection", 0, self.draws - 1)

    def pick(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """n idle clients: by rejection where many are idle, else by a partial shuffle."""
        idle = [c for c in (range(self.clients) if among is None else among) if c not in self.busy]
        if among is None and 8 * len(idle) >= self.clients + 8 * n:
            return self.reject(n, idle)
        return self.shuffle(n, idle)

    def sample(self, n: int) -> list[int]:
        """n clients, idle or not."""
        everyone = list(range(self.clients))
        return (self.shuffle if 2 * n > self.clients else self.reject)(n, everyone)

    def reject(self, n: int, pool: Sequence[int]) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < n:
            client = int(self.draw() * self.clients)
            if client in pool and client not in chosen:
                chosen.append(client)
        return chosen

    def shuffle(self, n: int, pool: list[int]) -> list[int]:
        for i in range(min(n, len(pool))):
            j = i + int(self.draw() * (len(pool) - i))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:n]
