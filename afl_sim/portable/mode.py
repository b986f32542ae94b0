"""A block in which PyTorch computes portable bits, or says what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from afl_sim.portable.operations import NotPortable, implementation

__all__ = ["NotPortable", "portable_arithmetic"]


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
