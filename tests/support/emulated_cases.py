"""`portable_cases.py` for an emulator, under which imports take longer than the cases."""

from __future__ import annotations

import gc
import runpy
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Print digests, without two things that importing PyTorch would take half its time for.

    It looks for garbage, of which there is little, and it loads what it computes of tensors that
    have no memory, which counting a model's weights does not need.
    """
    gc.disable()
    left_out = "torch._meta_registrations"
    sys.modules[left_out] = ModuleType(left_out)
    import_module("torch._prims.rng_prims")  # draws need it

    runpy.run_path(str(Path(__file__).with_name("portable_cases.py")), run_name="__main__")


if __name__ == "__main__":
    main()
