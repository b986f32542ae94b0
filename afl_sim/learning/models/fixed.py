"""Parts of a model that are not trained, and that every client knows: ``model.trainable``.

They are not in the model's vector. So they are never sent, averaged or compressed, and no strategy
sees them. A process builds them, from the seed or from a file, when it builds the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from afl_sim.learning.models.entries import TRAINABLE
from afl_sim.learning.models.names import matching

_BUFFERS = "_afl_sim_fixed"  # a module's attribute


class FixedParameter(nn.Parameter):
    """A parameter that is not in the model's vector."""


def fix_all_but(model: nn.Module, trained: Sequence[str]) -> None:
    """Fix all parameters and persistent buffers whose names match no pattern.

    A normalization layer whose running statistics are fixed uses these in training, too, as in
    evaluation: statistics of a mini-batch would be others than those that it is evaluated with.

    Args:
        model: it is changed in place.
        trained: patterns; what matches is trained, also where the model had frozen it.

    Raises:
        ScenarioError: a pattern matches nothing.
    """
    parameters = list(model.named_parameters(remove_duplicate=False))
    buffers = [
        (f"{path}.{name}" if path else name, module, name)
        for path, module in model.named_modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and name not in module._non_persistent_buffers_set
    ]
    names = [*(name for name, _ in parameters), *(name for name, _, _ in buffers)]
    kept = matching(trained, names, TRAINABLE)
    tied = {id(parameter) for name, parameter in parameters if name in kept}
    for _, parameter in parameters:
        if id(parameter) in tied:
            parameter.requires_grad_(True)
        elif not isinstance(parameter, nn.parameter.UninitializedParameter):
            parameter.requires_grad_(False)
            parameter.__class__ = FixedParameter  # in place: other layers may hold it, too
    for name, module, own in buffers:
        if name not in kept:
            setattr(module, _BUFFERS, (*getattr(module, _BUFFERS, ()), own))
    for module in model.modules():
        if isinstance(module, _NormBase) and "running_mean" in fixed_buffers(module):
            layer: Any = type(module)
            module.__class__ = _evaluating(layer)
            module.eval()


def fixed_buffers(module: nn.Module) -> tuple[str, ...]:
    """The names of a module's own buffers that are not in the model's vector."""
    names: tuple[str, ...] = vars(module).get(_BUFFERS, ())
    return names


def moving_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are in the model's vector, with their names, in its order."""
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, FixedParameter):
            yield name, parameter


def has_fixed_statistics(module: nn.Module) -> bool:
    """Whether a normalization layer uses its running statistics in training, too."""
    return getattr(type(module), "_stays", False)


@cache
def _evaluating(layer: Any) -> Any:
    """The class of a layer that stays in evaluation mode."""

    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        trained: nn.Module = layer.train(self, False)
        return trained

    return type(layer.__name__, (layer,), {"train": train, "_stays": True, "__module__": __name__})
