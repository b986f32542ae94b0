"""Scripts under an emulated processor (Debian's qemu-user), or in a hostile environment.

A script gets names as arguments and prints, for each of them, a line of JSON with a name and a
digest. So it is known where an emulator stops.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from numpy._core import _multiarray_umath as numpy_core
from places import ROOT

EMULATOR: Final = "qemu-x86_64"
PROCESSORS: Final = {"Intel": "Haswell", "AMD": "EPYC"}
"""One of each vendor; both have AVX2 and FMA, and neither has AVX-512."""

WITH_AVX2: Final = (7, 2)
NUMPY_BASELINE: Final = {"NPY_DISABLE_CPU_FEATURES": " ".join(numpy_core.__cpu_dispatch__)}
"""NumPy without its optional code.

QEMU 7.2 computes what NumPy does with AVX2 wrongly: `numpy.maximum` of float32 arrays whose numbers
are not neighbours. Convolutions with one sample in a batch use it.
"""


def shortfall() -> str | None:
    """Why nothing can be emulated, in words; None if it can."""
    if shutil.which(EMULATOR) is None:
        return f"{EMULATOR} is not installed; it is in Debian's qemu-user"
    said = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < WITH_AVX2:
        return f"{said.partition(chr(10))[0] or EMULATOR} has no AVX2; 7.2 and later have"
    return None


needs_emulator = pytest.mark.skipif(shortfall() is not None, reason=str(shortfall()))


def start(
    script: Path | str,
    names: Sequence[str] = (),
    processor: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a script.

    Args:
        script: the file.
        names: its arguments.
        processor: one of the emulator's; None for the machine's own.
        variables: more environment variables.
    """
    emulated = [] if processor is None else [EMULATOR, "-cpu", processor]
    return subprocess.Popen(
        [*emulated, sys.executable, str(script), *names],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process: subprocess.Popen[str], names: Sequence[str] = ()) -> dict[str, str]:
    """What a script prints, once it has ended.

    An emulator may break down at the very end, when everything has been printed.

    Args:
        process: from `start`.
        names: what must be there.
    """
    try:
        out, err = process.communicate(timeout=600)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    found: dict[str, str] = {}
    for line in out.splitlines():
        found |= json.loads(line)
    missing = [name for name in names if name not in found]
    assert not missing, f"stopped with {process.returncode} in {missing[0]!r}: {err[-2000:]}"
    assert found, err[-2000:]
    return found
