"""What a schedule holds and waits for: tasks and events."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Event(Protocol[T_co]):
    """A moment in virtual time that a schedule waits for with ``yield``.

    ``Event[X]`` says that the ``yield`` gives a value of type X. It is an event of SimPy.

    Example:
        ``task = yield server.arrival()`` waits for an ``Event[TaskView]``, and `task` is a
        `TaskView`.
    """

    @property
    def processed(self) -> bool:
        """Whether the moment has passed."""


Schedule = Generator[Any, Any, None]
"""What `Strategy.schedule` returns: a generator that yields the events that it waits for.

A run checks that everything it yields is an `Event`.
"""


class TaskView(Protocol):
    """A task that the server has sent to a client.

    `ServerView.dispatch` returns it. The schedule keeps it, waits for it, and aggregates it. The
    update that arrives is the same object. It can be a key of a dictionary. It takes no attributes
    of the schedule's own, and no weak references: the compiled build raises an error for both.
    """

    @property
    def client(self) -> int:
        """The client's index, from 0."""

    @property
    def number(self) -> int:
        """The client's task number, from 0; -1 if the task has not been sent yet."""

    @property
    def base_version(self) -> int:
        """The version of the global model that the client downloads."""

    @property
    def steps(self) -> int:
        """The number of local steps of the task; after a recall or a poll, the steps done."""

    @property
    def samples(self) -> int:
        """The number of training samples that these steps process."""

    @property
    def in_flight(self) -> bool:
        """Whether the task may still arrive: it has not arrived, failed or been cancelled."""

    @property
    def arrived(self) -> bool:
        """Whether the update is at the server, and neither used nor discarded yet."""


class Timing(Protocol):
    """What a client reports of the time that its task took (`ServerView.timing`)."""

    @property
    def waited(self) -> float:
        """Seconds before the first step: behind other tasks of the client, and
        ``jitter_seconds``, which can stand for the queue of a cluster."""

    @property
    def computed(self) -> float:
        """Seconds for the steps."""
