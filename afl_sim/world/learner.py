"""What virtual time asks of the numeric half of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from afl_sim.world.tasks.task import Task

T = TypeVar("T")


class Learner(Protocol):
    """The numeric half of a run, as virtual time sees it.

    What it returns never decides when something happens, except if a stop rule or a strategy reads
    results.

    Attributes:
        follows: whether it is to be told of each task that is sent, of each update that arrives,
            and of versions. Where it is not there, it is.
    """

    def start(self, task: Task, after: Task | None) -> None:
        """A task was sent. ``after`` is the same client's task that it goes on from, if any."""

    def recall(self, task: Task) -> None:
        """A task was ended early; ``task.steps`` says how many steps were done."""

    def refresh(self, task: Task) -> None:
        """The client has done ``task.fresh_step`` steps, and asks for the newest model.

        It gets ``task.fresh_version``, which is the server's version now; or none, if that is -1.
        """

    def arrive(self, task: Task) -> None:
        """An update arrived: what the client keeps for itself counts from now on."""

    def drop(self, task: Task) -> None:
        """The result will never be asked for."""

    def aggregate(self, updates: Sequence[Task], version: int, context: Mapping[str, Any]) -> None:
        """Make ``version`` out of updates, given in order of arrival."""

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        """Evaluate the current global model; the numbers belong to this instant."""

    def settle(self) -> None:
        """Report the evaluation that is under way, if any."""

    def metric(self, name: str) -> float | None:
        """A metric of the last evaluation, if it has a value (for a stop rule that reads it)."""

    def result(self, task: Task, version: int) -> Any:
        """What a schedule may know of an update, as an aggregation into ``version`` sees it."""

    def measure(
        self, function: Callable[[Sequence[Any]], T], tasks: Sequence[Task], version: int
    ) -> T:
        """A plain value computed from the updates' numbers, for a schedule to go by."""

    def client_accuracies(self, time_us: int, version: int) -> list[float]:
        """The current model's accuracy on each client's own test samples, for a schedule."""


def follows(learner: Learner) -> bool:
    """Whether `Learner.start`, `Learner.arrive` and `Learner.aggregate` are to be called."""
    return bool(getattr(learner, "follows", True))
