"""Updates and models on vectors of two or three elements, for rules worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from afl_sim.global_model.server_model import ServerModel
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.strategies import Population, Strategy, Update


def vec(*numbers: float) -> Tensor:
    """A parameter vector."""
    return torch.tensor(numbers, dtype=torch.float32)


def flat_layout(parameters: int, buffers: int = 0) -> ParameterVector:
    """The layout of a model of one vector of parameters, and perhaps one of buffers."""
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(parameters))
    if buffers:
        model.register_buffer("statistics", torch.zeros(buffers))
    return ParameterVector(model)


def server_steps(strategy: Strategy, start: Tensor, *rounds: Sequence[Update]) -> list[Tensor]:
    """The models that the server makes of rounds of updates, its optimizer taking the steps."""
    server = ServerModel(strategy, start, flat_layout(len(start)), population(2))
    models = []
    for updates in rounds:
        assert server.aggregate(updates, [update.params for update in updates], {})
        models.append(server.vector)
    return models


def trained(
    *params: float,
    base: Sequence[float] | None = None,
    n: int = 1,
    tau: int = 0,
    client: int = 0,
) -> Update:
    """An update of a client that ended at ``params``, having started at ``base`` (zeros)."""
    end = vec(*params)
    start = torch.zeros_like(end) if base is None else vec(*base)
    return Update(client, 0, tau, n, 1, end - start, end, 1.0)


def moved(*delta: float, tau: int = 0, n: int = 1, client: int = 0) -> Update:
    """An update given by its delta; a rule that reads its parameters finds none."""
    step = vec(*delta)
    return Update(client, 0, tau, n, 1, step, torch.full_like(step, torch.nan), 1.0)


def step(
    strategy: Strategy, params: Tensor, updates: Sequence[Update], state: Any = None, **context: Any
) -> Tensor:
    """The next global model, the state set aside."""
    return strategy.aggregate(params, state, updates, context)[0]


def population(clients: int = 2, samples: Sequence[int] | None = None) -> Population:
    """That many clients, which hold one sample each or as many as given."""
    return Population(clients, lambda client: 1 if samples is None else samples[client])


def models_after(
    strategy: Strategy,
    start: Tensor,
    *rounds: Sequence[Update] | tuple[Sequence[Update], dict[str, Any]],
    clients: int = 2,
    samples: Sequence[int] | None = None,
) -> list[Tensor]:
    """The global models after aggregations of updates, or of (updates, context)."""
    params, state = start, strategy.initial_state(start, population(clients, samples))
    models = []
    for entry in rounds:
        updates, context = entry if isinstance(entry, tuple) else (entry, {})
        params, state = strategy.aggregate(params, state, updates, context)
        models.append(params)
    return models


def assert_is(actual: Tensor, *expected: float, tolerance: float = 2e-6) -> None:
    """The vector has these elements, to a few units in the last place of float32."""
    torch.testing.assert_close(actual, vec(*expected), rtol=tolerance, atol=tolerance)
