"""The settings under which the same inputs give the same bits, and what they are here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from afl_sim.scenario.settings import Numerics


@contextmanager
def deterministic() -> Iterator[None]:
    """One intra-op thread and deterministic algorithms, for as long as the block lasts.

    A reduction's order, and so its last bits, depends on the number of threads. The caller's own
    settings and torch's global generator are put back at the end.
    """
    threads = torch.get_num_threads()
    algorithms = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    generator = torch.get_rng_state()
    torch.set_num_threads(1)
    # The same as use_deterministic_algorithms(True), which imports torch's compiler (1.5 s).
    torch.set_deterministic_debug_mode("error")
    # This only helps to find reads of memory that nobody wrote; it costs 3 % of a small step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_rng_state(generator)
        memory.fill_uninitialized_memory = filling
        torch.set_deterministic_debug_mode(algorithms)
        torch.set_num_threads(threads)


def fingerprint(numerics: Numerics) -> dict[str, Any]:
    """What has to be the same for two runs to agree in every bit."""
    return {
        "class": f"{numerics.mode}/{numerics.precision}/{numerics.device}",
        "torch": torch.__version__,
        "device": numerics.device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
    }


def model_digest(vector: Tensor) -> str:
    """SHA-256 of a float32 vector's bytes, little-endian."""
    array = vector.detach().contiguous().numpy()
    return hashlib.sha256(array.astype("<f4", copy=False).tobytes()).hexdigest()
