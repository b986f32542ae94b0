"""A block in which PyTorch computes portable bits, or says what it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from afl_sim.portable.operations import NotPortable, implementation

__all__ = ["NotPortable", "obstacle", "portable_arithmetic"]


class _Portable(TorchDispatchMode):
    """Sees every operation below autograd, of forward and backward passes."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch wraps the method below, which imports its compiler (1.6 s)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        chosen = implementation(func)
        if chosen is None:
            with self:
                return func.decompose(*args, **kwargs or {})
        return chosen(*args, **kwargs) if kwargs else chosen(*args)


@contextmanager
def portable_arithmetic() -> Iterator[None]:
    """A block whose PyTorch operations give the same bits on every processor.

    Operations are exact, or are computed by this package. The block holds for the calling thread,
    and for backward passes that start in it. Blocks may be nested.

    Raises:
        NotPortable: an operation is neither exact nor known to this package.
    """
    mode: Any = _Portable  # torch leaves its constructor without types
    with mode():
        yield


def obstacle(function: Callable[[], Any], model: nn.Module | None = None) -> str | None:
    """What keeps a computation from being portable, in words; None if nothing does.

    Args:
        function: it is called once. An exception other than `NotPortable` is passed on.
        model: if it is given, the innermost layer is named too.
    """
    layers: list[str] = []
    with ExitStack() as stack:
        for name, module in model.named_modules() if model is not None else ():
            stack.callback(module.register_forward_pre_hook(_entering(layers, name)).remove)
            stack.callback(module.register_forward_hook(_leaving(layers)).remove)
        try:
            with portable_arithmetic():
                function()
        except NotPortable as error:
            where = f"layer {layers[-1]!r} uses " if layers and layers[-1] else ""
            return f"{where}{error}"
    return None


def _entering(layers: list[str], name: str) -> Callable[..., None]:
    def enter(*_: Any) -> None:
        layers.append(name)

    return enter


def _leaving(layers: list[str]) -> Callable[..., None]:
    def leave(*_: Any) -> None:
        layers.pop()

    return leave
