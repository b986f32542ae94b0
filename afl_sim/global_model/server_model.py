"""The global model, and the rule by which updates change it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.learning.models.layout import Layout
from afl_sim.strategies.base import Population, State, Strategy, Update
from afl_sim.strategies.purity import PurityCheck
from afl_sim.strategies.toolkit.server_optimizer import server_step


class ServerModel:
    """The model, the state of the strategy, and the state of the server's optimizer.

    Args:
        strategy: the update rule.
        initial: shape (P + B,): the initial model.
        layout: how the model lies in its vector.
        population: the clients and the samples that each holds.

    Attributes:
        vector: shape (P + B,): the model; every version is a new tensor.
        state: the strategy's state.
        moments: the state of ``server_optimizer``; None before its first step, or without one.
    """

    def __init__(
        self, strategy: Strategy, initial: Tensor, layout: Layout, population: Population
    ) -> None:
        self._strategy = strategy
        self._layout = layout
        self._count = layout.num_parameters
        self.vector = initial
        self._purity = PurityCheck(Strategy)
        params = initial[: self._count]
        with self._purity.hook(strategy, "initial_state", params=params):
            self.state: State = strategy.initial_state(params, population)
        self.moments: Any = None

    def aggregate(
        self, updates: Sequence[Update], vectors: Sequence[Tensor], context: Mapping[str, Any]
    ) -> bool:
        """Make the next model; if it is not finite, keep the old one and return False.

        Args:
            updates: in order of arrival; empty if the guard has refused them all.
            vectors: the local models with their buffers, each of shape (P + B,) or longer.
            context: what the schedule passes to the rule.

        Raises:
            StrategyError: the rule returned something that is not a model.
        """
        strategy, layout, before = self._strategy, self._layout, self.vector[: self._count]
        optimizer = strategy.server_optimizer if updates else None
        hook = "refused" if not updates else "aggregate" if optimizer is None else "direction"
        arguments: dict[str, Any] = {"params": before, "state": self.state}
        arguments |= {"updates": updates, "context": context} if updates else {"context": context}
        with self._purity.hook(strategy, hook, **arguments):
            params, state = getattr(strategy, hook)(*arguments.values())
        self.state = state
        self._check(params, hook)
        if optimizer is None:
            params = layout.with_frozen(params, before)  # even a mean of equal numbers is rounded
        else:
            parts = layout.trained_parts
            params, self.moments = server_step(optimizer, before, self.moments, params, parts)
        # A sum is cheaper to check, and it is finite only if all its terms are.
        if not (math.isfinite(params.sum()) or torch.isfinite(params).all()):
            return False
        if len(self.vector) > self._count:
            params = torch.cat([params, self._mean_buffers(vectors)])
        self.vector = params
        return True

    def _check(self, params: Any, hook: str) -> None:
        kind = self._strategy.kind
        if not isinstance(params, Tensor):
            raise StrategyError(
                f"strategy {kind}: {hook} returned a {type(params).__name__} for the model; "
                "expected a tensor"
            )
        if params.shape != (self._count,) or params.dtype != self.vector.dtype:
            raise StrategyError(
                f"strategy {kind}: {hook} returned {params.dtype} of shape "
                f"{tuple(params.shape)}; expected {self.vector.dtype} of shape ({self._count},)"
            )

    def _mean_buffers(self, vectors: Sequence[Tensor]) -> Tensor:
        """The mean of the buffers over the updates: they are statistics, whatever the strategy."""
        size = len(self.vector)
        if not vectors:
            return self.vector[self._count :]
        return torch.stack([vector[self._count : size] for vector in vectors]).mean(0)
