"""How each operation of PyTorch is computed so that its bits are portable."""

from afl_sim.portable.operations.table import NotPortable, implementation

__all__ = ["NotPortable", "implementation"]
