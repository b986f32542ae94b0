"""Resumes from a snapshot: the schedule is replayed without training, then training goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from afl_sim.errors import AflSimError
from afl_sim.global_model.dispatched import Dispatched
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.global_model.snapshot import Snapshot

_OTHER_READINGS = (
    "the replayed schedule reads other results than before the checkpoint, so other code or "
    "another scenario made it; run it again with --force"
)


class ReplayingLearner:
    """Trains nothing up to the version of a snapshot; from there on, a `TrainingLearner` trains.

    Args:
        learner: takes over at the snapshot.
        snapshot: the numbers at that version.
    """

    def __init__(self, learner: TrainingLearner, snapshot: Snapshot) -> None:
        self._learner = learner
        self._snapshot = snapshot
        self._live: dict[Dispatched, int] = {}  # unfinished tasks, in order of dispatch: when due
        self._again = set(snapshot.again)  # aggregated tasks that the schedule still held there
        self._clients = {client for client, _ in self._again}
        self._used: dict[Dispatched, None] = {}  # those of them that are aggregated, in order
        self._readings = deque(snapshot.readings)
        self._on = False

    @property
    def attached(self) -> bool:
        """Whether the learner has taken over."""
        return self._on

    def attach(self, version: int, check: Callable[[], None]) -> None:
        """Hand over to the learner if this is the snapshot's version, once ``check`` has passed."""
        if self._on or version != self._snapshot.version:
            return
        check()
        if self._readings:
            raise AflSimError(_OTHER_READINGS)
        self._learner.restore(self._snapshot, self._live, self._used)
        self._used.clear()
        self._live.clear()
        self._on = True

    def start(self, dispatch: Dispatched, after: Dispatched | None) -> None:
        """Note a task that may be unfinished at the snapshot."""
        if self._on:
            self._learner.start(dispatch, after)
        else:
            self._live[dispatch] = dispatch.due_us

    def recall(self, dispatch: Dispatched) -> None:
        """Note when the task is due now; the dispatch has the steps that were done."""
        if self._on:
            self._learner.recall(dispatch)
        else:
            self._live[dispatch] = dispatch.due_us

    def refresh(self, dispatch: Dispatched) -> None:
        """Note when the task is due now that its client has asked for the newest model."""
        if self._on:
            self._learner.refresh(dispatch)
        else:
            self._live[dispatch] = dispatch.due_us

    def arrive(self, dispatch: Dispatched) -> None:
        """Do nothing: the snapshot has what clients keep."""
        if self._on:
            self._learner.arrive(dispatch)

    def drop(self, dispatch: Dispatched) -> None:
        """Forget a task that is no longer needed."""
        if self._on:
            self._learner.drop(dispatch)
        else:
            self._live.pop(dispatch, None)

    def aggregate(
        self, updates: Sequence[Dispatched], version: int, context: Mapping[str, Any]
    ) -> None:
        """Note the tasks that were used; versions up to the snapshot are not made again."""
        if self._on:
            self._learner.aggregate(updates, version, context)
        else:
            for dispatch in updates:
                self._live.pop(dispatch, None)
                client = dispatch.client
                if client in self._clients and (client, dispatch.task) in self._again:
                    self._used[dispatch] = None

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        """Do nothing before the snapshot, which has the evaluations up to its version."""
        if self._on:
            self._learner.evaluate(time_us, version, updates, samples)

    def settle(self) -> None:
        """Report the evaluation that is under way."""
        if self._on:
            self._learner.settle()

    def metric(self, name: str) -> float | None:
        """A metric of the last evaluation; None before the snapshot, where no rule was reached."""
        return self._learner.metric(name) if self._on else None

    def result(self, dispatch: Dispatched, version: int) -> Any:
        """The result that was read at this point before."""
        if self._on:
            return self._learner.result(dispatch, version)
        return self._learner.reading(dispatch, version, self._next_reading())

    def measure(
        self,
        function: Callable[[Sequence[Any]], Any],
        dispatches: Sequence[Dispatched],
        version: int,
    ) -> Any:
        """The value that was measured at this point before."""
        if self._on:
            return self._learner.measure(function, dispatches, version)
        return self._next_reading()

    def client_accuracies(self, time_us: int, version: int) -> list[float]:
        """The accuracies that were read at this point before."""
        if self._on:
            return self._learner.client_accuracies(time_us, version)
        accuracies: list[float] = self._next_reading()
        return accuracies

    def _next_reading(self) -> Any:
        if not self._readings:
            raise AflSimError(_OTHER_READINGS)
        return self._readings.popleft()
