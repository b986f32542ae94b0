"""From the results of tasks to what a strategy is told of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from afl_sim.global_model.dispatched import Dispatched
from afl_sim.global_model.divergence import Divergences
from afl_sim.global_model.guard import corrupted
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.strategies.base import Population, Reading, Strategy, Update


class Updates:
    """Makes the updates of a run.

    Args:
        strategy: is told of them.
        layout: how the model lies in its vector.
        population: the samples that each client holds.
        lr_factor: the learning-rate schedule, a function of the base version.
        kept_size: Q, the entries at the end of a result that its client keeps for itself.
        divergences: ends the run at a training loss that is not finite; None if a guard looks at
            the updates.
    """

    def __init__(
        self,
        strategy: Strategy,
        layout: Layout,
        population: Population,
        lr_factor: Callable[[int], float],
        kept_size: int,
        divergences: Divergences | None,
    ) -> None:
        self._gradient, self._uses_own = strategy.gradient, strategy.uses_own()
        self._size, self._count = layout.size, layout.num_parameters
        self._population = population
        self._lr_factor = lr_factor
        self._kept_size = kept_size
        self._divergences = divergences

    def of(self, dispatch: Dispatched, result: LocalResult, version: int) -> Update:
        """The update of a task, for a version that is being made.

        Raises:
            DivergedError: its loss is not finite.
        """
        if self._divergences is not None and dispatch.steps and not math.isfinite(result.loss):
            self._divergences.end(
                version,
                dispatch.client,
                f"client {dispatch.client} has a training loss of {result.loss} "
                f"in its task {dispatch.task}",
            )
        kept = result.vector[self._size : len(result.vector) - self._kept_size]
        update = Update(
            dispatch.client,
            dispatch.base_version,
            version - 1 - dispatch.base_version,
            self._population.num_samples(dispatch.client),
            dispatch.steps,
            result.delta,
            result.vector[: self._count],
            result.loss,
            kept if self._uses_own and len(kept) else None,
            self._lr_factor(dispatch.base_version) * dispatch.lr_factor,
        )
        if dispatch.corruption is None:
            return update
        return corrupted(update, dispatch.corruption, self._gradient)

    def reading(self, dispatch: Dispatched, version: int, loss: float) -> Reading:
        """What a schedule may know of an update with this training loss."""
        return Reading(
            dispatch.client,
            dispatch.base_version,
            version - 1 - dispatch.base_version,
            self._population.num_samples(dispatch.client),
            dispatch.steps,
            loss,
        )
