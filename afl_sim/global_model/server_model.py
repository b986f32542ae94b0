"""The global model, and the rule by which updates change it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.learning.models.layout import Layout
from afl_sim.strategies.base import Population, State, Strategy, Update
from afl_sim.strategies.purity import PurityCheck
from afl_sim.strategies.toolkit.server_optimizer import server_step
from afl_sim.user_code import place_of


class ServerModel:
    """The model, the state of the strategy, and the state of the server's optimizer.

    Args:
        strategy: the update rule.
        initial: shape (P + B,): the initial model.
        layout: how the model lies in its vector.
        population: the clients and the samples that each holds.
        buffers: what the model's buffers become: their ``mean`` over the updates, or what the
            strategy's ``rule`` makes of them.

    Attributes:
        vector: shape (P + B,): the model; every version is a new tensor.
        state: the strategy's state.
        moments: the state of ``server_optimizer``; None before its first step, or without one.
    """

    def __init__(
        self,
        strategy: Strategy,
        initial: Tensor,
        layout: Layout,
        population: Population,
        buffers: Literal["mean", "rule"] = "mean",
    ) -> None:
        self._strategy = strategy
        self._buffers = buffers
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
        optimizer, state_before = strategy.server_optimizer if updates else None, self.state
        hook = "refused" if not updates else "aggregate" if optimizer is None else "direction"
        arguments: dict[str, Any] = {"params": before, "state": self.state}
        arguments |= {"updates": updates, "context": context} if updates else {"context": context}
        with self._purity.hook(strategy, hook, **arguments):
            answer = getattr(strategy, hook)(*arguments.values())
        params, self.state = self._step(answer, hook)
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
            buffers = self._mean_buffers(vectors)
            if self._buffers == "rule" and updates:
                buffers = self._ruled_buffers(state_before, updates, vectors, context)
            params = torch.cat([params, buffers])
        self.vector = params
        return True

    def _step(self, answer: Any, hook: str) -> tuple[Any, State]:
        """The model and the state that a rule returned."""
        if isinstance(answer, tuple | list) and len(answer) == 2:
            return answer[0], answer[1]
        got = "nothing" if answer is None else f"a {type(answer).__name__}"
        if isinstance(answer, tuple | list):
            got += f" of {len(answer)}"
        raise StrategyError(
            f"strategy {self._strategy.kind}: {hook} returned {got}; expected the next model and "
            f"the next state, as in: return params, state{place_of(getattr(self._strategy, hook))}"
        )

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

    def _ruled_buffers(
        self,
        state: State,
        updates: Sequence[Update],
        vectors: Sequence[Tensor],
        context: Mapping[str, Any],
    ) -> Tensor:
        """What the rule makes of the buffers, as if they were parameters.

        A delta counts from the server's buffers, not from those that the client downloaded. So the
        result lies among the buffers, and a variance stays positive, unless the weights of a rule
        exceed 1 together; it is then cut to the range of the buffers.
        """
        before, size = self.vector[self._count :], len(self.vector)
        ends = [vector[self._count : size] for vector in vectors]
        as_parameters = [
            replace(update, params=end, delta=end - before)
            for update, end in zip(updates, ends, strict=True)
        ]
        arguments: dict[str, Any] = {"params": before, "state": state}
        arguments |= {"updates": as_parameters, "context": context}
        with self._purity.hook(self._strategy, "aggregate", **arguments):
            after, _ = self._strategy.aggregate(*arguments.values())
        among = torch.stack([before, *ends])
        return torch.clamp(after, among.amin(0), among.amax(0))

    def _mean_buffers(self, vectors: Sequence[Tensor]) -> Tensor:
        """The mean of the buffers over the updates: they are statistics, whatever the strategy."""
        size = len(self.vector)
        if not vectors:
            return self.vector[self._count :]
        return torch.stack([vector[self._count : size] for vector in vectors]).mean(0)
