"""Clients that ask for the newest model on their way, on the independent event loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from event_loop import COMPUTING, EventLoop, Task
from parity_cases import Fleet


class RefreshingLoop(EventLoop):
    """Each client asks after ``step`` of ``steps`` steps, which are equally long.

    Its computation stands still while a newer model is downloaded, which takes as long as the first
    one did. It crashes after as much computation as it would without.
    """

    def __init__(self, *arguments: Any, step: int, steps: int, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.step, self.steps = step, steps
        self.left: dict[Task, tuple[int, int | None]] = {}  # of the computation; of that to a crash

    def proceed(self, task: Task) -> None:
        if task.leg != COMPUTING or task in self.left:
            super().proceed(task)
            return
        whole = self.legs(task.client, task.number)[COMPUTING]
        first = -(-whole * self.step // self.steps)
        crash = None
        if self.hit("crash", task, self.faults.crash):
            moment = self.streams.uniform("faults.crash_moment", task.client, task.number)
            crash = max(1, int(moment * whole))
        self.left[task] = whole - first, None if crash is None else crash - first
        if crash is not None and crash <= first:
            self.plan(task, crash, self.crash)
        else:
            self.plan(task, first, self.ask)

    def ask(self, task: Task) -> None:
        self.log("requested", task)
        download = self.legs(task.client, task.number)[0]
        if self.version > task.base and download:
            self.plan(task, download, self.go_on)
        else:
            self.go_on(task)

    def go_on(self, task: Task) -> None:
        self.log("refreshed", task)
        rest, crash = self.left[task]
        if crash is not None:
            self.plan(task, crash, self.crash)
        elif rest:
            self.plan(task, rest, self.end_leg)
        else:
            self.end_leg(task)


@dataclass(frozen=True)
class RefreshingFleet(Fleet):
    """The same clients, with tasks of some steps."""

    step: int
    steps: int

    def loop(self, *arguments: Any, **more: Any) -> EventLoop:
        """The event loop of these clients."""
        return RefreshingLoop(*arguments, step=self.step, steps=self.steps, **more)
