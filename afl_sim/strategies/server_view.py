"""The server as a schedule sees it: every word that a schedule may use.

`afl_sim.world` implements these protocols. docs/schedules.md lists the words; its table is made
from the docstrings of `ServerView`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar, overload

from afl_sim.strategies.inputs import Reading, Update
from afl_sim.strategies.task_view import Event, Schedule, TaskView, Timing

T = TypeVar("T")

OLDER_WORDS: Final = frozenset({"pick_one", "dispatch_many"})
"""Words that still work but are no longer needed."""


class ServerView(Protocol):
    """The words of a schedule.

    Words that return an `Event` are waited for with ``yield``. All others happen at once. Times are
    seconds of virtual time. Clients are numbered from 0.

    A client without a task is idle. A client that can be reached now is available.

    Example:
        A server that applies each update when it arrives:

            def schedule(self, server):
                server.send(self.concurrency)
                while True:
                    update = yield server.arrival()
                    yield server.aggregate([update])
                    server.send()
    """

    # -- what the server knows ------------------------------------------------------------------

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

    # -- choosing clients -----------------------------------------------------------------------

    def pick(self, n: int, among: Sequence[int] | None = None) -> list[int]:
        """Draw up to n clients out of those that are idle and available, such as for a round.

        The draw is uniform, or as the scenario's ``server.selection`` says. If clients queue tasks,
        busy clients can be drawn too.

        Args:
            n: the number of clients.
            among: the clients to draw from; None is all clients.
        """

    def workers(self, n: int) -> list[int]:
        """Draw n clients that are to be kept busy.

        It draws as `pick` does. If too few clients are available, those that return first are
        added.
        """

    def sample(self, n: int) -> list[int]:
        """Draw up to n clients out of all available ones, idle or busy. The draw is uniform."""

    # -- sending models and taking updates back -------------------------------------------------

    @overload
    def dispatch(
        self,
        clients: int,
        /,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
        lr_factor: float = 1.0,
        messages: int = 1,
        refresh_after: float | None = None,
    ) -> TaskView: ...

    @overload
    def dispatch(
        self,
        clients: Iterable[int],
        /,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
        lr_factor: float = 1.0,
        messages: int = 1,
        refresh_after: float | None = None,
    ) -> list[TaskView]: ...

    def dispatch(
        self,
        clients: int | Iterable[int],
        /,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
        lr_factor: float = 1.0,
        messages: int = 1,
        refresh_after: float | None = None,
    ) -> TaskView | list[TaskView]:
        """Send the current model to a client, or to several in turn, and have them train.

        Returns the task; for several clients, the list of tasks. A client that is away gets the
        model that is current when it returns. If it has left for good, the task has failed already.

        Args:
            clients: an idle client, or several. If clients queue tasks, they need not be idle.
            epochs: the number of epochs, in place of the scenario's.
            steps: the number of local steps, in place of the scenario's.
            until_polled: the client does at most ``steps`` steps and keeps the result until `poll`.
            retry: if the task fails and no `wait` waits for it, send the client another.
            lr_factor: a factor on the client's learning rate in this task.
            messages: how often the client compresses its update, each time with new draws, and
                sends it. The server gets the mean. The upload has so many times the bytes.
            refresh_after: the share of the steps after which the client asks for the newest model,
                from 0 to 1. It stands still while it downloads a newer one, merges it into its own
                (`Strategy.refresh_weight`) and goes on. At least one step comes before and after;
                a task of one step does not ask. The strategy declares ``refreshes = True``.

        Example:
            ``cohort = server.dispatch(server.pick(10))``

        Raises:
            ScheduleError: a client has a task already, does not exist, or queues tasks and is to
                wait for a poll; or ``refresh_after`` is no share, or is not declared.
        """

    def send(self, n: int = 1, *, refresh_after: float | None = None) -> list[TaskView]:
        """Send the current model to n clients, drawn as by `workers`. Returns the tasks.

        If a task fails and no `wait` waits for it, another client is drawn in its place.

        Args:
            n: how many.
            refresh_after: as in `dispatch`.
        """

    def cancel(self, task: TaskView, /) -> None:
        """Stop a task. Its client is idle at once.

        A task that has arrived is discarded. A task that has failed stays as it is.

        Raises:
            ScheduleError: the update has been used, or the task cancelled already.
        """

    def discard(self, task: TaskView, /) -> None:
        """Do not use an update, whether it has arrived or will arrive later.

        Raises:
            ScheduleError: the update has been used, discarded or cancelled already.
        """

    def recall(self, task: TaskView, /) -> TaskView:
        """Tell the client to stop and to send what it has done. Returns the same task.

        The update arrives as usual. A client that is away sends it when it returns. A task that has
        crashed unnoticed fails now, and so does a task that was never sent because its client is
        away. No other task replaces it. Nothing happens to a task that has arrived or failed.
        """

    def poll(self, client: int, /, *, repeat_step: bool = False) -> TaskView:
        """Take what the client has done so far. Returns the task that this ends.

        The client continues from there with its next task, which has the same limit of steps. The
        polled task arrives after its upload. It has failed if the client had crashed unnoticed. If
        the client's battery is low, the next task is sent once it is charged, and the client is
        away until then. The strategy declares ``polls = True``.

        Args:
            client: the client.
            repeat_step: the poll breaks off a step. In the next task this step begins again, and it
                takes as long as it was drawn to take. By default its time is drawn anew.

        Raises:
            ScheduleError: the client is away, or has no task sent with ``until_polled``.
        """

    # -- waiting --------------------------------------------------------------------------------

    def arrival(self) -> Event[TaskView]:
        """Wait for the next update that no `wait` waits for.

        Raises:
            ScheduleError: another process waits for an arrival already.
        """

    def arrivals(self) -> list[TaskView]:
        """Take all updates that have arrived by now and that no `wait` waits for."""

    def wait(
        self,
        tasks: Iterable[TaskView],
        /,
        *,
        first: int | None = None,
        deadline: float | None = None,
    ) -> Event[list[TaskView]]:
        """Wait for all of the tasks, for the first few, or for at most ``deadline`` seconds.

        The value is the list of the updates that arrived, in order of arrival. An arrival at the
        very instant of the deadline counts. Tasks that fail are not waited for.

        Args:
            tasks: tasks in flight or arrived.
            first: the number of arrivals that is enough; None waits for all.
            deadline: seconds from now; None is no deadline.

        Raises:
            ScheduleError: another `wait` waits for one of the tasks.
        """

    def wait_idle(self, n: int = 1, among: Sequence[int] | None = None) -> Event[Any]:
        """Wait until at least n clients are idle and available.

        Args:
            n: the number of clients.
            among: the clients that count; None is all clients.
        """

    def sleep(self, seconds: float) -> Event[Any]:
        """Wait for some seconds. Everything else that is due at that instant happens first."""

    def spawn(self, process: Schedule, /) -> Event[Any]:
        """Run another process beside this one, such as one for each tier.

        Returns the event of its end, for which a schedule may wait.
        """

    def aggregate(self, updates: Iterable[TaskView], /, **context: Any) -> Event[Any]:
        """Make the next version from updates that have arrived.

        The rule gets the updates in order of arrival. Without updates there is no new version.

        Args:
            updates: the updates.
            context: plain values, such as the tier. They go to the event log and to the rule.

        Raises:
            ScheduleError: an update is not at the server.
        """

    # -- older words ----------------------------------------------------------------------------

    def pick_one(self) -> int:
        """An older word for one of `workers`; it raises an error if no client is idle."""

    def dispatch_many(self, clients: Iterable[int], /) -> list[TaskView]:
        """An older word for `dispatch` of several clients."""
