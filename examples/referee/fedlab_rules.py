"""The asynchronous server of FedLab as a rule for `afl_sim.testing.judge`.

It gets one model at a time, all parameters in one row, with the version that the client downloaded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from fedlab.contrib.algorithm.basic_server import AsyncServerHandler
from fedlab.utils import SerializationTool


def fedlab(**settings: Any) -> Callable[[Mapping[str, Any]], Any]:
    """What `judge` asks for, from the settings of `AsyncServerHandler.setup_optim`."""

    def begin(weights: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
        server = AsyncServerHandler(_model(weights), global_round=1_000_000_000)
        server.setup_optim(**settings)

        def rule(updates: Sequence[Any]) -> dict[str, Any]:
            version = server.round
            for each in updates:
                row = SerializationTool.serialize_model(_model(each.weights))
                server.load([row, torch.tensor(version - each.staleness)])
            made = [parameter.detach().numpy().copy() for parameter in server.model.parameters()]
            return dict(zip(weights, made, strict=True))

        return rule

    return begin


def _model(weights: Mapping[str, Any]) -> torch.nn.ParameterList:
    return torch.nn.ParameterList(torch.tensor(weight) for weight in weights.values())
