"""One task sent to one client, from dispatch to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import simpy

if TYPE_CHECKING:
    from afl_sim.world.links.contended import Transfer
    from afl_sim.world.links.course import Course


Entry = tuple[Any, ...]
"""What is due at an instant (`afl_sim.world.clock`), in its order among all that is due there: its
priority, the instant at which it was put, the instant at which what put it was put (0 where that
makes no difference), a number that grows, and an event or a task. The length is left open, since
compiled code would copy a tuple of known length, and what is pending is told by identity."""


Plan = Sequence[int]
"""Of a task: its steps, its samples, the microseconds of its computation; of its download and then
of its upload the microseconds, the bytes, and the microseconds of work on the server's link, if
transfers contend for it."""


class Waiter(Protocol):
    """Who waits for the update of a task, in place of the inbox."""

    over: bool
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


# A member of an enumeration is found by a descriptor, which takes longer than a call. What each
# task comes by is found once.
DOWNLOADING: Final = Phase.DOWNLOADING
UPLOADING: Final = Phase.UPLOADING
ARRIVED: Final = Phase.ARRIVED
AGGREGATED: Final = Phase.AGGREGATED


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for when a task was sent, so that the same can be asked for again.

    Attributes:
        epochs, steps: the amount of work, in place of the scenario's.
        until_polled: the client computes up to ``steps`` steps and keeps the result until polled.
        drawn: any client will do.
        retry: if the task fails and nothing waits for it, another is sent.
        lr_factor: a factor on the client's learning rate.
        messages: how often the client compresses the update anew and sends it.
        refresh_after: the share of the steps after which the client asks for the newest model, to
            merge it into its own; None: it does not.
        usual: whether it is the scenario's amount of work, without a poll or a fresh model, and is
            sent once.
    """

    epochs: float | None = None
    steps: int | None = None
    until_polled: bool = False
    drawn: bool = False
    retry: bool = True
    lr_factor: float = 1.0
    messages: int = 1
    refresh_after: float | None = None
    usual: bool = field(init=False)

    def __post_init__(self) -> None:
        usual = (self.epochs, self.steps, self.refresh_after) == (None, None, None)
        usual = usual and not self.until_polled and self.messages == 1
        object.__setattr__(self, "usual", usual)


PLAIN = Order()


class Timing(NamedTuple):
    """What a client reports of the time of its task.

    Attributes:
        waited: seconds before its first step, its download excluded.
        computed: seconds for its steps.
    """

    waited: float
    computed: float


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
        refresh_step: the steps after which the client will ask for a fresh model; 0 if it will not,
            or has asked.
        fresh_step, fresh_version: after which step it did, and the version that the server sent; -1
            if that had no newer one, or the task ended before.
        job: the numeric half's handle on the task; virtual time never looks inside.
    """

    # Most tasks keep these values, so that making one costs little.
    until_polled = False
    extra_steps = 0
    refresh_step = 0
    fresh_step = 0
    fresh_version = -1
    link_us = -1  # when it left the server's download link or came to the upload link
    queued_since_us = -1  # while it waits at its client, behind other tasks
    queued_us = 0  # how long it waited there
    computing_since_us = -1
    worked_us = 0.0  # work done before that, where the client's speed varies
    leg_ends_us = -1  # of a leg that no other task can delay
    download_us = 0  # the legs' durations, drawn when it is sent
    compute_us = 0
    upload_us = 0
    download_work_us = 0  # on a link of the server that transfers contend for
    upload_work_us = 0
    upload_begins_us = -1  # for which the upload was planned, where links vary in time
    # Its transfer was interrupted there: when it last went on or stopped, and what was left then.
    interrupted: tuple[int, Course] | None = None
    download_bytes = 0
    upload_bytes = 0
    attempt = 0  # uploads that were lost
    corruption: float | None = None  # what the update's numbers are multiplied by
    lost = False  # it has failed, and the server has not noticed yet
    foreseen = 0  # the number of its entry in the queue, if its legs are no events
    arrival = -1  # the arrival's ordinal over the whole run
    unwanted = False  # discard on arrival
    freed = False  # its client need not be told again that it is over
    then: Callable[[Task], None] | None = None  # what follows the current leg
    job: Any = None

    def __init__(
        self,
        client: int,
        number: int,
        base_version: int,
        steps: int,
        samples: int,
        sent_us: int,
        until_polled: bool = False,
        order: Order = PLAIN,
    ) -> None:
        self.client = client
        self.number = number
        self.base_version = base_version
        self.steps = steps
        self.limit = steps
        self.samples = samples
        self.sent_us = sent_us
        self.due_us = sent_us  # when the update arrives, if it never has to wait for a link
        self.order = order
        self.phase: Phase = DOWNLOADING
        # The end of the current leg; all other ends are stale.
        self.pending: Entry | simpy.Event | Transfer[Task] | None = None
        self.waiter: Waiter | None = None  # who gets the arrival; if None, the inbox
        if until_polled:
            self.until_polled = True

    def plan(self, plan: Plan) -> None:
        """Set how long its legs take, and so when it is due at the earliest."""
        (
            _,
            _,
            self.compute_us,
            download_us,
            self.download_bytes,
            self.download_work_us,
            self.upload_us,
            self.upload_bytes,
            self.upload_work_us,
        ) = plan
        self.download_us = download_us
        self.due_us = (
            self.sent_us
            + download_us
            + self.download_work_us
            + self.compute_us
            + self.upload_us
            + self.upload_work_us
        )

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
    def lr_factor(self) -> float:
        """A factor on the client's learning rate, as it was asked for."""
        return self.order.lr_factor

    @property
    def messages(self) -> int:
        """How often the client compresses the update anew and sends it."""
        return self.order.messages

    @property
    def in_flight(self) -> bool:
        """Whether the update has neither arrived nor been given up."""
        return self.phase <= UPLOADING

    @property
    def arrived(self) -> bool:
        """Whether the update is at the server and not yet used or discarded."""
        return self.phase is ARRIVED

    @property
    def pollable(self) -> bool:
        """Whether it waits for a poll, which will say how many steps were done."""
        return self.until_polled and self.phase <= Phase.COMPUTING

    @property
    def undecided(self) -> bool:
        """Whether something on its way decides what it computes: a poll, or a fresh model."""
        return self.refresh_step > 0 or self.pollable

    def __repr__(self) -> str:
        return (
            f"Task(client={self.client}, number={self.number}, "
            f"base_version={self.base_version}, {self.phase.name.lower()})"
        )
