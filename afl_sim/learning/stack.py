"""Models of one architecture as one: every parameter with a leading axis, a row for each model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from afl_sim.learning.parameters import ParameterVector


class Stack:
    """Models of one architecture, row by row.

    Attributes:
        device: where the model is, and so the rows.
        parameters: each of shape (rows, ...), as leaves of autograd, if the model trains them.
        buffers: floating buffers, each of shape (rows, ...).
    """

    def __init__(
        self, model: nn.Module, layout: ParameterVector, vectors: Sequence[Tensor]
    ) -> None:
        self.device = next(model.parameters()).device
        self._model = model
        self._names = layout.names
        parts = torch.stack(list(vectors)).to(self.device).split(layout.sizes, dim=1)
        tensors = [
            part.reshape(-1, *shape) for part, shape in zip(parts, layout.shapes, strict=True)
        ]
        trained = [parameter.requires_grad for parameter in model.parameters()]
        self.parameters = [
            tensor.requires_grad_(wanted)
            for tensor, wanted in zip(tensors, trained, strict=False)  # buffers follow
        ]
        self.buffers = tensors[len(trained) :]
        self._outputs = vmap(self._outputs_of_one)

    def outputs(self, images: Tensor) -> Tensor:
        """What each row's model makes of its images, (rows, batch, ...) -> (rows, batch, classes).

        Raises:
            RuntimeError: the model does something that cannot be mapped over rows.
        """
        outputs: Tensor = self._outputs(self.parameters, self.buffers, images)
        return outputs

    def gradients(self, loss: Tensor) -> list[Tensor | None]:
        """Those of the parameters; None for one that is frozen, or that the loss does not reach."""
        trained = [parameter for parameter in self.parameters if parameter.requires_grad]
        found = iter(torch.autograd.grad(loss, trained, allow_unused=True))
        return [next(found) if p.requires_grad else None for p in self.parameters]

    def like_parameters(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Vectors of shape (P,), one for each row, in the shapes of the parameters."""
        sizes = [parameter[0].numel() for parameter in self.parameters]
        parts = torch.stack(list(vectors)).to(self.device).split(sizes, dim=1)
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def vector(self, row: int) -> Tensor:
        """A copy of one row's model, shape (P + B,), on the CPU."""
        tensors = (*self.parameters, *self.buffers)
        return torch.cat([tensor.detach()[row].reshape(-1) for tensor in tensors]).cpu()

    def keep(self, rows: int) -> None:
        """Let go of all but the first rows."""
        self.parameters = [
            p.detach()[:rows].requires_grad_(p.requires_grad) for p in self.parameters
        ]
        self.buffers = [buffer[:rows] for buffer in self.buffers]

    def _outputs_of_one(
        self, parameters: list[Tensor], buffers: list[Tensor], images: Tensor
    ) -> Tensor:
        tensors = dict(zip(self._names, (*parameters, *buffers), strict=True))
        outputs: Tensor = functional_call(self._model, tensors, (images,))
        return outputs
