"""What is saved of a user's own model: its state dict, which can be loaded strictly."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.local_state import LocalState
from afl_sim.learning.models.lora import merged
from afl_sim.learning.models.parameters import ParameterVector

_WHOLE: Final = {
    torch.bool,
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    torch.complex64,
}
"""The types other than floating-point numbers that safetensors can hold."""


class StateDict:
    """A model's state dict, for any vector.

    PyTorch makes it. So a tied weight, or a weight of a module that is used twice, is there under
    each of its names, and the user's own hooks apply. Buffers that are not sent are as built.
    Matrices of LoRA are merged into the weights.

    Args:
        model: a reference to it is kept, and each call changes its tensors.
        layout: the layout of its vector.

    Raises:
        ScenarioError: a buffer is of a type that no file can hold.
    """

    def __init__(self, model: nn.Module, layout: ParameterVector) -> None:
        self._model = model
        self._layout = layout
        self._local_state = LocalState(model)
        for name, value in self._tensors().items():
            if not value.is_floating_point() and value.dtype not in _WHOLE:
                raise ScenarioError(
                    f"model: {name!r} is {value.dtype}, which model.safetensors cannot hold; "
                    "expected another type, or persistent=False"
                )

    def of(self, vector: Tensor) -> dict[str, Tensor]:
        """The tensors by name: first those of the vector of shape (P + B,), in its order.

        Floating-point numbers are float32, as everywhere in a run.
        """
        self._local_state.put_back()
        self._layout.write(self._model, vector)
        tensors = self._tensors()
        order = [name for name in self._layout.names if name in tensors]
        return {
            name: tensors[name].float() if tensors[name].is_floating_point() else tensors[name]
            for name in dict.fromkeys((*order, *tensors))
        }

    def _tensors(self) -> dict[str, Tensor]:
        state = merged(self._model)
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}
