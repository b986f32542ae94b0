"""Checks of a user's own model that do not run it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.entries import NOTHING_TRAINED


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
        raise ScenarioError(NOTHING_TRAINED)


def check_tensors(model: nn.Module) -> None:
    """Refuse a parameter or a persistent buffer that cannot be a part of a vector.

    Raises:
        ScenarioError: one has no shape or no values yet, is sparse, holds a number that is not
            finite, is an expanded view (several of its entries are one number in memory), or shares
            memory with another.
    """
    state = model.state_dict(keep_vars=True)
    seen: dict[int, list[tuple[str, Tensor]]] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        parameter = isinstance(tensor, nn.Parameter)
        if not (parameter or name in state):
            continue
        what = f"{'parameter' if parameter else 'buffer'} {name!r}"
        problem = _unusable(tensor)
        if problem is not None:
            raise ScenarioError(f"model: {what} {problem}")
        if not (parameter or tensor.is_floating_point()):
            continue  # it is not sent
        others = seen.setdefault(tensor.untyped_storage().data_ptr(), [])
        for other, theirs in others:
            if _meet(tensor, theirs):
                raise ScenarioError(
                    f"model: {what} shares memory with {other!r}, so that they could not be sent "
                    "each by itself; expected .clone(), or the same parameter in both places"
                )
        others.append((name, tensor))


def _unusable(tensor: Tensor) -> str | None:
    """Why a tensor cannot be a part of a vector; None if it can."""
    if nn.parameter.is_lazy(tensor):
        return (
            "has no shape before the model is first used; expected a layer of given size, or a "
            "factory that uses it once on zeros"
        )
    if tensor.is_meta:
        return "is on the device meta, without values; expected one on the CPU"
    if tensor.layout is not torch.strided:
        return f"is {str(tensor.layout).removeprefix('torch.')}; expected a dense tensor"
    if _overlaps(tensor):
        return (
            "is an expanded view, whose entries share memory, so that PyTorch cannot load it; "
            "expected .clone() after .expand()"
        )
    if tensor.requires_grad and not bool(torch.isfinite(tensor.detach()).all()):
        return "holds a number that is not finite at the start; expected initial weights"
    return None


def _meet(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors in one block of memory have a byte in common."""
    if not tensor.numel() or not other.numel():
        return False
    taken = torch.zeros(tensor.untyped_storage().nbytes(), dtype=torch.bool)
    _bytes_of(tensor, taken).fill_(True)
    return bool(_bytes_of(other, taken).any())


def _bytes_of(tensor: Tensor, memory: Tensor) -> Tensor:
    """A view of the first bytes of a tensor's entries in a map of its memory."""
    size = tensor.element_size()
    strides = [step * size for step in tensor.stride()]
    return memory.as_strided(tensor.shape, strides, tensor.storage_offset() * size)


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
