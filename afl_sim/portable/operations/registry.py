"""Where implementations register themselves, and the error for what has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from afl_sim.errors import NotPortable

Function = Callable[..., Any]
AnyFunction = TypeVar("AnyFunction", bound=Function)

REPLACED: dict[str, Function] = {}
"""By an operation's name, such as ``mm``, or also by its overload's, such as ``pow.Scalar``."""


def not_portable(operation: str, why: str = "") -> NotPortable:
    """The error for an operation, such as ``aten.fft_fft``."""
    return NotPortable(f"{operation}, which is not portable{f' {why}' if why else ''}")


def replaces(*names: str) -> Callable[[AnyFunction], AnyFunction]:
    """Let a function stand for operations of PyTorch. Its parameters are those of their schemas."""

    def register(function: AnyFunction) -> AnyFunction:
        for name in names:
            assert name not in REPLACED, name
            REPLACED[name] = function
        return function

    return register
