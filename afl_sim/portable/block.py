"""Where a thread's arithmetic is portable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local

from afl_sim.portable.blas import hold_to_one_thread

_thread = local()


@contextmanager
def arithmetic_of(portable: bool) -> Iterator[None]:
    """A block in which this thread's arithmetic is portable, if it is asked for.

    Blocks may be nested. Another thread needs a block of its own.

    Args:
        portable: whether it is asked for; else the block changes nothing.
    """
    if portable:
        hold_to_one_thread()
    if not portable or getattr(_thread, "entered", False):
        yield
        return
    from afl_sim.portable.mode import portable_arithmetic  # a class in it needs PyTorch

    _thread.entered = True
    try:
        with portable_arithmetic():
            yield
    finally:
        _thread.entered = False


ADVICE = "expected numerics.bits: native, whose bits depend on the machine"
"""What a message about an operation without portable arithmetic ends with."""
