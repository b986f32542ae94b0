"""The asynchronous server of FedML's simulation as a rule for `afl_sim.testing.judge`.

It gets one model at a time. Version and staleness are those of its messages.
"""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from fedml.simulation.mpi.async_fedavg.AsyncFedAVGAggregator import AsyncFedAVGAggregator


def fedml() -> Callable[[Mapping[str, Any]], Any]:
    """What `judge` asks for."""

    def begin(weights: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
        server = AsyncFedAVGAggregator(
            train_global=None,
            test_global=None,
            all_train_data_num=0,
            train_data_local_dict={},
            test_data_local_dict={},
            train_data_local_num_dict={},
            worker_num=0,
            device=None,
            args=SimpleNamespace(dataset="", client_num_in_total=0),
            model_trainer=SimpleNamespace(get_model_params=lambda: _tensors(weights)),
        )
        version = 0

        def rule(updates: Sequence[Any]) -> dict[str, Any]:
            nonlocal version
            for each in updates:
                server.add_local_trained_result(
                    each.client,
                    _tensors(each.weights),
                    each.num_samples,
                    current_round=version,
                    client_round=version - each.staleness,
                )
            version += 1
            return {name: w.numpy().copy() for name, w in server.get_global_model_params().items()}

        return rule

    return begin


def _tensors(weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(weight) for name, weight in weights.items()}
