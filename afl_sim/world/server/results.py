"""What a schedule may know of the numbers of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from afl_sim.errors import ScheduleError
from afl_sim.world.learner import Learner
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.tasks.task import Task

T = TypeVar("T")


class Results:
    """Reads the results of updates that have arrived.

    Args:
        ledger: has the version.
        learner: the numeric half of the run.
        allowed: whether the strategy declares that its schedule reads results.
    """

    def __init__(self, ledger: Ledger, learner: Learner, allowed: bool) -> None:
        self._ledger = ledger
        self._learner = learner
        self._allowed = allowed

    def read(self, task: Task) -> Any:
        """The loss of an update, and what else the numeric half tells without tensors."""
        self._check([task])
        return self._learner.result(task, self._ledger.version + 1)

    def measure(self, function: Callable[[Sequence[Any]], T], updates: Iterable[Task]) -> T:
        """``function`` of the numbers of updates."""
        measured = list(updates)
        self._check(measured)
        return self._learner.measure(function, measured, self._ledger.version + 1)

    def client_accuracies(self, time_us: int) -> list[float]:
        """The current model's accuracy on each client's own test samples."""
        self._check([])
        return self._learner.client_accuracies(time_us, self._ledger.version)

    def _check(self, updates: Iterable[Task]) -> None:
        """Refuse what the schedule may not read.

        Raises:
            ScheduleError: the strategy does not declare that it reads results, or an update has
                not arrived.
        """
        if not self._allowed:
            raise ScheduleError("a schedule that reads results must declare reads_results = True")
        for task in updates:
            if not task.arrived:
                raise ScheduleError(f"{task} has no result to read: it has not arrived")
