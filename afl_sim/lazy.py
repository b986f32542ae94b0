"""PyTorch, imported when it is first used.

A schedule needs no tensor, and importing PyTorch takes most of the time and memory of a short run.
Modules that are imported for a schedule as well as for training take these names from here::

    from afl_sim.lazy import Tensor, torch

Type checkers see PyTorch itself. `Tensor` is for annotations only: at run time it is `Any`, and
``isinstance`` takes ``torch.Tensor``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["F", "Tensor", "nn", "torch"]

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
else:

    class _Later(ModuleType):
        """Stands for a module until one of its attributes is asked for."""

        def __getattr__(self, name: str) -> Any:
            found = getattr(import_module(self.__name__), name)
            if not name.startswith("__"):
                setattr(self, name, found)  # so that the next time costs nothing
            return found

    torch, nn, F = (_Later(name) for name in ("torch", "torch.nn", "torch.nn.functional"))
    Tensor = Any
