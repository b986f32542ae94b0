"""The schedules once more, on a bare heap of pending ends: what the engine's logs are held to.

Written from the rules of virtual time, not from the engine, and sharing nothing with it but the
addressed random draws: at each instant, first whatever is due, in the order in which it was
started; then the server, which takes the arrivals in the order in which they came. The server is
one loop per strategy that asks for the next instant; there are no processes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from afl_sim.streams import Streams

Row = tuple[int, str, int, int, int, int, int]
"""time_us, kind, client, task, version, base_version, staleness."""

ENDS = ("downloaded", "computed", "arrived")


class RunEnds(Exception):
    """A stop rule holds, or the horizon is reached."""


@dataclass(eq=False)
class Task:
    client: int
    number: int
    base: int
    began: int
    state: str = "in flight"  # then arrived, used or gone
    discard: bool = False


class EventLoop:
    """Clients, links and the clock; ``legs(client, number)`` gives (down, compute, up) in us."""

    def __init__(
        self,
        clients: int,
        legs: Callable[[int, int], tuple[int, int, int]],
        seed: int,
        *,
        versions: int,
        horizon: int | None = None,
        aggregation: int = 0,
    ) -> None:
        self.clients, self.legs, self.streams = clients, legs, Streams(seed)
        self.versions, self.horizon, self.aggregation = versions, horizon, aggregation
        self.now = self.version = self.draws = self.started = 0
        self.due: list[tuple[int, int, Task, int]] = []
        self.counts = [0] * clients
        self.busy: dict[int, Task] = {}
        self.inbox: list[Task] = []
        self.rows: list[Row] = []

    # What happens in the world

    def log(self, kind: str, task: Task, staleness: int = -1) -> None:
        row = (self.now, kind, task.client, task.number, self.version, task.base, staleness)
        self.rows.append(row)

    def dispatch(self, client: int) -> Task:
        assert client not in self.busy, "a client does one task at a time"
        task = Task(client, self.counts[client], self.version, self.now)
        self.counts[client] += 1
        self.busy[client] = task
        self.log("dispatched", task)
        self.go_on(task, 0)
        return task

    def go_on(self, task: Task, leg: int) -> None:
        while leg < 3:
            duration = self.legs(task.client, task.number)[leg]
            if duration:
                self.started += 1
                heapq.heappush(self.due, (self.now + duration, self.started, task, leg))
                return
            self.log(ENDS[leg], task)
            leg += 1
        task.state = "arrived"
        if task.discard:
            self.drop(task)
        else:
            self.inbox.append(task)

    def instant(self, last: float = float("inf")) -> bool:
        """Go to the next time at which something is due, and do it all; False if none by last."""
        while self.due and self.due[0][2].state == "gone":
            heapq.heappop(self.due)
        if not self.due or self.due[0][0] > last:
            if last == float("inf"):
                raise RunEnds("nothing is due")
            self.move(int(last))
            return False
        self.move(self.due[0][0])
        while self.due and self.due[0][0] == self.now:
            _, _, task, leg = heapq.heappop(self.due)
            if task.state != "gone":
                self.log(ENDS[leg], task)
                self.go_on(task, leg + 1)
        return True

    def move(self, time: int) -> None:
        if self.horizon is not None and time >= self.horizon:
            raise RunEnds("the horizon")
        self.now = time

    # What the server does

    def take(self) -> Task:
        while not self.inbox:
            self.instant()
        task = self.inbox.pop(0)
        del self.busy[task.client]
        return task

    def sleep(self, duration: int) -> None:
        end = self.now + duration
        while self.instant(end):
            if self.now == end:
                return

    def wait(self, tasks: Sequence[Task], first: int, deadline: int | None) -> list[Task]:
        last = float("inf") if deadline is None else self.now + deadline
        while sum(task in tasks for task in self.inbox) < min(first, len(tasks)):
            if not self.instant(last) or self.now == last:
                break
        came = [task for task in self.inbox if task in tasks][:first]
        for task in came:
            self.inbox.remove(task)
            del self.busy[task.client]
        return came

    def drop(self, task: Task) -> None:
        """Discard an update that has arrived."""
        self.log("discarded", task)
        task.state = "gone"
        if task in self.inbox:
            self.inbox.remove(task)
        if self.busy.get(task.client) is task:
            del self.busy[task.client]

    def cancel(self, task: Task) -> None:
        if task.state == "arrived":
            self.drop(task)
        else:
            self.log("cancelled", task)
            task.state = "gone"
            del self.busy[task.client]

    def aggregate(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        if self.aggregation:
            self.sleep(self.aggregation)
        self.version += 1
        for task in tasks:
            task.state = "used"
            self.log("aggregated", task, self.version - 1 - task.base)
        if self.version >= self.versions:
            raise RunEnds("enough versions")

    # Uniform draws: the n-th of the run is number n of the stream "selection"

    def draw(self) -> float:
        self.draws += 1
        return self.streams.uniform("selection", 0, self.draws - 1)

    def pick(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """n of the idle clients: by rejection where many are idle, else by a partial shuffle."""
        idle = [c for c in (range(self.clients) if among is None else among) if c not in self.busy]
        if among is None and 8 * len(idle) >= self.clients + 8 * n:
            return self.reject(n)
        return self.shuffle(idle, n)

    def sample(self, n: int) -> list[int]:
        """n clients, idle or not."""
        if 2 * n > self.clients:
            return self.shuffle(list(range(self.clients)), n)
        return self.reject(n, busy_too=True)

    def reject(self, n: int, busy_too: bool = False) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < n:
            client = int(self.draw() * self.clients)
            if client not in chosen and (busy_too or client not in self.busy):
                chosen.append(client)
        return chosen

    def shuffle(self, pool: list[int], n: int) -> list[int]:
        for i in range(min(n, len(pool))):
            j = i + int(self.draw() * (len(pool) - i))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:n]


def fedavg(
    loop: EventLoop, m: int, sent: int, deadline: int | None = None, late: str = "cancel"
) -> None:
    while True:
        cohort = [loop.dispatch(client) for client in loop.pick(sent)]
        came = loop.wait(cohort, m, deadline)
        for task in cohort:
            if task not in came:
                loop.cancel(task) if late == "cancel" else loop.discard(task)
        loop.aggregate(came)


def fedasync(loop: EventLoop, concurrency: int | None, max_staleness: int | None) -> None:
    for client in loop.pick(concurrency or loop.clients):
        loop.dispatch(client)
    while True:
        task = loop.take()
        if max_staleness is not None and loop.version - task.base > max_staleness:
            loop.drop(task)
        else:
            loop.aggregate([task])
        loop.dispatch(loop.pick(1)[0] if concurrency else task.client)


def fedbuff(loop: EventLoop, concurrency: int | None, k: int) -> None:
    for client in loop.pick(concurrency or loop.clients):
        loop.dispatch(client)
    buffer: list[Task] = []
    while True:
        task = loop.take()
        buffer.append(task)
        if len(buffer) == k:
            loop.aggregate(buffer)
            buffer = []
        loop.dispatch(loop.pick(1)[0] if concurrency else task.client)


def ringmaster(loop: EventLoop, r: int) -> None:
    for client in range(loop.clients):
        loop.dispatch(client)
    while True:
        task = loop.take()
        loop.aggregate([task])
        loop.dispatch(task.client)
        for old in list(loop.busy.values()):
            if loop.version - old.base >= r:
                loop.cancel(old)
                loop.dispatch(old.client)


def fedat(loop: EventLoop, tiers: Sequence[Sequence[int]], m: int) -> None:
    cohorts: list[list[Task]] = []
    came: list[list[Task]] = [[] for _ in tiers]
    for members in tiers:
        cohorts.append([loop.dispatch(client) for client in loop.pick(m, members)])
    while True:
        loop.instant()
        ready = []
        for task in loop.inbox:
            tier = next(i for i, members in enumerate(tiers) if task.client in members)
            came[tier].append(task)
            if len(came[tier]) == len(cohorts[tier]):
                ready.append(tier)
        loop.inbox.clear()
        for tier in ready:
            for task in came[tier]:
                del loop.busy[task.client]
            loop.aggregate(came[tier])
            came[tier] = []
            cohorts[tier] = [loop.dispatch(client) for client in loop.pick(m, tiers[tier])]


def quafl(loop: EventLoop, s: int, period: int, k: int) -> None:
    raise NotImplementedError
