"""Memory that a step frees is there for the next one, without asking the system."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

# Steps that each hold 24 MB in blocks as large as a small convolution's, and free them all.
STEPS = """
import resource, sys, torch
from afl_sim.execution.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
def step():
    blocks = [torch.empty(184_320).fill_(1.0) for _ in range(32)]
    torch.empty(4_000_000).fill_(1.0)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
before = faults()
for _ in range(10):
    step()
print((faults() - before) / 10)
"""


# How much glibc gives back by default depends on the state of its heap. With these it is all of it.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def page_faults_of_a_step(how: str) -> float:
    command = [sys.executable, "-c", STEPS, how]
    environment = {**os.environ, **GIVES_BACK}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="another allocator than glibc's"
)
def test_steps_that_need_the_same_memory_again_raise_no_page_faults() -> None:
    assert page_faults_of_a_step("as it comes") > 100
    assert page_faults_of_a_step("kept") < 10
