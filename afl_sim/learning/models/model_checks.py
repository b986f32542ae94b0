"""Checks of a user's own model that do not run it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor, nn

from afl_sim.errors import ScenarioError


def check_parameters(parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Refuse named parameters that cannot be trained.

    Raises:
        ScenarioError: there are none, or one has no shape yet.
    """
    trained = False
    for name, parameter in parameters:
        if nn.parameter.is_lazy(parameter):
            raise ScenarioError(
                f"model: parameter {name!r} has no shape before the model is first used; expected "
                "a layer of given size, or a factory that uses it once on zeros"
            )
        trained |= parameter.requires_grad
    if not trained:
        raise ScenarioError("model: it has no parameters to train; expected some")


def check_tensors(model: nn.Module) -> None:
    """Refuse a parameter or a persistent buffer that cannot be written to.

    Raises:
        ScenarioError: one is an expanded view: several of its entries are one number in memory.
    """
    state = model.state_dict(keep_vars=True)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if (isinstance(tensor, nn.Parameter) or name in state) and _overlaps(tensor):
            what = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
            raise ScenarioError(
                f"model: {what} {name!r} is an expanded view, whose entries share memory, so that "
                "PyTorch cannot load it; expected .clone() after .expand()"
            )


def check_same(model: nn.Module, again: nn.Module, kind: str) -> None:
    """Refuse a factory that does not make the same model from the same seed each time.

    Args:
        model, again: the results of two calls with the same seed.
        kind: the factory's name.

    Raises:
        ScenarioError: they differ, or share a tensor.
    """
    first, second = dict(_state_of(model)), dict(_state_of(again))
    shared = {id(value): name for name, value in first.items() if isinstance(value, Tensor)}
    for name, value in second.items():
        if shared.get(id(value)) is not None:
            raise ScenarioError(
                f"model: {kind} returns {name!r} of the model that it has made before; expected a "
                "new model from every call"
            )
    for name in first.keys() | second.keys():
        if name not in first or name not in second or not _equal(first[name], second[name]):
            raise ScenarioError(
                f"model: {kind} makes another {name!r} when it is called again with the same "
                "seed; expected one that draws from the global generators of PyTorch, NumPy and "
                "Python alone"
            )


def _state_of(model: nn.Module) -> Iterator[tuple[str, Tensor | np.ndarray]]:
    """The arrays of a model: parameters, buffers and plain attributes."""
    yield from model.named_parameters()
    yield from model.named_buffers()
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor | np.ndarray):
                yield f"{path}.{name}".lstrip("."), value


def _equal(value: Tensor | np.ndarray, other: Tensor | np.ndarray) -> bool:
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        if (value.shape, value.dtype) != (other.shape, other.dtype):
            return False
        same = value.detach() == other.detach()
        return bool((same | (value.detach() != value.detach())).all())  # NaN is left out
    return np.array_equal(value, other)


def _overlaps(tensor: Tensor) -> bool:
    """Whether two entries of a tensor share one place in memory."""
    reach = 0
    for step, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if step <= reach:
                return True
            reach += step * (size - 1)
    return False
