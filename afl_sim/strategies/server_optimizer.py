"""A torch optimizer as a pure step of the server (Reddi et al., ICLR 2021, "FedOpt").

The negative of the aggregated update is the pseudo-gradient that the optimizer gets.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from afl_sim.learning.optimizers import OptimizerSpec


def server_step(
    spec: OptimizerSpec, params: Tensor, optimizer_state: Any, update: Tensor
) -> tuple[Tensor, Any]:
    """One step of the server's optimizer.

    Args:
        spec: the optimizer and its arguments.
        params: shape (P,): the global model.
        optimizer_state: what the last step returned, or None before the first.
        update: shape (P,): the direction to move in, the negative of the pseudo-gradient.

    Returns:
        The new model and the optimizer's new state; no argument is changed.
    """
    weights = params.clone().requires_grad_()
    optimizer = spec.build([weights])
    if optimizer_state is not None:
        saved = optimizer.state_dict()
        saved["state"] = copy.deepcopy(optimizer_state)
        optimizer.load_state_dict(saved)
    weights.grad = -update
    optimizer.step()
    return weights.detach(), copy.deepcopy(optimizer.state_dict()["state"])
