"""Scripts under an emulated processor (Debian's qemu-user), or in a hostile environment.

A script gets names as arguments and prints, for each of them, a line of JSON with a name and a
digest. So it is known where an emulator stops.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from places import ROOT

EMULATOR: Final = "qemu-x86_64"
PROCESSORS: Final = {"Intel": "Haswell", "AMD": "EPYC"}
"""One of each vendor; both have AVX2 and FMA, and neither has AVX-512."""

needs_emulator = pytest.mark.skipif(
    shutil.which(EMULATOR) is None, reason="needs Debian's qemu-user"
)


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
