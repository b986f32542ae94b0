"""The learner of a run without training (``--timing-only``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from afl_sim.errors import ScheduleError
from afl_sim.global_model.dispatched import Dispatched


class NullLearner:
    """Answers every call of the world, and computes nothing."""

    follows = False

    def start(self, dispatch: Dispatched, after: Dispatched | None) -> None:
        """Nothing is trained."""

    def recall(self, dispatch: Dispatched) -> None:
        """Nothing is trained."""

    def refresh(self, dispatch: Dispatched) -> None:
        """Nothing is merged."""

    def arrive(self, dispatch: Dispatched) -> None:
        """Nothing is kept."""

    def drop(self, dispatch: Dispatched) -> None:
        """Nothing is held."""

    def aggregate(
        self, updates: Sequence[Dispatched], version: int, context: Mapping[str, Any]
    ) -> None:
        """The version is a number only."""

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        """There is no model."""

    def settle(self) -> None:
        """Nothing is under way."""

    def metric(self, name: str) -> float | None:
        """Refused: a run without training has no metrics."""
        raise ScheduleError(f"a timing-only run has no {name} to stop at")

    def measure(
        self,
        function: Callable[[Sequence[Any]], Any],
        dispatches: Sequence[Dispatched],
        version: int,
    ) -> Any:
        """Refused: a run without training has no results."""
        raise ScheduleError("a timing-only run has no results to measure")

    def client_accuracies(self, time_us: int, version: int) -> list[float]:
        """Refused: a run without training has no accuracies."""
        raise ScheduleError("a timing-only run has no accuracies to read")

    def result(self, dispatch: Dispatched, version: int) -> Any:
        """Refused: a run without training has no results."""
        raise ScheduleError("a timing-only run has no results to read")
