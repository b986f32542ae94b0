"""Aggregators of APPFL as rules for `afl_sim.testing.judge`.

An asynchronous aggregator of APPFL gets one model at a time. It knows the staleness of a model by
the version that the client downloaded, which it keeps in `client_step`. A synchronous one gets all
models of a round.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from omegaconf import OmegaConf


def appfl(aggregator: type, **settings: Any) -> Callable[[Mapping[str, Any]], Any]:
    """What `judge` asks for, from the class of an aggregator and its settings."""

    def begin(weights: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
        server: Any = aggregator(_Model(weights), OmegaConf.create(settings))

        def rule(updates: Sequence[Any]) -> dict[str, Any]:
            for each in updates:
                server.set_client_sample_size(each.client, each.num_samples)
            if not hasattr(server, "client_step"):
                models = {each.client: _tensors(each.weights) for each in updates}
                return _arrays(server.aggregate(models))
            version, model = server.global_step, {}
            for each in updates:
                server.client_step[each.client] = version - each.staleness
                model = server.aggregate(each.client, _tensors(each.weights))
            return _arrays(model)

        return rule

    return begin


class _Model:
    """As much of a `torch.nn.Module` as an aggregator asks of a model."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self._weights = _tensors(weights)

    def named_parameters(self) -> Any:
        return self._weights.items()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self._weights

    def load_state_dict(self, weights: Mapping[str, torch.Tensor], strict: bool = True) -> None:
        self._weights = {name: weight.clone() for name, weight in weights.items()}


def _tensors(weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(weight).clone() for name, weight in weights.items()}


def _arrays(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {name: weight.numpy() for name, weight in weights.items()}
