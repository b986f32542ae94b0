"""One task sent to one client, from dispatch to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

import simpy

if TYPE_CHECKING:
    from afl_sim.world.links.contended import Transfer


class Waiter(Protocol):
    """Who waits for the update of a task, in place of the inbox."""

    @property
    def triggered(self) -> bool:
        """Whether the wait is over."""

    def arrive(self, task: Task) -> None:
        """The update has reached the server."""

    def give_up(self, task: Task) -> None:
        """The update will never arrive."""


class Phase(IntEnum):
    """Where a task stands. The first five are in flight; the first of them is not sent yet."""

    WAITING = -1
    DOWNLOADING = 0
    QUEUED = 1
    COMPUTING = 2
    UPLOADING = 3
    ARRIVED = 4
    AGGREGATED = 5
    DISCARDED = 6
    CANCELLED = 7
    FAILED = 8


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for when a task was sent, so that the same can be asked for again.

    Attributes:
        epochs, steps: the amount of work, in place of the scenario's.
        until_polled: the client computes up to ``steps`` steps and keeps the result until polled.
        drawn: any client will do.
        retry: if the task fails and nothing waits for it, another is sent.
    """

    epochs: float | None = None
    steps: int | None = None
    until_polled: bool = False
    drawn: bool = False
    retry: bool = True


PLAIN = Order()


class Task:
    """One task of one client: what a schedule holds, waits for and aggregates.

    Attributes:
        client: the client's index.
        number: how many tasks the client was sent before this one.
        base_version: the server's version that the client downloads.
        steps: local steps this task takes (after a recall: the steps that were done).
        limit: the steps it was dispatched with.
        extra_steps: further steps, for what the client keeps for itself.
        samples: training samples processed in all these steps.
        phase: where the task stands.
        until_polled: the client computes up to ``steps`` steps and keeps the result until polled.
        order: what was asked for.
        job: the numeric half's handle on the task; virtual time never looks inside.
    """

    __slots__ = (
        "__weakref__",
        "arrival",
        "attempt",
        "base_version",
        "client",
        "compute_us",
        "computing_since_us",
        "corruption",
        "download_bytes",
        "download_us",
        "download_work_us",
        "due_us",
        "extra_steps",
        "job",
        "leg_ends_us",
        "limit",
        "link_us",
        "lost",
        "number",
        "order",
        "pending",
        "phase",
        "queued_since_us",
        "queued_us",
        "samples",
        "sent_us",
        "steps",
        "then",
        "until_polled",
        "unwanted",
        "upload_bytes",
        "upload_us",
        "upload_work_us",
        "waiter",
        "worked_us",
    )

    def __init__(
        self,
        client: int,
        number: int,
        base_version: int,
        steps: int,
        samples: int,
        sent_us: int,
        until_polled: bool = False,
    ) -> None:
        self.client = client
        self.number = number
        self.base_version = base_version
        self.steps = steps
        self.limit = steps
        self.extra_steps = 0
        self.samples = samples
        self.sent_us = sent_us
        self.until_polled = until_polled
        self.order = PLAIN
        self.phase = Phase.DOWNLOADING
        self.link_us = -1  # when it left the server's download link or came to the upload link
        self.queued_since_us = -1  # while it waits at its client, behind other tasks
        self.queued_us = 0  # how long it waited there
        self.computing_since_us = -1
        self.worked_us = 0.0  # work done before that, where the client's speed varies
        self.leg_ends_us = -1  # of a leg that no other task can delay
        self.download_us = 0  # the legs' durations, drawn when it is sent
        self.compute_us = 0
        self.upload_us = 0
        self.download_work_us = 0  # on a link of the server that transfers contend for
        self.upload_work_us = 0
        self.download_bytes = 0
        self.upload_bytes = 0
        self.attempt = 0  # uploads that were lost
        self.corruption: float | None = None  # what the update's numbers are multiplied by
        self.lost = False  # it has failed, and the server has not noticed yet
        self.due_us = sent_us  # when the update arrives, if it never has to wait for a link
        self.arrival = -1  # the arrival's ordinal over the whole run
        self.unwanted = False  # discard on arrival
        # The timeout or transfer of the current leg, and what follows it; all others are stale.
        self.pending: simpy.Event | Transfer[Task] | None = None
        self.then: Callable[[Task], None] | None = None
        self.waiter: Waiter | None = None  # who gets the arrival; if None, the inbox
        self.job: Any = None

    def set_out(
        self, number: int, base_version: int, steps: int, samples: int, now_us: int
    ) -> None:
        """A task that waited for its client is sent."""
        self.number = number
        self.base_version = base_version
        self.steps = self.limit = steps
        self.samples = samples
        self.sent_us = self.due_us = now_us
        self.phase = Phase.DOWNLOADING

    def busy_us(self, now_us: int) -> int:
        """How long its client has been at work on it, transfers included."""
        waited = self.queued_us
        if self.queued_since_us >= 0:
            waited = now_us - self.queued_since_us
        return now_us - self.sent_us - waited

    @property
    def task(self) -> int:
        """Its number, by the name of the column in the event log."""
        return self.number

    @property
    def in_flight(self) -> bool:
        """Whether the update has neither arrived nor been given up."""
        return self.phase <= Phase.UPLOADING

    @property
    def arrived(self) -> bool:
        """Whether the update is at the server and not yet used or discarded."""
        return self.phase is Phase.ARRIVED

    @property
    def pollable(self) -> bool:
        """Whether it waits for a poll, which will say how many steps were done."""
        return self.until_polled and self.phase <= Phase.COMPUTING

    def __repr__(self) -> str:
        return (
            f"Task(client={self.client}, number={self.number}, "
            f"base_version={self.base_version}, {self.phase.name.lower()})"
        )
