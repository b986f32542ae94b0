"""Operations on lists of tensors (``_foreach_...``), computed tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from afl_sim.portable.operations.registry import Function, not_portable

_SAME = {"maximum": "maximum", "minimum": "minimum", "norm": "linalg_vector_norm"}
_WITH_VALUE = ("addcmul", "addcdiv")


def over_lists(operation: Any, implementation: Callable[[Any], Function | None]) -> Function:
    """An operation on lists as one operation for each tensor.

    Args:
        operation: an overload of ``_foreach_...``.
        implementation: what computes an overload for one tensor.
    """
    full = operation._schema.name.removeprefix("aten::_foreach_")
    name = full.removesuffix("_")
    writes = full.endswith("_")
    returned = [argument.name for argument in operation._schema.arguments if argument.is_out]
    packet = getattr(torch.ops.aten, _SAME.get(name, name), None)
    if packet is None or returned:
        raise not_portable(str(operation.overloadpacket))

    def each(tensors: list[Tensor], *args: Any, **kwargs: Any) -> Any:
        results = []
        for index, tensor in enumerate(tensors):
            chosen = [_item(value, index, len(tensors)) for value in args]
            named = {key: _item(value, index, len(tensors)) for key, value in kwargs.items()}
            if name in _WITH_VALUE and len(chosen) > 2:
                named["value"] = chosen.pop()
            overload = _overload(packet, name, chosen)
            compute = implementation(overload) or overload
            results.append(compute(tensor, *chosen, **named))
        if not writes:
            return results
        for tensor, result in zip(tensors, results, strict=True):
            tensor.copy_(result)
        return None

    return each


def _item(value: Any, index: int, count: int) -> Any:
    """The part of an argument that concerns one tensor."""
    if isinstance(value, list | tuple):
        return value[index]
    if isinstance(value, Tensor) and value.dim() == 1 and len(value) == count > 1:
        return value[index].item()  # a number for each tensor
    return value


def _overload(packet: Any, name: str, args: list[Any]) -> Any:
    names = packet.overloads()
    if name == "pow":
        wanted = "Tensor_Tensor" if args and isinstance(args[0], Tensor) else "Tensor_Scalar"
    elif name == "lerp":
        wanted = "Tensor" if isinstance(args[1], Tensor) else "Scalar"
    elif args and isinstance(args[0], Tensor) and "Tensor" in names:
        wanted = "Tensor"
    elif args and not isinstance(args[0], Tensor) and "Scalar" in names:
        wanted = "Scalar"
    else:
        wanted = "default"
    if name in {"maximum", "minimum"} and not isinstance(args[0], Tensor):
        return (
            torch.ops.aten.clamp_min.default
            if name == "maximum"
            else torch.ops.aten.clamp_max.default
        )
    return getattr(packet, wanted if wanted in names else names[0])
