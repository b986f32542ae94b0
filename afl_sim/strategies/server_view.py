"""The server as a schedule sees it: every word that a schedule may use.

`afl_sim.world` implements these protocols. docs/schedules.md lists the words; its table is made
from the docstrings of `ServerKnowledge` and `ServerView`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, overload

from afl_sim.strategies.server_knowledge import ServerKnowledge
from afl_sim.strategies.task_view import Event, Schedule, TaskView

OLDER_WORDS: Final = frozenset({"pick_one", "dispatch_many"})
"""Words that still work but are no longer needed."""


class ServerView(ServerKnowledge, Protocol):
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
