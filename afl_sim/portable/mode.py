"""A stand-in for the arithmetic that replaces PyTorch's operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from afl_sim.errors import AflSimError


class NotPortable(AflSimError):
    """An operation whose bits may depend on the processor; the message begins with its name."""


@contextmanager
def portable_arithmetic() -> Iterator[None]:
    """A block whose PyTorch operations give the same bits on every processor."""
    yield
