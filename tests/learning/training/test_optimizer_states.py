"""The size of an optimizer's state is that of PyTorch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from afl_sim.learning.training.optimizer_states import states_of
from afl_sim.learning.training.optimizers import OPTIMIZERS

SIDE = 40
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in OPTIMIZERS),
    ("SGD", {"momentum": 0.9}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"amsgrad": True}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True}),
]


@pytest.mark.parametrize(("kind", "arguments"), VARIANTS)
def test_a_state_has_as_many_numbers_as_pytorch_holds(kind: str, arguments: dict[str, Any]) -> None:
    weight = torch.ones(SIDE, SIDE, requires_grad=True)
    spec = OPTIMIZERS[kind].model_validate({"kind": kind, **arguments})
    optimizer = spec.build([weight])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = optimizer.state[weight].values()
    numbers = sum(each.numel() for each in state if isinstance(each, torch.Tensor))
    assert states_of(kind, spec.model_dump()) == round(numbers / SIDE**2)
