"""Going on from a snapshot: replay the schedule without training, then attach the numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from afl_sim.errors import AflSimError
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.global_model.snapshot import Snapshot

_OTHER_READINGS = (
    "the replayed schedule reads other results than before the checkpoint: it was made by other "
    "code or from another scenario; run it again with --force"
)


class ReplayingLearner:
    """Trains nothing up to the version of a snapshot, and from there is a `TrainingLearner`.

    Args:
        learner: what takes over.
        snapshot: where it takes over.
    """

    def __init__(self, learner: TrainingLearner, snapshot: Snapshot) -> None:
        self._learner = learner
        self._snapshot = snapshot
        self._live: dict[Any, int] = {}  # unfinished tasks, in order of dispatch: when due
        self._used: WeakKeyDictionary[Any, None] = WeakKeyDictionary()
        self._readings = deque(snapshot.readings)
        self._on = False

    @property
    def attached(self) -> bool:
        """Whether the learner has taken over."""
        return self._on

    def attach(self, version: int, check: Callable[[], None]) -> None:
        """Called after each version: takes over at the snapshot's, once ``check`` has passed."""
        if self._on or version != self._snapshot.version:
            return
        check()
        if self._readings:
            raise AflSimError(_OTHER_READINGS)
        self._learner.restore(self._snapshot, self._live, list(self._used))
        self._live.clear()
        self._on = True

    def start(self, dispatch: Any, after: Any) -> None:
        """A task that the snapshot may still need."""
        if self._on:
            self._learner.start(dispatch, after)
        else:
            self._live[dispatch] = dispatch.due_us

    def recall(self, dispatch: Any) -> None:
        """The steps that were done are on the dispatch."""
        if self._on:
            self._learner.recall(dispatch)
        else:
            self._live[dispatch] = dispatch.due_us

    def arrive(self, dispatch: Any) -> None:
        """What clients keep is in the snapshot."""
        if self._on:
            self._learner.arrive(dispatch)

    def drop(self, dispatch: Any) -> None:
        """The task is needed no more."""
        if self._on:
            self._learner.drop(dispatch)
        else:
            self._live.pop(dispatch, None)

    def aggregate(self, updates: Sequence[Any], version: int, context: Mapping[str, Any]) -> None:
        """The versions up to the snapshot's are not made again."""
        if self._on:
            self._learner.aggregate(updates, version, context)
        else:
            for dispatch in updates:
                self._live.pop(dispatch, None)
                self._used[dispatch] = None

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        """Evaluations up to the snapshot's version were recorded with it."""
        if self._on:
            self._learner.evaluate(time_us, version, updates, samples)

    def settle(self) -> None:
        """Report the evaluation that is under way."""
        if self._on:
            self._learner.settle()

    def accuracy(self) -> float:
        """Of the last evaluation; while replaying, too low for any stop rule, as it then was."""
        return self._learner.accuracy() if self._on else -1.0

    def result(self, dispatch: Any, version: int) -> Any:
        """What was read at this place before."""
        if self._on:
            return self._learner.result(dispatch, version)
        return self._learner.reading(dispatch, version, self._next_reading())

    def measure(
        self, function: Callable[[Sequence[Any]], Any], dispatches: Sequence[Any], version: int
    ) -> Any:
        """What was measured at this place before."""
        if self._on:
            return self._learner.measure(function, dispatches, version)
        return self._next_reading()

    def _next_reading(self) -> Any:
        if not self._readings:
            raise AflSimError(_OTHER_READINGS)
        return self._readings.popleft()
