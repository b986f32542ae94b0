"""What a schedule may know of the server and its clients, and how it chooses among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from afl_sim.errors import ScheduleError
from afl_sim.streams import Streams
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.parts import Parts
from afl_sim.world.server.statistics import Counts
from afl_sim.world.tasks.task import Phase, Task, Timing

T = TypeVar("T")


class ServerKnowledge:
    """The words of `Server` that change nothing.

    Args:
        parts: what does the work.
        strategy: whose schedule this is.
        streams: the run's random streams.
        queues: whether clients queue tasks that they are sent while they have one.
    """

    def __init__(self, parts: Parts, strategy: object, streams: Streams, queues: bool) -> None:
        self._env = parts.env
        self._ledger = parts.ledger
        self._durations = parts.durations
        self._presence = parts.presence
        self._idle_waits = parts.idle_waits
        self._inbox = parts.inbox
        self._sender = parts.sender
        self._versions = parts.versions
        self._alarm = parts.alarm
        self._results = parts.results
        self._update_variance = parts.update_variance
        self._strategy = strategy
        self._streams = streams
        self._queues = queues

    # -- what it knows ---------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual time in seconds."""
        return self._env.now_us / MICROSECONDS

    @property
    def version(self) -> int:
        """The number of global models made so far; a client downloads the current one."""
        return self._ledger.version

    @property
    def counts(self) -> Counts:
        """What has happened to the tasks so far."""
        return self._ledger.counts

    @property
    def clients(self) -> int:
        """The number of clients in the population."""
        return self._presence.population

    @property
    def idle(self) -> int:
        """The number of clients that have no task, whether or not they are available."""
        return self._presence.idle

    @property
    def under_way(self) -> tuple[Task, ...]:
        """The tasks that were sent and have not ended, oldest first."""
        return tuple(self._ledger.in_flight)

    @property
    def in_flight(self) -> tuple[Task, ...]:
        """The tasks that have not arrived, oldest first; then those that wait for their client."""
        return (*self._ledger.in_flight, *self._sender.waiting)

    def task(self, client: int) -> Task | None:
        """The task that the client has, if any; the oldest if it queues several."""
        return self._presence.task(client)

    def staleness(self, task: Task) -> int:
        """The staleness that the update would have now; 0 for a task that is not sent yet."""
        return 0 if task.phase is Phase.WAITING else self._ledger.version - task.base_version

    def is_gone(self, client: int) -> bool:
        """Whether the client has left for good."""
        return self._presence.back_us(client, self._env.now_us) is None

    def is_paused(self, task: Task) -> bool:
        """Whether the task stands still because its client is away."""
        return self._sender.fleet.is_paused(task)

    def expected_seconds(self, client: int) -> float:
        """The mean round trip of the client's tasks, in seconds."""
        return self._durations.expected_seconds(client)

    def expected_parts(self, client: int) -> tuple[float, float]:
        """The mean seconds of a local step of the client, and of the upload of one message."""
        return self._durations.expected_parts(client)

    @property
    def update_variance(self) -> float | None:
        """omega of an update's compression; None if it is not known."""
        return self._update_variance

    def expected_steps(
        self, client: int, *, most: int, every: float, chance: float
    ) -> tuple[float, float]:
        """What a poll finds: the mean number of steps, and the chance of at least one."""
        return self._durations.expected_steps(client, most, every, chance)

    def timing(self, task: Task) -> Timing:
        """What the client of an arrived update reports of its time."""
        if not task.arrived or task.until_polled or task.steps != task.limit:
            raise ScheduleError(f"{task} has no report of its time: it has not arrived whole")
        return self._durations.timing(task)

    def uniform(self, purpose: str, client: int = 0, k: int = 0) -> float:
        """The strategy's own randomness: draw ``k`` on ``client`` of a named stream, in (0, 1)."""
        return self._streams.uniform(f"strategy.{purpose}", client, k)

    def result(self, task: Task) -> Any:
        """What a schedule may know of an update that has arrived: its loss, no tensor.

        When an interrupted run is resumed, its schedule is replayed and gets the same again.
        """
        return self._results.read(task)

    def measure(self, function: Callable[[Sequence[Any]], T], updates: Iterable[Task]) -> T:
        """``function`` of the numbers (`afl_sim.Update`) of updates that have arrived.

        A replay of the schedule gets the same again.
        """
        return self._results.measure(function, updates)

    def client_accuracies(self) -> list[float]:
        """The accuracy of the current model on the samples that each client keeps for tests."""
        return self._results.client_accuracies(self._env.now_us)

    def in_force(self, setting: str, given: int) -> int:
        """The setting's value now: the controller's, or the given one."""
        return given

    # -- choosing clients ------------------------------------------------------------------------

    def pick(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """``n`` idle and available clients, uniformly at random; fewer if there are fewer.

        The scenario's `server.selection` may choose otherwise, except in `sample`.
        """
        return self._presence.draw(n, self._env.now_us, among)

    def pick_one(self) -> int:
        """An older word for one of `workers`; it raises an error if no client is idle."""
        return self._presence.one(self._env.now_us)

    def workers(self, n: int) -> list[int]:
        """``n`` idle clients to keep busy: `pick`, and if there are too few, those back first."""
        return self._presence.workers(n, self._env.now_us)

    def sample(self, n: int) -> list[int]:
        """``n`` clients out of all available ones, idle or not, uniformly at random."""
        return self._presence.sample(n, self._env.now_us)
