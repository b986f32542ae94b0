"""Flower strategies as rules for `afl_sim.testing.judge`.

A strategy of Flower has `aggregate_fit`, which gets the clients' models as lists of arrays. Flower
has no asynchronous server, so a round is one call, whatever the staleness of its updates.
"""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from flwr.common import (
    Code,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)


def flower(make: Callable[[Parameters], Any]) -> Callable[[Mapping[str, Any]], Any]:
    """What `judge` asks for, from a function that makes a strategy of its initial parameters."""

    def begin(weights: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
        names = list(weights)
        strategy = make(ndarrays_to_parameters(list(weights.values())))
        rounds = 0

        def rule(updates: Sequence[Any]) -> dict[str, Any]:
            nonlocal rounds
            rounds += 1
            results = [(SimpleNamespace(cid=str(each.client)), _result(each)) for each in updates]
            parameters, _ = strategy.aggregate_fit(rounds, results, [])
            return dict(zip(names, parameters_to_ndarrays(parameters), strict=True))

        return rule

    return begin


def _result(update: Any) -> FitRes:
    arrays = ndarrays_to_parameters(list(update.weights.values()))
    return FitRes(Status(Code.OK, ""), arrays, update.num_samples, {})
