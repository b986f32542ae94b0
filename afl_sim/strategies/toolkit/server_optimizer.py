"""A torch optimizer as a pure step of the server (Reddi et al., ICLR 2021, "FedOpt").

The optimizer gets the negative of the aggregated update as its pseudo-gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from afl_sim.lazy import Tensor
from afl_sim.learning.training.optimizers import OptimizerSpec
from afl_sim.strategies.settings import Problem


def server_step(
    spec: OptimizerSpec,
    params: Tensor,
    optimizer_state: Any,
    direction: Tensor,
    parts: Callable[[Tensor], list[Tensor]],
    lr_factor: float = 1.0,
) -> tuple[Tensor, Any]:
    """One step of the server's optimizer.

    Args:
        spec: the optimizer and its arguments.
        params: shape (P,): the global model.
        optimizer_state: what the last step returned, or None before the first.
        direction: shape (P,): the negative of the pseudo-gradient.
        parts: gives the trained tensors as views of a vector of shape (P,)
            (`Layout.trained_parts`). The rest of the model stays as it is.
        lr_factor: a factor on the optimizer's learning rate in this step.

    Returns:
        The new model and the optimizer's new state; no argument is changed.
    """
    model = params.clone()
    weights = [part.detach().requires_grad_() for part in parts(model)]
    optimizer = spec.build(weights, lr_factor)
    if optimizer_state is not None:
        saved = optimizer.state_dict()
        saved["state"] = copy.deepcopy(optimizer_state)
        optimizer.load_state_dict(saved)
    for weight, part in zip(weights, parts(-direction), strict=True):
        weight.grad = part
    optimizer.step()
    return model, copy.deepcopy(optimizer.state_dict()["state"])


def check_one_rate(
    key: str, lr: float, default: float, spec: OptimizerSpec | None
) -> list[Problem]:
    """A problem if the server's learning rate is set although the optimizer has its own."""
    if spec is not None and lr != default:
        return [((key,), "set together with server_optimizer; give its own lr instead")]
    return []
