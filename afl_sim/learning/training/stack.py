"""A stack of models of one architecture: every parameter has a leading axis over models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from afl_sim.learning.models.parameters import ParameterVector


class Stack:
    """Models of one architecture, row by row.

    Attributes:
        device: the device of the model, and so of the rows.
        parameters: each of shape (rows, ...); leaves of autograd if the model trains them.
        buffers: floating buffers, each of shape (rows, ...).
    """

    def __init__(
        self, model: nn.Module, layout: ParameterVector, vectors: Sequence[Tensor]
    ) -> None:
        self.device = next(model.parameters()).device
        self._model = model
        self._places = _places_of(model, layout.tensors(model))
        parts = torch.stack(list(vectors)).to(self.device).split(layout.sizes, dim=1)
        tensors = [
            part.reshape(-1, *shape) for part, shape in zip(parts, layout.shapes, strict=True)
        ]
        trained = layout.trained
        self.parameters = [
            tensor.requires_grad_(wanted)
            for tensor, wanted in zip(tensors, trained, strict=False)  # buffers follow
        ]
        self.buffers = tensors[len(trained) :]
        self._outputs = vmap(self._outputs_of_one)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Each row's outputs for its inputs, (rows, batch, ...) -> (rows, batch, classes).

        Raises:
            RuntimeError: the model does something that cannot be mapped over rows.
        """
        outputs: Tensor = self._outputs(self.parameters, self.buffers, inputs)
        return outputs

    def gradients(self, loss: Tensor) -> list[Tensor | None]:
        """The gradients of the parameters; None for frozen ones and for those without effect."""
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
        """Keep only the first rows."""
        self.parameters = [
            p.detach()[:rows].requires_grad_(p.requires_grad) for p in self.parameters
        ]
        self.buffers = [buffer[:rows] for buffer in self.buffers]

    def _outputs_of_one(
        self, parameters: list[Tensor], buffers: list[Tensor], inputs: Tensor
    ) -> Tensor:
        with _put_in(self._places, (*parameters, *buffers)):
            outputs: Tensor = self._model(inputs)
        return outputs


class _Place:
    """Where a module keeps one of its tensors."""

    def __init__(self, registry: dict[str, Any], name: str) -> None:
        self.registry = registry
        self.name = name
        self.tensor = registry[name]


def _places_of(model: nn.Module, tensors: Iterable[Tensor]) -> list[list[_Place]]:
    """For each tensor the places where modules hold it: several if modules share it."""
    places: dict[int, list[_Place]] = {id(tensor): [] for tensor in tensors}
    for module in model.modules():
        for registry in (module._parameters, module._buffers):
            for name, tensor in registry.items():
                if id(tensor) in places:
                    places[id(tensor)].append(_Place(registry, name))
    return list(places.values())


@contextmanager
def _put_in(places: Sequence[Sequence[_Place]], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Make a model compute with other tensors instead of its own.

    `torch.func.functional_call` would leave them in a module that is used twice.
    """
    try:
        for there, tensor in zip(places, tensors, strict=True):
            for place in there:
                place.registry[place.name] = tensor
        yield
    finally:
        for there in places:
            for place in there:
                place.registry[place.name] = place.tensor
