"""A model as one flat float32 vector: first its parameters, then its floating-point buffers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.fixed import fixed_buffers, moving_parameters
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.model_checks import check_parameters


class ParameterVector(Layout):
    """The layout of a model's vector; it converts between the model and its vector.

    The vector has shape (P + B,): P parameters in the order of ``model.parameters()``, then B
    entries of floating buffers (BatchNorm's running statistics). Fixed parts (`fixed`), integer
    buffers, and buffers that are not part of the state dict are not sent, and so are not in the
    vector.

    Raises:
        ScenarioError: there is nothing to train, or a parameter has no shape yet.
    """

    def __init__(self, model: nn.Module) -> None:
        check_parameters(model.named_parameters())
        parameters = dict(moving_parameters(model))
        buffers = dict(_travelling_buffers(model))
        super().__init__(
            (*parameters, *buffers),
            tuple(tensor.shape for tensor in (*parameters.values(), *buffers.values())),
            tuple(parameter.requires_grad for parameter in parameters.values()),
        )

    def read(self, model: nn.Module) -> Tensor:
        """A copy of the model's vector."""
        return torch.cat([t.detach().reshape(-1).float() for t in self.tensors(model)])

    def write(self, model: nn.Module, vector: Tensor) -> None:
        """Load a vector of shape (P + B,) into a model."""
        parts = vector.split(self.sizes)
        with torch.no_grad():
            for tensor, part in zip(self.tensors(model), parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def tensors(self, model: nn.Module) -> Iterator[Tensor]:
        """The model's own tensors, in the order of the vector."""
        yield from (parameter for _, parameter in moving_parameters(model))
        if self.size > self.num_parameters:
            yield from (buffer for _, buffer in _travelling_buffers(model))


def travels(module: nn.Module, name: str, buffer: Tensor) -> bool:
    """Whether a module's buffer is a part of the model's vector.

    It must belong to the state dict, and its numbers must have a mean.
    """
    if not buffer.is_floating_point() or name in module._non_persistent_buffers_set:
        return False
    return name not in fixed_buffers(module)


def _travelling_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each buffer once, under its first name, in the order of ``model.named_buffers()``."""
    seen = set()
    for path, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is None or buffer in seen or not travels(module, name, buffer):
                continue
            seen.add(buffer)
            yield (f"{path}.{name}" if path else name), buffer


def initial_vector(model: nn.Module, layout: ParameterVector) -> Tensor:
    """The vector of a newly built model, which must be float32.

    Raises:
        ScenarioError: if a parameter has another type.
    """
    for name, tensor in model.named_parameters():
        if tensor.dtype != torch.float32:
            raise ScenarioError(f"model: parameter {name!r} is {tensor.dtype}; expected float32")
    return layout.read(model)
