"""What a schedule may ask of the server: its clients, its tasks and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from afl_sim.strategies.inputs import Reading, Update
from afl_sim.strategies.task_view import TaskView, Timing

T = TypeVar("T")


class ServerKnowledge(Protocol):
    """The words of a schedule that ask, and change nothing."""

    @property
    def now(self) -> float:
        """The virtual time, in seconds."""

    @property
    def version(self) -> int:
        """The number of global models made so far. Clients download the latest one."""

    @property
    def clients(self) -> int:
        """The number of clients in the population."""

    @property
    def idle(self) -> int:
        """The number of clients without a task, available or not."""

    @property
    def in_flight(self) -> tuple[TaskView, ...]:
        """The tasks that have not arrived, oldest first.

        Tasks that wait for their client to return are at the end.
        """

    def task(self, client: int, /) -> TaskView | None:
        """The client's task, or None. If the client queues several tasks, the oldest of them."""

    def staleness(self, task: TaskView, /) -> int:
        """The staleness that the update would have if it were aggregated now, in versions.

        It is 0 for a task that has not been sent yet.
        """

    def is_gone(self, client: int, /) -> bool:
        """Whether the client has left for good."""

    def is_paused(self, task: TaskView, /) -> bool:
        """Whether the task stands still because its client is away."""

    def expected_seconds(self, client: int, /) -> float:
        """The mean time of the client's tasks from download to upload, in seconds.

        A strategy that asks for it declares ``needs_mean_times = True``. Distributions without a
        mean are then refused before the run.

        Raises:
            ScenarioError: the client's task times have no finite mean.
        """

    def expected_parts(self, client: int, /) -> tuple[float, float]:
        """The mean time of a local step of the client, and of the upload of one message (seconds).

        What a task's time has beside its steps is spread over them. It is declared, and refused,
        as for `expected_seconds`.
        """

    @property
    def update_variance(self) -> float | None:
        """omega of ``training.compression.upload``, by which an update's compression C is unbiased.

        ``E C(v) = v`` and ``E ||C(v) - v||^2 <= omega ||v||^2``: 0 for none, and P/k - 1 for randk.
        None for others.
        """

    def expected_steps(
        self, client: int, /, *, most: int, every: float, chance: float
    ) -> tuple[float, float]:
        """What a poll finds: the mean number of steps done, and the chance of at least one.

        Both follow from the distributions of the client's step times. A client computes from one
        poll to the next, but at most ``most`` steps. Times away, the server's own time and uploads
        are left out, and the durations of a client's tasks are those that it comes to have.

        Args:
            client: the client.
            most: the steps after which the client waits.
            every: seconds between two polls.
            chance: the probability that a poll reaches the client.
        """

    def timing(self, task: TaskView, /) -> Timing:
        """What the client reports of the time of its task: how long it waited and computed.

        It is known once the update has arrived. A task that was recalled or polled has no report,
        nor has one that a client cuts short when it leaves. A strategy that asks for it declares
        ``reads_timing = True``. Fleets with ``on_leave: partial`` are then refused before the run.

        Raises:
            ScheduleError: the update has not arrived, or has been used, recalled, polled or cut
                short.
        """

    def uniform(self, purpose: str, client: int = 0, k: int = 0) -> float:
        """A random number in (0, 1) for the strategy itself.

        It depends only on the scenario's seed and on the arguments.

        Args:
            purpose: a name for the draw, chosen by the strategy.
            client: the client that the draw is about.
            k: the number of the draw, such as the round.
        """

    def result(self, task: TaskView, /) -> Reading:
        """An update's training loss and counts, without tensors.

        The strategy declares ``reads_results = True``, and cannot run without training
        (``--timing-only``).

        Raises:
            ScheduleError: the strategy does not declare this, or the update has not arrived.
        """

    def measure(
        self, function: Callable[[Sequence[Update]], T], updates: Iterable[TaskView], /
    ) -> T:
        """A plain value that ``function`` computes from the tensors of updates.

        It serves where the loss is not enough, such as for the norm of the mean update. The
        function is pure, and its value consists of plain numbers, words, lists and dicts. The
        strategy declares ``reads_results = True``.

        Example:
            ``server.measure(lambda updates: float(updates[0].delta.norm()), arrived)``

        Raises:
            ScheduleError: the strategy does not declare this, or an update has not arrived.
            StrategyError: the function raised an exception, or returned a tensor.
        """

    def client_accuracies(self) -> list[float]:
        """The accuracy of the current model on the samples that each client keeps for tests.

        One number for each client; NaN for a client that keeps none. It takes no virtual time. The
        strategy declares ``reads_results = True`` and ``reads_client_tests = True``. The scenario
        then has ``evaluation.per_client: true``.

        Raises:
            ScheduleError: the strategy does not declare this.
        """

    def in_force(self, setting: str, given: int) -> int:
        """The value of a setting now: the strategy's own, or that of ``server.adaptive``.

        A schedule asks before it fills a buffer, so that a controller can change the buffer's size.
        The strategy names the setting in its ``adapts``. The concurrency need not be asked for,
        because `send` follows it.

        Args:
            setting: ``buffer_size`` or ``concurrency``.
            given: the strategy's own value.

        Example:
            ``size = server.in_force("buffer_size", self.buffer_size)``
        """
