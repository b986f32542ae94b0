"""The cost of any network, which is looked at while it trains on samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.cost.model_cost import ModelCost
from afl_sim.learning.models.flops import forward_flops

_BATCHES = (2, 3)  # batch statistics need two samples


def measured(model: nn.Module, samples: Callable[[int], Tensor]) -> ModelCost:
    """The cost of a network.

    Args:
        model: it is run in training mode, so that its buffers may change.
        samples: gives so many inputs, shape (N, ...).

    Raises:
        ScenarioError: a layer multiplies in a way that PyTorch does not count.
    """
    model.eval()
    flops = forward_flops(model, samples(_BATCHES[0]))
    if flops is None:
        raise ScenarioError(
            "model: one of its layers multiplies in a way that PyTorch does not count, so that its "
            "floating-point operations are not known; expected another model, or seconds_per_sample"
        )
    model.train()
    small, large = (_kept(model, samples(count)) for count in _BATCHES)
    each = (large - small) / (_BATCHES[1] - _BATCHES[0])
    parameters = list(model.parameters())
    return ModelCost(
        flops / _BATCHES[0],
        each,
        max(0.0, small - _BATCHES[0] * each),
        sum(each.numel() for each in parameters),
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() for each in model.buffers() if each.is_floating_point()),
    )


def _kept(model: nn.Module, inputs: Tensor) -> int:
    """Bytes of the memory that a forward pass keeps for the backward pass, the model's own not."""
    own = {_place(each) for each in (*model.parameters(), *model.buffers())}
    found: dict[int, torch.UntypedStorage] = {}  # held, so that no place is used twice

    def pack(tensor: Tensor) -> Tensor:
        if _place(tensor) not in own:
            found[_place(tensor)] = tensor.untyped_storage()
        return tensor

    # PyTorch's other kernel for LSTMs keeps a workspace whose size depends on the processor.
    with (
        warnings.catch_warnings(action="ignore", category=UserWarning),  # on TF32, not used here
        torch.backends.mkldnn.flags(enabled=False),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        _result = model(inputs)  # what it keeps is freed with it
    return sum(storage.nbytes() for storage in found.values())


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
