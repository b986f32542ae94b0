"""The implementation of each operation, found by its name once and then by a dictionary."""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from afl_sim.errors import NotPortable
from afl_sim.portable.operations.exact import EXACT, EXACT_OF_INTEGERS
from afl_sim.portable.operations.lists import over_lists
from afl_sim.portable.operations.registry import REPLACED, Function, not_portable

__all__ = ["NotPortable", "implementation"]

for _name in (
    "activations", "attention", "convolutions", "draws", "losses", "normalization", "pointwise",
    "products", "recurrent", "reductions", "sequences",
):  # fmt: skip
    import_module(f"afl_sim.portable.operations.{_name}")

_FLOATS = (torch.float32, torch.float64)
_found: dict[Any, Function | None] = {}


def implementation(operation: Any) -> Function | None:
    """What computes an operation (a `torch._ops.OpOverload`); None if its parts are to be computed.

    Raises:
        NotPortable: nothing does.
    """
    try:
        return _found[operation]
    except KeyError:
        function = _found[operation] = _resolved(operation)
        return function


def _resolved(operation: Any) -> Function | None:
    namespace, _, name = operation._schema.name.partition("::")
    overload = operation._overloadname
    if namespace == "profiler":  # it only measures
        return operation  # type: ignore[no-any-return]
    if namespace != "aten":
        if not _has_tensors(operation):  # torchvision asks for a version when it is imported
            return operation  # type: ignore[no-any-return]
        raise not_portable(str(operation.overloadpacket))
    if name in EXACT:
        return operation  # type: ignore[no-any-return]
    if name.startswith("_foreach_"):
        return over_lists(operation, implementation)
    returned = [argument.name for argument in operation._schema.arguments if argument.is_out]
    if returned:
        overload = overload.removesuffix("out").removesuffix("_")
    plain = name.removesuffix("_")
    for key in (f"{name}.{overload}", name):
        if key in REPLACED:
            function = _guarded(operation, REPLACED[key])
            return _with_out(function, returned) if returned else function
    for key in (f"{plain}.{overload}", plain):
        if key in REPLACED:
            return _in_place(_guarded(operation, REPLACED[key]))
    if plain in EXACT_OF_INTEGERS:
        return _of_integers(operation)
    if operation._can_decompose():  # seen in inference mode
        return None
    raise not_portable(str(operation.overloadpacket))


def _has_tensors(operation: Any) -> bool:
    """Whether an operation takes or returns tensors."""
    schema = operation._schema
    return any("Tensor" in str(value.type) for value in (*schema.arguments, *schema.returns))


def _guarded(operation: Any, function: Function) -> Function:
    """The function, for tensors of types that it takes; exact operations on integers stay."""
    name = operation._schema.name.partition("::")[2].removesuffix("_")
    exact_of_integers = name in EXACT_OF_INTEGERS
    shown = str(operation.overloadpacket)

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.dtype not in _FLOATS:
            integral = not (first.is_floating_point() or first.is_complex())
            second = args[1] if len(args) > 1 else None
            mixed = isinstance(second, float) or _floats(second)
            if integral and exact_of_integers and not mixed:
                return operation(*args, **kwargs)
            if not integral:
                raise not_portable(shown, f"for {str(first.dtype).removeprefix('torch.')}")
        return function(*args, **kwargs)

    return guarded


def _of_integers(operation: Any) -> Function:
    shown = str(operation.overloadpacket)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(item, float) or _floats(item) for item in (*args, *kwargs.values())):
            raise not_portable(shown)
        return operation(*args, **kwargs)

    return guarded


def _floats(item: Any) -> bool:
    return isinstance(item, Tensor) and (item.is_floating_point() or item.is_complex())


def _in_place(function: Function) -> Function:
    """The version that writes its result into the first argument."""

    def writing(first: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = function(first, *args, **kwargs)
        return first if result is first else first.copy_(result)

    return writing


def _with_out(function: Function, names: list[str]) -> Function:
    """The version that writes its results into tensors of these keywords."""

    def writing(*args: Any, **kwargs: Any) -> Any:
        outs = [kwargs.pop(name) for name in names]
        results = function(*args, **kwargs)
        for out, result in zip(outs, results if len(outs) > 1 else (results,), strict=True):
            out.resize_(result.shape).copy_(result)
        return tuple(outs) if len(outs) > 1 else outs[0]

    return writing
